"""A comparison as a table for a paper or a spreadsheet: csv, LaTeX or markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Literal

from genrec.reports.compared_figures import Row, Standings, metric_label

Format = Literal["csv", "latex", "markdown"]


def comparison_table(found: Standings, form: Format) -> str:
    """Baselines, bounds and models with mean (and standard deviation over seeds) of every figure of the comparison.

    Args:
        found: compared.
        form: csv has a column for each standard deviation; the others write mean ± deviation.
    """
    keys = sorted({found.metric, *(key for row in found.models for key in row.others)}, key=_order)
    rows = [*found.baselines, *sorted(found.models, key=lambda row: -row.value)]
    if form == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "kind", "runs", *(head for key in keys for head in (key, f"{key} sd"))])
        for row in rows:
            writer.writerow(
                [row.name, row.kind, len(row.runs) or "", *(cell for key in keys for cell in _numbers(found, row, key))]
            )
        return file.getvalue()
    heads = ["", *(f"{'validation' if key.startswith('val/') else 'test'} {metric_label(key, found.labels)}" for key in keys)]
    plus_minus = " $\\pm$ " if form == "latex" else " ± "
    lines = [[row.name, *(plus_minus.join(_numbers(found, row, key)).removesuffix(plus_minus) for key in keys)] for row in rows]
    if form == "markdown":
        rule = ["---", *("---:" for _ in keys)]
        return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines))
    body = "".join(f"{' & '.join(map(_escaped, line))} \\\\\n" for line in lines)
    head = " & ".join(map(_escaped, heads))
    return f"\\begin{{tabular}}{{l{'r' * len(keys)}}}\n\\hline\n{head} \\\\\n\\hline\n{body}\\hline\n\\end{{tabular}}\n"


def _order(key: str) -> tuple[bool, int, int, str]:
    """Test first, then by k, recall before ndcg."""
    short, _, metric = key.partition("/")
    name, _, k = metric.partition("@")
    return short == "val", int(k or 0), ["recall", "ndcg"].index(name) if name in ("recall", "ndcg") else 2, name


def _numbers(found: Standings, row: Row, key: str) -> tuple[str, str]:
    """Mean and standard deviation; empty where there is none."""
    value, spread = (row.value, row.spread) if key == found.metric else (row.others.get(key), row.spreads.get(key))
    return "" if value is None else f"{value:.4f}", "" if spread is None else f"{spread:.4f}"


def _escaped(text: str) -> str:
    for sign in "&%#_":
        text = text.replace(sign, f"\\{sign}")
    return text


def written(several: Sequence[Standings], form: Format) -> str:
    """One table after another, an empty line between them."""
    return "\n".join(comparison_table(found, form) for found in several)
