"""Which classes may stand where: the shipped configuration is the list.

Every ``_target_`` of ``conf/<group>/*.yaml`` may stand in that group, and every ``_target_`` below one where its like stands.
So nothing unknown is imported, and a new plug-in needs no entry anywhere but its yaml. Of packages that the caller allowed any
class will do that offers what its place asks for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from genrec.engine.aliases import TARGET, current

# What a class must be, by the group it stands in: one of some protocols of ``genrec.protocols``, where the members are written.
# Groups of mere settings are not listed.
PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "data": ("DataSource",),
    "split": ("Splitter",),
    "encoder": ("ItemEncoder",),
    "tokenizer": ("ItemTokenizer",),
    "collision": ("CollisionPolicy",),
    "generator": ("Generator",),
    "objective": ("Objective",),
    "decoding": ("DecodingStrategy",),
    "logger": ("Logger",),
    "metric": ("HitMetric", "ListMetric"),
}
NAMED: Mapping[tuple[str, str], str] = {  # (group, parameter) -> the group of the components that the parameter names
    ("evaluate", "metrics"): "metric",
}
BASELINE, BASELINE_PROTOCOLS = "baselines", ("Floor",)  # they stand below other components only


@dataclass(frozen=True)
class Slot:
    """A place for components.

    Args:
        name: of the place, for messages.
        targets: the shipped classes that may stand there.
        protocols: names in ``genrec.protocols``, one of which any other class has to fit.
    """

    name: str
    targets: frozenset[str]
    protocols: tuple[str, ...] = ()

    def of(self, parameter: str) -> Slot | None:
        """The place below one of its components at a parameter; None where nothing shipped stands there."""
        groups, below = _shipped()
        for (group, name), part in NAMED.items():
            if name == parameter and groups.get(group, frozenset()) & self.targets:
                return slot_of(part)
        names = frozenset(
            name
            for group, targets in groups.items()
            if targets & self.targets
            for name in below.get((group, parameter), frozenset())
        )
        return _place(names) if names else None


def conf_folder() -> Path:
    """The shipped configuration: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@cache
def slot_of(group: str) -> Slot | None:
    """The place of a group; None when there is no such group."""
    groups, _ = _shipped()
    return Slot(group, groups[group], PROTOCOLS.get(group, ())) if group in groups else None


@cache
def any_slot() -> Slot:
    """Any place at all: all shipped classes."""
    groups, below = _shipped()
    return Slot("components", frozenset().union(*groups.values(), *below.values()))


def protocol_slot(protocol: str) -> Slot | None:
    """The place of what offers one of ``genrec.protocols``, by the protocol's name."""
    group = next((group for group, names in PROTOCOLS.items() if protocol in names), None)
    return slot_of(group) if group else None


def _place(names: frozenset[str]) -> Slot:
    """The place of classes that stand below another: a group's, when they are options of it."""
    groups, below = _shipped()
    for group, targets in groups.items():
        if names & targets:
            return Slot(group, targets, PROTOCOLS.get(group, ()))
    alike = names.union(*(others for others in below.values() if others & names))
    return Slot(BASELINE, alike, BASELINE_PROTOCOLS)


@cache
def _shipped() -> tuple[Mapping[str, frozenset[str]], Mapping[tuple[str, str], frozenset[str]]]:
    """Group -> its classes; (group, parameter) -> the classes below one of the group's at this parameter."""
    import yaml  # here, so that `import genrec` stays instant

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    groups: dict[str, set[str]] = defaultdict(set)
    below: dict[tuple[str, str], set[str]] = defaultdict(set)
    for folder in sorted(path for path in conf_folder().iterdir() if path.is_dir()):
        for file in sorted(folder.glob("*.yaml")):
            tree = yaml.load(file.read_text(encoding="utf-8"), Loader=loader) or {}
            for group, node in tree.items() if folder.name == "experiment" else [(folder.name, tree)]:
                if not isinstance(node, Mapping):
                    continue
                if isinstance(node.get(TARGET), str):
                    groups[group].add(current(node[TARGET]))
                for parameter, value in node.items():
                    below[group, parameter].update(_targets(value))
    return (
        {group: frozenset(targets) for group, targets in groups.items()},
        {place: frozenset(targets) for place, targets in below.items() if targets},
    )


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get(TARGET), str):
            yield current(node[TARGET])
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)
