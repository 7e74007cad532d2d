"""Order: do item ids follow the histories, and is a history read backward worth less than one read forward?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.stats import rankdata

from genrec.audits.ranks import Steps, id_ranks, paired_gain, per_user, summary, target_hits
from genrec.baselines.lib.ranking import Score, scores_of
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset, Sequences
from genrec.protocols import Baseline

GAPS = (1, 2, 3, 4, 5)
REACH = 10  # numbers beside that of the last item


def ascending(dataset: Dataset, times: Float[np.ndarray, " events"] | None) -> dict[str, Any]:
    """Measures in how many pairs of one user's events the later item has the higher id; .5 if order and ids are unrelated.

    Ids that are given out at first appearance rise by construction, so ``settled`` counts only pairs in which neither item
    appears for the first time. ``by_gap`` holds settled pairs at a distance of 1, 2, ... events: drift (newer items have higher
    ids) grows with distance, sorted ties fade. ``tied`` and ``apart``: settled pairs with equal and with different times.

    Returns:
        Each as ``share``, ``pairs`` and ``z``, the distance from .5 in standard errors.
    """
    rank, item, user = id_ranks(dataset.item_ids), dataset.events.item_idx, dataset.events.user_idx
    old = np.ones(len(item), dtype=bool)
    old[np.unique(item, return_index=True)[1]] = False
    ends = np.zeros(len(item), dtype=bool)
    ends[dataset.events.offsets[1:][dataset.events.lengths > 0] - 1] = True

    def pairs(gap: int) -> tuple[Bool[np.ndarray, " pairs"], Bool[np.ndarray, " pairs"], Bool[np.ndarray, " pairs"]]:
        same = (user[:-gap] == user[gap:]) & (item[:-gap] != item[gap:])
        return same, old[:-gap] & old[gap:], rank[item[gap:]] > rank[item[:-gap]]

    same, repeated, rises = pairs(1)
    shares: dict[str, Any] = {
        "all": _share(rises[same]),
        "settled": _share(rises[same & repeated]),
        "last_pair": _share(rises[same & ends[1:]]),
        "settled_last_pair": _share(rises[same & repeated & ends[1:]]),
        "by_gap": {},
    }
    for gap in GAPS:
        if gap < len(item):
            near, both_repeated, up = pairs(gap)
            shares["by_gap"][str(gap)] = _share(up[near & both_repeated])
    if times is not None:
        tied, both_timed = times[:-1] == times[1:], np.isfinite(times[:-1]) & np.isfinite(times[1:])
        shares["tied"] = _share(rises[same & repeated & tied])
        shares["apart"] = _share(rises[same & repeated & ~tied & both_timed])
    return shares


def id_prior(dataset: Dataset, neighbours: Baseline) -> dict[str, Any]:
    """Measures what an order-blind baseline, fitted item-kNN, gains from ids alone.

    Scores of items with a higher id than the last item's are multiplied by ``p``, the others by ``1 - p``; ``p`` is the
    ascending share of the training pairs. Item-kNN ignores order, so any gain comes from the ids.
    """
    rank, train = id_ranks(dataset.item_ids), dataset.train
    same = (train.user_idx[:-1] == train.user_idx[1:]) & (train.item_idx[:-1] != train.item_idx[1:])
    p = float(np.mean(rank[train.item_idx[1:]][same] > rank[train.item_idx[:-1]][same])) if same.any() else 0.5
    plain = scores_of(neighbours)

    def with_prior(histories: Sequences, users: Int64[np.ndarray, " rows"]) -> Float[np.ndarray, "rows items"]:
        has_last = histories.lengths[users] > 0
        last = np.where(has_last, rank[histories.item_idx[np.maximum(histories.offsets[1:][users] - 1, 0)]], -1)
        scores = plain(histories, users)
        scores *= np.where(rank[None, :] > last[:, None], p, 1 - p)
        return scores

    def ndcg(score: Score) -> Float[np.ndarray, " users"]:
        return per_user(target_hits(score, dataset, "test")[True], "test", (10,))["test/ndcg@10"].to_numpy()

    before, after = ndcg(plain), ndcg(with_prior)
    return {"p": p, "without": float(before.mean()), "with": float(after.mean()), "gain": paired_gain(before, after)}


def both_ways(dataset: Dataset) -> dict[str, Any]:
    """Test figures of transition counts, fitted on the training sequences and on the same sequences reversed."""
    rows = {}
    for name, data in (("forward", dataset), ("backward", _backward(dataset))):
        baseline = Transitions()
        baseline.fit(data)
        rows[name] = per_user(target_hits(scores_of(baseline), dataset, "test")[True], "test", (10,))
    gain = paired_gain(rows["backward"]["test/ndcg@10"].to_numpy(), rows["forward"]["test/ndcg@10"].to_numpy())
    return {name: summary(values) for name, values in rows.items()} | {"gain": gain}


def _backward(dataset: Dataset) -> Dataset:
    """Returns the dataset with each user's training part in reverse."""
    items = np.array(dataset.events.item_idx)
    starts, ends = dataset.events.offsets[:-1], dataset.train_ends
    position = np.arange(len(items))
    user = dataset.events.user_idx
    trained = position < ends[user]
    items[trained] = items[(starts[user] + ends[user] - 1 - position)[trained]]
    return replace(dataset, events=Sequences(items, dataset.events.offsets))


def _share(rises: Bool[np.ndarray, " pairs"]) -> dict[str, float]:
    number = len(rises)
    share = float(rises.mean()) if number else 0.5
    return {"share": share, "pairs": number, "z": (share - 0.5) * 2 * number**0.5}


def numbering(dataset: Dataset, steps: Steps, times: Float[np.ndarray, " events"] | None) -> dict[str, Any]:
    """Measures two numberings, by ``item_id`` (ascending) and by ``row`` of the catalogue.

    Returns:
        For each: ``first_appearance``, Spearman's correlation with the order in which items first appear, user after user;
        ``next_numbers``, the share of test targets among the ``REACH`` numbers after that of the last item, and
        ``previous_numbers`` before it; ``chance`` of either. ``user_ids``: correlation of the ids' order with the time of the
        first event, or with the users' order where there are no times.
    """
    item = dataset.events.item_idx
    occurring, first = np.unique(item, return_index=True)
    numberings = {"item_id": id_ranks(dataset.item_ids), "row": np.arange(dataset.num_items)}
    shares: dict[str, Any] = {"chance": min(1.0, REACH / max(1, dataset.num_items - 1)), "reach": REACH}
    for name, number in numberings.items():
        ahead = number[steps.target] - number[steps.last]
        shares[name] = {
            "first_appearance": _spearman(number[occurring], first),
            "next_numbers": float(np.mean((ahead > 0) & (ahead <= REACH))),
            "previous_numbers": float(np.mean((ahead < 0) & (ahead >= -REACH))),
        }
    starts = dataset.events.offsets[:-1][dataset.events.lengths > 0]
    users = id_ranks(dataset.user_ids)[dataset.events.lengths > 0]
    when = starts if times is None else times[starts]
    timed = np.isfinite(when)
    shares["user_ids"] = _spearman(users[timed], when[timed])
    return shares


def _spearman(a: Int64[np.ndarray, " n"], b: Float[np.ndarray, " n"] | Int64[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation; 0 where one of the two is constant."""
    x, y = rankdata(a), rankdata(b)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
