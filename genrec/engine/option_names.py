"""What the command line calls a component whose settings are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from genrec.engine.components import TARGET
from genrec.engine.config import groups
from genrec.engine.overrides import flat_settings


def option_name(group: str, settings: Mapping[str, Any]) -> str:
    """Returns the option of a group that fits some settings best: what the command line calls it, ``generator=tiger``.

    Args:
        group: of the configuration.
        settings: key -> value, as ``Finished.settings``.

    Returns:
        The option; of a class without a file here its name, and "-" where the group is not used.
    """
    target = settings.get(f"{group}.{TARGET}")
    if target is None:
        return "-"
    fits: dict[str, int] = {}
    for option, file in groups().get(group, {}).items():
        node = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        stated = dict(flat_settings(node, group)) if isinstance(node, dict) else {}
        if stated.get(f"{group}.{TARGET}") == target:
            fits[option] = sum(settings.get(key) == value for key, value in stated.items())
    return max(fits, key=lambda option: fits[option]) if fits else str(target).rpartition(".")[2]
