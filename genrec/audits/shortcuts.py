"""Shortcuts: how far a step goes in the graph of training transitions and in content, and how much history a baseline needs.

The three questions are those of the graph heuristic's authors; the estimators are ours. See docs/methods/graph_heuristic.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from jaxtyping import Float

from genrec.audits.ranks import Steps, paired_gain, per_user, summary, target_hits
from genrec.baselines.graph import hops_from, transition_graph
from genrec.baselines.lib.ranking import scores_of
from genrec.core.dataset import Dataset
from genrec.protocols import Baseline

HOPS = 3
NEAREST = 100
DEPTHS = (1, 2, 5, None)  # how many of the last items a baseline reads; None: all
STEPS_AT_ONCE = 512


def branching(dataset: Dataset, steps: Steps) -> dict[str, Any]:
    """Counts how many items follow an item in training, and at how many hops from the last item the targets lie.

    ``within`` and ``chance`` are cumulative: the share of targets at most h hops away, and of the whole catalogue (what a
    random target would give), averaged over the same steps. ``no_way``: targets that nothing leads to, or whose last item
    leads nowhere.
    """
    graph = transition_graph(dataset)
    out_degree = np.diff(graph.indptr)
    in_degree = np.bincount(graph.indices, minlength=dataset.num_items)
    sources, row = np.unique(steps.last, return_inverse=True)
    order, ends = np.argsort(row, kind="stable"), np.cumsum(np.bincount(row, minlength=len(sources)))
    at_hop, chance = np.zeros(HOPS + 1), np.zeros(HOPS + 1)
    for start in range(0, len(sources), STEPS_AT_ONCE):
        stop = min(start + STEPS_AT_ONCE, len(sources))
        rows_of_chunk = order[ends[start - 1] if start else 0 : ends[stop - 1]]
        hops = hops_from(graph, sources[start:stop], HOPS)
        to_target = hops[row[rows_of_chunk] - start, steps.target[rows_of_chunk]]
        weight = np.bincount(row[rows_of_chunk] - start, minlength=stop - start)
        for hop in range(HOPS + 1):
            at_hop[hop] += np.count_nonzero(to_target == hop)
            chance[hop] += weight @ np.count_nonzero(hops == hop, axis=1) / dataset.num_items
    degrees = out_degree[dataset.train_counts > 0]
    return {
        "mean_out_degree": float(degrees.mean()),
        "median_out_degree": float(np.median(degrees)),
        "within": _by_hop(at_hop / len(row)),
        "chance": _by_hop(chance / len(row)),
        "no_way": float(np.mean((out_degree[steps.last] == 0) | (in_degree[steps.target] == 0))),
    }


def _by_hop(shares: Float[np.ndarray, " hops"]) -> dict[str, float]:
    """Adds the shares up from one hop on; a target that repeats the last item is at hop 0 and not counted."""
    return {str(hop): float(share) for hop, share in enumerate(np.cumsum(shares[1:]), start=1)}


def smoothness(steps: Steps, item_vectors: Float[np.ndarray, "items dim"]) -> dict[str, float]:
    """Measures the share of targets among the ``NEAREST`` items by content to the last one; equal cosines count half.

    Steps whose items have no text count as misses; a repeat of the last item is left out.
    """
    moved = steps.last != steps.target
    last, target = steps.last[moved], steps.target[moved]
    near, size = 0.0, len(item_vectors)
    for start in range(0, len(last), STEPS_AT_ONCE):
        a, b = last[start : start + STEPS_AT_ONCE], target[start : start + STEPS_AT_ONCE]
        cosine = item_vectors[a] @ item_vectors.T
        to_target = cosine[np.arange(len(a)), b][:, None]
        cosine[np.arange(len(a)), a] = -np.inf  # the last item is not its own neighbour
        rank = np.count_nonzero(cosine > to_target, axis=1) + (np.count_nonzero(cosine == to_target, axis=1) - 1) / 2
        near += np.count_nonzero((rank < NEAREST) & item_vectors[b].any(axis=1) & item_vectors[a].any(axis=1))
    return {"share": near / max(1, len(last)), "chance": min(1.0, NEAREST / max(1, size - 1)), "nearest": NEAREST}


def history_depth(dataset: Dataset, baselines: Mapping[str, Baseline]) -> dict[str, Any]:
    """Measures fitted item-kNN and transition counts on the test part that read the last 1, 2, 5 or all items.

    Returns:
        Per baseline: depth ("all" for everything) -> metric key -> mean, low, high; and ``gain``: NDCG@10 of all over the last
        two, paired by user.
    """
    longest = max(1, int(dataset.histories("test").lengths.max()))
    figures: dict[str, Any] = {}
    for name in ("transitions_log", "item_knn"):
        baseline: Any = copy(baselines[name])  # its `last` is read when it scores
        rows = {}
        for depth in DEPTHS:
            baseline.last = depth or longest
            rows[str(depth or "all")] = per_user(target_hits(scores_of(baseline), dataset, "test")[True], "test", (10,))
        gain = paired_gain(rows["2"]["test/ndcg@10"].to_numpy(), rows["all"]["test/ndcg@10"].to_numpy())
        figures[name] = {"depths": {depth: summary(values) for depth, values in rows.items()}, "gain": gain}
    return figures
