"""How training went: loss and validation by targets seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genrec.pages.charts import curve_chart
from genrec.pages.page import Markup, section, tag

LOSS, SCORE = "train/loss", "val/ndcg@10"


def curves_section(history: Sequence[Mapping[str, float]], best: Mapping[str, float]) -> Markup | None:
    """Two curves, or None when training was validated only once.

    Args:
        history: a row per validation round (history.json of a generator).
        best: the round whose weights were kept.
    """
    if len(history) < 2:
        return None
    charts = [
        curve_chart(
            title,
            {key: ("model", {row["targets"]: row[key] for row in history if key in row})},
            logarithmic=False,
            from_zero=key == SCORE,
        )
        for title, key in (("NDCG@10 on the validation sample", SCORE), ("Training loss per target", LOSS))
        if any(key in row for row in history)
    ]
    rising = history[-1] is not best and history[-1]["round"] == best["round"]
    told = f"The weights of round {best['round'] + 1:.0f} of {len(history)} were kept"
    told += ", the last: a longer schedule might still gain." if rising else "."
    rule = history[0].get("exclude_seen")
    seen = "" if rule is None else f" Validation lists hold {'no' if rule else 'also'} items of the history."
    return section("Training", tag("div", *charts, class_="charts"), note=f"By training targets seen.{seen} {told}")
