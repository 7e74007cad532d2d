"""How a bundle takes in items that came after it: IDs and vectors by the encoder, tokenizer and collision policy it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.components import instantiate
from genrec.protocols import CollisionPolicy, DecodingStrategy, ItemEncoder, ItemTokenizer, TokenizerInputs
from genrec.serving.catalogue import Catalogue
from genrec.serving.item_table import ItemTable
from genrec.serving.readable import readable
from genrec.sids import SIDTable, Stream
from genrec.stages.assign import collision_context, streams_of
from genrec.stages.embed import FITTED, JOINT, encoded
from genrec.stages.export import generator_folder
from genrec.stages.train import with_later_items
from genrec.trie import PrefixTrie


class BundleIntake:
    """As ``genrec assign --new`` does it, in memory: no ID moves, nothing is fitted.

    What an item was given depends on the items that were there before it: where the codes of two later items are the same, the
    first has them.

    Args:
        path: of the bundle; the encoder and the tokenizer are opened when the first item comes.
        bundle: the content of its bundle.json.
        strategy_for: (number of items, vectors) -> how to decode so many items.
    """

    def __init__(
        self,
        path: Path,
        bundle: Mapping[str, Any],
        strategy_for: Callable[[int, Mapping[str, np.ndarray]], DecodingStrategy],
    ) -> None:
        self._path, self._config, self._facts = path, bundle["config"], bundle["facts"]
        self._strategy_for = strategy_for

    def __call__(self, catalogue: Catalogue, items: pl.DataFrame) -> Catalogue:
        """The catalogue with these items behind its own.

        Raises:
            DataError: when the tokenizer only knows the items it was fitted on, or no place is left.
        """
        before = catalogue.table.sids
        assert before is not None
        new = {} if self._encoder is None else encoded(self._encoder, items)
        inputs = TokenizerInputs(embeddings=new, items=items)
        codes = np.asarray(self._tokenizer.encode(inputs), dtype=np.int32)
        codebooks, counts = self._facts["tokenizer"]["codebooks"], np.zeros(items.height, dtype=np.int64)
        context = collision_context(inputs, self._tokenizer, codebooks, counts)
        sids = self._policy.extend(before, codes, context).with_streams(self._streams(before, inputs))
        trie = PrefixTrie.build(sids)
        vectors = {name: np.concatenate([rows, new[name]]) for name, rows in catalogue.vectors.items()}
        return replace(
            catalogue,
            generator=with_later_items(
                catalogue.generator,
                generator_folder(self._path),
                sids,
                trie,
                later=items.height,
                item_vectors=vectors.get(JOINT),
            ),
            strategy=self._strategy_for(sids.num_items, vectors),
            table=ItemTable(pl.concat([catalogue.table.frame, items]), sids),
            trie=trie,
            vectors=vectors,
        )

    def _streams(self, before: SIDTable, inputs: TokenizerInputs) -> Mapping[str, Stream]:
        return {
            name: Stream(np.concatenate([before.streams[name].codes, new.codes]), new.sizes)
            for name, new in streams_of(self._tokenizer, inputs).items()
        }

    @cached_property
    def _encoder(self) -> ItemEncoder | None:
        if not (self._path / "encoder").is_dir():
            return None
        encoder: ItemEncoder = instantiate(self._config["encoder"], "encoder")
        with readable(self._path / "encoder"):
            encoder.restore(self._path / "encoder" / FITTED)
        return encoder

    @cached_property
    def _tokenizer(self) -> ItemTokenizer:
        tokenizer: ItemTokenizer = instantiate(self._config["tokenizer"], "tokenizer")
        with readable(self._path / "tokenizer"):
            tokenizer.restore(self._path / "tokenizer" / FITTED)
        return tokenizer

    @cached_property
    def _policy(self) -> CollisionPolicy:
        policy: CollisionPolicy = instantiate(self._config["collision"], "collision")
        return policy
