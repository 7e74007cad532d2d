"""How healthy semantic IDs are: whether the levels are used, items stay apart, and vectors survive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

WARN_BELOW = 0.3  # share of a level's usable size that its perplexity should reach


def health(
    codes: Int[np.ndarray, "items levels"],
    sizes: tuple[int, ...],
    vectors: Float[np.ndarray, "items dim"] | None = None,
    reconstruct: Callable[[np.ndarray], np.ndarray] | None = None,
) -> dict[str, Any]:
    """The figures of health.json.

    Per level: ``usage`` (share of codes used), ``perplexity`` (exp of the entropy of the codes' shares), ``largest_share``.
    Per number of leading levels 1, 2 ...: ``unique_rate`` (share of items with an ID of their own, as ``SIDTable`` counts it),
    ``distinct_rate`` (distinct IDs per item), ``largest_group``, and, given vectors, ``relative_error``: the squared
    reconstruction error per variance, 0 is perfect, 1 as good as the mean vector. The whole ID's ``collision_rate`` is
    1 - ``distinct_rate``.

    Args:
        codes: of the whole catalogue.
        sizes: codes per level.
        vectors: what was quantized.
        reconstruct: codes of some leading levels -> vectors.
    """
    levels = [_level(codes[:, level], size) for level, size in enumerate(sizes)]
    prefixes = [_prefix(codes[:, : depth + 1]) for depth in range(len(sizes))]
    if vectors is not None and reconstruct is not None:
        variance = float(np.square(vectors - vectors.mean(axis=0)).sum())
        for depth, prefix in enumerate(prefixes):
            error = float(np.square(vectors - reconstruct(codes[:, : depth + 1])).sum())
            prefix["relative_error"] = error / variance if variance > 0 else 0.0
    return {
        "num_items": len(codes),
        "levels": levels,
        "prefixes": prefixes,
        "collision_rate": 1 - prefixes[-1]["distinct_rate"],
    }


def warnings(figures: Mapping[str, Any]) -> Iterator[str]:
    """A line for each level that is used too unevenly; a small catalogue cannot use more codes than it has items."""
    for number, level in enumerate(figures["levels"]):
        usable = min(level["size"], figures["num_items"])
        if level["perplexity"] < WARN_BELOW * usable:
            found = f"perplexity {level['perplexity']:.1f}, under {WARN_BELOW} of {usable}"
            yield (
                f"WARNING: level {number} is used unevenly: {found}; "
                "are the vectors centred and whitened (encoder concat), are there enough items for so many codes?"
            )


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures as aligned lines, one a level."""
    yield "level   used  perplexity  largest   own ID  largest group  error left"
    for number, (level, prefix) in enumerate(zip(figures["levels"], figures["prefixes"], strict=True)):
        error = f"{prefix['relative_error']:10.3f}" if "relative_error" in prefix else f"{'-':>10}"
        yield (
            f"{number:5}  {level['usage']:5.0%}  {level['perplexity']:5.0f}/{level['size']:<4}  {level['largest_share']:7.1%}  "
            f"{prefix['unique_rate']:7.1%}  {prefix['largest_group']:13}  {error}"
        )


def _level(codes: np.ndarray, size: int) -> dict[str, Any]:
    counts = np.bincount(codes, minlength=size)
    share = counts[counts > 0] / len(codes)
    return {
        "size": size,
        "usage": float((counts > 0).mean()),
        "perplexity": float(np.exp(-(share * np.log(share)).sum())),
        "largest_share": float(share.max()),
    }


def _prefix(codes: np.ndarray) -> dict[str, Any]:
    _, counts = np.unique(codes, axis=0, return_counts=True)
    return {
        "unique_rate": float((counts == 1).sum() / len(codes)),
        "distinct_rate": len(counts) / len(codes),
        "largest_group": int(counts.max()),
    }
