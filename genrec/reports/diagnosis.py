"""What ``diagnose`` found: where the next item is lost, whether probabilities are honest, what each recommendation rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrec.reports.charts import Kind, grouped_bars, reliability_chart
from genrec.reports.page import Markup, join, scrolling, section, tag
from genrec.statistics.numbers import LARGEST, drawable, exponential, written

SMALL = 0.01  # a share of next items that nobody needs to worry about


def diagnosis_sections(diagnosis: Mapping[str, Any]) -> Markup:
    """Everything as sections of a report.

    Args:
        diagnosis: the content of diagnosis.json (see ``genrec.stages.diagnose``).
    """
    return join(
        _levels(diagnosis) if diagnosis["levels"] else None,
        _beams(diagnosis) if diagnosis["beams"] else None,
        _calibration(diagnosis),
        _because_of(diagnosis) if diagnosis["because_of"] else None,
    )


def _users(diagnosis: Mapping[str, Any]) -> str:
    return f"{diagnosis['users']:,} {diagnosis['split']} users, drawn with seed {diagnosis['seed']}"


def _levels(diagnosis: Mapping[str, Any]) -> Markup:
    levels = diagnosis["levels"]
    has_beams = levels[0]["own_accuracy"] is not None
    series: dict[str, Kind] = {"given the true prefix": "bound"}
    if has_beams:
        series["by its own beams"] = "model"
    rows = {
        f"Level {i}": [level["accuracy"], *([level["own_accuracy"]] if has_beams else [])] for i, level in enumerate(levels)
    }
    columns: dict[str, Any] = {
        "codes": lambda level: written(exponential(level["log_choices"]), ".1f"),
        "effective choices": lambda level: _guesses(level["log_prob"]),
        "no choice": lambda level: written(level["forced"], ".1%"),
    }
    if diagnosis["rules"]["normalization"] == "codebook":
        columns["real mass"] = lambda level: written(level["mass"], ".1%")
    table = tag(
        "table",
        tag("caption", "How hard the choice is"),
        tag("thead", tag("tr", tag("td"), *(tag("th", name, scope="col") for name in columns))),
        tag(
            "tbody",
            *(
                tag("tr", tag("th", f"Level {i}", scope="row"), *(tag("td", value(level)) for value in columns.values()))
                for i, level in enumerate(levels)
            ),
        ),
    )
    note = (
        f"{_users(diagnosis)}. Chart: the first bar judges one level alone, given the true codes before it; the second counts "
        "users whose most probable beam is still on the next item's path. Table, as geometric means: codes "
        "that exist after that prefix, and effective choices, the number of codes that the generator is torn between. More "
        "effective choices than codes mean overconfidence. No choice: the share of users with a single possible code."
    )
    if diagnosis["rules"]["normalization"] == "codebook":
        note += " Real mass: probability that goes to codes which exist; the rest is lost."
    return section(
        "How often the next code is right",
        tag(
            "div",
            grouped_bars("The next item's code is the most probable one", rows, series),
            scrolling("How hard the choice is", table),
            class_="charts",
        ),
        note=note,
    )


def _beams(diagnosis: Mapping[str, Any]) -> Markup:
    beams = diagnosis["beams"]
    rows = {f"Lost at level {i}": [lost] for i, lost in enumerate(beams["lost"])} | {"Kept to the end": [beams["kept"]]}
    longest = beams["lists"][-1]
    lists = {
        f"First {entry['k']} of the list": [entry["listed"], entry["search_errors"], entry["model_errors"]]
        for entry in beams["lists"]
    }
    fault: dict[str, Kind] = {"listed": "bound", "search error": "model", "model error": "baseline"}
    missed = f"{written(longest['search_errors'], '.1%')} more next items in the first {longest['k']}"
    if not drawable([longest["search_errors"]]) or longest["search_errors"] < SMALL:
        lead = f"The search is not what costs hits: an exact one would list at most {missed}."
    else:
        lead = f"An exact search would list up to {missed}; more beams may help (decoding.num_beams)."
    if beams["excluded"]:
        lead += f" {beams['excluded']:,} next items are not counted: they were seen before, and seen items are excluded."
    return section(
        "Where beams die",
        tag(
            "div",
            grouped_bars("Share of next items whose prefix leaves the beam", rows, {"next items": "model"}),
            grouped_bars("Whose fault a miss is", lists, fault),
            class_="charts",
        ),
        note=f"{lead} Search error: not listed, though the generator thinks it more probable than the last item listed. "
        "Model error: not listed, and not probable enough.",
    )


def _calibration(diagnosis: Mapping[str, Any]) -> Markup:
    calibration = diagnosis["calibration"]
    k = calibration["k"]
    promised, came = calibration["mass"], calibration["hit_rate"]
    low, high = calibration["hit_rate_interval"]
    verdict = (
        "No probabilities"
        if not drawable([promised])
        else "Honest"
        if low <= promised <= high
        else "Too sure of itself"
        if promised > came
        else "Too modest"
    )
    summary = (
        f"{verdict}: together, the first {k} recommendations get a probability of {written(promised, '.1%')}, and the next "
        f"item is among them for {written(came, '.1%')} of the users ({written(low, '.1%')} to {written(high, '.1%')}). "
        f"Expected calibration error {written(calibration['error'], '.4f')}. "
        "Each point stands for as many recommendations as any other, by probability, with its 95 % interval; on the diagonal "
        "they come true as often as they say."
    )
    if diagnosis["rules"]["normalization"] == "codebook":
        summary += (
            " It was trained over whole codebooks: codes without items keep a share of the probability, and no item gets it."
        )
    return section(
        "Are its probabilities honest?",
        reliability_chart(f"The first {k} recommendations: predicted and observed", calibration["bins"]),
        note=summary,
    )


def _because_of(diagnosis: Mapping[str, Any]) -> Markup:
    groups = (("random", "drawn at random"), ("hit", "drawn among those with a hit in the first ten"))
    cards = {drawn: [card for card in diagnosis["because_of"] if card["drawn"] == drawn] for drawn, _ in groups}
    return join(
        *(
            section(
                f"Because of what? {len(cards[drawn])} users, {how}",
                tag("div", *map(_card, cards[drawn]), class_="users"),
                note="Each bar says how much less probable the first recommendation (solid) and the item that really came next "
                "(pale) would be without that history item: +0.69 halves the probability, a bar to the left speaks against it. "
                "Each user has a scale of their own.",
            )
            for drawn, how in groups
            if cards[drawn]
        )
    )


def _card(card: Mapping[str, Any]) -> Markup:
    ranks = [target["rank"] for target in card["targets"] if target["rank"] is not None]
    listed, style = (f"listed at rank {min(ranks)}", "pill good") if ranks else ("not listed", "pill")
    history, shown = card["history"], len(card["history"])
    top = max([1e-9, *map(abs, drawable(entry[key] for entry in history for key in ("first", "target")))])
    came = [tag("span", target["title"], class_="item") for target in card["targets"]]
    return tag(
        "article",
        tag("h3", f"User {card['user_id']} ", tag("span", listed, class_=style)),
        tag("h4", f"History, the last {shown} of {card['history_length']}" if shown else "No history"),
        tag("ol", *(_weighed(entry, top) for entry in history), start=card["history_length"] - shown + 1),
        tag("h4", f"What came next ({_percent(card['target_probability'])})"),
        tag("div", *came, class_="next"),
        tag("h4", "Recommended"),
        tag(
            "ol",
            *(
                tag(
                    "li",
                    tag(
                        "span",
                        tag("span", "✓ hit: " if entry["hit"] else "", entry["title"], class_="item"),
                        tag("span", _percent(entry["probability"]), class_="share"),
                        class_="pair",
                    ),
                    class_="hit" if entry["hit"] else "miss",
                )
                for entry in card["recommended"]
            ),
        ),
        class_="user",
    )


def _weighed(entry: Mapping[str, Any], top: float) -> Markup:
    """A history item with its two bars, from the middle to the right where it speaks for the item, else to the left."""
    shapes: list[Markup] = [tag("line", x1="50%", x2="50%", y1="0", y2="15", class_="axis")]
    for line, (key, style) in enumerate((("first", "fill-model"), ("target", "soft-model"))):
        (weight,) = drawable([entry[key]]) or [0.0]
        width = 49 * abs(weight) / top
        left = 50 - width if weight < 0 else 50
        shapes.append(tag("rect", x=f"{left:.2f}%", y=1 + 7 * line, width=f"{width:.2f}%", height="6", rx="1", class_=style))
    first, target = _signed(entry["first"]), _signed(entry["target"])
    summary = f"{first} for the first recommendation, {target} for what came next"
    return tag(
        "li",
        tag("span", entry["title"], class_="item"),
        tag(
            "span",
            tag("svg", *shapes, height="15", role="img", aria_label=summary),
            tag("span", f"{first} · {target}", class_="share", aria_hidden="true"),
            class_="pair",
        ),
    )


def _guesses(log_prob: float | None) -> str:
    """Among how many one would have to guess; a diverged generator would have to try more than can be written."""
    number = exponential(None if log_prob is None else -log_prob)
    return "more than 1e300" if number > LARGEST else written(number, ".1f")


def _percent(probability: float | None) -> str:
    return "under 0.01%" if probability is not None and probability < 0.0001 else written(probability, ".2%")


def _signed(weight: float | None) -> str:
    return "0" if weight is not None and abs(weight) < 0.005 else written(weight, "+.2f")
