"""The comparison of several models, also the report of a sweep: figures beside baselines, and which differences are real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from genrec.reports.charts import Dots, dot_chart
from genrec.reports.page import Markup, join, render, scrolling, section, tag
from genrec.reports.standings import Row, Standings, metric_label
from genrec.statistics.paired import POWER, Pair

MOST_NAMED = 4  # differences that a sentence names


def verdict_of(pair: Pair) -> str:
    """In words."""
    return "significant" if pair.real else "no significant difference"


def p_text(p: float) -> str:
    """``0.0312``; below what the draws can show, the bound."""
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"


def conclusion(found: Standings) -> str:
    """What the comparison says, what it could have shown, and about what."""
    sentences = [*_against_untrained(found)]
    if pairs := found.model_pairs:
        real = sorted((pair for pair in pairs if pair.real), key=lambda pair: -abs(pair.comparison.difference))
        alike = [pair for pair in pairs if not pair.real]
        if real:
            count = "The difference is" if len(pairs) == 1 else f"{len(real)} of {len(pairs)} differences are"
            sentences.append(f"{count} significant on {found.label}: {_listed([_lead(pair) for pair in real])}.")
        if alike:
            sentences.append(f"No significant difference: {_listed([f'{pair.first} and {pair.second}' for pair in alike])}.")
    else:
        sentences.append(f"{found.best.name} alone: give another model to compare it with.")
    if found.pairs:
        sentences.append(_power(found))
    single = [row.name for row in found.models if len(row.runs) == 1]
    if len(single) == len(found.models):
        sentences.append(
            "One run each: this holds for these trained models; several seeds of each (-m seed=0,1,2) would show whether "
            "it holds for their recipes."
        )
    elif single and found.model_pairs:
        sentences.append(
            f"{_listed(single)}: one run; the variance over seeds is assumed to equal that of the other model of the pair."
        )
    return " ".join(sentences)


def _against_untrained(found: Standings) -> Iterator[str]:
    """What the models owe to their training: a sentence on the best baseline comes first."""
    baselines = [row for row in found.baselines if row.kind == "baseline"]
    if not baselines:
        return
    if found.untrained is None:
        best = max(baselines, key=lambda row: row.value)
        yield (
            f"Best baseline on {found.label}: {best.name} with {best.value:.4f} (not tested: these evaluations do not have "
            f"its users' figures; `genrec evaluate` makes them again)."
        )
        return
    value = {row.name: row.value for row in found.models}
    groups: dict[str, list[str]] = {}
    for pair in (pair for pair in found.pairs if pair.second == found.untrained):
        word = "alike" if not pair.real else "above" if pair.comparison.difference > 0 else "below"
        groups.setdefault(word, []).append(f"{pair.first} ({value[pair.first]:.4f})")
        level = value[pair.first] - pair.comparison.difference
    words = {"below": "are below it", "above": "beat it", "alike": "are not significantly different from it"}
    singular = {"below": "is below it", "above": "beats it", "alike": "is not significantly different from it"}
    sentences = [
        f"{_listed(names)} {(singular if len(names) == 1 else words)[word]}"
        for word in ("below", "alike", "above")
        if (names := groups.get(word, []))
    ]
    name = found.untrained.removesuffix(" (baseline)")
    chosen = f"Best baseline on {found.label}, without training: {name} with {level:.4f}"
    if baselines and max(baselines, key=lambda row: row.value).name != name:
        chosen = f"Best baseline on validation, without training: {name}, with {level:.4f} on {found.label}"
    yield f"{chosen}; {'; '.join(sentences)}."


def _lead(pair: Pair) -> str:
    names = (pair.first, pair.second) if pair.comparison.difference > 0 else (pair.second, pair.first)
    return f"{names[0]} beats {names[1]} by {abs(pair.comparison.difference):.4f}"


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - MOST_NAMED
    return "; ".join(parts[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _power(found: Standings) -> str:
    smallest, largest = (f"{pick(pair.detectable for pair in found.pairs):.4f}" for pick in (min, max))
    difference = f"{smallest} to {largest}, depending on the pair,"
    if smallest == largest:
        difference = smallest + (f" ({float(largest) / found.best.value:.0%} of the best mean)" if found.best.value else "")
    return f"With these {found.users:,} users a true difference of {difference} is found {POWER:.0%} of the time."


def comparison_page(*several: Standings) -> str:
    """A self-contained page: one comparison, or several metrics of the same models."""
    found = several[0]
    body = join(
        *(part for each in several for part in _sections(each)),
        _settings(found) if found.differences else None,
    )
    title = " against ".join(row.name for row in found.models) if len(found.models) < 3 else f"{len(found.models)} models"
    return render(f"Comparison of {title}", lead=" ".join(map(conclusion, several)), body=body)


def _sections(found: Standings) -> Iterator[Markup | None]:
    rows = [*found.baselines, *sorted(found.models, key=lambda row: -row.value)]
    seen = {True: "seen items excluded", False: "seen items may be recommended", None: "rule for seen items unknown"}
    note = (
        f"{found.users:,} users, {found.num_items:,} items, full ranking, {seen[found.exclude_seen]}. Intervals are 95 %: over "
        "users, and over seeds where a model has several."
    )
    yield section(
        f"Models and baselines, {found.label}", _figures(rows, found.labels), _dots(found, rows), _every_run(rows), note=note
    )
    yield _pairs(found) if found.pairs else None


def _dots(found: Standings, rows: Sequence[Row]) -> Markup:
    dots = [
        Dots(row.name, row.kind, row.value, row.interval, tuple(row.runs.values()) if row.spread else ())
        for row in rows
        if row.kind != "bound"  # so far away that the models would fall on one spot
    ]
    return tag("div", dot_chart(f"{found.label}: mean, 95 % interval and, as rings, each seed", dots), class_="charts")


def _figures(rows: Sequence[Row], labels: Mapping[str, str]) -> Markup:
    keys = list(dict.fromkeys(key for row in rows for key in row.others))
    heads = ["runs", "mean", "sd over seeds", *(f"{_split(key)} {metric_label(key, labels)}" for key in keys)]
    head = tag("tr", tag("td"), *(tag("th", text, scope="col") for text in heads))
    lines = []
    for row in rows:
        interval = tag("small", "{:.4f}–{:.4f}".format(*row.interval)) if row.interval else None
        cells = [
            str(len(row.runs) or ""),
            join(f"{row.value:.4f}", interval),
            "" if row.spread is None else f"{row.spread:.4f}",
            *(_with_spread(row, key) for key in keys),
        ]
        lines.append(tag("tr", tag("th", row.name, scope="row"), *(tag("td", cell) for cell in cells), class_=row.kind))
    return _table(head, lines, "Models and baselines")


def _with_spread(row: Row, key: str) -> Markup | str:
    if key not in row.others:
        return ""
    spread = tag("small", f"± {row.spreads[key]:.4f}") if key in row.spreads else None
    return join(f"{row.others[key]:.4f}", spread)


def _every_run(rows: Sequence[Row]) -> Markup | None:
    if all(row.spread is None for row in rows):
        return None
    head = tag("tr", *(tag("th", text, scope="col") for text in ("model", "run", "mean")))
    lines = [
        tag("tr", tag("th", row.name, scope="row"), tag("td", run), tag("td", f"{value:.4f}"))
        for row in rows
        for run, value in row.runs.items()
    ]
    return tag("details", tag("summary", "Every run"), _table(head, lines, "Every run"))


def _pairs(found: Standings) -> Markup:
    head = [
        tag("th", text, scope="col") for text in ("difference", "95 % interval", "p", "adjusted p", "detectable", "verdict")
    ]
    lines = []
    for pair in found.pairs:
        low, high = pair.comparison.interval
        cells = [
            f"{pair.comparison.difference:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
            p_text(pair.comparison.p),
            p_text(pair.p),
            f"{pair.detectable:.4f}",
            tag("span", verdict_of(pair), class_="pill good" if pair.real else "pill"),
        ]
        name = tag("th", pair.first, tag("small", f"against {pair.second}"), scope="row", class_="against")
        lines.append(tag("tr", name, *(tag("td", cell) for cell in cells)))
    dots = [
        Dots(
            f"{pair.first} minus {pair.second}",
            "model" if pair.real else "baseline",
            pair.comparison.difference,
            pair.comparison.interval,
        )
        for pair in found.pairs
    ]
    against = f"each against {found.baseline}" if found.baseline else "every pair"
    against += f", and every model against {found.untrained}, the best on validation" if found.untrained else ""
    return section(
        f"Which differences are significant, {found.label}",
        _table(tag("tr", tag("td"), *head), lines, "Pairs"),
        tag("div", dot_chart("Differences with 95 % intervals", dots, zero=True), class_="charts"),
        _matrix(found) if not found.baseline and len(found.models) > 2 else None,
        note=f"Paired over the same users, {against}. Adjusted p: for {len(found.pairs)} comparisons (Holm); a difference is "
        "significant when it is at most .05. Intervals are not adjusted. Detectable: the true difference found 4 times in 5. "
        "Choose settings on validation; test is for the last word.",
    )


def _matrix(found: Standings) -> Markup:
    cells = {}
    for pair in found.model_pairs:
        for sign, names in ((1, (pair.first, pair.second)), (-1, (pair.second, pair.first))):
            difference = sign * pair.comparison.difference
            word = ("better" if difference > 0 else "worse") if pair.real else "not significant"
            style = "pill good" if pair.real and difference > 0 else "pill"
            cells[names] = tag("td", f"{difference:+.4f} ", tag("span", word, class_=style))
    order = sorted(found.models, key=lambda row: -row.value)
    head = tag("tr", tag("td"), *(tag("th", row.name, scope="col") for row in order))
    lines = [
        tag("tr", tag("th", row.name, scope="row"), *(cells.get((row.name, other.name), tag("td", "·")) for other in order))
        for row in order
    ]
    table = _table(head, lines, "Every model against every other")
    return tag("details", tag("summary", "As a matrix: the row's model minus the column's"), table, open="open")


def _settings(found: Standings) -> Markup:
    head = tag("tr", tag("td"), *(tag("th", row.name, scope="col") for row in found.models))
    lines = [
        tag("tr", tag("th", key, scope="row"), *(tag("td", value) for value in values))
        for key, values in found.differences.items()
    ]
    table = _table(head, lines, "Settings that differ")
    return section("What differs", table, note="Settings that led to the recommendations; seeds aside. - is not used there.")


def _split(key: str) -> str:
    return "validation" if key.startswith("val/") else "test"


def _table(head: Markup, lines: Sequence[Markup], label: str) -> Markup:
    return scrolling(label, tag("table", tag("thead", head), tag("tbody", *lines)))
