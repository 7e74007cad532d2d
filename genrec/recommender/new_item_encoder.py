"""Gives IDs and vectors to items that came after a bundle, by its encoder, tokenizer and collision policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.core.sids import SIDTable, Stream
from genrec.engine.components import instantiate
from genrec.model.id_assignment import collision_context, encode_streams
from genrec.model.item_vectors import FITTED, encode_items
from genrec.protocols import CollisionPolicy, ItemEncoder, ItemTokenizer, TokenizerInputs
from genrec.recommender.bundle_components import BundleComponents
from genrec.recommender.bundle_layout import readable_errors
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_table import ItemTable
from genrec.recommender.words import TextEncoder
from genrec.types import ITEM_ID


class NewItemEncoder:
    """Encodes new items in memory, as ``genrec assign --new`` does: no ID moves, nothing is fitted.

    The ID of an item depends on the items before it: where the codes of two new items are the same, the first gets them.

    Args:
        path: of the bundle; the encoder and the tokenizer are opened when the first item comes.
        bundle: the content of its bundle.json.
        components: its components, checked.
        opened: its encoder.
    """

    def __init__(self, path: Path, bundle: Mapping[str, Any], components: BundleComponents, opened: TextEncoder) -> None:
        self._path, self._components, self._facts, self._opened = path, components, bundle["facts"], opened

    def __call__(
        self, catalogue: Catalogue, items: pl.DataFrame, codes: Mapping[str, Sequence[int]] | None = None
    ) -> Catalogue:
        """Returns the catalogue with these items after its own.

        Args:
            catalogue: as it is.
            items: rows of its columns.
            codes: IDs that some of them have had in this layout already; they have them again where they are free.

        Raises:
            DataError: when the tokenizer only knows the items it was fitted on, or no place is left.
            ArtifactError: when parts of the bundle do not fit together.
        """
        with readable_errors(self._path):
            return self._add_items(catalogue, items, codes or {})

    def _add_items(self, catalogue: Catalogue, items: pl.DataFrame, codes: Mapping[str, Sequence[int]]) -> Catalogue:
        before = catalogue.table.sids
        assert before is not None
        new = {} if self._encoder is None else encode_items(self._encoder, items)
        free = _free_codes(codes, before, items[ITEM_ID])
        has_code = np.array([item_id in free for item_id in items[ITEM_ID]], dtype=bool)
        sids = before
        if has_code.any():
            items = pl.concat([items.filter(pl.Series(has_code)), items.filter(pl.Series(~has_code))])
            order = np.argsort(~has_code, kind="stable")
            new = {name: rows[order] for name, rows in new.items()}
            again = items[: len(free)]
            inputs = TokenizerInputs(embeddings={name: rows[: len(free)] for name, rows in new.items()}, items=again)
            old_codes = np.array([free[item_id] for item_id in again[ITEM_ID]], dtype=np.int32)
            sids = before.with_items(old_codes).with_streams(self._streams(before, inputs))
        if len(free) < items.height:
            other_vectors = {name: rows[len(free) :] for name, rows in new.items()}
            _, sids = self._encode(sids, items[len(free) :], other_vectors)
        vectors = {name: np.concatenate([rows, new[name]]) for name, rows in catalogue.vectors.items()}
        table = ItemTable(pl.concat([catalogue.table.frame, items]), sids)
        return replace(catalogue, model=catalogue.model.grow(sids, vectors), table=table)

    def with_content(self, catalogue: Catalogue, rows: Sequence[int], *, reassign: bool) -> Catalogue:
        """Returns the catalogue after the content of known items changed: new vectors and, with ``reassign``, IDs.

        The generator keeps what it learned of these items.

        Args:
            catalogue: with the new content in its table.
            rows: item_idx of the items.
            reassign: give those an ID anew whose content leads to other codes.

        Raises:
            ArtifactError: when parts of the bundle do not fit together.
        """
        with readable_errors(self._path):
            return self._with_content(catalogue, rows, reassign=reassign)

    def _with_content(self, catalogue: Catalogue, rows: Sequence[int], *, reassign: bool) -> Catalogue:
        positions, items = np.asarray(rows, dtype=np.int64), catalogue.table.frame[list(rows)]
        new = {} if self._encoder is None else encode_items(self._encoder, items)
        vectors = {name: _replace_rows(old_vectors, positions, new[name]) for name, old_vectors in catalogue.vectors.items()}
        catalogue = replace(catalogue, model=catalogue.model.with_vectors(vectors))
        return self._reassign_ids(catalogue, positions, items, new) if reassign else catalogue

    def _reassign_ids(
        self, catalogue: Catalogue, positions: np.ndarray, items: pl.DataFrame, new: Mapping[str, np.ndarray]
    ) -> Catalogue:
        before = catalogue.table.sids
        assert before is not None
        codes, grown = self._encode(before, items, new)
        earlier_codes = before.content.codes[positions]
        levels = min(codes.shape[1], earlier_codes.shape[1])
        moved = (earlier_codes[:, :levels] != codes[:, :levels]).any(axis=1)
        if not moved.any():
            return catalogue
        rows, behind = positions[moved], np.arange(before.num_items, grown.num_items)[moved]
        sids = SIDTable(
            _replace_rows(before.codes, rows, grown.codes[behind]),
            before.sizes,
            before.collision_level,
            before.codebooks,
            {
                name: Stream(_replace_rows(before.streams[name].codes, rows, stream.codes[behind]), stream.sizes)
                for name, stream in grown.streams.items()
            },
        )
        return replace(catalogue, model=catalogue.model.grow(sids), table=ItemTable(catalogue.table.frame, sids))

    def _encode(self, before: SIDTable, items: pl.DataFrame, new: Mapping[str, np.ndarray]) -> tuple[np.ndarray, SIDTable]:
        """Returns the tokenizer's codes of some items, and the table with IDs for them after its own."""
        inputs = TokenizerInputs(embeddings=new, items=items)
        codes = np.asarray(self._tokenizer.encode(inputs), dtype=np.int32)
        codebooks, counts = self._facts["tokenizer"]["codebooks"], np.zeros(items.height, dtype=np.int64)
        context = collision_context(inputs, self._tokenizer, codebooks, counts)
        return codes, self._policy.extend(before, codes, context).with_streams(self._streams(before, inputs))

    def open_parts(self) -> None:
        """Opens what the first new item would open: encoder, tokenizer and collision policy with their imports.

        It opens nothing if a part needs a file outside the bundle that the caller did not allow; then the first new item raises
        an error.
        """
        if self._components.missing:
            return
        for item in (self._encoder, self._tokenizer, self._policy):
            del item

    def _streams(self, before: SIDTable, inputs: TokenizerInputs) -> Mapping[str, Stream]:
        return {
            name: Stream(np.concatenate([before.streams[name].codes, new.codes]), new.sizes)
            for name, new in encode_streams(self._tokenizer, inputs).items()
        }

    @cached_property
    def _encoder(self) -> ItemEncoder | None:
        return self._opened.encoder if (self._path / "encoder").is_dir() else None

    @cached_property
    def _tokenizer(self) -> ItemTokenizer:
        tokenizer: ItemTokenizer = instantiate(self._components.for_new_items("tokenizer"), "tokenizer")
        with readable_errors(self._path / "tokenizer"):
            tokenizer.restore(self._path / "tokenizer" / FITTED)
        return tokenizer

    @cached_property
    def _policy(self) -> CollisionPolicy:
        policy: CollisionPolicy = instantiate(self._components.for_new_items("collision"), "collision")
        return policy


def _free_codes(codes: Mapping[str, Sequence[int]], before: SIDTable, item_ids: pl.Series) -> dict[str, Sequence[int]]:
    """Returns the IDs of ``item_ids`` that no other item has."""
    taken, free = set(map(tuple, before.codes.tolist())), dict[str, Sequence[int]]()
    for item_id in item_ids:
        item_codes = tuple(codes.get(item_id, ()))
        if item_codes and item_codes not in taken:
            taken.add(item_codes)
            free[item_id] = item_codes
    return free


def _replace_rows(rows: np.ndarray, positions: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Returns a copy with other rows at some positions."""
    changed = np.array(rows)
    changed[positions] = new
    return changed
