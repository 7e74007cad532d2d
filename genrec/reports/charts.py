"""Charts as inline SVG. Positions are percentages and text is in pixels, so that a chart fits any width and stays readable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from genrec.reports.page import Markup, tag
from genrec.reports.standings import Kind
from genrec.statistics.numbers import LARGEST, can_be_drawn, drawable, written

DASHES, SHADES = 7, 3  # styles of lines in style.css: 21 of a kind look different
ROW, BAR = 54, 11  # pixels of a row of bars and of one bar
DOT_ROW = 46  # pixels of a row of dots


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
    top = max([0.0, *drawable(value for row in rows for value in (row.test, row.validation, *(row.interval or ())))])
    scale = 82 / top if top else 0.0  # the rest is for the numbers
    shapes: list[Markup] = []
    for index, row in enumerate(rows):
        y = index * ROW
        shapes.append(tag("text", row.name, x="0", y=y + 13, font_weight=700 if row.kind == "model" else 400))
        for line, (value, style) in enumerate(((row.test, "fill"), (row.validation, "soft"))):
            if value is None:
                continue
            bar, end = y + 20 + line * (BAR + 2), value * scale if can_be_drawn(value) else 0.0
            shapes.append(
                tag("rect", x="0", y=bar, width=f"{max(end, 0.3):.2f}%", height=BAR, rx="2", class_=f"{style}-{row.kind}")
            )
            if line == 0 and row.interval and all(map(can_be_drawn, row.interval)):
                low, high = (f"{x * scale:.2f}%" for x in row.interval)
                shapes.append(tag("line", x1=low, x2=high, y1=bar + BAR / 2, y2=bar + BAR / 2, class_="whisker"))
                end = max(end, row.interval[1] * scale)
            shapes.append(tag("text", written(value, ".4f"), x=f"{end:.2f}%", dx="6", y=bar + 10, class_="faint"))
    summary = "; ".join(
        f"{row.name} test {_measured_text(row.test)}, validation {_measured_text(row.validation)}" for row in rows
    )
    chart = tag("svg", *shapes, height=len(rows) * ROW, role="img", aria_label=f"{title}: {summary}")
    return tag("figure", tag("figcaption", title), chart)


def grouped_bars(
    title: str, rows: Mapping[str, Sequence[float | None]], series: Mapping[str, Kind], *, form: str = ".1%"
) -> Markup:
    """Horizontal bars side by side, one group a row, with a legend where there are several series.

    Args:
        title: the caption.
        rows: name of a group -> a value for each of ``series``, None where there is none.
        series: name -> the colour's kind.
        form: how values are written.
    """
    top = max([0.0, *drawable(value for values in rows.values() for value in values)])
    scale = 82 / top if top else 0.0
    shapes: list[Markup] = []
    y = 0
    for name, values in rows.items():
        shapes.append(tag("text", name, x="0", y=y + 13))
        y += 20
        for value, kind in zip(values, series.values(), strict=True):
            if value is not None:
                end = value * scale if can_be_drawn(value) else 0.0
                shapes.append(tag("rect", x="0", y=y, width=f"{max(end, 0.3):.2f}%", height=BAR, rx="2", class_=f"fill-{kind}"))
                shapes.append(tag("text", written(value, form), x=f"{end:.2f}%", dx="6", y=y + 10, class_="faint"))
            y += BAR + 2
        y += 10
    legend = (
        tag(
            "li",
            tag("svg", tag("rect", x="0", y="1", width="28", height="10", class_=f"fill-{kind}"), aria_hidden="true"),
            name,
        )
        for name, kind in series.items()
    )
    summary = "; ".join(
        f"{name}: "
        + ", ".join(f"{label} {written(value, form)}" for label, value in zip(series, values, strict=True) if value is not None)
        for name, values in rows.items()
    )
    chart = tag("svg", *shapes, height=y, role="img", aria_label=f"{title}: {summary}")
    return tag("figure", tag("figcaption", title), chart, tag("ul", *legend, class_="legend") if len(series) > 1 else None)


def curve_chart(
    title: str,
    curves: Mapping[str, tuple[Kind, Mapping[float, float]]],
    *,
    height: int = 260,
    logarithmic: bool = True,
    ticks: int = 8,
    from_zero: bool = True,
) -> Markup:
    """Lines over k, or over anything positive, by default on a logarithmic axis.

    Args:
        title: the caption.
        curves: name -> kind and k -> value.
        height: of the plot, in pixels.
        logarithmic: the axis of k.
        ticks: the most labels on it.
        from_zero: the axis of values starts at zero, else just below the smallest.
    """
    shown_points = {
        name: {k: value for k, value in points.items() if can_be_drawn(value)} for name, (_, points) in curves.items()
    }
    ks = sorted({k for points in shown_points.values() for k in points}) or [1.0]
    values = [value for points in shown_points.values() for value in points.values()] or [0.0]
    low, top = min([0.0, *values]) if from_zero else min(values), max([1e-9, *values])
    step = _round_step((top - low) / 4 or top / 4)
    first, last = math.floor(low / step), math.ceil(top / step)
    lines = [step * i for i in range(first, max(last, first + 1) + 1)]
    left, right = 9.0, 98.0
    position = {k: math.log(k) if logarithmic else k for k in ks}
    span = position[ks[-1]] - position[ks[0]] or 1.0

    def x(k: float) -> str:
        return f"{left + (right - left) * (position[k] - position[ks[0]]) / span:.2f}%"

    def y(value: float) -> str:
        return f"{10 + height * (lines[-1] - value) / (lines[-1] - lines[0]):.1f}"

    shapes: list[Markup] = []
    for value in lines:
        shapes.append(tag("line", x1=f"{left}%", x2=f"{right}%", y1=y(value), y2=y(value), class_="axis"))
        shapes.append(tag("text", f"{value:g}", x=f"{left}%", dx="-6", y=y(value), dy="4", text_anchor="end", class_="faint"))
    shown = ks[:: -(-len(ks) // ticks)]
    shapes += [tag("text", _short(k), x=x(k), y=height + 30, text_anchor="middle", class_="faint") for k in shown]
    legend, seen = [], {"model": 0, "baseline": 0, "bound": 0}
    for name, (kind, _) in curves.items():
        style = f"curve curve-{kind} dash-{seen[kind] % DASHES} shade-{seen[kind] // DASHES % SHADES}"
        seen[kind] += 1
        drawn = shown_points[name]
        shapes += [
            tag("line", x1=x(a), x2=x(b), y1=y(drawn[a]), y2=y(drawn[b]), class_=style) for a, b in pairwise(sorted(drawn))
        ]
        shade = style.rpartition(" ")[2]
        shapes += [tag("circle", cx=x(k), cy=y(drawn[k]), r="3.5", class_=f"fill-{kind} {shade}") for k in sorted(drawn)]
        legend.append(
            tag("li", tag("svg", tag("line", x1="0", x2="28", y1="6", y2="6", class_=style), aria_hidden="true"), name)
        )

    def curve_text(points: Mapping[float, float]) -> str:
        return ", ".join(f"{written(value, '.4f')} at {_short(k)}" for k, value in points.items())

    summary = "; ".join(f"{name} {curve_text(points)}" for name, (_, points) in curves.items())
    chart = tag("svg", *shapes, height=height + 40, role="img", aria_label=f"{title}: {summary}")
    return tag("figure", tag("figcaption", title), chart, tag("ul", *legend, class_="legend"))


def reliability_chart(title: str, points: Sequence[Mapping[str, float]], *, height: int = 260) -> Markup:
    """Predicted against observed probability on square-root axes, with the diagonal: small probabilities keep their place.

    Args:
        title: the caption.
        points: each with ``predicted``, ``observed``, ``low``, ``high`` (an interval of the observed share) and ``count``.
        height: of the plot, in pixels.
    """
    top = max([1e-6, *drawable(point[key] for point in points for key in ("predicted", "high"))])
    left, right = 13.0, 97.0
    ticks = [0.0]
    for tick in sorted(factor * 10.0**-power for power in range(7) for factor in (1, 2, 5)):
        if tick <= top and math.sqrt(tick / top) - math.sqrt(ticks[-1] / top) > 0.14:
            ticks.append(tick)

    def x(value: float) -> str:
        return f"{left + (right - left) * math.sqrt(max(value, 0.0) / top):.2f}%"

    def y(value: float) -> str:
        return f"{10 + height * (1 - math.sqrt(max(value, 0.0) / top)):.1f}"

    shapes: list[Markup] = []
    for tick in ticks:
        shapes.append(tag("line", x1=x(0), x2=x(top), y1=y(tick), y2=y(tick), class_="axis"))
        shapes.append(tag("text", f"{tick:.3g}", x=x(0), dx="-6", y=y(tick), dy="4", text_anchor="end", class_="faint"))
        shapes.append(tag("text", f"{tick:.3g}", x=x(tick), y=height + 28, text_anchor="middle", class_="faint"))
    shapes.append(tag("line", x1=x(0), y1=y(0), x2=x(top), y2=y(top), class_="curve curve-baseline dash-1"))
    for point in points:
        if not all(can_be_drawn(point[key]) for key in ("predicted", "observed", "low", "high")):
            continue
        at = x(point["predicted"])
        shapes.append(tag("line", x1=at, x2=at, y1=y(point["low"]), y2=y(point["high"]), class_="whisker"))
        summary = f"predicted {point['predicted']:.4f}, observed {point['observed']:.4f} of {point['count']:,}"
        shapes.append(tag("circle", tag("title", summary), cx=at, cy=y(point["observed"]), r="4.5", class_="fill-model"))
    shapes.append(tag("text", "predicted", x=x(top), y=height + 46, text_anchor="end", class_="faint"))
    shapes.append(tag("text", "observed", x=x(0), dx="6", y="8", class_="faint"))
    summary = "; ".join(
        f"{written(point['predicted'], '.4f')} came true {written(point['observed'], '.4f')} ({point['count']:,})"
        for point in points
    )
    chart = tag("svg", *shapes, height=height + 54, role="img", aria_label=f"{title}: {summary}")
    return tag("figure", tag("figcaption", title), chart)


def _short(number: float) -> str:
    """1500000 -> 1.5M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= 10 * size or (number >= size and unit == "M"):
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def _measured_text(value: float | None) -> str:
    return "not measured" if value is None else written(value, ".4f")


