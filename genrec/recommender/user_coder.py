"""Gives users of a package codes, by the histories of a request: the formula of training, the fitted tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int

from genrec.core.dataset import Sequences
from genrec.engine.components import instantiate
from genrec.model.item_vectors import FITTED
from genrec.model.user_codes import user_codes
from genrec.protocols import ItemTokenizer
from genrec.recommender.bundle_components import BundleComponents
from genrec.recommender.bundle_layout import readable_errors


class UserCoder:
    """Codes users in memory.

    Args:
        path: of the bundle; its tokenizer is opened for the first request.
        components: of the bundle, checked.
    """

    def __init__(self, path: Path, components: BundleComponents) -> None:
        self._path, self._components = path, components

    def __call__(
        self, sequences: Sequences, vectors: Mapping[str, np.ndarray], half_life: float
    ) -> Int[np.ndarray, "users levels"]:
        """Returns the codes of whoever has these histories (see ``genrec.model.user_codes``).

        Raises:
            ArtifactError: when the tokenizer of the bundle cannot be opened.
        """
        return user_codes(self._tokenizer, vectors, sequences, half_life)

    @cached_property
    def _tokenizer(self) -> ItemTokenizer:
        tokenizer: ItemTokenizer = instantiate(self._components.for_new_items("tokenizer"), "tokenizer")
        with readable_errors(self._path / "tokenizer"):
            tokenizer.restore(self._path / "tokenizer" / FITTED)
        return tokenizer
