"""Beam search over the catalogue's trie (default): batched, deterministic, nothing but existing items.

See docs/methods/trie_search.md.
"""

from __future__ import annotations

from genrec.decoding.lib.plain_strategies import BeamSearch


class TrieBeam(BeamSearch):
    """Keeps the ``num_beams`` most probable prefixes per level.

    Exact when no level has more than ``num_beams`` open prefixes. Returns ``k`` items whenever ``k`` are allowed: closed
    prefixes take no beam, so at least ``min(num_beams, open prefixes)`` live ones survive every level.

    Args:
        num_beams: prefixes kept per user; at least k.
    """
