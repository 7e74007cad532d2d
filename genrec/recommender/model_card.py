"""The model card: describes a bundle by its facts, in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from genrec.engine.components import TARGET

SOURCE_SETTINGS = (  # settings of data sources that the card names; others may be confidential
    *("dataset", "config", "category", "edition", "split", "num_users", "num_items", "events_per_user", "seed"),
)
TAGS = ("recommender-system", "sequential-recommendation", "generative-recommendation", "semantic-ids")
HOW_TO = """\
```python
import genrec

recommender = genrec.load("path/to/this/folder")
recommender.recommend([["an item's id", "a later item's id"], []], k=10)  # history, rank, item_id, score
recommender.items
"""


def model_card(bundle: Mapping[str, Any], *, title: str, license: str | None) -> str:
    """Returns the README.md of a bundle.

    Args:
        bundle: the content of bundle.json.
        title: the heading.
        license: SPDX id, or None.
    """
    front = ["library_name: genrec", "tags:", *(f"- {tag}" for tag in TAGS)]
    if license is not None:
        front.insert(0, f"license: {json.dumps(license)}")
    facts, config = bundle["facts"], bundle["config"]
    sections = {
        "What it is": _description(facts, config),
        "What it was trained on": _data(facts["dataset"], bundle["source"]),
        "Semantic IDs": _sids(facts) if "sids" in facts else [],
        "Validation": _best(facts["generator"]["best"]),
        "Use": [HOW_TO + ("recommender.sids\n```" if "sids" in facts else "```")],
        "Limits": list(_limits(facts, bundle["exclude_seen"])),
    }
    lines = ["---", *front, "---", "", f"# {title}"]
    for heading, body in sections.items():
        if body:
            lines += ["", f"## {heading}", "", *body]
    components = json.dumps({key: _public_settings(node) for key, node in config.items()}, indent=2, ensure_ascii=False)
    lines += ["", "## Settings", "", f"Made by genrec {bundle['genrec']}.", "", "```json", components, "```", ""]
    return "\n".join(lines)


def _description(facts: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    generator, decoding = _class(config["generator"]), _class(config["decoding"])
    weights, longest = facts["generator"]["num_weights"], facts["generator"]["max_history_len"]
    how = "It writes the semantic ID of the next item, level by level" if "sids" in facts else "It scores every item at once"
    return [
        f"`{generator}` with {weights:,} weights, decoded by `{decoding}`: given the items a user took, oldest first, it ranks "
        f"{facts['dataset']['num_items']:,} items by how likely each is next. {how}; it reads the last {longest} items."
    ]


def _data(facts: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    order, split = facts["order"], facts["split"]
    settings = ", ".join(f"{key} {source[key]}" for key in SOURCE_SETTINGS if key in source)
    rule = ", ".join(f"{key} {value}" for key, value in split.items() if key != "rule")
    return [
        f"- Source: `{_class({TARGET: source['source']})}`" + (f" ({settings})" if settings else ""),
        f"- {facts['num_interactions']:,} interactions of {facts['num_users']:,} users with {facts['num_items']:,} items; "
        f"{facts['cold_items']:,} items are not in the training part",
        f"- Split: {split['rule']}" + (f" ({rule})" if rule else "") + "; only its training part was fitted on",
        f"- Order: by {order['by']}, equal keys by {order['ties']}; {order['tied_events']:,} events stand in ties",
        *(
            f"- Removed by {removed['by']}: {removed['interactions']:,} interactions, {removed['users']:,} users, "
            f"{removed['items']:,} items"
            for removed in facts["removed"]
        ),
    ]


def _sids(facts: Mapping[str, Any]) -> list[str]:
    sids, tokenizer = facts["sids"], facts["tokenizer"]
    perplexity = ", ".join(f"{value:.1f}" for value in tokenizer["perplexity"])
    collision = sids["collision_level"]
    return [
        f"- Codes per level: {' x '.join(map(str, sids['sizes']))}"
        + (f"; level {collision} tells items apart that share all others" if collision is not None else ""),
        f"- Perplexity of the tokenizer's levels: {perplexity}",
        f"- Items with an ID of their own: {sids['unique_rate']:.1%} ({sids['unique_rate_before']:.1%} before collisions were "
        "resolved)",
        f"- Layout `{sids['layout']}`, table `{sids['table']}`; as parquet, csv and json lines in `sids/`",
    ]


def _best(best: Mapping[str, Any]) -> list[str]:
    """Returns the validation figures of the exported weights. The evaluation of the whole run is not in the bundle."""
    figures = [f"- {key}: {value:.4f}" for key, value in best.items() if key.startswith("val/")]
    head = f"At the kept checkpoint, after {best['targets']:,} targets, on a sample of the users, seen items left out:"
    return [head, "", *figures] if figures else []


def _limits(facts: Mapping[str, Any], exclude_seen: bool) -> Iterator[str]:
    yield f"- Items of a user's own history are {'left out' if exclude_seen else 'recommended too'} unless you say otherwise."
    yield "- It knows the order of items, not when they were taken, and nothing else about users."
    yield "- Ids that are not in its catalogue are left out of histories, with a warning."
    if cold := facts["dataset"]["cold_items"]:
        yield f"- {cold:,} items were never trained on; trust their ranks less."


def _public_settings(node: Any) -> Any:
    """Returns a component's settings; of a plug-in only the class, since its settings may be confidential."""
    if not isinstance(node, Mapping):
        return node
    if TARGET in node and not str(node[TARGET]).startswith("genrec."):
        return {TARGET: node[TARGET]}
    return {key: _public_settings(value) for key, value in node.items()}


def _class(node: Mapping[str, Any]) -> str:
    return str(node[TARGET]).rpartition(".")[2]
