"""Shapes are checked here and only here: under pytest every jaxtyping annotation of these rooms is enforced by beartype."""

from __future__ import annotations

import jaxtyping

CHECKED = ("trie", "sids", "batch", "decoding", "generators", "losses", "nn", "training.plan")
jaxtyping.install_import_hook([f"genrec.{room}" for room in CHECKED], "beartype.beartype")
