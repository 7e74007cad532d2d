"""Which items are like a given one."""

from __future__ import annotations

from typing import Any

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from genrec.item_vectors import JOINT
from genrec.protocols import HasItemTable
from genrec.serving.catalogue import Catalogue
from genrec.serving.requests import SimilarRequest
from genrec.types import ITEM_ID, RANK, SCORE


def similar_items(catalogue: Catalogue, request: SimilarRequest) -> pl.DataFrame:
    """The items most like one; see ``Recommender.similar``.

    Raises:
        DataError: for an id that the catalogue does not have.
        ConfigError: for a filter that cannot be read.
    """
    (row,) = catalogue.table.rows([request.item_id])
    scores = pl.Series(SCORE, similarities(catalogue, row).numpy())
    table = pl.DataFrame([catalogue.table.frame[ITEM_ID], scores])
    allowed = catalogue.allowed(request.filter)
    if allowed is not None:
        table = table.filter(pl.Series(allowed.numpy()))
    table = table.filter(pl.col(ITEM_ID) != request.item_id)
    best = table.sort(SCORE, descending=True, maintain_order=True).head(request.k)
    return best.with_row_index(RANK, offset=1).cast({RANK: pl.Int64})


@torch.inference_mode()
def similarities(catalogue: Catalogue, item: int) -> Float[Tensor, " items"]:
    """How like every item is to one: by cosine of the encoder's vectors, else of the generator's item vectors if it has some.

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
