"""The pages of a service: one to try its recommender, with controls for preferences, and one that lists its calls.

The first is made once for each catalogue, from its columns. The second is made from the OpenAPI document, without a script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl

from genrec.core.event_schema import EventSchema
from genrec.core.item_labels import AUTO, BRAND, PART, category_column, category_parts
from genrec.recommender.bundle_layout import POPULARITY
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.event_values import TIME
from genrec.recommender.item_table import ItemTable
from genrec.recommender.requests import LONGEST_TEXT
from genrec.reports.page import Markup, embedded, join, render, section, tag
from genrec.serving.limits import Limits
from genrec.types import ITEM_ID

QUANTILES = (0.2, 0.5, 0.8, 0.95)  # where a slider's steps are: prices and popularities have long tails
MAX_RANGES, MAX_CHOICES, MAX_VALUES = 3, 3, 60  # 3 x 4 + 3 filters are within the default limit of preferences
MAX_TEXT = 40  # characters of a value that can be chosen
ENDS = {"price": ("cheaper", "dearer"), POPULARITY: ("less known", "popular")}
IMAGE = re.compile("image|img|imurl|picture|photo|thumbnail|cover", re.IGNORECASE)
_ADDRESS = re.compile("https?://|data:image/")
_PLAIN = re.compile(r"(?!(?:and|or|not|in|is|null|true|false)$)[^\W\d]\w*$")  # needs no backquotes in a filter


@dataclass(frozen=True)
class Range:
    """A column of numbers.

    Args:
        column: its name.
        low, high: what its ends are called.
        above: filters, each passed by what is at or above another quantile.
        below: by what is below; so an item without a value is never favoured.
    """

    column: str
    low: str
    high: str
    above: list[str]
    below: list[str]


@dataclass(frozen=True)
class Kind:
    """A column of categories, brands or the like.

    Args:
        column: its name.
        values: the most frequent ones and the filter that each one's items pass.
    """

    column: str
    values: list[tuple[str, str]]


def ranges(items: pl.DataFrame) -> list[Range]:
    """Returns the columns of numbers that distinguish items, price and popularity first, without row numbers."""
    numeric = [name for name, kind in items.schema.items() if kind.is_numeric() and _filter_name(name)]
    columns = []
    for name in sorted(numeric, key=lambda name: (*(name != preferred for preferred in ENDS), numeric.index(name))):
        values = items[name].drop_nulls()
        if values.dtype.is_float():
            values = values.filter(values.is_finite())
        if values.n_unique() < 5 or (values.dtype.is_integer() and values.n_unique() == len(values)):
            continue
        quantiles: Any = {values.quantile(share, "nearest") for share in QUANTILES}
        steps = sorted(map(float, quantiles - {values.min()}))
        low, high = ENDS.get(name, ("lower", "higher"))
        shown = [f"{step:g}" if step == float(f"{step:g}") else repr(step) for step in steps]
        above, below = ([f"{_filter_name(name)} {sign} {step}" for step in shown] for sign in (">=", "<"))
        columns.append(Range(name, low, high, above, below))
    return columns[:MAX_RANGES]


def choices(items: pl.DataFrame) -> list[Kind]:
    """Returns the columns whose values repeat, the category and the brand first."""
    category = category_column(items, AUTO)
    first = [name for name in (category, BRAND) if name in items.columns]
    kinds = [Kind(name, _values(items[name], name == category)) for name in dict.fromkeys([*first, *items.columns])]
    return [kind for kind in kinds if len(kind.values) > 1][:MAX_CHOICES]


def image_column(items: pl.DataFrame) -> str | None:
    """Returns the first column, by name, whose values look like addresses of images."""
    for name, kind in items.schema.items():
        if IMAGE.search(name) and kind in (pl.String, pl.List(pl.String)):
            values = items[name].explode() if kind == pl.List(pl.String) else items[name]
            seen = values.drop_nulls().head(100).to_list()
            if seen and all(_ADDRESS.match(value) for value in seen):
                return name
    return None


def _values(column: pl.Series, is_category: bool) -> list[tuple[str, str]]:
    """Returns the frequent values of a column in alphabetical order; none where they do not repeat."""
    name, kind = _filter_name(column.name), column.dtype
    if column.name == ITEM_ID or not name:
        return []
    if kind == pl.Boolean:
        return [("yes", f"{name} == true"), ("no", f"{name} == false")] if column.n_unique() > 1 else []
    if kind not in (pl.String, pl.Categorical, pl.Enum, pl.List(pl.String)):
        return []
    is_part = kind == pl.List(pl.String) or (is_category and kind == pl.String)
    values = category_parts(column)[PART] if is_part else column.cast(pl.String).drop_nulls()
    counts = values.alias("value").value_counts().filter(pl.col("value").str.len_chars().is_between(1, MAX_TEXT))
    frequent = (
        counts.filter(pl.col("count").is_between(2, len(column) - 1))
        .sort(["count", "value"], descending=[True, False])
        .head(MAX_VALUES)
    )
    if frequent["count"].sum() < len(values) * (0 if is_category or column.name == BRAND else 0.5):
        return []
    chosen = sorted(frequent["value"].to_list(), key=str.casefold)
    return [
        (value, f"{_string_literal(value)} in {name}" if is_part else f"{name} == {_string_literal(value)}") for value in chosen
    ]


def _filter_name(column: str) -> str:
    """Returns a column as filters name it; empty where they cannot."""
    return column if _PLAIN.match(column) else "" if "`" in column or not column else f"`{column}`"


def _string_literal(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


HOW_PREFER = (
    "A slider adds to the log-probability of what it names, inside the search; lists are ordered by the sum. "
    "Arrows say where an item stood without preferences."
)
HOW_BEAMS = (
    "The search grows IDs code by code, and keeps the most promising prefixes after each: by probability, and by the best "
    "preference below them. Marked are those that lead into the list."
)
# Nothing runs and nothing is loaded but this page's own script and style, the service's answers, and images of items.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {styles}; connect-src 'self'; img-src http: https: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def try_it_page(data: dict[str, Any], *, lead: str) -> str:
    """The document.

    Args:
        data: what the script reads; see ``genrec.serving.pages.page_data``.
        lead: one sentence about the recommender.
    """
    folder = files("genrec.reports")
    body = join(
        tag(
            "div",
            tag("div", _history(), _preferences(), class_="asked"),
            _answers(),
            class_="try",
        ),
        section(
            "Level by level",
            tag("div", id="beams", class_="beams", tabindex="0", role="region", aria_label="Level by level"),
            note=HOW_BEAMS,
        ),
        tag("noscript", tag("p", "This page needs JavaScript.", class_="warning")),
        tag("script", embedded(data), type="application/json", id="data"),
        tag("script", Markup((folder / "try_it.js").read_text(encoding="utf-8")), type="module"),
    )
    style = (folder / "try_it.css").read_text(encoding="utf-8")
    return render("Try it", lead=lead, body=body, style=style)


def policy_of(html: str) -> str:
    """The Content-Security-Policy that lets a page's own scripts and styles be, and no others."""

    def hashes(element: str) -> str:
        texts = re.findall(rf"<{element}(?: type=\"module\")?>(.*?)</{element}>", html, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return POLICY.format(scripts=hashes("script"), styles=hashes("style"))


def _history() -> Markup:
    box = _input(
        type="search",
        id="search",
        placeholder="Find items by title or id",
        autocomplete="off",
        aria_label="Words of a title, or an id",
        aria_controls="found",
    )
    return tag(
        "section",
        tag("h2", "A history"),
        tag("div", box, tag("ul", id="found", aria_live="polite", aria_label="Found items"), class_="finder"),
        tag("p", tag("select", id="samples", aria_label="A sample user"), class_="samples", hidden=""),
        tag("ol", id="history", aria_label="The history, oldest first"),
        tag("p", id="none", class_="note"),
        tag("p", id="next", class_="next", hidden=""),
        tag("button", "Clear", type="button", id="clear", class_="quiet", hidden=""),
    )


def _preferences() -> Markup:
    box = _input(type="text", id="filter", placeholder="price < 20", autocomplete="off", spellcheck="false")
    seen = _input(type="checkbox", id="seen")
    return tag(
        "section",
        tag(
            "details",
            tag("summary", tag("h2", "What it should be like")),
            tag("div", id="knobs"),
            tag("div", id="asked"),
            tag("label", "Asked for ", _words("query", "shampoo, not perfume"), class_="line", hidden=""),
            tag("label", "Rather ", _words("wish", "for dry hair, not blue"), class_="line", hidden=""),
            tag("label", "Filter ", box, class_="line"),
            tag("label", seen, " leave out what is in the history", class_="check-line"),
            tag("p", HOW_PREFER, class_="note"),
            tag("button", "No preferences", type="button", id="reset", class_="quiet", hidden=""),
            id="preferences",
        ),
    )


def _words(name: str, example: str) -> Markup:
    return _input(type="text", id=name, placeholder=example, autocomplete="off", maxlength=LONGEST_TEXT)


def _answers() -> Markup:
    return tag(
        "section",
        tag("h2", "What comes next"),
        tag("p", id="status", role="status", class_="note"),
        tag("p", id="wrong", role="alert", class_="warning", hidden=""),
        tag("ol", id="list", aria_label="Recommendations, the best first"),
        tag("details", tag("summary", "The call behind it"), tag("pre", tag("code", id="call"), class_="scroll", tabindex="0")),
        class_="answers",
    )


def _input(**attributes: object) -> Markup:
    return Markup(tag("input", **attributes).removesuffix("</input>"))


class PageCache:
    """The page of each catalogue that is in use.

    Args:
        limits: of the service, which the page keeps to.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pages: WeakKeyDictionary[ItemTable, tuple[str, str]] = WeakKeyDictionary()

    def page_for(self, catalogue: Catalogue) -> tuple[str, str]:
        """Returns the document, and its Content-Security-Policy."""
        page = self._pages.get(catalogue.table)
        if page is None:
            html = try_it_page(page_data(catalogue, self._limits), lead=_lead(catalogue))
            page = self._pages[catalogue.table] = html, policy_of(html)
        return page


def page_data(catalogue: Catalogue, limits: Limits) -> dict[str, Any]:
    """Returns the data of the page's script: columns, sliders, sample histories and limits."""
    table = catalogue.table
    knobs, kinds = ranges(table.frame), choices(table.frame)
    return {
        "title": table.title,
        "image": image_column(table.frame),
        "facts": [*(kind.column for kind in kinds), *(knob.column for knob in knobs)],
        "ranges": [vars(knob) for knob in knobs],
        "choices": [vars(kind) for kind in kinds],
        "samples": [list(history) for history in catalogue.samples],
        "words": [name for name, hears in (("query", catalogue.schema.text_dim), ("wish", catalogue.vectors)) if hears]
        if catalogue.texts is not None
        else [],
        "request": _request_fields(catalogue.schema),
        "times": _times(catalogue) if catalogue.needs_times else None,
        "excludeSeen": catalogue.exclude_seen,
        "k": min(10, limits.k, len(table)),
        "found": min(12, limits.k),
        "historyLen": limits.history_len,
        "lookUp": min(50, limits.items),
    }


def _request_fields(schema: EventSchema) -> list[dict[str, Any]]:
    """Returns what a request may say of the item that is wanted: names, and the words of a category; a time is a number."""
    columns = [schema[name] for name in schema.request]
    fields: list[dict[str, Any]] = [
        {"name": column.name, "words": list(column.vocabulary)} for column in columns if column.kind == "category"
    ]
    fields += [{"name": column.name, "words": None} for column in columns if column.kind == "number"]
    return fields + ([{"name": TIME, "words": None}] if any(column.kind == "time" for column in columns) else [])


def _times(catalogue: Catalogue) -> dict[str, Any]:
    """Returns the times of the samples, and when items that a person adds are: the first, and the gap after it.

    The first is as late as the latest event of the samples, and the gap is the median of theirs; without samples, as if the
    training data had dates: now, and a day.
    """
    # The page keeps numbers alone: a missing time becomes the one before, or the one after.
    clocks = [pl.Series(clock_times, dtype=pl.Float64).forward_fill().backward_fill() for clock_times in catalogue.sample_times]
    times = [clock.fill_null(0.0).to_numpy() for clock in clocks]
    gaps = np.concatenate([np.diff(clock_times) for clock_times in times]) if times else np.zeros(0)
    gaps = gaps[gaps > 0]
    return {
        "samples": [clock_times.tolist() for clock_times in times],
        "start": float(np.concatenate(times).max()) if times else float(int(time.time())),
        "gap": float(np.median(gaps)) if len(gaps) else 86_400.0,
    }


def _lead(catalogue: Catalogue) -> str:
    sids = catalogue.table.sids
    ids = "" if sids is None else f" by IDs of {' × '.join(map(str, sids.sizes))} codes"
    return f"{type(catalogue.generator).__name__} recommends from {len(catalogue.table):,} items{ids}."


_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}pre{overflow-x:auto;padding:1em}"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def calls_page(document: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the page of the calls, and its Content-Security-Policy."""
    parts = []
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(call.get('description', ''))}</p>")
            names = [parameter["name"] for parameter in call.get("parameters", ())]
            if names:
                parts.append(f"<p>Parameters: {', '.join(f'<code>{escape(name)}</code>' for name in names)}</p>")
            parts += [f"<pre>{escape(json.dumps(example, indent=2))}</pre>" for example in _examples(document, call)[:1]]
    title = f"{escape(document['info']['title'])} {escape(document['info']['version'])}"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    lead = '<p>The whole document: <a href="/openapi.json">/openapi.json</a>. A page to try it: <a href="/">/</a>.</p>'
    return f"{head}<h1>{title}</h1>{lead}{''.join(parts)}</html>", _POLICY


def _examples(document: Mapping[str, Any], call: Mapping[str, Any]) -> list[Any]:
    schema = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return list(document.get("components", {}).get("schemas", {}).get(name, {}).get("examples", ()))
