"""Components that another component's list names: ``evaluate.metrics=[default,mine]`` means options of the ``metric`` group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrec.engine.registry import NAMED
from genrec.errors import ConfigError, did_you_mean

DEFAULT = "default"  # in such a list: what stands there unless a list is given
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "metric": (
        *("recall", "ndcg", "mrr", "precision", "hit", "map"),
        *("novelty", "repeat_rate", "diversity", "prefix_diversity", "serendipity", "miscalibration"),
        *("coverage", "gini", "popularity_lift"),
    ),
}


def name_parts(tree: Mapping[str, Any], options: Mapping[str, Mapping[str, Path]]) -> None:
    """Replaces the names in such lists by the nodes of their yamls, in place. A mapping of nodes stays as it is.

    Args:
        tree: the composed configuration.
        options: group -> option -> file.

    Raises:
        ConfigError: for a name that is no option.
    """
    for (group, parameter), part in NAMED.items():
        node = tree.get(group)
        if isinstance(node, dict) and isinstance(node.get(parameter), list | str):
            names = [node[parameter]] if isinstance(node[parameter], str) else node[parameter]
            node[parameter] = _nodes(names, options.get(part, {}), f"{group}.{parameter}", part, tree)


def _nodes(
    names: list[Any], options: Mapping[str, Path], where: str, part: str, tree: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    from omegaconf import OmegaConf

    found: dict[str, dict[str, Any]] = {}
    for name in names:
        if name != DEFAULT and name not in options:
            fix = did_you_mean(str(name), [DEFAULT, *options])
            raise ConfigError(where, expected=f"{DEFAULT} and options of {part}", got=str(name), fix=fix)
        for each in DEFAULTS[part] if name == DEFAULT else [name]:
            node = OmegaConf.create({"seed": tree.get("seed"), "part": OmegaConf.load(options[each])})
            plain: Any = OmegaConf.to_container(node, resolve=True)
            found[each] = plain["part"]
    return found
