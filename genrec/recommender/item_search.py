"""Finds items by the words of their titles or by id, and items that are like a given one."""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from genrec.model.item_vectors import JOINT
from genrec.protocols import HasItemTable
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_table import TEXT
from genrec.recommender.requests import SimilarRequest
from genrec.types import ITEM_ID, ITEM_IDX, RANK, SCORE

RANKED = 20_000
_NOT_JSON = re.compile("Binary|Object")  # in the name of a type, nested ones too


def search_items(catalogue: Catalogue, query: str, limit: int) -> tuple[list[int], int]:
    """Finds the items whose title or id has all words of a query, also as parts of words.

    That very id comes first, then titles with the whole phrase, with all as beginnings of words, then the popular ones;
    of more than ``RANKED`` items that match only the popular ones are ranked.

    One pass over the texts for each word, over what the words before it left; nothing is kept between queries.

    Args:
        catalogue: its removed items are not found.
        query: words; without any, everything is found.
        limit: items returned.

    Returns:
        item_idx, and how many there are in all.
    """
    rows, phrase = catalogue.table.texts, " ".join(query.lower().split())
    if catalogue.removed:
        rows = rows.filter(~pl.col(ITEM_IDX).is_in(list(catalogue.removed)))
    for word in dict.fromkeys(phrase.split()):
        rows = rows.filter(pl.col(TEXT).str.contains(word, literal=True))
    if not phrase:
        return rows.head(limit)[ITEM_IDX].to_list(), rows.height
    text = pl.col(TEXT)
    whole = [text.str.contains(f" {word}", literal=True) for word in dict.fromkeys(phrase.split())]
    is_id, has_phrase = text.str.ends_with(f"\n {phrase}"), text.str.contains(f" {phrase}", literal=True)
    keys = {"id": is_id, "phrase": has_phrase, "words": pl.all_horizontal(whole), "order": -pl.int_range(pl.len())}
    best = rows.head(RANKED).select(ITEM_IDX, **keys).top_k(limit, by=list(keys))
    return best.sort(*keys, descending=True)[ITEM_IDX].to_list(), rows.height


def item_records(catalogue: Catalogue, rows: list[int]) -> list[dict[str, Any]]:
    """Returns id, content and codes of items for JSON: binary columns are left out, and NaN is null."""
    table = catalogue.table
    columns = [name for name, kind in table.frame.schema.items() if name != ITEM_ID and not _NOT_JSON.search(str(kind))]
    contents = json.loads(table.frame.select(columns)[rows].write_json()) if columns else [{} for _ in rows]
    codes = [None for _ in rows] if table.sids is None else table.sids.codes[rows].tolist()
    parts = zip(table.ids(rows), contents, codes, strict=True)
    return [
        {ITEM_ID: item_id, "content": content, "codes": item_codes, "status": catalogue.statuses_of(row)}
        for row, (item_id, content, item_codes) in zip(rows, parts, strict=True)
    ]


def similar_items(catalogue: Catalogue, request: SimilarRequest) -> pl.DataFrame:
    """Returns the items most like one; see ``Recommender.similar``.

    Raises:
        DataError: for an id that the catalogue does not have.
        ConfigError: for a filter that cannot be read.
    """
    (row,) = catalogue.table.rows([request.item_id])
    scores = pl.Series(SCORE, similarities(catalogue, row).numpy())
    table = pl.DataFrame([catalogue.table.frame[ITEM_ID], scores])
    allowed = catalogue.allowed_items(request.filter)
    if allowed is not None:
        table = table.filter(pl.Series(allowed.numpy()))
    table = table.filter(pl.col(ITEM_ID) != request.item_id)
    best = table.sort(SCORE, descending=True, maintain_order=True).head(request.k)
    return best.with_row_index(RANK, offset=1).cast({RANK: pl.Int64})


@torch.inference_mode()
def similarities(catalogue: Catalogue, item: int) -> Float[Tensor, " items"]:
    """Returns the cosine of every item to one, by the encoder's vectors or else the generator's item vectors.

    Where there are neither, the share of the levels up to which two IDs are the same.

    Args:
        catalogue: of the items.
        item: item_idx.
    """
    vectors: Any = catalogue.vectors.get(JOINT)
    if vectors is not None:
        vectors = torch.from_numpy(vectors).float()
    elif isinstance(catalogue.generator, HasItemTable):
        vectors = catalogue.generator.item_table()
    if vectors is not None:
        return torch.nn.functional.cosine_similarity(vectors, vectors[item].unsqueeze(0), dim=1)
    assert catalogue.trie is not None
    paths = catalogue.trie.paths(torch.arange(len(catalogue.table)))[:, 1:]
    return (paths == paths[item]).float().mean(dim=1)
