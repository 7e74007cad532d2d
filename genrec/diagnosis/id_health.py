"""Health of semantic IDs: use of the levels, items with equal codes, and whether related items share a prefix.

Own design: see docs/methods/tokenizer_health.md.

The prefixes of a catalogue's codes: which items share one, and how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from genrec.core.dataset import Sequences
from genrec.diagnosis.id_neighbours import Against, collaborative_purity, neighbourhood_preservation, semantic_purity

WARN_BELOW = 0.3  # share of a level's usable size that its perplexity should reach
SAMPLE = 100_000  # items that vectors are looked at of, so that the cost stays bounded


def health(
    codes: Int[np.ndarray, "items levels"],
    sizes: tuple[int, ...],
    vectors: Float[np.ndarray, "items dim"] | None = None,
    reconstruct: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    space: Float[np.ndarray, "items dim"] | None = None,
    ordered: bool = True,
    labels: Mapping[str, Int[np.ndarray, " items"]] | None = None,
    train: Sequences | None = None,
) -> dict[str, Any]:
    """The figures of health.json.

    - ``levels``, one a level: ``usage`` (share of codes used), ``dead_codes`` (how many are not), ``perplexity`` (exp of the
      entropy of the codes' shares), ``largest_share``, ``gini`` (0: all codes hold equally many items; near 1: few hold all),
      ``conditional_entropy`` (bits that the level adds to the levels before it: 0: nothing new, log2(size) is the most).
    - ``prefixes``, one for each number of leading levels: ``unique_rate`` (share of items with an ID of their own, as
      ``SIDTable`` counts it), ``distinct_rate`` (distinct IDs per item), ``largest_group``; ``relative_error``, the squared
      reconstruction error per variance (0 is perfect, 1 as good as the mean vector); for every label ``<label>_entropy`` (see
      ``semantic_purity``), and ``next_item_rate`` (see ``collaborative_purity``), each with its ``..._chance``.
    - of the whole ID: ``collision_rate`` (1 - ``distinct_rate``), ``collisions`` (see there) and ``neighbourhood`` (see
      ``neighbourhood_preservation``).

    What rests on vectors is measured on a fixed sample of 100,000 items where there are more.

    Args:
        codes: of the whole catalogue.
        sizes: codes per level.
        vectors: what was quantized.
        reconstruct: codes of some leading levels -> vectors.
        space: the vectors whose neighbourhoods should be kept.
        ordered: whether levels go from coarse to fine.
        labels: name -> number of each item's label, -1 where it has none.
        train: item sequences of the training part.
    """
    groups = prefix_groups(codes)
    counts = [np.bincount(group) for group in groups]
    levels = [_level(codes[:, level], size) for level, size in enumerate(sizes)]
    added_bits = np.diff([0.0, *(_bits(count) for count in counts)])  # H(code | prefix) = H(longer prefix) - H(prefix)
    for level, bits in zip(levels, added_bits, strict=True):
        level["conditional_entropy"] = max(float(bits), 0.0)
    prefixes = [_prefix(count) for count in counts]
    sample = _sample(len(codes))
    if vectors is not None and reconstruct is not None:
        sampled, some = np.asarray(vectors[sample]), codes[sample]
        variance = float(np.square(sampled - sampled.mean(axis=0)).sum())
        for depth, prefix in enumerate(prefixes):
            error = float(np.square(sampled - reconstruct(some[:, : depth + 1])).sum())
            prefix["relative_error"] = error / variance if variance > 0 else 0.0
    for name, numbers in (labels or {}).items():
        _add(prefixes, f"{name}_entropy", semantic_purity(groups, numbers))
    if train is not None:
        _add(prefixes, "next_item_rate", collaborative_purity(groups, train))
    figures = {
        "num_items": len(codes),
        "levels": levels,
        "prefixes": prefixes,
        "collision_rate": 1 - prefixes[-1]["distinct_rate"],
        "collisions": collisions(counts[-1]),
    }
    if space is not None:
        preserved = neighbourhood_preservation(codes[sample], np.asarray(space[sample]), ordered=ordered)
        figures["neighbourhood"] = asdict(preserved)
    return figures


def summary(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Rounds the figures for a manifest and a tracker: four digits, a list of each, one entry a level.

    Returns:
        Those of levels and of the whole ID by name, those of leading levels under ``prefixes``, and the whole ID's
        ``unique_rate``.
    """
    levels, prefixes = figures["levels"], figures["prefixes"]
    shown = {
        **{key: [level[key] for level in levels] for key in levels[0] if key != "size"},
        "prefixes": {key: [prefix[key] for prefix in prefixes] for key in prefixes[0]},
        **{key: figures[key] for key in ("collision_rate", "collisions", "neighbourhood") if key in figures},
        "unique_rate": prefixes[-1]["unique_rate"],
    }
    return {key: _rounded(value) for key, value in shown.items()}


def warnings(figures: Mapping[str, Any], codebook_size: int | None = None) -> Iterator[str]:
    """A line for each level that is used too unevenly; a small catalogue cannot use more codes than it has items.

    Args:
        figures: of ``health``.
        codebook_size: the tokenizer's setting of that name, where it has one.
    """
    items = figures["num_items"]
    smaller = codebook_size is not None and (fits := fitting_codebook(items)) < codebook_size
    for number, level in uneven_levels(figures):
        usable = min(level["size"], items)
        observed = f"perplexity {level['perplexity']:.1f}, under {WARN_BELOW} of {usable}"
        yield f"WARNING: level {number} is used unevenly: {observed}; " + (
            f"tokenizer.codebook_size={fits} fits {items:,} items"
            if smaller
            else "are the vectors centred and whitened (encoder concat)?"
        )


def uneven_levels(figures: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Number and figures of each level whose perplexity is far below what it could be."""
    for number, level in enumerate(figures["levels"]):
        if level["perplexity"] < WARN_BELOW * min(level["size"], figures["num_items"]):
            yield number, level


def fitting_codebook(num_items: int) -> int:
    """A number of codes that a catalogue can fill: the largest power of two up to twice the square root of its items.

    >>> [fitting_codebook(items) for items in (10, 800, 1500, 12_101, 100_000)]
    [4, 32, 64, 128, 512]
    """
    return 1 << max(1, int(2 * num_items**0.5).bit_length() - 1)


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures as aligned lines, one a level, and one of neighbours."""
    yield "level   used  perplexity  largest  new bits   own ID  largest group  error left  next item within"
    for number, (level, prefix) in enumerate(zip(figures["levels"], figures["prefixes"], strict=True)):
        error = f"{prefix['relative_error']:10.3f}" if "relative_error" in prefix else f"{'-':>10}"
        within = "-"
        if "next_item_rate" in prefix:
            within = f"{prefix['next_item_rate']:5.1%}, chance {prefix['next_item_rate_chance']:.1%}"
        yield (
            f"{number:5}  {level['usage']:5.0%}  {level['perplexity']:5.0f}/{level['size']:<4}  {level['largest_share']:7.1%}  "
            f"{level['conditional_entropy']:8.1f}  {prefix['unique_rate']:7.1%}  {prefix['largest_group']:13}  "
            f"{error}  {within}"
        )
    if near := figures.get("neighbourhood"):
        yield f"of {near['k']} nearest items {near['rate']:.1%} are among the nearest by ID (chance {near['chance']:.1%})"


def _level(codes: np.ndarray, size: int) -> dict[str, Any]:
    counts = np.bincount(codes, minlength=size)
    share = counts[counts > 0] / len(codes)
    rank = np.arange(1, size + 1)
    return {
        "size": size,
        "usage": float((counts > 0).mean()),
        "dead_codes": int((counts == 0).sum()),
        "perplexity": float(np.exp(-(share * np.log(share)).sum())),
        "largest_share": float(share.max()),
        "gini": float(((2 * rank - size - 1) * np.sort(counts)).sum() / (size * len(codes))),
    }


def _prefix(counts: np.ndarray) -> dict[str, Any]:
    num_items = int(counts.sum())
    return {
        "unique_rate": float((counts == 1).sum() / num_items),
        "distinct_rate": len(counts) / num_items,
        "largest_group": int(counts.max()),
    }


def _bits(counts: np.ndarray) -> float:
    """Entropy of groups of these sizes."""
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum())


def _add(prefixes: list[dict[str, Any]], key: str, against: Against) -> None:
    for prefix, figure, chance in zip(prefixes, against.observed, against.chance, strict=True):
        prefix |= {key: figure, f"{key}_chance": chance}


def _sample(num_items: int) -> Any:
    """Rows to look at the vectors of: all, or a fixed draw in rising order."""
    if num_items <= SAMPLE:
        return slice(None)
    return np.sort(np.random.default_rng(0).choice(num_items, SAMPLE, replace=False))


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def prefix_groups(codes: Int[np.ndarray, "items levels"]) -> list[Int[np.ndarray, " items"]]:
    """The number of each item's group of equal prefixes, for one leading level, two ...; groups are in the order of codes.

    Examples:
        >>> [group.tolist() for group in prefix_groups(np.array([[1, 0], [0, 5], [1, 0], [1, 7]]))]
        [[1, 0, 1, 1], [1, 0, 1, 2]]
    """
    groups, group = [], np.zeros(len(codes), dtype=np.int64)
    for level in range(codes.shape[1]):
        _, group = np.unique(group * (int(codes[:, level].max(initial=0)) + 1) + codes[:, level], return_inverse=True)
        groups.append(group)
    return groups


def collisions(sizes: Int[np.ndarray, " groups"]) -> dict[str, int]:
    """Of the sizes of groups of items with equal codes: how many hold several, the largest, and how many items are in one.

    Examples:
        >>> collisions(np.array([1, 3, 2, 1]))
        {'groups': 2, 'items': 5, 'largest': 3}
    """
    shared = sizes[sizes > 1]
    return {"groups": len(shared), "items": int(shared.sum()), "largest": int(sizes.max(initial=0))}
