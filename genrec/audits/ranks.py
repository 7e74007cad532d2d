"""Steps from the last item of a history to a target, and ranks of the targets under a score, from one pass over the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from genrec.baselines.lib.ranking import SCORES_AT_ONCE, Score
from genrec.core.dataset import Dataset, Sequences
from genrec.metrics.lib.tables import Hits
from genrec.metrics.ndcg import NDCG
from genrec.metrics.recall import Recall
from genrec.protocols import HitMetric
from genrec.statistics.uncertainty import bootstrap_intervals
from genrec.types import SHORT_SPLIT, Split


@dataclass(frozen=True)
class Steps:
    """Targets of users with a history.

    Args:
        user: [targets], user_idx.
        last: [targets], the most recent item of the history.
        target: [targets], the item held out.
    """

    user: Int64[np.ndarray, " targets"]
    last: Int64[np.ndarray, " targets"]
    target: Int64[np.ndarray, " targets"]


def steps_of(dataset: Dataset, split: Split) -> Steps:
    """Pairs every held-out event of a split with the last item before that user's first held-out event of the split."""
    histories, targets = dataset.histories(split), dataset.targets(split)
    user = targets.user_idx
    has_history = histories.lengths[user] > 0
    user = user[has_history]
    last = histories.item_idx[histories.offsets[1:][user] - 1]
    return Steps(user, last.astype(np.int64), targets.item_idx[has_history].astype(np.int64))


def id_ranks(ids: pl.Series) -> Int64[np.ndarray, " ids"]:
    """Computes the rank of each id in ascending order: by number where all are whole numbers, else by text."""
    numbers = ids.cast(pl.Int64, strict=False)
    return (ids if numbers.null_count() else numbers).rank("ordinal").to_numpy().astype(np.int64) - 1


METRICS: dict[str, HitMetric] = {"recall": Recall(), "ndcg": NDCG()}
KS = (5, 10, 20)


def target_hits(score: Score, dataset: Dataset, split: Split) -> dict[bool, Hits]:
    """Computes the hits of ``ranked_tables`` and ``find_hits``, for ``exclude_seen`` False and True, in a third of the time.

    Nothing is sorted: a target's rank is one more than the number of items that score higher.

    Args:
        score: as for ``ranked_tables``; finite.
        dataset: the data to rank.
        split: the part whose targets are ranked, after its histories.
    """
    histories, targets = dataset.histories(split), _distinct_targets(dataset.targets(split), dataset.num_items)
    users = np.flatnonzero(targets.lengths)
    parts: dict[bool, list[Int64[np.ndarray, "3 targets"]]] = {False: [], True: []}
    size = dataset.num_items
    step = max(1, SCORES_AT_ONCE // size)
    for start in range(0, len(users), step):
        chunk = users[start : start + step]
        scores = np.asarray(score(histories, chunk), dtype=np.float64)
        seen = np.unique(np.repeat(np.arange(len(chunk)), histories.lengths[chunk]) * size + _events(histories, chunk))
        seen_row, seen_item = np.divmod(seen, size)
        for number in range(int(targets.lengths[chunk].max())):
            rows = np.flatnonzero(targets.lengths[chunk] > number)
            item = targets.item_idx[targets.offsets[chunk[rows]] + number]
            target_score = np.full(len(chunk), np.inf)  # no item is above infinity, so users with fewer targets add nothing
            target_score[rows] = scores[rows, item]
            above, level = _row_counts(scores > target_score[:, None])[rows], _row_counts(scores == target_score[:, None])[rows]
            parts[False].append(np.stack([start + rows, above + 1, level]))
            seen_score, bar = scores[seen_row, seen_item], target_score[seen_row]
            above = above - np.bincount(seen_row[seen_score > bar], minlength=len(chunk))[rows]
            level = level - np.bincount(seen_row[seen_score == bar], minlength=len(chunk))[rows]
            new = ~np.isin(rows * size + item, seen)
            parts[True].append(np.stack([start + rows, above + 1, level])[:, new])

    def join_hits(rows: list[Int64[np.ndarray, "3 targets"]]) -> Hits:
        user, tie_start, tie_size = np.concatenate(rows, axis=1)
        order = np.lexsort((tie_start, user))
        return Hits(
            user_ids=dataset.user_ids.gather(users),
            num_targets=targets.lengths[users],
            user=user[order],
            tie_start=tie_start[order],
            tie_size=tie_size[order],
        )

    return {exclude: join_hits(rows) for exclude, rows in parts.items()}


def per_user(hits: Hits, split: Split, ks: Sequence[int] = KS) -> pl.DataFrame:
    """Makes a table with a row per user with a target and a column per metric: ``test/recall@10``, ..."""
    columns = {f"{name}@{k}": metric.from_hits(hits, k) for name, metric in METRICS.items() for k in ks}
    return pl.DataFrame({f"{SHORT_SPLIT[split]}/{name}": figures for name, figures in columns.items()})


def summary(values: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Computes for each column the mean over the users and its 95 % bootstrap interval."""
    means = values.mean().row(0, named=True)
    return {
        column: {"mean": means[column], "low": low, "high": high} for column, (low, high) in bootstrap_intervals(values).items()
    }


def paired_gain(before: Float[np.ndarray, " users"], after: Float[np.ndarray, " users"]) -> dict[str, float]:
    """Computes the mean of ``after - before`` over the same users, with its interval."""
    return summary(pl.DataFrame({"gain": after - before}))["gain"]


def _distinct_targets(targets: Sequences, num_items: int) -> Sequences:
    """Removes repeats: an item that is held out twice is one target."""
    pairs = np.unique(targets.user_idx * num_items + targets.item_idx)
    lengths = np.bincount(pairs // num_items, minlength=len(targets))
    return Sequences(pairs % num_items, np.concatenate([[0], np.cumsum(lengths)]))


def _row_counts(marks: Bool[np.ndarray, "rows items"]) -> Int64[np.ndarray, " rows"]:
    """Counts the marks of each row; without an axis, counting is vectorized."""
    return np.array([np.count_nonzero(row) for row in marks])


def _events(sequences: Sequences, users: Int64[np.ndarray, " users"]) -> Int64[np.ndarray, " events"]:
    starts, lengths = sequences.offsets[users], sequences.lengths[users]
    return sequences.item_idx[np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)]
