"""Checks the components that a bundle names against slots, signatures and a few rules, before any is built.

A bundle of unknown origin must not reach anything else on the machine that opens it:

- a class is accepted in the slot it was shipped for (``genrec.engine.registry``), or as part of a plug-in that the caller
  allowed;
- no text is a path out of the bundle, an address, or a variable of the environment, whatever its parameter is for;
- a bundle must not set what genrec supplies (``genrec.types.RUNTIME``), nor where vectors are cached;
- a file or folder that a class reads while it is fitted is not opened again. If the class needs it for new items, too
  (``reads_later``: a text encoder's base model), the caller names it: ``external={"encoder.model": FOLDER}``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.engine.aliases import current, with_current_parameters
from genrec.engine.components import UnknownKeyError, component_class, is_component, raise_all, slot_below, value_errors
from genrec.engine.registry import TARGET, Slot, slot_of
from genrec.engine.signatures import Outline, outline_in_source, outline_of
from genrec.errors import ArtifactError, ConfigError, did_you_mean
from genrec.recommender.bundle_layout import CACHE
from genrec.types import RUNTIME

OPENED = ("decoding", "generator")  # groups that are built when a bundle opens
LATER = ("encoder", "tokenizer", "collision")  # groups that are built with the first new item
SUPPLIED = RUNTIME - {"max_history_len"}  # arguments that genrec supplies, whatever a node has
LARGEST = {  # the largest numbers (beams and lists, layers and levels): larger ones would exhaust memory
    "decoding": 100_000,
    "generator": 10_000_000,
    "encoder": 10_000_000,
    "tokenizer": 1_000_000,
    "collision": 10_000_000,
}
_NOWHERE = "\0"  # in a path: no system can open it
_OUTSIDE = re.compile(r"^\s*([/\\~]|[A-Za-z]:[\\/]|file:)|://|\$\{|\0|(^|[\\/])\.\.([\\/]|$)")
_FIX = "export it again, from a run whose settings do not name it"


@dataclass(frozen=True)
class BundleComponents:
    """The components of a bundle, checked and ready to be built.

    Args:
        trees: group -> its node, which names the caller's files and folders and no others.
        missing: place -> path in the bundle, for files and folders that new items need and the caller did not name.
    """

    trees: Mapping[str, Any]
    missing: Mapping[str, str]

    def __getitem__(self, group: str) -> Any:
        return self.trees[group]

    def for_new_items(self, group: str) -> Any:
        """Returns a node that is built when the first new item comes.

        Raises:
            ConfigError: when it needs a file or folder that the caller did not name.
        """
        for key_path, stored_path in self.missing.items():
            if key_path.partition(".")[0] == group:
                how = (
                    f'genrec.load(BUNDLE, external={{"{key_path}": FOLDER}}), genrec serve BUNDLE --external {key_path}=FOLDER'
                )
                raise ConfigError(
                    key_path,
                    expected="what it was trained with, to make vectors of new items; no bundle carries it",
                    got=stored_path,
                    fix=f"say where it is: {how}",
                )
        return self.trees[group]


def check_components(
    path: Path,
    config: Any,
    generator: Any,
    *,
    saved: bool,
    plugins: Collection[str] = (),
    external: Mapping[str, str | Path] | None = None,
) -> BundleComponents:
    """Checks every component of a bundle and builds none.

    Args:
        path: of the bundle, for messages.
        config: the one of its bundle.json.
        generator: the node in the generator's own configuration, which is the one that is built.
        saved: whether the bundle has files that its generator wrote itself.
        plugins: packages beside genrec whose classes it may name.
        external: place -> file or folder that the caller allows for it.

    Raises:
        ArtifactError: for paths out of the bundle, and for keys that a bundle must not set.
        ConfigError: for classes and keys that do not belong there, and for unknown places in ``external``.
    """
    if not isinstance(config, Mapping) or not {"decoding"} <= set(config):
        raise ArtifactError(path, expected="a configuration with decoding", got=repr(config)[:80], fix=_FIX)
    config, generator = with_current_parameters(config), with_current_parameters(generator)
    check = _Check(path, plugins, {} if external is None else dict(external))
    trees: dict[str, Any] = {}
    for group, node in {**config, "generator": generator}.items():
        slot = slot_of(group)
        if slot is None or not is_component(node):
            raise ArtifactError(path, expected="a component of a group", got=f"{group}={node!r}"[:100], fix=_FIX)
        if group in (*OPENED, *LATER):
            trees[group] = check.check_node(node, group, slot, saved=saved)
        else:
            check.check_name(node, group, slot)
    if is_component(config.get("generator")):
        check.check_node(config["generator"], "generator", slot_of("generator"), saved=saved)
    for key_path in check.external:
        if key_path not in check.key_paths:
            fix = did_you_mean(key_path, check.key_paths)
            raise ConfigError("external", expected="a place of the bundle that new items need", got=key_path, fix=fix)
    return BundleComponents(trees, check.missing)


class _Check:
    """One pass over the components of a bundle."""

    def __init__(self, path: Path, plugins: Collection[str], external: dict[str, str | Path]) -> None:
        self.path, self.plugins, self.external = path, plugins, external
        self.key_paths: list[str] = []
        self.missing: dict[str, str] = {}

    def check_node(self, node: Mapping[str, Any], where: str, slot: Slot | None, *, saved: bool = False) -> dict[str, Any]:
        """Returns a copy of a node that may be built."""
        outline, component = self._outline(node, where, slot)
        whole: dict[str, Any] = {TARGET: current(node[TARGET])}
        for key, value in node.items():
            key_path = f"{where}.{key}"
            if key == TARGET:
                continue
            if key in SUPPLIED:
                raise self._error("nothing: genrec supplies it", key_path, value)
            if key not in outline.annotations:
                raise UnknownKeyError(key_path, tuple(outline.annotations))
            if key == CACHE:
                if value != outline.defaults.get(CACHE):
                    raise self._error("nothing: a cache is the caller's to choose", key_path, value)
                if str(node[TARGET]).startswith("genrec."):
                    whole[CACHE] = None  # in memory
                continue
            if outline.names_paths(key):
                inside = saved and "saved" in outline.annotations
                whole[key] = self._external_path(value, key_path, needed=key in outline.reads_later, inside=inside)
                continue
            below = slot_below(component, slot, key) if component else _slot_below(slot, key)
            whole[key] = self._check_value(value, key_path, below)
            if component and not any(True for _ in _components(value)):
                raise_all(value_errors(value, outline.annotations[key], key_path)[:1])
        return whole

    def check_name(self, node: Mapping[str, Any], where: str, slot: Slot) -> None:
        """Checks the class of a node that is never built, such as a training setting. The class is not imported."""
        class_name = str(node[TARGET])
        target = current(class_name)
        root = target.partition(".")[0]
        if target not in slot.targets and (root == "genrec" or root not in {name.partition(".")[0] for name in self.plugins}):
            fix = f"allow it with plugins=[{root}]" if root != "genrec" else did_you_mean(target, slot.targets)
            raise ConfigError(f"{where}.{TARGET}", expected=f"a class for {slot.name}", got=class_name, fix=fix)

    def _outline(self, node: Mapping[str, Any], where: str, slot: Slot | None) -> tuple[Outline, type | None]:
        """Returns the outline of a class. The class is imported if it is built at once or does not belong to genrec."""
        target = current(str(node.get(TARGET)))
        is_later = slot is not None and target in slot.targets and where.partition(".")[0] in LATER
        if is_later and (outline := outline_in_source(target)):
            return outline, None
        component = component_class(node, where, slot, self.plugins)
        return outline_of(component), component

    def _check_value(self, value: Any, key_path: str, slot: Slot | None) -> Any:
        if is_component(value):
            return self.check_node(value, key_path, slot)
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str) or _OUTSIDE.search(key) or re.search(r"[\\/]", key) or key in (".", ".."):
                    raise self._error("names", key_path, key)
            return {key: self._check_value(item, f"{key_path}.{key}", slot) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._check_value(item, f"{key_path}[{i}]", slot) for i, item in enumerate(value)]
        if isinstance(value, str) and _OUTSIDE.search(value):
            raise self._error("a bundle that has all it opens", key_path, value)
        group, name = key_path.partition(".")[0], re.sub(r"\[\d+\]", "", key_path).rpartition(".")[2]
        most = LARGEST.get(group, math.inf) if name != "seed" else math.inf
        if isinstance(value, int | float) and not abs(value) <= most:
            raise self._error(f"numbers up to {most:,}", key_path, value)
        return value

    def _external_path(self, value: Any, key_path: str, *, needed: bool, inside: bool) -> Any:
        """Returns the caller's path for a file or folder that a class names, or a path that cannot be opened."""
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self._external_path(item, f"{key_path}[{i}]", needed=needed, inside=inside) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        group = key_path.partition(".")[0]
        if group in OPENED and not inside:
            raise self._error("a bundle that has all it opens", key_path, value)
        if needed:
            self.key_paths.append(key_path)
            if key_path in self.external:
                target_path = Path(self.external[key_path]).expanduser()
                if not target_path.exists():
                    raise ConfigError(
                        f"external {key_path}", expected="a file or folder", got=str(target_path), fix="correct the path"
                    )
                return str(target_path.resolve())
            self.missing[key_path] = value
        return f"{_NOWHERE}/{Path(value.replace(_NOWHERE, '')).name}"

    def _error(self, expected: str, key_path: str, value: Any) -> ArtifactError:
        return ArtifactError(self.path, expected=expected, got=f"{key_path}={value}"[:200], fix=_FIX)


def _slot_below(slot: Slot | None, parameter: str) -> Slot:
    """Returns the slot below a class of genrec, which accepts the classes that are shipped there."""
    return (slot.of(parameter) if slot else None) or Slot(f"a part at {parameter}", frozenset())


def _components(value: Any) -> Iterator[Mapping[str, Any]]:
    if is_component(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _components(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _components(item)
