"""Ids that two tables write differently: 007 and 7, A1 and a1."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

# What makes them alike: the rule of `data.ids` -> the ids by it.
_RULES: Mapping[str, pl.Expr] = {
    "numbers": pl.col("id").str.replace(r"^(-?)0+(\d+)$", "${1}${2}"),
    "lower_case": pl.col("id").str.to_lowercase(),
}


def likeness(unknown: pl.Series, there: pl.Series) -> tuple[str, str, str] | None:
    """An unknown id, the one that is probably meant, and the setting that makes them one; None where there are no such.

    Args:
        unknown: ids that the other table lacks.
        there: the other table's.
    """
    for rule, by_rule in _RULES.items():
        pairs = _pairs(unknown, there, by_rule)
        if pairs.height:
            return (*pairs.row(0), f"set data.ids={rule}")
    return None


def count_alike(unknown: pl.Series, there: pl.Series) -> dict[str, int]:
    """How many distinct unknown ids each rule of ``data.ids`` would find."""
    return {rule: _pairs(unknown, there, by_rule).height for rule, by_rule in _RULES.items()}


def _pairs(unknown: pl.Series, there: pl.Series, by_rule: pl.Expr) -> pl.DataFrame:
    ours = unknown.drop_nulls().unique(maintain_order=True).alias("id").to_frame().with_columns(key=by_rule)
    theirs = there.drop_nulls().unique(maintain_order=True).alias("id").to_frame().with_columns(key=by_rule)
    theirs = theirs.filter(pl.col("key").is_unique()).rename({"id": "other"})
    return ours.join(theirs, on="key", how="inner", maintain_order="left").select("id", "other")
