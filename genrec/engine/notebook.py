"""What a notebook shows of an object: small tables of escaped text, without scripts and without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from genrec.errors import GenRecError

if TYPE_CHECKING:
    from genrec.engine.runs import Run


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, bold: str | None = None) -> str:
    """A table; figures are rounded to four digits and stand to the right.

    Args:
        header: of the columns.
        rows: text, whole numbers, figures, or None for an empty cell.
        bold: the first cell of the row that is printed in bold.

    >>> table(["item", "score"], [["<tea>", 0.25]])
    '<table><tr><th>item</th><th>score</th></tr><tr><td>&lt;tea&gt;</td><td style="text-align:right">0.2500</td></tr></table>'
    """
    lines = ["".join(f"<th>{escape(name)}</th>" for name in header)]
    for row in rows:
        weight = ";font-weight:bold" if bold is not None and row[0] == bold else ""
        lines.append("".join(_cell(value, weight) for value in row))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _cell(value: Any, weight: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        return f'<td style="text-align:right{weight}">{text}</td>'
    style = f' style="{weight[1:]}"' if weight else ""
    return f"<td{style}>{'' if value is None else escape(str(value))}</td>"


def run_html(run: Run) -> str:
    """A run: its name and folder, the artifacts that it has, and its figures beside those of the baselines."""
    parts = [f"<b>Run {escape(run.name)}</b>", f"<br><code>{escape(str(run.path))}</code>"]
    kinds = ", ".join(map(escape, run.kinds)) or "nothing yet"
    parts.append(f"<br>has: {kinds}")
    if "evaluation" in run.kinds:
        try:
            parts.append(_figures(run.name, run.metrics))
        except (GenRecError, OSError, ValueError, KeyError) as error:  # a damaged file is no reason to show nothing
            parts.append(f"<br>{escape(str(error))}")
    return "".join(parts)


def _figures(name: str, metrics: Mapping[str, Any]) -> str:
    k = metrics["rules"]["headline_k"]
    splits = [short for short in ("test", "val") if short in metrics["users"]]
    keys = [f"{short}/{metric}@{k}" for short in splits for metric in ("recall", "ndcg")]
    rows: dict[str, Mapping[str, Any]] = {**metrics["baselines"], f"model of {name}": metrics["model"]}
    rows |= {f"{bound} bound": row for bound, row in metrics.get("bounds", {}).items()}
    return table(
        ["", *keys], ([label, *(row.get(key) for key in keys)] for label, row in rows.items()), bold=f"model of {name}"
    )
