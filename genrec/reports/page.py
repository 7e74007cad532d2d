"""The one page: escaped HTML from nested calls, put into the template together with the stylesheet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from genrec import __version__


class Markup(str):
    """HTML that needs no escaping any more."""


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element. Children are escaped unless they are ``Markup``; ``class_`` stands for ``class``, ``_`` for ``-``.

    Examples:
        >>> tag("p", "a < b ", tag("b", "!"), class_="note")
        '<p class="note">a &lt; b <b>!</b></p>'
    """
    attribute_text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{attribute_text}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Children side by side; None leaves nothing."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escape(str(child)) for child in children if child is not None)
    )


def section(title: str, *children: object, note: str = "") -> Markup:
    """A card with a heading, and a line that says how to read it."""
    return tag("section", tag("h2", title), tag("p", note, class_="note") if note else None, *children)


def scrolling(label: str, table: Markup) -> Markup:
    """A table that scrolls by itself where the page is narrower, by keyboard too; ``label`` is what it is called there."""
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def plain_table(label: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table whose first column names its rows."""
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns)))
    body = tag("tbody", *(tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows))
    return scrolling(label, tag("table", head, body))


def facts_list(facts: dict[str, object]) -> Markup:
    """Names and values as a definition list."""
    return tag("dl", *(join(tag("dt", key), tag("dd", value)) for key, value in facts.items()))


def embedded(data: Any) -> Markup:
    """JSON that may stand in a script element whatever its strings say."""
    return Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def render(title: str, *, lead: str, body: Markup, style: str = "") -> str:
    """A self-contained document: nothing is loaded from anywhere.

    Args:
        title: of the window and the page.
        lead: one sentence that says it all.
        body: sections.
        style: of this page alone, after the house stylesheet.
    """
    folder = files("genrec.reports")
    return Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        lead=escape(lead),
        body=body,
        style=(folder / "style.css").read_text(encoding="utf-8") + style,
        footer=f"Made by genrec {__version__}.",
    )
