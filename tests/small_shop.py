"""Catalogues of arbitrary generators: one that takes in new items at random places, and one that looks at times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from small_world import ArbitraryLogits, sids_of

from genrec.core.event_schema import Column, EventSchema, category
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.full_ranking import FullRanking
from genrec.decoding.trie_beam import TrieBeam
from genrec.encoders.tfidf_svd import TfidfSVD
from genrec.generators.encdec import EncDec
from genrec.generators.hstu import HSTU
from genrec.model.trained import Model
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_table import ItemTable
from genrec.recommender.words import TextEncoder
from genrec.testing.worlds import make_train


def shop(num_items: int, seed: int = 0, sizes: tuple[int, ...] = (6, 7, 8)) -> Catalogue:
    """Items i0, i1, ... with a column that says whether their number is even."""
    items = pl.DataFrame(
        {"item_id": [f"i{row}" for row in range(num_items)], "even": [row % 2 == 0 for row in range(num_items)]}
    )
    return _catalogue(sids_of(num_items, sizes, seed=seed), items)


def shop_by_times(num_items: int) -> Catalogue:
    """Items i0, i1, ... of a generator that wants times with every history."""
    torch.manual_seed(0)
    generator = HSTU(num_items=num_items, dim=16, num_heads=2, num_layers=2, time_gaps=True).eval()
    for weight in generator.parameters():
        torch.nn.init.normal_(weight)
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(num_items)]})
    return Catalogue(model=Model(generator=generator, strategy=FullRanking()), table=ItemTable(items, None))


GAP = Column(name="timestamp.gap", kind="time", num_codes=64)
HOUR = Column(name="timestamp.hour", kind="time", num_codes=25)
SCHEMA = EventSchema(
    columns=(category("event_type", ["view", "buy"]), Column(name="rating", kind="number", mean=3.0), GAP, HOUR),
    request=("event_type", GAP.name, HOUR.name),
    users=(category("age", ["old", "young"]),),
)


def shop_with_columns(num_items: int) -> Catalogue:
    """A shop whose generator hears everything; its weights are drawn at random."""
    catalogue = shop(num_items)
    torch.manual_seed(0)
    generator = EncDec(
        sids=catalogue.table.sids, dim=16, num_heads=2, num_history_layers=1, num_decoder_layers=1, schema=SCHEMA
    ).eval()
    for weight in generator.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model = replace(with_model(catalogue, generator=generator).model, schema=SCHEMA)
    return replace(catalogue, model=model)


COLOURS = ("red", "green", "blue", "grey", "white")
KINDS = ("soap", "shampoo", "perfume")


def shop_with_words(num_items: int, *, trained: bool = True) -> Catalogue:
    """A shop whose items have titles, whose encoder reads them, and whose generator hears queries where ``trained`` so."""
    catalogue = shop_with_columns(num_items) if trained else shop(num_items)
    titles = [f"{COLOURS[row % 5]} {KINDS[row % 3]}" for row in range(num_items)]
    frame = catalogue.table.frame.with_columns(title=pl.Series(titles))
    encoder = TfidfSVD(columns=("title",), dim=8)
    encoder.fit(frame, make_train(num_items))
    texts = TextEncoder(Path(), cast(Any, None))
    vars(texts)["encoder"] = encoder
    vectors = encoder.encode(frame)
    catalogue = replace(catalogue, table=ItemTable(frame, catalogue.table.sids), texts=texts)
    if not trained:
        return replace(catalogue, model=replace(catalogue.model, vectors={"item": vectors}))
    schema = SCHEMA.with_text(vectors.shape[1])
    torch.manual_seed(1)
    generator = EncDec(
        sids=catalogue.table.sids, dim=16, num_heads=2, num_history_layers=1, num_decoder_layers=1, schema=schema
    ).eval()
    for weight in generator.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model = replace(with_model(catalogue, generator=generator).model, schema=schema, vectors={"item": vectors})
    return replace(catalogue, model=model)


def _catalogue(sids: SIDTable, items: pl.DataFrame, num_bundled: int | None = None) -> Catalogue:
    return Catalogue(
        model=Model(
            generator=ArbitraryLogits(sids),
            sids=sids,
            trie=PrefixTrie.build(sids),
            num_trained=len(items) if num_bundled is None else num_bundled,
            strategy=TrieBeam(),
        ),
        table=ItemTable(items, sids),
        intake=_taken_in,
        num_bundled=len(items) if num_bundled is None else num_bundled,
    )


def _taken_in(catalogue: Catalogue, later: pl.DataFrame, codes: Any = None) -> Catalogue:
    sids, random = catalogue.table.sids, np.random.default_rng(len(catalogue.table))
    assert sids is not None
    drawn = np.stack([random.integers(0, size, later.height) for size in sids.sizes], axis=1)
    own = [(codes or {}).get(item_id, row) for item_id, row in zip(later["item_id"], drawn.tolist(), strict=True)]
    grown = _catalogue(sids.with_items(np.array(own)), pl.concat([catalogue.table.frame, later]), catalogue.num_bundled)
    return replace(grown, removed=catalogue.removed, updated=catalogue.updated)


def with_model(catalogue: Catalogue, **changes: Any) -> Catalogue:
    """The catalogue with another part of its model: ``strategy=``, ``generator=``."""
    return replace(catalogue, model=replace(catalogue.model, **changes))
