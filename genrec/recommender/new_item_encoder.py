"""How a bundle takes in items that came after it: IDs and vectors by the encoder, tokenizer and collision policy it carries."""

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
from genrec.recommender.bundle_components import Nodes
from genrec.recommender.bundle_contents import readable
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_table import ItemTable
from genrec.types import ITEM_ID


class BundleIntake:
    """As ``genrec assign --new`` does it, in memory: no ID moves, nothing is fitted.

    What an item was given depends on the items that were there before it: where the codes of two later items are the same, the
    first has them.

    Args:
        path: of the bundle; the encoder and the tokenizer are opened when the first item comes.
        bundle: the content of its bundle.json.
        nodes: its components, checked.
    """

    def __init__(self, path: Path, bundle: Mapping[str, Any], nodes: Nodes) -> None:
        self._path, self._nodes, self._facts = path, nodes, bundle["facts"]

    def __call__(
        self, catalogue: Catalogue, items: pl.DataFrame, codes: Mapping[str, Sequence[int]] | None = None
    ) -> Catalogue:
        """The catalogue with these items behind its own.

        Args:
            catalogue: as it is.
            items: rows of its columns.
            codes: IDs that some of them have had in this layout already; they have them again where they are free.

        Raises:
            DataError: when the tokenizer only knows the items it was fitted on, or no place is left.
            ArtifactError: when parts of the bundle do not fit together.
        """
        with readable(self._path):
            return self._with_later(catalogue, items, codes or {})

    def _with_later(self, catalogue: Catalogue, items: pl.DataFrame, codes: Mapping[str, Sequence[int]]) -> Catalogue:
        before = catalogue.table.sids
        assert before is not None
        new = {} if self._encoder is None else encode_items(self._encoder, items)
        free = _free(codes, before, items[ITEM_ID])
        had = np.array([item_id in free for item_id in items[ITEM_ID]], dtype=bool)
        sids = before
        if had.any():
            items = pl.concat([items.filter(pl.Series(had)), items.filter(pl.Series(~had))])
            order = np.argsort(~had, kind="stable")
            new = {name: rows[order] for name, rows in new.items()}
            again = items[: len(free)]
            inputs = TokenizerInputs(embeddings={name: rows[: len(free)] for name, rows in new.items()}, items=again)
            own = np.array([free[item_id] for item_id in again[ITEM_ID]], dtype=np.int32)
            sids = before.with_items(own).with_streams(self._streams(before, inputs))
        if len(free) < items.height:
            rest = {name: rows[len(free) :] for name, rows in new.items()}
            _, sids = self._coded(sids, items[len(free) :], rest)
        vectors = {name: np.concatenate([rows, new[name]]) for name, rows in catalogue.vectors.items()}
        table = ItemTable(pl.concat([catalogue.table.frame, items]), sids)
        return replace(catalogue, model=catalogue.model.grow(sids, vectors), table=table)

    def with_content(self, catalogue: Catalogue, rows: Sequence[int], *, reassign: bool) -> Catalogue:
        """The catalogue after the content of known items changed: their vectors, and with ``reassign`` their IDs.

        The generator goes on by what it learned of them.

        Args:
            catalogue: with the new content in its table.
            rows: item_idx of the items.
            reassign: give those an ID anew whose content leads to other codes.

        Raises:
            ArtifactError: when parts of the bundle do not fit together.
        """
        with readable(self._path):
            return self._with_content(catalogue, rows, reassign=reassign)

    def _with_content(self, catalogue: Catalogue, rows: Sequence[int], *, reassign: bool) -> Catalogue:
        place, items = np.asarray(rows, dtype=np.int64), catalogue.table.frame[list(rows)]
        new = {} if self._encoder is None else encode_items(self._encoder, items)
        vectors = {name: _replaced(known, place, new[name]) for name, known in catalogue.vectors.items()}
        catalogue = replace(catalogue, model=catalogue.model.with_vectors(vectors))
        return self._reassigned(catalogue, place, items, new) if reassign else catalogue

    def _reassigned(
        self, catalogue: Catalogue, place: np.ndarray, items: pl.DataFrame, new: Mapping[str, np.ndarray]
    ) -> Catalogue:
        before = catalogue.table.sids
        assert before is not None
        codes, grown = self._coded(before, items, new)
        was = before.content.codes[place]
        levels = min(codes.shape[1], was.shape[1])
        moved = (was[:, :levels] != codes[:, :levels]).any(axis=1)
        if not moved.any():
            return catalogue
        rows, behind = place[moved], np.arange(before.num_items, grown.num_items)[moved]
        sids = SIDTable(
            _replaced(before.codes, rows, grown.codes[behind]),
            before.sizes,
            before.collision_level,
            before.codebooks,
            {
                name: Stream(_replaced(before.streams[name].codes, rows, stream.codes[behind]), stream.sizes)
                for name, stream in grown.streams.items()
            },
        )
        return replace(catalogue, model=catalogue.model.grow(sids), table=ItemTable(catalogue.table.frame, sids))

    def _coded(self, before: SIDTable, items: pl.DataFrame, new: Mapping[str, np.ndarray]) -> tuple[np.ndarray, SIDTable]:
        """The tokenizer's codes of some items, and the table with IDs for them behind its own."""
        inputs = TokenizerInputs(embeddings=new, items=items)
        codes = np.asarray(self._tokenizer.encode(inputs), dtype=np.int32)
        codebooks, counts = self._facts["tokenizer"]["codebooks"], np.zeros(items.height, dtype=np.int64)
        context = collision_context(inputs, self._tokenizer, codebooks, counts)
        return codes, self._policy.extend(before, codes, context).with_streams(self._streams(before, inputs))

    def open_parts(self) -> None:
        """Opens what the first new item would open: encoder, tokenizer and collision policy, and all that they import.

        Nothing, when they need something outside the bundle that was not allowed: then the first new item says so.
        """
        if self._nodes.missing:
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
        if not (self._path / "encoder").is_dir():
            return None
        encoder: ItemEncoder = instantiate(self._nodes.for_new_items("encoder"), "encoder")
        with readable(self._path / "encoder"):
            encoder.restore(self._path / "encoder" / FITTED)
        return encoder

    @cached_property
    def _tokenizer(self) -> ItemTokenizer:
        tokenizer: ItemTokenizer = instantiate(self._nodes.for_new_items("tokenizer"), "tokenizer")
        with readable(self._path / "tokenizer"):
            tokenizer.restore(self._path / "tokenizer" / FITTED)
        return tokenizer

    @cached_property
    def _policy(self) -> CollisionPolicy:
        policy: CollisionPolicy = instantiate(self._nodes.for_new_items("collision"), "collision")
        return policy


def _free(codes: Mapping[str, Sequence[int]], before: SIDTable, item_ids: pl.Series) -> dict[str, Sequence[int]]:
    """The IDs of ``item_ids`` that nobody else has."""
    taken, free = set(map(tuple, before.codes.tolist())), dict[str, Sequence[int]]()
    for item_id in item_ids:
        own = tuple(codes.get(item_id, ()))
        if own and own not in taken:
            taken.add(own)
            free[item_id] = own
    return free


def _replaced(rows: np.ndarray, place: np.ndarray, new: np.ndarray) -> np.ndarray:
    """A copy with other rows at some places."""
    changed = np.array(rows)
    changed[place] = new
    return changed
