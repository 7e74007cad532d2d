"""The explorer: the tree of semantic IDs as a map to walk in, its items, collisions and levels, for one run or two."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from genrec.core.item_labels import item_labels, number_labels
from genrec.diagnosis.id_health import health
from genrec.reports.codebooks import HOW_CODEBOOKS, codebooks_section
from genrec.reports.explorer_data import Explored, payload
from genrec.reports.page import Markup, embedded, join, render, tag

HOW = (
    "An area is a prefix, as large as the items (or training events) under it. Coloured by category or brand it has the colour "
    "of the most frequent one: the stronger, the more of its items have it; by popularity, the stronger the more events it "
    "has an item. Click or press Enter to go in, Escape to go back, arrow keys to move."
)
SCRIPTS = ("explorer_tree.js", "explorer_map.js", "explorer.js")  # one after the other, in one scope
POPULARITY = "popularity"  # the colour where there are no labels


def explorer_page(runs: Sequence[Explored]) -> str:
    """A self-contained page.

    Args:
        runs: one, or two to stand side by side.

    Raises:
        ConfigError: when two runs have no item in common.
    """
    folder = files("genrec.reports")
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    names = " and ".join(run.name for run in runs)
    data = payload(runs)
    data["colours"] = [*data["labels"], POPULARITY]
    body = join(
        tag(
            "section",
            _finder(),
            _choice("area", ("items", "events")),
            _choice("colour", data["colours"]),
            tag("p", HOW, class_="note"),
            class_="toolbar",
        ),
        tag("div", *(_view(run, len(runs)) for run in runs), class_="views"),
        tag("div", *(_levels(run, len(runs), HOW_CODEBOOKS if run is runs[0] else "") for run in runs), class_="views"),
        tag("noscript", tag("p", "The map and the search need JavaScript.", class_="warning")),
        tag("script", embedded(data), type="application/json", id="data"),
        tag("script", Markup(f'(() => {{\n"use strict";\n{script}}})();')),
    )
    style = (folder / "explorer.css").read_text(encoding="utf-8")
    return render(f"Semantic IDs of {names}", lead=" ".join(_lead(run, len(runs)) for run in runs), body=body, style=style)


def _finder() -> Markup:
    box = tag(
        "input",
        type="search",
        id="search",
        placeholder="Find an item by title or id",
        autocomplete="off",
        aria_label="Title or id of an item",
        aria_controls="results",
    )
    return tag("div", Markup(box.removesuffix("</input>")), tag("ul", id="results", aria_live="polite"), class_="finder")


def _choice(key: str, values: Sequence[str]) -> Markup:
    buttons = (tag("button", value, type="button", data_key=key, data_value=value, aria_pressed="false") for value in values)
    spaced = join(*(part for button in buttons for part in (" ", button)))
    return tag("div", key.capitalize(), spaced, class_="choice", role="group", aria_label=key)


def _view(run: Explored, num_runs: int) -> Markup:
    """The empty places that the script fills."""
    title = run.name if num_runs > 1 else "The tree"
    tiles = join(tag("canvas", aria_hidden="true"), tag("div", class_="tiles-of", role="group", aria_label=title))
    return tag(
        "section",
        tag("h2", title),
        tag("nav", class_="crumbs", aria_label=f"Prefix in {title}"),
        tag("div", tag("div", tiles, class_="map"), tag("div", class_="panel"), class_="walk"),
        tag("details", tag("summary", "Collisions"), tag("div", class_="collisions")),
        class_="view",
    )


def _lead(run: Explored, num_runs: int) -> str:
    own = run.sids.unique_rate(run.own_levels)
    sizes = " x ".join(map(str, run.sids.sizes[: run.own_levels]))
    start = f"{run.name}: " if num_runs > 1 else ""
    rest = "." if run.own_levels == run.sids.num_levels else " before a last level tells the others apart."
    return f"{start}{run.sids.num_items:,} items in {sizes} codes; {own:.1%} have an ID of their own{rest}"


def _levels(run: Explored, num_runs: int, note: str) -> Markup:
    """The health of the table's own levels, as they are after collisions were resolved."""
    figures = health(
        run.sids.codes[:, : run.own_levels],
        run.sids.sizes[: run.own_levels],
        space=run.vectors,
        ordered=run.ordered,
        labels={name: number_labels(labels)[1] for name, labels in item_labels(run.dataset.items).items()},
        train=run.dataset.train,
    )
    return codebooks_section(figures, title=f"Levels of {run.name}" if num_runs > 1 else "Levels", note=note)
