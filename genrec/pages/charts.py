"""Charts as inline SVG. Positions are percentages and text is in pixels, so that a chart fits any width and stays readable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from genrec.pages.page import Markup, tag

Kind = Literal["model", "floor", "bound"]
ROW, BAR = 54, 11  # pixels of a row of bars and of one bar


@dataclass(frozen=True)
class Bars:
    """One row of a bar chart.

    Args:
        name: written above the bars.
        kind: gives the colour.
        test, validation: lengths; a split that was not measured is None.
        interval: of ``test``, drawn as a whisker.
    """

    name: str
    kind: Kind
    test: float | None
    validation: float | None
    interval: tuple[float, float] | None = None


def bar_chart(title: str, rows: Sequence[Bars]) -> Markup:
    """Horizontal bars, test above validation, from zero."""
    top = max(
        [0.0, *(value for row in rows for value in (row.test, row.validation, *(row.interval or ())) if value is not None)]
    )
    scale = 82 / top if top else 0.0  # the rest is for the numbers
    shapes: list[Markup] = []
    for index, row in enumerate(rows):
        y = index * ROW
        shapes.append(tag("text", row.name, x="0", y=y + 13, font_weight=700 if row.kind == "model" else 400))
        for line, (value, style) in enumerate(((row.test, "fill"), (row.validation, "soft"))):
            if value is None:
                continue
            bar, end = y + 20 + line * (BAR + 2), value * scale
            shapes.append(
                tag("rect", x="0", y=bar, width=f"{max(end, 0.3):.2f}%", height=BAR, rx="2", class_=f"{style}-{row.kind}")
            )
            if line == 0 and row.interval:
                low, high = (f"{x * scale:.2f}%" for x in row.interval)
                shapes.append(tag("line", x1=low, x2=high, y1=bar + BAR / 2, y2=bar + BAR / 2, class_="whisker"))
                end = max(end, row.interval[1] * scale)
            shapes.append(tag("text", f"{value:.4f}", x=f"{end:.2f}%", dx="6", y=bar + 10, class_="faint"))
    told = "; ".join(f"{row.name} test {_told(row.test)}, validation {_told(row.validation)}" for row in rows)
    chart = tag("svg", *shapes, height=len(rows) * ROW, role="img", aria_label=f"{title}: {told}")
    return tag("figure", tag("figcaption", title), chart)


def curve_chart(title: str, curves: Mapping[str, tuple[Kind, Mapping[int, float]]], *, height: int = 260) -> Markup:
    """Lines over k on a logarithmic axis.

    Args:
        title: the caption.
        curves: name -> kind and k -> value.
        height: of the plot, in pixels.
    """
    ks = sorted({k for _, points in curves.values() for k in points})
    top = max([1e-9, *(value for _, points in curves.values() for value in points.values())])
    step = _round_step(top / 4)
    lines = [step * i for i in range(math.ceil(top / step) + 1)]
    left, right = 9.0, 98.0
    span = math.log(ks[-1] / ks[0]) or 1.0

    def x(k: int) -> str:
        return f"{left + (right - left) * math.log(k / ks[0]) / span:.2f}%"

    def y(value: float) -> str:
        return f"{10 + height * (1 - value / lines[-1]):.1f}"

    shapes: list[Markup] = []
    for value in lines:
        shapes.append(tag("line", x1=f"{left}%", x2=f"{right}%", y1=y(value), y2=y(value), class_="axis"))
        shapes.append(tag("text", f"{value:g}", x=f"{left}%", dx="-6", y=y(value), dy="4", text_anchor="end", class_="faint"))
    shapes += [tag("text", k, x=x(k), y=height + 30, text_anchor="middle", class_="faint") for k in ks]
    legend, seen = [], {"model": 0, "floor": 0, "bound": 0}
    for name, (kind, points) in curves.items():
        style = f"curve curve-{kind} dash-{seen[kind]}"
        seen[kind] += 1
        known = sorted(points)
        shapes += [tag("line", x1=x(a), x2=x(b), y1=y(points[a]), y2=y(points[b]), class_=style) for a, b in pairwise(known)]
        shapes += [tag("circle", cx=x(k), cy=y(points[k]), r="3.5", class_=f"fill-{kind}") for k in known]
        legend.append(
            tag("li", tag("svg", tag("line", x1="0", x2="28", y1="6", y2="6", class_=style), aria_hidden="true"), name)
        )
    told = "; ".join(
        f"{name} {', '.join(f'{v:.4f} at {k}' for k, v in points.items())}" for name, (_, points) in curves.items()
    )
    chart = tag("svg", *shapes, height=height + 40, role="img", aria_label=f"{title}: {told}")
    return tag("figure", tag("figcaption", title), chart, tag("ul", *legend, class_="legend"))


def _told(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _round_step(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999)
