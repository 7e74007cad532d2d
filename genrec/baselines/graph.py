"""The transition-graph heuristic: what lies a few hops from the last item in everybody's training sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int8, Int64

from genrec.baselines.lib.ranking import tie_breaker
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError

ROWS_AT_ONCE = 128  # sources whose rings are found at once: small enough for the cache
PER_RING = 50  # items kept per ring: lists are that long before popularity takes over
TGH_1 = ((7, 2, 1),)
TGH_2 = ((5, 1), (3, 1))


class GraphHeuristic:
    """TGH of "An Embarrassingly Simple Graph Heuristic ..." (arXiv 2605.07125; see docs/methods/graph_heuristic.md).

    An edge leads from an item to what came next in some user's training part. Ring h of an item holds what is exactly h hops
    away, best first by the cosine of the items' vectors, in ring 1 plus ``count_weight`` times the share of log counts:
    ``log(1 + C[a, i]) / max_j log(1 + C[a, j])``. A list takes so many items of each ring, ring after ring, no item twice.

    Departures: a ring with too few items takes the overflow of earlier rings, then of later ones, as there, but the rest is
    filled by popularity and not at random; the vectors are whatever is given (there, of a 3-billion-parameter text encoder).

    Args:
        budgets: how many items each ring gives: those of the last item, then those of the item before. ``TGH_1`` asks three
            rings of the last item for 7, 2 and 1; ``TGH_2`` two rings of the last for 5 and 1, and of the one before 3 and 1.
        count_weight: of the counts in ring 1, >= 0.
        item_vectors: float [items, dim], rows of unit length or zero; None: rings go by counts and popularity.
    """

    def __init__(
        self,
        *,
        budgets: Sequence[Sequence[int]] = TGH_1,
        count_weight: float = 0.5,
        item_vectors: Float[np.ndarray, "items dim"] | None = None,
    ) -> None:
        if not budgets or any(not rings or min(rings) < 0 for rings in budgets):
            raise ConfigError("budgets", expected="a number of items for every ring", got=budgets, fix="say ((7, 2, 1),)")
        if count_weight < 0:
            raise ConfigError("count_weight", expected="0 or more", got=count_weight, fix="choose another")
        self.budgets, self.count_weight, self.item_vectors = budgets, count_weight, item_vectors

    def fit(self, dataset: Dataset) -> None:
        self.tie_breaker = tie_breaker(dataset)
        graph = transition_graph(dataset)
        depth = max(len(rings) for rings in self.budgets)
        starts = range(0, dataset.num_items, ROWS_AT_ONCE)
        chunks = [np.arange(start, min(start + ROWS_AT_ONCE, dataset.num_items)) for start in starts]
        self.rings = [rings for chunk in chunks for rings in self._rings(graph, chunk, depth)]

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        scores = np.tile(self.tie_breaker, (len(histories), 1))
        for user in range(len(histories)):
            sources = histories[user][-len(self.budgets) :][::-1]
            listed = self._best_of_ring(sources)
            scores[user, listed] += np.arange(len(listed), 0, -1)
        return scores

    def _rings(self, graph: sparse.csr_array, sources: Int64[np.ndarray, " rows"], depth: int) -> list[list[list[int]]]:
        """Each source's rings, each ring's best items in order."""
        scores = np.tile(self.tie_breaker, (len(sources), 1))
        if self.item_vectors is not None:
            scores += self.item_vectors[sources] @ self.item_vectors.T
        counts = np.log1p(graph[sources].toarray())
        scores += self.count_weight * counts / np.maximum(counts.max(axis=1, keepdims=True), np.log(2))
        hops = hops_from(graph, sources, depth)
        rings = [_best(np.where(hops == hop, scores, -np.inf)) for hop in range(1, depth + 1)]
        return [list(of_source) for of_source in zip(*rings, strict=True)]

    def _best_of_ring(self, sources: Iterable[int]) -> list[int]:
        listed: dict[int, None] = {}
        overflow: dict[int, None] = {}
        for budgets, source in zip(self.budgets, sources, strict=False):
            for budget, ring in zip(budgets, self.rings[source], strict=False):
                room = len(listed) + budget
                for queue in (ring, overflow):
                    listed |= dict.fromkeys([i for i in queue if i not in listed][: room - len(listed)])
                overflow |= dict.fromkeys(ring)
        return list(listed | overflow)


def transition_graph(dataset: Dataset) -> sparse.csr_array:
    """float64 [items, items]: how often the column came right after the row in the training part; none leads to itself."""
    user, item = dataset.train.user_idx, dataset.train.item_idx
    edge = (user[:-1] == user[1:]) & (item[:-1] != item[1:])
    ends = (item[:-1][edge], item[1:][edge])
    graph = sparse.csr_array((np.ones(len(ends[0])), ends), shape=(dataset.num_items, dataset.num_items))
    graph.sum_duplicates()
    return graph


def hops_from(graph: sparse.csr_array, sources: Int64[np.ndarray, " rows"], depth: int) -> Int8[np.ndarray, "rows items"]:
    """Length of the shortest path from each source to every item: 0 to itself, -1 where it is longer than ``depth``."""
    hops = np.full((graph.shape[1], len(sources)), -1, dtype=np.int8)
    hops[sources, np.arange(len(sources))] = 0
    backward, ring = graph.T.tocsr().astype(np.float32), hops == 0
    for hop in range(1, depth + 1):
        # Dense on purpose: two hops from a popular item lie so many items that sparse rows cost ten times more.
        ring = (backward @ ring.astype(np.float32) > 0) & (hops < 0)
        hops[ring] = hop
    return np.ascontiguousarray(hops.T)


def _best(scores: Float[np.ndarray, "rows items"]) -> list[list[int]]:
    """The ``PER_RING`` best columns of each row, best first, without those at -inf."""
    num_kept = min(PER_RING, scores.shape[1])
    columns = np.argpartition(-scores, num_kept - 1, axis=1)[:, :num_kept]
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.lexsort((columns, -values), axis=1)
    num_listed = np.isfinite(values).sum(axis=1)
    return [row[:number].tolist() for row, number in zip(np.take_along_axis(columns, order, axis=1), num_listed, strict=True)]
