"""The page to try a recommender: what stands on it before its script fills it, and what a browser may do with it."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Any

from genrec.reports.page import Markup, embedded, join, render, section, tag

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
            tag("label", "Filter ", box, class_="line"),
            tag("label", seen, " leave out what is in the history", class_="check-line"),
            tag("p", HOW_PREFER, class_="note"),
            tag("button", "No preferences", type="button", id="reset", class_="quiet", hidden=""),
            id="preferences",
        ),
    )


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
