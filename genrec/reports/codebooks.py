"""How healthy semantic IDs are: how evenly levels are used, and whether what shares a prefix belongs together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from genrec.reports.charts import Kind, grouped_bars
from genrec.reports.page import Markup, plain_table, section, tag
from genrec.statistics.numbers import ratio

BARS: tuple[tuple[str, Kind, Callable[[Mapping[str, Any]], float | None]], ...] = (
    ("codes in use", "bound", lambda level: level["usage"]),
    ("perplexity / codes", "model", lambda level: ratio(level["perplexity"], level["size"])),
    ("Gini", "baseline", lambda level: level.get("gini")),
)
# heading, key, how it is written; an artifact of an earlier version knows fewer of them
LEVEL_COLUMNS = (
    ("perplexity", "perplexity", "{:.1f}"),
    ("bits added", "conditional_entropy", "{:.1f}"),
)
PREFIX_COLUMNS = (
    ("own ID", "unique_rate", "{:.1%}"),
    ("largest group", "largest_group", "{:,}"),
    ("error left", "relative_error", "{:.3f}"),
    ("category left", "category_entropy", "{:.2f}"),
    ("brand left", "brand_entropy", "{:.2f}"),
    ("next item", "next_item_rate", "{:.2%}"),
)
HOW_CODEBOOKS = (
    "Perplexity is the number of codes that would be as hard to guess if all were equally frequent; Gini is 0 when all hold "
    "equally many items and near 1 when few hold all. A level adds as many bits as it tells beyond the levels before it. From "
    "there on a row is about the first levels together: items with an ID of their own, squared error left of the vectors' "
    "variance, bits by which an item's category and brand are still uncertain, and how often a user's next item in training "
    "stays within the prefix."
)


def codebooks_section(
    health: Mapping[str, Any], resolved: Mapping[str, Any] | None = None, *, title: str = "Semantic IDs", note: str = HOW_CODEBOOKS
) -> Markup:
    """Usage per level, and what leading levels tell.

    Args:
        health: health.json of a tokenizer.
        resolved: facts of the table that a collision policy made of its codes.
        title: of the section.
        note: how to read it.
    """
    levels, prefixes = health["levels"], health["prefixes"]
    series = [(name, kind, values) for name, kind, of in BARS if None not in (values := [of(level) for level in levels])]
    usage = {f"level {i}, {level['size']:,} codes": [bar[2][i] for bar in series] for i, level in enumerate(levels)}
    of_level = [column for column in LEVEL_COLUMNS if levels and column[1] in levels[0]]
    of_prefix = [column for column in PREFIX_COLUMNS if prefixes and column[1] in prefixes[0]]
    rows = [
        [str(i), *(_cell(level, *column[1:]) for column in of_level), *(_cell(prefix, *column[1:]) for column in of_prefix)]
        for i, (level, prefix) in enumerate(zip(levels, prefixes, strict=True))
    ]
    return section(
        title,
        grouped_bars("How evenly codes are used", usage, {name: kind for name, kind, _ in series}),
        plain_table("Figures of each level", ["level", *(column[0] for column in (*of_level, *of_prefix))], rows),
        *(tag("p", line) for line in _sentences(health, resolved)),
        note=note,
    )


def _cell(figures: Mapping[str, Any], key: str, form: str) -> Markup | str:
    value_text = form.format(figures[key])
    if f"{key}_chance" not in figures:
        return value_text
    return Markup(value_text + tag("small", "chance " + form.format(figures[f"{key}_chance"])))


def _sentences(health: Mapping[str, Any], resolved: Mapping[str, Any] | None) -> Iterator[str]:
    if kept := health.get("neighbourhood"):
        yield (
            f"Of an item's {kept['k']} nearest by the encoder, {kept['rate']:.1%} are among its nearest by ID "
            f"(chance: {kept['chance']:.2%})."
        )
    if "collisions" in health:
        items, groups, largest = (health["collisions"][key] for key in ("items", "groups", "largest"))
        yield (
            f"{items:,} of {health['num_items']:,} share all codes with another, in {groups:,} groups of up to {largest:,}."
            if groups
            else "No two items share all codes."
        )
    if resolved:
        rate, before, moved = (resolved[key] for key in ("unique_rate", "unique_rate_before", "moved_rate"))
        yield (
            f"After collisions were resolved {rate:.1%} of the items have an ID of their own, {before:.1%} before; {moved:.1%} "
            "moved to other codes."
        )
