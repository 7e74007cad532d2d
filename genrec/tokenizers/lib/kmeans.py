"""Lloyd's k-means on dense float32 vectors, and assignments in which all codes get about equally many rows."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.tokenizers.lib.residual import nearest, squared_distances

_START_ROWS = 1 << 14  # k-means++ passes over its rows once a code: on large catalogues a sample (of 32 rows a code) does
_SEVERAL_STARTS = 1 << 16  # on more rows than these all starts end about equally well


def kmeans(
    vectors: Float[Tensor, "rows dim"], size: int, *, generator: torch.Generator, iterations: int = 25, starts: int = 2
) -> Float[Tensor, "size dim"]:
    """Centroids with the least inertia of ``starts`` runs; of one run on more than 65,536 rows.

    With fewer distinct points than ``size`` the spare centroids are copies of others; ``nearest`` never chooses a copy.
    """
    best, least = vectors, float("inf")
    for _ in range(starts if len(vectors) <= _SEVERAL_STARTS else 1):
        centroids = lloyd(vectors, plus_plus(vectors, size, generator), iterations)
        inertia = float(nearest(vectors, centroids)[1].double().sum())
        if inertia < least:
            best, least = centroids, inertia
    return best


def plus_plus(vectors: Float[Tensor, "rows dim"], size: int, generator: torch.Generator) -> Float[Tensor, "size dim"]:
    """Greedy k-means++ (Arthur and Vassilvitskii): of a few candidates drawn by squared distance, the one that saves most."""
    limit = max(_START_ROWS, 32 * size)
    if len(vectors) > limit:
        vectors = vectors[torch.randperm(len(vectors), generator=generator)[:limit]]
    num_candidates = 2 + int(math.log(size))
    draws = torch.rand(size, num_candidates, generator=generator, dtype=torch.float64)
    chosen = [int(torch.randint(len(vectors), (), generator=generator))]
    norms = vectors.square().sum(1)
    distance = squared_distances(vectors[chosen], vectors, norms).squeeze(0)
    for step in range(1, size):
        # Drawn through the cumulative sum: torch.multinomial stops at 2^24 rows.
        cumulative = distance.double().cumsum(0)
        candidates = torch.searchsorted(cumulative, draws[step] * cumulative[-1], right=True).clamp(max=len(vectors) - 1)
        remaining = torch.minimum(distance, squared_distances(vectors[candidates], vectors, norms))
        best = int(remaining.double().sum(1).argmin())
        chosen.append(int(candidates[best]))
        distance = remaining[best]
    return vectors[chosen].clone()


def lloyd(
    vectors: Float[Tensor, "rows dim"], centroids: Float[Tensor, "size dim"], iterations: int
) -> Float[Tensor, "size dim"]:
    """Moves centroids to the mean of their points; an empty one is re-seeded at the point that is served worst."""
    size, previous = len(centroids), None
    for _ in range(iterations):
        codes, distance = nearest(vectors, centroids)
        if previous is not None and torch.equal(codes, previous):
            break
        previous = codes
        centroids = group_means([(vectors, codes)], centroids)
        empty = torch.nonzero(torch.bincount(codes, minlength=size) == 0).squeeze(1)
        farthest = distance.topk(min(len(empty), len(vectors))).indices
        farthest = farthest[distance[farthest] > 0]
        centroids[empty[: len(farthest)]] = vectors[farthest]
    return centroids


def group_means(
    parts: Iterable[tuple[Float[Tensor, "rows dim"], Int64[Tensor, " rows"]]], otherwise: Float[Tensor, "size dim"]
) -> Float[Tensor, "size dim"]:
    """Mean of the rows of each code, over parts of (rows, their codes); a code without rows gets its row of ``otherwise``."""
    sums, counts = torch.zeros_like(otherwise, dtype=torch.float64), torch.zeros(len(otherwise), dtype=torch.int64)
    for vectors, codes in parts:
        sums.index_add_(0, codes, vectors.double())
        counts += torch.bincount(codes, minlength=len(otherwise))
    return torch.where(counts.unsqueeze(1) > 0, (sums / counts.clamp(min=1).unsqueeze(1)).to(otherwise.dtype), otherwise)


_ROUNDS = 50
_TINY = 1e-300


def even_codes(distance: Float[Tensor, "rows size"], smoothing: float) -> Int64[Tensor, " rows"]:
    """The code that gets most of each row when all rows and all codes have equal mass (Sinkhorn's iterations).

    Args:
        distance: of rows to codes; only its shape within its range counts, not its scale.
        smoothing: weight of the plan's entropy, in half ranges of ``distance``; small keeps rows with their nearest codes.
    """
    half_range = ((distance.max() - distance.min()) / 2).clamp(min=torch.finfo(distance.dtype).tiny)
    beyond = (distance - distance.amin(1, keepdim=True)).double() / half_range  # float32 underflows at small smoothing
    kernel = torch.exp(-beyond / smoothing)
    of_codes = torch.ones(kernel.shape[1], dtype=kernel.dtype)
    for _ in range(_ROUNDS):
        of_rows = 1 / (kernel @ of_codes).clamp(min=_TINY)
        of_codes = 1 / (kernel.T @ of_rows).clamp(min=_TINY)
    return (kernel * of_codes).argmax(1)


def balanced_assignment(distance: Float[Tensor, "rows size"], order: Int64[Tensor, " size"]) -> Int64[Tensor, " rows"]:
    """Each cluster, in the given order, takes its share of the nearest rows that are still free; O(rows size)."""
    num_rows, size = distance.shape
    codes, free = torch.empty(num_rows, dtype=torch.long), torch.arange(num_rows)
    by_code = distance.T.contiguous()
    for turn, code in enumerate(order.tolist()):
        share = num_rows // size + (turn < num_rows % size)
        assigned = torch.zeros(len(free), dtype=torch.bool)
        assigned[by_code[code, free].topk(share, largest=False).indices] = True
        codes[free[assigned]] = code
        free = free[~assigned]
    return codes
