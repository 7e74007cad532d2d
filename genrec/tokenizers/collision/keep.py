"""Collisions stay: an ID may stand for several items, which the metrics then count as a tie (own design)."""

from __future__ import annotations

import numpy as np

from genrec.core.sids import SIDTable
from genrec.protocols import CollisionContext


class Keep:
    """The tokenizer's codes as they are."""

    def resolve(self, codes: np.ndarray, sizes: tuple[int, ...], context: CollisionContext) -> SIDTable:
        return SIDTable(codes, sizes, codebooks=context.codebooks)

    def extend(self, table: SIDTable, codes: np.ndarray, context: CollisionContext) -> SIDTable:
        return table.with_items(codes)
