"""Do items that share a prefix belong together? By their labels, and by what users do next.

Every figure is reported with its value by chance: small groups agree with themselves whatever they hold.

Do items that are near each other stay near each other once they are codes?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from genrec.core.dataset import Sequences

SHUFFLES = 3


@dataclass(frozen=True)
class Against:
    """A figure of the leading levels 1, 2 ... and what chance would give.

    Args:
        observed: one value for each number of leading levels.
        chance: the same for IDs without any meaning.
    """

    observed: tuple[float, ...]
    chance: tuple[float, ...]


def semantic_purity(groups: list[Int[np.ndarray, " items"]], labels: Int[np.ndarray, " items"], *, seed: int = 0) -> Against:
    r"""Entropy of the label (category, brand) that remains once the prefix is known, in bits an item.

    $$H(\text{label} \mid \text{prefix}) = -\sum_{p, l} \frac{n_{pl}}{n} \log_2 \frac{n_{pl}}{n_p}$$

    Chance is the mean over shuffled labels. The deeper the prefix the fewer items have it, and at one item each both are 0.

    Args:
        groups: of ``prefix_groups``.
        labels: 0, 1 ...; an item without a label has -1 and is left out.
        seed: of the shuffles.

    Examples:
        >>> semantic_purity([np.array([0, 0, 1, 1])], np.array([0, 0, 1, 1])).observed
        (0.0,)
    """
    labelled = np.asarray(labels) >= 0
    labels = np.asarray(labels)[labelled].astype(np.int64)
    groups = [group[labelled] for group in groups]
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(labels) for _ in range(SHUFFLES)]
    return Against(
        tuple(_entropy(group, labels) for group in groups),
        tuple(float(np.mean([_entropy(group, some) for some in shuffled])) for group in groups),
    )


def collaborative_purity(groups: list[Int[np.ndarray, " items"]], train: Sequences) -> Against:
    r"""Share of the training steps from an item to another one, a user's next, that stay within the prefix.

    Chance, exactly: the second item of a step is drawn from all second items, and is another one than the first:

    $$\frac{\sum_p a_p b_p - \sum_i a_i b_i}{1 - \sum_i a_i b_i}$$

    with $a$ and $b$ the shares of prefixes $p$ and of items $i$ among first and second items.

    Args:
        groups: of ``prefix_groups``, of the whole catalogue.
        train: item sequences of the training part.
    """
    inside = np.ones(max(len(train.item_idx) - 1, 0), dtype=bool)
    ends = train.offsets[1:-1]
    inside[ends[(ends > 0) & (ends < len(train.item_idx))] - 1] = False
    first, second = train.item_idx[:-1][inside], train.item_idx[1:][inside]
    first, second = first[first != second], second[first != second]
    if not len(first):
        return Against((0.0,) * len(groups), (0.0,) * len(groups))
    same_item = _meet(first, second)
    observed = tuple(float((group[first] == group[second]).mean()) for group in groups)
    met = (_meet(group[first], group[second]) for group in groups)
    return Against(observed, tuple((each - same_item) / (1 - same_item) if same_item < 1 else 0.0 for each in met))


def _entropy(groups: np.ndarray, labels: np.ndarray) -> float:
    if not len(labels):
        return 0.0
    width = int(labels.max()) + 1
    cells, counts = np.unique(groups * width + labels, return_counts=True)
    sizes = np.bincount(groups)[cells // width]
    return float((counts * np.log2(sizes / counts)).sum() / len(labels))


def _meet(first: np.ndarray, second: np.ndarray) -> float:
    """Chance that two independent draws, one of each, are equal."""
    size = int(max(first.max(), second.max())) + 1
    return float((np.bincount(first, minlength=size) / len(first)) @ (np.bincount(second, minlength=size) / len(second)))


QUERIES = 1000  # items that are asked for their neighbours: a standard error of about .01


@dataclass(frozen=True)
class Preservation:
    """How many of the nearest neighbours by vector are also nearest by ID.

    Args:
        k: neighbours an item; 0 where there are no other items.
        rate: share of the neighbours by vector that are among those by ID.
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
) -> Preservation:
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
        return Preservation(0, 1.0, 1.0)
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
    return Preservation(k, total / (len(asked) * k), k / (num_items - 1))


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
    neighbours = np.zeros((len(rows), k), dtype=np.int64)
    block = max(1, 8_000_000 // max(len(unit), 1))
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        cosine = unit[some] @ unit.T
        cosine[np.arange(len(some)), some] = -np.inf
        best = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(cosine, best, axis=1), axis=1, kind="stable")
        neighbours[start : start + block] = np.take_along_axis(best, order, axis=1)
    return neighbours
