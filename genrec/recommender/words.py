"""What a caller says in words: what is wanted and what is not, encoded by the package's own text encoder.

A text is a list of clauses, separated by commas, semicolons or line ends. Within a clause all that follows the word "not" is
refused: ``shampoo, not perfume`` and ``shampoo not perfume`` both ask for shampoo and refuse perfume. Words in double quotes
are taken as they are: ``"not your mother's" shampoo``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from genrec.engine.components import instantiate
from genrec.errors import ConfigError
from genrec.model.item_vectors import FITTED, JOINT
from genrec.protocols import EncodesTexts, ItemEncoder, JoinsSources
from genrec.recommender.bundle_components import BundleComponents
from genrec.recommender.bundle_layout import readable_errors

WISH_STRENGTH = 5.0  # nats for a cosine of 1, where a request names no other
_QUOTED, _CLAUSES, _NOT = re.compile(r'"([^"]*)"'), re.compile(r"[,;\n]"), re.compile(r"(?:^|\s+)not(?:\s+|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Wording:
    """The parts of a text.

    Args:
        asked: what is asked for; empty: nothing.
        refused: what is refused; empty: nothing.
    """

    asked: str
    refused: str


def read_wording(text: str) -> Wording:
    """Splits a text into what is asked for and what is refused; a text without "not" is asked for as it is written."""
    quotes: list[str] = []

    def hide(match: re.Match[str]) -> str:
        quotes.append(match[1])
        return f"\0{len(quotes) - 1}\0"

    def show(parts: Sequence[str]) -> str:
        joined = ", ".join(part.strip() for part in parts if part.strip())
        return re.sub("\0(\\d+)\0", lambda match: quotes[int(match[1])], joined)

    clauses = [_NOT.split(clause) for clause in _CLAUSES.split(_QUOTED.sub(hide, text.replace("\0", " ")))]
    if all(len(parts) == 1 for parts in clauses):
        return Wording(text.strip(), "")
    return Wording(show([parts[0] for parts in clauses]), show([part for parts in clauses for part in parts[1:]]))


class TextEncoder:
    """The fitted encoder of a bundle, opened when the first text or the first new item comes.

    Args:
        path: of the bundle.
        components: checked.
    """

    def __init__(self, path: Path, components: BundleComponents) -> None:
        self._path, self._components = path, components

    @cached_property
    def encoder(self) -> ItemEncoder:
        """The whole encoder, of items and texts."""
        encoder: ItemEncoder = instantiate(self._components.for_new_items("encoder"), "encoder")
        with readable_errors(self._path / "encoder"):
            encoder.restore(self._path / "encoder" / FITTED)
        return encoder

    def encode(self, where: str, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """Returns the vectors of texts.

        Args:
            where: field of the request, for errors.
            texts: any.

        Raises:
            ConfigError: when the encoder reads no texts, or needs a file that no bundle carries.
        """
        vectors = np.asarray(self._reader(where)[1].encode_texts(texts), dtype=np.float32)
        if not np.isfinite(vectors).all():
            fix = "check the encoder's model"
            raise ConfigError(where, expected="a text that the encoder gives a vector", got="no finite numbers", fix=fix)
        return vectors

    def item_vectors(self, where: str, vectors: Mapping[str, Float[np.ndarray, "items _"]]) -> Float[np.ndarray, "items dim"]:
        """Returns the vectors of the items' texts, which ``encode`` gives texts a place among.

        Args:
            where: as for ``encode``.
            vectors: source -> of the items.
        """
        return vectors[self._reader(where)[0]]

    def _reader(self, where: str) -> tuple[str, EncodesTexts]:
        """Returns what reads texts, and the name of its vectors."""
        encoder = self.encoder
        sources = encoder.sources if isinstance(encoder, JoinsSources) else {}
        for name, part in {JOINT: encoder, **sources}.items():
            if isinstance(part, EncodesTexts):
                return name, part
        expected, fix = "a package whose encoder reads texts", "train with encoder=tfidf_collaborative, and export it"
        raise ConfigError(where, expected=expected, got=type(encoder).__name__, fix=fix)


def encoded(texts: TextEncoder, queries: Sequence[str | None], *, dim: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the vectors of what queries ask for and of what they refuse, [queries, dim] each; None where nothing does.

    Args:
        texts: encodes them.
        queries: words, or None.
        dim: of a vector, as the generator reads it.

    Raises:
        ConfigError: when the encoder gives others.
    """
    wordings = [read_wording(query or "") for query in queries]
    sides = []
    for parts in ([one.asked for one in wordings], [one.refused for one in wordings]):
        rows = [row for row, part in enumerate(parts) if part]
        vectors = np.zeros((len(parts), dim), dtype=np.float32)
        if rows:
            text_vectors = texts.encode("query", [parts[row] for row in rows])
            if text_vectors.shape[1] != dim:
                fix = "export it again"
                raise ConfigError("query", expected=f"texts as vectors of {dim}", got=f"of {text_vectors.shape[1]}", fix=fix)
            vectors[rows] = text_vectors
        sides.append(vectors if rows else None)
    return sides[0], sides[1]


def wish_bias(
    texts: TextEncoder, vectors: Mapping[str, np.ndarray], wish: str, strength: float | None
) -> Float32[np.ndarray, " items"]:
    """Returns ``strength`` times the cosine of each item's text with what is wished for, less that with what is not.

    Args:
        texts: encodes the wish.
        vectors: source -> of the items.
        wish: words.
        strength: nats; None: ``WISH_STRENGTH``.
    """
    wording, items = read_wording(wish), texts.item_vectors("wish", vectors)
    bias = np.zeros(len(items), dtype=np.float32)
    for sign, part in ((1.0, wording.asked), (-1.0, wording.refused)):
        if part:
            (vector,) = texts.encode("wish", [part])
            norms = np.linalg.norm(items, axis=1) * np.linalg.norm(vector)
            bias += np.float32(sign) * (items @ vector / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return bias * np.float32(WISH_STRENGTH if strength is None else strength)
