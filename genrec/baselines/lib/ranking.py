"""From scores of the whole catalogue to the recommendations table, by the rules that hold for models too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from genrec.core.dataset import Dataset, Sequences
from genrec.protocols import Baseline
from genrec.types import ITEM_ID, RANK, SCORE, SPLIT, TIE_SIZE, TIE_START, USER_ID, Split

SCORES_AT_ONCE = 2_000_000  # 16 MB of float64: larger blocks are mapped anew each time, which costs more than the work


Score = Callable[[Sequences, Int64[np.ndarray, " rows"]], Float[np.ndarray, "rows items"]]


def scores_of(baseline: Baseline) -> Score:
    """A baseline's scores of some of the users."""
    return lambda histories, users: baseline.score(histories.of(users))


def ranked_tables(
    score: Score,
    dataset: Dataset,
    split: Split,
    *,
    k: int,
    exclude_seen: bool,
    hits_only: bool = False,
    shown: int = 0,
    allowed: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[pl.DataFrame]:
    """The ``k`` best items of every user with a target, as recommendations tables of some users each, to bound the memory.

    Items with equal scores form a tie group; the last group is listed whole, so a list may be longer than ``k``.

    Args:
        score: (histories of all users, which users) -> their scores of all items in a new array, higher is better.
        dataset: what to rank.
        split: whose histories and users.
        k: list length, >= 1.
        exclude_seen: never list an item of the user's history.
        hits_only: leave out the rows of items that are no target: all that accuracy needs, in a fraction of the memory.
        shown: with ``hits_only``, the first ranks that stay all the same.
        allowed: users -> bool [users, items], the candidates of each; None: all items.
    """
    histories, targets = dataset.histories(split), dataset.targets(split)
    users = np.flatnonzero(targets.lengths)
    step = max(1, SCORES_AT_ONCE // max(1, dataset.num_items))
    for start in range(0, len(users), step):
        chunk = users[start : start + step]
        scores = np.asarray(score(histories, chunk), dtype=np.float64)
        if allowed is not None:
            scores[~allowed(chunk)] = -np.inf
        if exclude_seen:
            seen = histories.of(chunk)
            scores[seen.user_idx, seen.item_idx] = -np.inf
        row, item, rank, tie_start, tie_size = top_k(scores, k)
        if hits_only:
            chunk_targets = targets.of(chunk)
            size = dataset.num_items
            is_kept = (rank <= shown) | np.isin(row * size + item, chunk_targets.user_idx * size + chunk_targets.item_idx)
            row, item, rank, tie_start, tie_size = (column[is_kept] for column in (row, item, rank, tie_start, tie_size))
        yield pl.DataFrame(
            {
                SPLIT: pl.repeat(split, len(row), eager=True),
                USER_ID: dataset.user_ids.gather(chunk[row]),
                ITEM_ID: dataset.item_ids.gather(item),
                RANK: rank,
                SCORE: scores[row, item],
                TIE_START: tie_start,
                TIE_SIZE: tie_size,
            }
        )


def top_k(scores: Float[np.ndarray, "users items"], k: int) -> tuple[Int64[np.ndarray, " listed"], ...]:
    """The best ``k`` columns of each row, the last group of equal scores whole; ``-inf`` is never listed.

    Returns:
        Row, column, rank, tie_start and tie_size of each listed entry; rows ascending, best first.

    Examples:
        >>> [column.tolist() for column in top_k(np.array([[0.5, 0.9, 0.5, 0.1]]), k=2)]
        [[0, 0, 0], [1, 0, 2], [1, 2, 3], [1, 2, 2], [1, 2, 2]]
    """
    # np.nonzero of a matrix is ten times slower than np.flatnonzero; the float's minimum keeps -inf out.
    threshold = np.maximum(_lower_bound(scores, k), np.finfo(scores.dtype).min)
    row, column = np.divmod(np.flatnonzero(scores >= threshold[:, None]), scores.shape[1])
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    position = np.arange(len(row))
    new_row = np.diff(row, prepend=-1) != 0
    new_group = new_row | (np.diff(scores[row, column], prepend=np.nan) != 0)
    group = np.cumsum(new_group) - 1
    row_start = position[new_row][np.cumsum(new_row) - 1]
    tie_start = position[new_group][group] - row_start + 1
    tie_size = np.bincount(group)[group] if len(row) else position
    listed = tie_start <= k
    return row[listed], column[listed], (position - row_start + 1)[listed], tie_start[listed], tie_size[listed]


def _lower_bound(scores: Float[np.ndarray, "users items"], k: int) -> Float[np.ndarray, " users"]:
    """Something that at least ``k`` scores of a row reach, and few more: the k-th largest of the maxima of 4 k blocks.

    One pass over the scores instead of the partition of a copy; half the time of ranking a baseline.
    """
    users, items = scores.shape
    if items <= k:
        return np.full(users, -np.inf)
    width = max(1, items // (4 * k))
    blocks = items // width
    maxima = scores[:, : blocks * width].reshape(users, blocks, width).max(axis=2)
    return np.partition(maxima, blocks - k, axis=1)[:, blocks - k]


TIE_BREAK = 1e-9  # far below any difference between counts or similarities, far above the rounding of their sums


def tie_breaker(dataset: Dataset) -> Float[np.ndarray, " items"]:
    """Returns what other baselines add to their scores: items they cannot tell apart, or know nothing of, go by popularity."""
    counts = dataset.train_counts
    return TIE_BREAK * counts / max(1, counts.max(initial=0))
