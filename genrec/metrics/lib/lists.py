"""What users are shown: the first k items of their lists as a matrix, which every figure beyond accuracy starts from."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset
from genrec.protocols.metrics import Lists as Lists
from genrec.types import ITEM_ID, ITEM_IDX, PAD, RANK, USER_ID, USER_IDX, Split


def first_items(table: pl.DataFrame, dataset: Dataset, split: Split, user_ids: pl.Series, k: int) -> Lists:
    """The first ``k`` items of the lists of ``user_ids``.

    Args:
        table: ``user_id``, ``item_id``, ``rank`` (1-based); one split.
        dataset: for the histories, and the numbers of users and items.
        split: whose histories.
        user_ids: whose lists; users without one get an empty row.
        k: length, >= 1.
    """
    users = pl.DataFrame({USER_ID: user_ids}).with_row_index("row")
    known = pl.DataFrame({ITEM_ID: dataset.item_ids}).with_row_index(ITEM_IDX)
    shown = table.filter(pl.col(RANK) <= k).join(users, on=USER_ID).join(known, on=ITEM_ID)
    items = np.full((len(user_ids), k), PAD, dtype=np.int64)
    items[shown["row"].to_numpy(), shown[RANK].to_numpy().astype(np.int64) - 1] = shown[ITEM_IDX].to_numpy()

    rows = users.join(pl.DataFrame({USER_ID: dataset.user_ids}).with_row_index(USER_IDX), on=USER_ID, maintain_order="left")
    return Lists(items, dataset.histories(split).of(rows[USER_IDX].to_numpy().astype(np.int64)))
