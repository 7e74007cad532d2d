"""Which classes a configuration may name in which group, and which members a class needs there.

The shipped configuration is the list: every ``_target_`` of ``conf/<group>/*.yaml`` may be used in that group, and every
``_target_`` below a component wherever a component of the same kind is used. So nothing unknown is imported, and a new plug-in
needs no entry but its yaml. From packages that the caller allowed, any class is accepted that has the members of
the group's protocol (``genrec.protocols``).

Protocols are loaded by name, only when a class that genrec does not ship is chosen, because they import torch. mypy and the
contract suites check the shipped classes against them.

A room exports the plug-ins that the shipped yamls name, and a few classes more; each is imported when it is used.
"""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
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
BASELINE, BASELINE_PROTOCOLS = "baselines", ("Baseline",)  # they are used below other components only


@dataclass(frozen=True)
class Slot:
    """A position in the configuration where a component is expected.

    Args:
        name: of the position, for messages.
        targets: the shipped classes that are allowed there.
        protocols: names in ``genrec.protocols``, one of which any other class has to fit.
    """

    name: str
    targets: frozenset[str]
    protocols: tuple[str, ...] = ()

    def of(self, parameter: str) -> Slot | None:
        """Returns the slot at a parameter of its components; None where no shipped class is used there."""
        groups, below = _shipped_classes()
        for (group, name), part in NAMED.items():
            if name == parameter and groups.get(group, frozenset()) & self.targets:
                return slot_of(part)
        names = frozenset(
            name
            for group, targets in groups.items()
            if targets & self.targets
            for name in below.get((group, parameter), frozenset())
        )
        return _slot_below(names) if names else None


def conf_folder() -> Path:
    """Returns the folder of the shipped configuration: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@cache
def slot_of(group: str) -> Slot | None:
    """Returns the slot of a group; None when there is no such group."""
    groups, _ = _shipped_classes()
    return Slot(group, groups[group], PROTOCOLS.get(group, ())) if group in groups else None


def groups_of(target: str | None = None) -> list[str]:
    """The groups that a shipped class may stand in; without one, all groups."""
    groups, _ = _shipped_classes()
    return [group for group, targets in groups.items() if target is None or target in targets]


@cache
def any_slot() -> Slot:
    """Returns a slot that allows all shipped classes."""
    groups, below = _shipped_classes()
    return Slot("components", frozenset().union(*groups.values(), *below.values()))


def protocol_slot(protocol: str) -> Slot | None:
    """Returns the slot of classes that implement a protocol of ``genrec.protocols``, by its name."""
    group = next((group for group, names in PROTOCOLS.items() if protocol in names), None)
    return slot_of(group) if group else None


def _slot_below(names: frozenset[str]) -> Slot:
    """Returns the slot of classes that are used below another component: that of a group, if they are options of it."""
    groups, below = _shipped_classes()
    for group, targets in groups.items():
        if names & targets:
            return Slot(group, targets, PROTOCOLS.get(group, ()))
    siblings = names.union(*(others for others in below.values() if others & names))
    return Slot(BASELINE, siblings, BASELINE_PROTOCOLS)


@cache
def _shipped_classes() -> tuple[Mapping[str, frozenset[str]], Mapping[tuple[str, str], frozenset[str]]]:
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
        {key: frozenset(targets) for key, targets in below.items() if targets},
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


def missing_members(component: Any, protocols: tuple[str, ...]) -> list[str]:
    """Returns the members of a protocol that a class or an object lacks; of several protocols, those of the nearest one.

    Args:
        component: a class, of which methods and class attributes are asked for, or an object, of which what its constructor
            sets is, too. Properties are not: some are there after ``fit`` only.
        protocols: names in ``genrec.protocols``; one of them has to fit.
    """
    return min((_missing_names(component, _protocol(name)) for name in protocols), key=len, default=[])


def members_in_words(protocols: tuple[str, ...]) -> str:
    """``fit, encode, save``: the members that a class must have, the alternatives one after the other."""
    return " or ".join(", ".join(_members(_protocol(name), of_objects=False)) for name in protocols)


def fits_class(component: type, protocol: type) -> bool:
    """Whether objects of a class have a protocol's methods and class attributes; what constructors set is not asked for.

    ``isinstance`` is the test for objects, but a class is often all there is: nothing is built before a run starts.
    """
    return not _missing_names(component, protocol)


def _missing_names(component: Any, protocol: type) -> list[str]:
    names = _members(protocol, of_objects=not isinstance(component, type))
    return [name for name in names if not hasattr(component, name)]


def _protocol(name: str) -> type:
    protocol: type = getattr(importlib.import_module("genrec.protocols"), name)
    return protocol


def _members(protocol: type, *, of_objects: bool) -> list[str]:
    """Class attributes and methods, those of the protocols that it extends first; with what constructors set if asked for."""
    members: dict[str, bool] = {}  # name -> whether the class has it
    for part in reversed(protocol.__mro__):
        if not getattr(part, "_is_protocol", False) or part is typing.Protocol:
            continue
        members |= {name: "ClassVar" in str(kind) for name, kind in inspect.get_annotations(part).items()}
        members |= {name: True for name, value in vars(part).items() if inspect.isfunction(value) and not name.startswith("_")}
    return [name for name, has_class in members.items() if of_objects or has_class]


_TARGET = re.compile(r"^\s*_target_:\s*(genrec\.[\w.]+)", re.MULTILINE)


def export_lazily(room: str, more: Mapping[str, str] | None = None) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and the ``__dir__`` of a room: ``from genrec.tokenizers import RQKMeans`` finds the class's module.

    Args:
        room: the package's name.
        more: other names -> the modules that have them.
    """

    def homes() -> dict[str, str]:
        return {**_plug_ins().get(room, {}), **(more or {})}

    def attribute(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if name[:1].isupper() and (module := homes().get(name)) is not None:  # no module and no private name is spelled so
            return getattr(importlib.import_module(module), name)
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    def names() -> list[str]:
        public = [name for name in vars(importlib.import_module(room)) if not name.startswith("_")]
        return sorted({*public, *homes()})

    return attribute, names


@cache
def _plug_ins() -> dict[str, dict[str, str]]:
    """Room -> class of a shipped yaml -> its module. A class belongs to every package above its module."""
    rooms: dict[str, dict[str, str]] = {}
    for file in sorted(conf_folder().glob("*/*.yaml")):
        for target in _TARGET.findall(file.read_text(encoding="utf-8")):
            module, _, name = current(target).rpartition(".")
            parts = module.split(".")
            for end in range(2, len(parts)):
                rooms.setdefault(".".join(parts[:end]), {})[name] = module
    return rooms
