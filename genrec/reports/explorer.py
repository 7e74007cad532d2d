"""The page that explores the semantic IDs of one run or two, and the data that its script reads.

Trees are sent as columns of codes, sorted, so that any prefix is a range of rows. The most popular items are sent by name;
of the others only how many of them, and of their events, lie under each short prefix: no total changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from genrec.core.dataset import Dataset
from genrec.core.item_labels import item_labels, number_labels
from genrec.core.sids import SIDTable
from genrec.diagnosis.id_health import health
from genrec.diagnosis.id_neighbours import nearest
from genrec.engine.components import component_class
from genrec.engine.runs import Run
from genrec.errors import ConfigError
from genrec.model.item_vectors import JOINT, read_vectors
from genrec.reports.page import Markup, embedded, join, render, tag
from genrec.reports.report import lineage
from genrec.reports.run_sections import HOW_CODEBOOKS, codebooks_section
from genrec.types import ITEM_ID

MAX_NAMED = 40_000  # items sent by name
NEIGHBOURS_OF = 20_000  # most popular items that neighbours are found of
REST_LEVELS = 2  # the prefix by which all other items are counted
NUM_NEIGHBOURS = 5
TITLES = ("title", "name")  # columns, the first that is there
TITLE_BYTES = 3_000_000  # of all titles together; longer ones are cut
TITLE_WIDTHS = (140, 100, 80, 60, 45, 30, 20)  # characters


@dataclass(frozen=True)
class Explored:
    """A run as far as the explorer looks at it.

    Args:
        name: of the run.
        dataset: its items and training counts.
        sids: their IDs; where those end in tokens, all codes of the tokenizer in their place.
        vectors: that the tokenizer could see, or None.
        ordered: whether its levels go from coarse to fine.
    """

    name: str
    dataset: Dataset
    sids: SIDTable
    vectors: Float[np.ndarray, "items dim"] | None = None
    ordered: bool = True

    @property
    def own_levels(self) -> int:
        """Levels that the tokenizer chose: all but the one that tells collisions apart."""
        return self.sids.num_levels if self.sids.collision_level is None else self.sids.collision_level


def read_run(run: Run) -> Explored:
    """Reads what the explorer needs of a run: its semantic IDs, and what these were made from.

    Raises:
        ArtifactError: when the run has no semantic IDs, or their dataset is gone.
    """
    artifacts = lineage(run, run.artifact("sids"))
    dataset = artifacts.get("dataset") or run.artifact("dataset")
    ordered, vectors = True, None
    if "tokenizer" in artifacts:
        config = artifacts["tokenizer"].config["tokenizer"]
        ordered = component_class(config, "tokenizer").traits.ordered  # type: ignore[attr-defined]
    if "encoder" in artifacts:
        vectors = read_vectors(artifacts["encoder"].path).get(JOINT)
    sids = SIDTable.load(artifacts["sids"].path)
    if sids.content is not sids:  # the IDs keep only the first of these codes
        sids = SIDTable(sids.content.codes, sids.content.sizes, codebooks=sids.codebooks)
    return Explored(run.name, Dataset.load(dataset.path), sids, vectors, ordered)


def payload(runs: Sequence[Explored]) -> dict[str, Any]:
    """Returns the data that the page's script reads.

    Returns:
        ``items``: the named items, most popular first: ``ids``, ``titles``, and for every kind of label its place in
        ``labels`` (-1: none). ``runs``: for each its ``tree``, and ``neighbours`` as rows of ``items`` [rows * 5] or None;
        ``nearest`` says what they are.

    Raises:
        ConfigError: when two runs have no item in common.
    """
    catalog = catalog_of(runs)
    ids = catalog[ITEM_ID].to_list()
    row_of = {item_id: row for row, item_id in enumerate(ids)}
    items: dict[str, Any] = {"ids": ids, "titles": short_titles(catalog["title"])}
    labels: dict[str, list[str]] = {}
    for column in catalog.columns[3:]:
        labels[column], numbers = number_labels(catalog[column])
        items[column] = numbers.tolist()
    limited = f" among the {NEIGHBOURS_OF:,} most popular items" if len(ids) > NEIGHBOURS_OF else ""
    return {
        "items": items,
        "labels": labels,
        "nearest": f"Nearest by the encoder's vectors{limited}",
        "runs": [_run(run, row_of) for run in runs],
    }


def catalog_of(runs: Sequence[Explored], limit: int = MAX_NAMED) -> pl.DataFrame:
    """The items sent by name, most popular first: the columns of ``described``.

    Raises:
        ConfigError: when two runs have no item in common.
    """
    frames = [described(run.dataset) for run in runs]
    if len(frames) == 2 and frames[0].join(frames[1], on=ITEM_ID, how="semi").is_empty():
        raise ConfigError(
            "explore",
            expected=f"a run with items of {runs[0].name}",
            got=runs[1].name,
            fix="put runs on the same catalogue side by side",
        )
    union = pl.concat(frames, how="diagonal").unique(ITEM_ID, keep="first", maintain_order=True)
    return union.sort("events", descending=True, maintain_order=True).head(limit)


def described(dataset: Dataset) -> pl.DataFrame:
    """``item_id``, ``title`` (empty where there is none), ``events`` in training, and the columns of ``item_labels``."""
    items = dataset.items
    title = next((pl.col(name).cast(pl.String) for name in TITLES if name in items.columns), pl.lit(""))
    return items.select(
        pl.col(ITEM_ID).cast(pl.String),
        title.fill_null("").alias("title"),
        pl.Series("events", dataset.train_counts),
        **item_labels(items),
    )


def short_titles(titles: pl.Series, limit: int = TITLE_BYTES) -> list[str]:
    """Titles cut, with an ellipsis, to the first width at which all of them together fit."""
    for width in TITLE_WIDTHS:
        fits = titles.str.len_chars() <= width
        cut = pl.DataFrame({"t": titles, "fits": fits}).select(
            pl.when("fits").then(pl.col("t")).otherwise(pl.col("t").str.slice(0, width - 1) + "…")
        )["t"]
        if int(cut.str.len_bytes().sum() or 0) <= limit:
            break
    return cut.to_list()


def tree(codes: np.ndarray, events: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """The ID tree as columns.

    Args:
        codes: [items, levels].
        events: training events of each item.
        rows: place of each item among the named ones; -1: only counted.

    Returns:
        ``item``, ``events`` and ``codes`` (one list a level) of the named items, in the order of their codes; ``rest``:
        ``codes`` of the short prefixes that hold others, how many ``items``, and their ``events``.
    """
    named = np.flatnonzero(rows >= 0)
    order = named[np.lexsort(codes[named].T[::-1])]
    others = np.flatnonzero(rows < 0)
    prefixes, group = np.unique(codes[others, :REST_LEVELS], axis=0, return_inverse=True)
    group = group.ravel()
    return {
        "item": rows[order].tolist(),
        "events": events[order].tolist(),
        "codes": codes[order].T.tolist(),
        "rest": {
            "codes": prefixes.T.tolist(),
            "items": np.bincount(group, minlength=len(prefixes)).tolist(),
            "events": np.bincount(group, events[others], minlength=len(prefixes)).astype(np.int64).tolist(),
        },
    }


def _run(run: Explored, row_of: Mapping[str, int]) -> dict[str, Any]:
    rows = np.array([row_of.get(item_id, -1) for item_id in run.dataset.item_ids.to_list()], dtype=np.int64)
    return {
        "name": run.name,
        "sizes": list(run.sids.sizes),
        "ownLevels": run.own_levels,
        "tree": tree(run.sids.codes, run.dataset.train_counts, rows),
        "neighbours": _neighbours(run, rows, len(row_of)),
    }


def _neighbours(run: Explored, rows: np.ndarray, num_named: int) -> list[int] | None:
    """Flat [rows * 5]: of the most popular items, among themselves."""
    popular = np.flatnonzero((rows >= 0) & (rows < NEIGHBOURS_OF))
    if run.vectors is None or len(popular) <= NUM_NEIGHBOURS:
        return None
    neighbours = np.full((min(num_named, NEIGHBOURS_OF), NUM_NEIGHBOURS), -1, dtype=np.int64)
    neighbours[rows[popular]] = rows[popular][nearest(run.vectors[popular], NUM_NEIGHBOURS)]
    return neighbours.ravel().tolist()


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
    unique = run.sids.unique_rate(run.own_levels)
    sizes = " x ".join(map(str, run.sids.sizes[: run.own_levels]))
    start = f"{run.name}: " if num_runs > 1 else ""
    rest = "." if run.own_levels == run.sids.num_levels else " before a last level tells the others apart."
    return f"{start}{run.sids.num_items:,} items in {sizes} codes; {unique:.1%} have an ID of their own{rest}"


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
