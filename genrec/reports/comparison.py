"""The comparison of several models, also the report of a sweep: figures beside baselines, and which differences are real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from genrec.reports.charts import Dots, dot_chart
from genrec.reports.page import Markup, join, render, scrolling, section, tag
from genrec.reports.standings import Row, Standings, metric_label
from genrec.statistics.paired import POWER, Pair

MOST_NAMED = 4  # differences that a sentence names


def verdict_of(pair: Pair) -> str:
    """Returns in words whether the difference of a pair is significant."""
    return "significant" if pair.significant else "no significant difference"


def p_text(p: float) -> str:
    """``0.0312``; below what the draws can show, the bound."""
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"


def conclusion(standings: Standings) -> str:
    """Returns the sentences that say what the comparison shows, what it could have shown, and about what."""
    sentences = [*_against_untrained(standings)]
    if pairs := standings.model_pairs:
        significant = sorted((pair for pair in pairs if pair.significant), key=lambda pair: -abs(pair.comparison.difference))
        unclear = [pair for pair in pairs if not pair.significant]
        if significant:
            count = "The difference is" if len(pairs) == 1 else f"{len(significant)} of {len(pairs)} differences are"
            sentences.append(f"{count} significant on {standings.label}: {_listed([_lead(pair) for pair in significant])}.")
        if unclear:
            sentences.append(f"No significant difference: {_listed([f'{pair.first} and {pair.second}' for pair in unclear])}.")
    else:
        sentences.append(f"{standings.best.name} alone: give another model to compare it with.")
    if standings.pairs:
        sentences.append(_power(standings))
    single = [row.name for row in standings.models if len(row.runs) == 1]
    if len(single) == len(standings.models):
        sentences.append(
            "One run each: this holds for these trained models; several seeds of each (-m seed=0,1,2) would show whether "
            "it holds for their recipes."
        )
    elif single and standings.model_pairs:
        sentences.append(
            f"{_listed(single)}: one run; the variance over seeds is assumed to equal that of the other model of the pair."
        )
    return " ".join(sentences)


def _against_untrained(standings: Standings) -> Iterator[str]:
    """Yields what the models owe to their training; a sentence on the best baseline comes first."""
    baselines = [row for row in standings.baselines if row.kind == "baseline"]
    if not baselines:
        return
    if standings.untrained is None:
        best = max(baselines, key=lambda row: row.value)
        yield (
            f"Best baseline on {standings.label}: {best.name} with {best.value:.4f} (not tested: these evaluations do not have "
            f"its users' figures; `genrec evaluate` makes them again)."
        )
        return
    value = {row.name: row.value for row in standings.models}
    groups: dict[str, list[str]] = {}
    for pair in (pair for pair in standings.pairs if pair.second == standings.untrained):
        word = "level" if not pair.significant else "above" if pair.comparison.difference > 0 else "below"
        groups.setdefault(word, []).append(f"{pair.first} ({value[pair.first]:.4f})")
        level = value[pair.first] - pair.comparison.difference
    words = {"below": "are below it", "above": "beat it", "level": "are not significantly different from it"}
    singular = {"below": "is below it", "above": "beats it", "level": "is not significantly different from it"}
    sentences = [
        f"{_listed(names)} {(singular if len(names) == 1 else words)[word]}"
        for word in ("below", "level", "above")
        if (names := groups.get(word, []))
    ]
    name = standings.untrained.removesuffix(" (baseline)")
    chosen = f"Best baseline on {standings.label}, without training: {name} with {level:.4f}"
    if baselines and max(baselines, key=lambda row: row.value).name != name:
        chosen = f"Best baseline on validation, without training: {name}, with {level:.4f} on {standings.label}"
    yield f"{chosen}; {'; '.join(sentences)}."


def _lead(pair: Pair) -> str:
    names = (pair.first, pair.second) if pair.comparison.difference > 0 else (pair.second, pair.first)
    return f"{names[0]} beats {names[1]} by {abs(pair.comparison.difference):.4f}"


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - MOST_NAMED
    return "; ".join(parts[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _power(standings: Standings) -> str:
    smallest, largest = (f"{pick(pair.detectable for pair in standings.pairs):.4f}" for pick in (min, max))
    difference = f"{smallest} to {largest}, depending on the pair,"
    if smallest == largest:
        difference = smallest + (
            f" ({float(largest) / standings.best.value:.0%} of the best mean)" if standings.best.value else ""
        )
    return f"With these {standings.users:,} users a true difference of {difference} is found {POWER:.0%} of the time."


def comparison_page(*several: Standings) -> str:
    """A self-contained page: one comparison, or several metrics of the same models."""
    standings = several[0]
    body = join(
        *(part for each in several for part in _sections(each)),
        _settings(standings) if standings.differences else None,
    )
    title = (
        " against ".join(row.name for row in standings.models)
        if len(standings.models) < 3
        else f"{len(standings.models)} models"
    )
    return render(f"Comparison of {title}", lead=" ".join(map(conclusion, several)), body=body)


def _sections(standings: Standings) -> Iterator[Markup | None]:
    rows = [*standings.baselines, *sorted(standings.models, key=lambda row: -row.value)]
    seen = {True: "seen items excluded", False: "seen items may be recommended", None: "rule for seen items unknown"}
    note = (
        f"{standings.users:,} users, {standings.num_items:,} items, full ranking, "
        f"{seen[standings.exclude_seen]}. Intervals are 95 %: over "
        "users, and over seeds where a model has several."
    )
    yield section(
        f"Models and baselines, {standings.label}",
        _figures(rows, standings.labels),
        _dots(standings, rows),
        _every_run(rows),
        note=note,
    )
    yield _pairs(standings) if standings.pairs else None


def _dots(standings: Standings, rows: Sequence[Row]) -> Markup:
    dots = [
        Dots(row.name, row.kind, row.value, row.interval, tuple(row.runs.values()) if row.spread else ())
        for row in rows
        if row.kind != "bound"  # so far away that the models would fall on one spot
    ]
    return tag("div", dot_chart(f"{standings.label}: mean, 95 % interval and, as rings, each seed", dots), class_="charts")


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


def _pairs(standings: Standings) -> Markup:
    head = [
        tag("th", text, scope="col") for text in ("difference", "95 % interval", "p", "adjusted p", "detectable", "verdict")
    ]
    lines = []
    for pair in standings.pairs:
        low, high = pair.comparison.interval
        cells = [
            f"{pair.comparison.difference:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
            p_text(pair.comparison.p),
            p_text(pair.p),
            f"{pair.detectable:.4f}",
            tag("span", verdict_of(pair), class_="pill good" if pair.significant else "pill"),
        ]
        name = tag("th", pair.first, tag("small", f"against {pair.second}"), scope="row", class_="against")
        lines.append(tag("tr", name, *(tag("td", cell) for cell in cells)))
    dots = [
        Dots(
            f"{pair.first} minus {pair.second}",
            "model" if pair.significant else "baseline",
            pair.comparison.difference,
            pair.comparison.interval,
        )
        for pair in standings.pairs
    ]
    against = f"each against {standings.baseline}" if standings.baseline else "every pair"
    against += f", and every model against {standings.untrained}, the best on validation" if standings.untrained else ""
    return section(
        f"Which differences are significant, {standings.label}",
        _table(tag("tr", tag("td"), *head), lines, "Pairs"),
        tag("div", dot_chart("Differences with 95 % intervals", dots, zero=True), class_="charts"),
        _matrix(standings) if not standings.baseline and len(standings.models) > 2 else None,
        note=f"Paired over the same users, {against}. Adjusted p: for {len(standings.pairs)} comparisons (Holm); a difference "
        "is significant when it is at most .05. Intervals are not adjusted. Detectable: the true difference found 4 times in "
        "5. Choose settings on validation; test is for the last word.",
    )


def _matrix(standings: Standings) -> Markup:
    cells = {}
    for pair in standings.model_pairs:
        for sign, names in ((1, (pair.first, pair.second)), (-1, (pair.second, pair.first))):
            difference = sign * pair.comparison.difference
            word = ("better" if difference > 0 else "worse") if pair.significant else "not significant"
            style = "pill good" if pair.significant and difference > 0 else "pill"
            cells[names] = tag("td", f"{difference:+.4f} ", tag("span", word, class_=style))
    order = sorted(standings.models, key=lambda row: -row.value)
    head = tag("tr", tag("td"), *(tag("th", row.name, scope="col") for row in order))
    lines = [
        tag("tr", tag("th", row.name, scope="row"), *(cells.get((row.name, other.name), tag("td", "·")) for other in order))
        for row in order
    ]
    table = _table(head, lines, "Every model against every other")
    return tag("details", tag("summary", "As a matrix: the row's model minus the column's"), table, open="open")


def _settings(standings: Standings) -> Markup:
    head = tag("tr", tag("td"), *(tag("th", row.name, scope="col") for row in standings.models))
    lines = [
        tag("tr", tag("th", key, scope="row"), *(tag("td", value) for value in values))
        for key, values in standings.differences.items()
    ]
    table = _table(head, lines, "Settings that differ")
    return section("What differs", table, note="Settings that led to the recommendations; seeds aside. - is not used there.")


def _split(key: str) -> str:
    return "validation" if key.startswith("val/") else "test"


def _table(head: Markup, lines: Sequence[Markup], label: str) -> Markup:
    return scrolling(label, tag("table", tag("thead", head), tag("tbody", *lines)))