def _round_step(value: float) -> float:
    """A round number of at least about this much."""
    value = min(max(abs(value), 1e-300), LARGEST)
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999)


@dataclass(frozen=True)
class Dots:
    """One row of a dot chart.

    Args:
        name: written above.
        kind: gives the colour.
        value: the full dot.
        interval: the whisker.
        points: rings, such as the seeds that the value is the mean of.
    """

    name: str
    kind: Kind
    value: float
    interval: tuple[float, float] | None = None
    points: tuple[float, ...] = ()


def dot_chart(title: str, rows: Sequence[Dots], *, zero: bool = False) -> Markup:
    """Values with their intervals on one axis, which need not start at zero.

    Args:
        title: the caption.
        rows: from top to bottom.
        zero: the axis holds zero, marked by a line: for differences.
    """
    values = drawable(value for row in rows for value in (row.value, *(row.interval or ()), *row.points)) + [0.0] * zero
    values = values or [0.0]
    step = _round_step(((max(values) - min(values)) or abs(max(values)) or 1.0) / 4)
    first, last = math.floor(min(values) / step), math.ceil(max(values) / step)
    ticks = [step * i for i in range(first, max(last, first + 1) + 1)]
    left, right, height = 3.0, 93.0, len(rows) * DOT_ROW

    def x(value: float) -> str:
        return f"{left + (right - left) * (value - ticks[0]) / (ticks[-1] - ticks[0]):.2f}%"

    shapes: list[Markup] = []
    for tick in ticks:
        shapes.append(tag("line", x1=x(tick), x2=x(tick), y1="0", y2=height, class_="axis"))
        shapes.append(tag("text", f"{tick:.6g}", x=x(tick), y=height + 18, text_anchor="middle", class_="faint"))
    if zero:
        shapes.append(tag("line", x1=x(0), x2=x(0), y1="0", y2=height, class_="whisker"))
    for index, row in enumerate(rows):
        y = index * DOT_ROW + 32
        number = tag("tspan", written(row.value, "+.4f" if zero else ".4f"), class_="number")  # first: a long name may be cut
        weight = 700 if row.kind == "model" else 400
        shapes.append(tag("text", number, f" {row.name}", x="0", y=y - 12, font_weight=weight, class_="over"))
        if row.interval and all(map(can_be_drawn, row.interval)):
            low, high = (x(end) for end in row.interval)
            shapes.append(tag("line", x1=low, x2=high, y1=y, y2=y, class_=f"curve curve-{row.kind}"))
        shapes += [tag("circle", cx=x(point), cy=y, r="6", class_=f"ring curve-{row.kind}") for point in drawable(row.points)]
        if can_be_drawn(row.value):
            shapes.append(tag("circle", cx=x(row.value), cy=y, r="4.5", class_=f"fill-{row.kind}"))
    summary = "; ".join(
        f"{row.name} {written(row.value, '.4f')}"
        + (f" ({written(row.interval[0], '.4f')} to {written(row.interval[1], '.4f')})" if row.interval else "")
        for row in rows
    )
    chart = tag("svg", *shapes, height=height + 26, role="img", aria_label=f"{title}: {summary}")
    return tag("figure", tag("figcaption", title), chart, class_="clip")
