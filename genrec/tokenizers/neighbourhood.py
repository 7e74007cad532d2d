"""Do items that are near each other stay near each other once they are codes?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

QUERIES = 1000  # items that are asked for their neighbours: a standard error of about .01


@dataclass(frozen=True)
class Kept:
    """Neighbours that are kept.

    Args:
        k: neighbours an item; 0 where there are no other items.
        rate: share of them that is kept.
        chance: what IDs that know nothing keep.
    """

    k: int
    rate: float
    chance: float


def neighbourhood_preservation(
    codes: Int[np.ndarray, "items levels"],
    vectors: Float[np.ndarray, "items dim"],
    *,
    k: int = 10,
    ordered: bool = True,
    queries: int = QUERIES,
    seed: int = 0,
) -> Kept:
    """Share of an item's k nearest by cosine that are also its k nearest by ID; chance is k / (items - 1).

    By ID, items are near when they share many leading codes (many codes anywhere, unless ``ordered``). Ties are the rule
    there, and a tie group that is cut at rank k counts by its expectation.

    Args:
        codes: of the items, without a collision level.
        vectors: of the same items.
        k: neighbours; at most all other items.
        ordered: whether levels go from coarse to fine.
        queries: items asked, drawn without replacement.
        seed: of the draw.
    """
    num_items = len(codes)
    k = min(k, num_items - 1)
    if k < 1:
        return Kept(0, 1.0, 1.0)
    asked = np.random.default_rng(seed).permutation(num_items)[:queries]
    total = 0.0
    for item, neighbours in zip(asked, nearest(vectors, k, asked), strict=True):
        same = codes == codes[item]
        shared = np.logical_and.accumulate(same, axis=1).sum(axis=1) if ordered else same.sum(axis=1)
        others = np.bincount(shared, minlength=codes.shape[1] + 1)  # by the number of codes they share
        others[shared[item]] -= 1
        nearer = others[::-1].cumsum()[::-1] - others
        chosen = np.clip((k - nearer) / np.maximum(others, 1), 0, 1)
        total += float(chosen[shared[neighbours]].sum())
    return Kept(k, total / (len(asked) * k), k / (num_items - 1))


def nearest(
    vectors: Float[np.ndarray, "items dim"],
    k: int,
    asked: Int[np.ndarray, " queries"] | None = None,
) -> Int[np.ndarray, "queries k"]:
    """The k nearest other items by cosine, nearest first; exact, a block of queries at a time.

    Args:
        vectors: of all items; a zero vector is equally far from all.
        k: at most the number of other items.
        asked: rows to find neighbours of; all by default.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows = np.arange(len(unit)) if asked is None else np.asarray(asked)
    found = np.zeros((len(rows), k), dtype=np.int64)
    block = max(1, 8_000_000 // max(len(unit), 1))
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        cosine = unit[some] @ unit.T
        cosine[np.arange(len(some)), some] = -np.inf
        best = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(cosine, best, axis=1), axis=1, kind="stable")
        found[start : start + block] = np.take_along_axis(best, order, axis=1)
    return found
