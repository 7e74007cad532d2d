"""How well the semantic IDs use their codebooks, from a tokenizer's health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrec.pages.charts import grouped_bars
from genrec.pages.page import Markup, plain_table, section


def codebooks_section(health: Mapping[str, Any]) -> Markup:
    """Usage per level and what each level adds.

    Args:
        health: health.json of a tokenizer.
    """
    levels, prefixes = health["levels"], health["prefixes"]
    usage = {
        f"level {i}, {level['size']:,} codes": [level["usage"], level["perplexity"] / level["size"]]
        for i, level in enumerate(levels)
    }
    columns = [
        "level",
        "codes",
        "used",
        "perplexity",
        "largest code",
        "items with a prefix of their own",
        "largest group",
        "error left",
    ]
    rows = [
        [
            str(i),
            f"{level['size']:,}",
            f"{level['usage']:.1%}",
            f"{level['perplexity']:.1f}",
            f"{level['largest_share']:.1%} of items",
            f"{prefix['unique_rate']:.1%}",
            f"{prefix['largest_group']:,} items",
            f"{prefix['relative_error']:.3f}" if prefix.get("relative_error") is not None else "",
        ]
        for i, (level, prefix) in enumerate(zip(levels, prefixes, strict=True))
    ]
    return section(
        "Semantic IDs",
        grouped_bars("Codebook usage", usage, {"codes in use": "bound", "perplexity / codes": "model"}),
        plain_table("Codebook usage per level", columns, rows),
        note=f"{1 - health['collision_rate']:.1%} different IDs per item before collisions are resolved. "
        "Perplexity is the number of codes that would be as hard to guess if all were equally frequent.",
    )
