"""Names that moved: where classes and modules stood when they were first published, and where they stand now.

Names outlive the layout of this package: users' yamls, artifacts and bundles name classes (``_target_``), and users' plug-ins
import modules. ``genrec.engine.former_names`` holds the tables, one line a name. With them:

- a class is looked up under its current path, and its parameters by their current names, whichever a configuration has;
- fingerprints are made of the names published first, and of added parameters only where they change something, so that no
  artifact is made again because of a move or of an option that it does not use;
- an import of the former path gives the classes and functions of today, with a DeprecationWarning that says the new path.

A line is ``former name: next name``. Lines may follow each other (a -> b, b -> c). A line of a package holds for the modules
below it; the longest line wins, and a line of ``CLASSES`` before any of ``MODULES``. Where two modules became one, each class
that configurations name needs a line of its own. A former name must not be used for something else later.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from genrec.engine.former_names import ADDED, ADDED_READINGS, ANY_VALUE, CLASSES, MODULES, PARAMETERS

TARGET = "_target_"  # the key under which a configuration names a class
_PACKAGE = f"{__name__.partition('.')[0]}."
_DEEPEST = 8  # parts of a former path at most: a stranger's bundle may name anything


def current(path: str) -> str:
    """Where a class or a module stands now; a path that never moved is returned as it is."""
    for _ in range(len(CLASSES) + len(MODULES)):  # a line holds once: longer chains are circles
        following = _following(path)
        if following == path:
            break
        path = following
    return path


def first_published(path: str) -> str:
    """The path under which a class or a module was published first, from any of its paths."""
    path = current(path)
    for _ in range(len(CLASSES) + len(MODULES)):
        former = _former(path)
        if former is None:
            break
        path = former
    return path


def current_parameter(path: str, name: str) -> str:
    """Returns the current name of a parameter of a class."""
    return _newer(path).get(name, name)


def with_current(node: Any) -> Any:
    """A copy of a configuration in current names: every ``_target_``, and the parameters of what it names."""
    return _renamed(node, current, _newer)


def with_current_parameters(node: Any) -> Any:
    """A copy of a configuration in which parameters have current names, and every ``_target_`` is as given."""
    return _renamed(node, lambda path: path, _newer)


def with_first_published(node: Any) -> Any:
    """A copy of a configuration as it was published first, which fingerprints are made of: names, and no unused additions."""
    return _renamed(_without_added(with_current(node)), first_published, _older)


def published_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what ``with_first_published`` makes of a stage's settings, without unset ones that it did not read at first."""
    published = with_first_published(settings)
    return {key: value for key, value in published.items() if key not in ADDED_READINGS or (value and set(value) != {TARGET})}


def _older(path: Any) -> dict[str, str]:
    """Current name of a parameter -> the one published first."""
    return {now: old for old, now in reversed(_newer(path).items())}


def _without_added(node: Any) -> Any:
    """A copy of a configuration in current names without the added parameters that mean what was before."""
    if isinstance(node, Mapping):
        path = node.get(TARGET)
        added: dict[str, Any] = {}
        for name, values in ADDED.items() if isinstance(path, str) else ():
            added |= values if current(name) == path else {}
        return {
            key: _without_added(value)
            for key, value in node.items()
            if key not in added or (added[key] is not ANY_VALUE and (value, type(value)) != (added[key], type(added[key])))
        }
    if isinstance(node, list | tuple):
        return [_without_added(value) for value in node]
    return node


def moved_names(node: Any, where: str = "") -> Iterator[str]:
    """Yields a line for each former name in a configuration: the key, and what to write instead."""
    if isinstance(node, Mapping):
        names = _newer(node.get(TARGET))
        for key, value in node.items():
            place = f"{where}.{key}" if where else str(key)
            if key in names:
                yield f"{place} is {place.removesuffix(str(key))}{names[key]} now"
            if key == TARGET and isinstance(value, str):
                if (now := current(value)) != value:
                    yield f"{place}={value} is {now} now"
            else:
                yield from moved_names(value, place)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from moved_names(value, f"{where}[{i}]")


def _newer(path: Any) -> dict[str, str]:
    """Former name of a parameter -> its current one, for a class; the order is that of the table."""
    lines: dict[str, str] = {}
    if isinstance(path, str) and PARAMETERS:
        now = current(path)
        for name, renamed in PARAMETERS.items():
            lines |= renamed if current(name) == now else {}
    for old in lines:
        for _ in lines:  # a name may have changed twice
            lines[old] = lines.get(lines[old], lines[old])
    return lines


def _following(path: str) -> str:
    """The path after one line of the tables."""
    if path in CLASSES:
        return CLASSES[path]
    parts = path.split(".", _DEEPEST)
    for end in range(len(parts), 0, -1):
        if (moved := MODULES.get(".".join(parts[:end]))) is not None:
            return ".".join([moved, *parts[end:]])
    return path


def _former(path: str) -> str | None:
    """The path before the line of the tables that led here; of several lines the first, so the order of the lines counts."""
    lines = [(old, new) for old, new in MODULES.items() if path == new or path.startswith(f"{new}.")]
    lines.sort(key=lambda line: -len(line[1]))
    candidates = [old for old, new in CLASSES.items() if new == path]
    candidates += [old + path.removeprefix(new) for old, new in lines]
    return next((candidate for candidate in candidates if _following(candidate) == path), None)


def _renamed(node: Any, rename: Callable[[str], str], names_of: Callable[[Any], Mapping[str, str]]) -> Any:
    if isinstance(node, Mapping):
        names = names_of(node.get(TARGET))
        whole = {key: _renamed(value, rename, names_of) for key, value in node.items()}
        if isinstance(whole.get(TARGET), str):
            whole[TARGET] = rename(whole[TARGET])
        for old in [key for key in whole if key in names]:  # a user's yaml has the one name, the shipped one the other
            whole[names[old]] = _merged(whole.get(names[old]), whole.pop(old))
        return whole
    if isinstance(node, list | tuple):
        return [_renamed(value, rename, names_of) for value in node]
    return node


def _merged(below: Any, above: Any) -> Any:
    """Two values of one setting: ``above`` holds, of mappings key by key."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: _merged(below.get(key), value) for key, value in above.items()}}


# --- imports of former paths ---------------------------------------------------------------------------------------------


class FormerPaths:
    """Finds modules under their former paths; one of ``sys.meta_path``. It imports nothing until such a path is asked for."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module that moved, of a package that has none but such modules, or of a module that classes left."""
        if not name.startswith(_PACKAGE):
            return None
        if current(name) != name:
            return _stand_in(name)
        left = any(old.rpartition(".")[0] == name for old in CLASSES)
        above = any(old.startswith(f"{name}.") for old in (*MODULES, *CLASSES))
        if not left and not above:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:  # nothing is there any more, or a folder without code
            return _stand_in(name) if above else None
        if not left:
            return None
        loader: Any = _ModuleThatClassesLeft(spec.loader)
        spec.loader = loader
        return spec


def _stand_in(name: str) -> ModuleSpec:
    loader: Any = _MovedModule()
    return ModuleSpec(name, loader, is_package=True)


class _MovedModule:
    """Loads a stand-in that has whatever the tables lead to; the classes are those of the new module, not copies."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if (now := current(name)) != name and not hasattr(importlib.import_module(now), "__path__"):
            warnings.warn(
                f"{name} is {now} now: import that", DeprecationWarning, stacklevel=2
            )  # a package: what is taken of it
        vars(module)["__getattr__"] = lambda attribute: _attribute(name, attribute)
        vars(module)["__dir__"] = lambda: _public_names(now)


class _ModuleThatClassesLeft:
    """Loads a module as it is, and adds that it answers for the classes that stood in it before."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:  # source code, resources: what others ask of a loader
        if name == "_loader":  # a copy that has not been filled yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        name, module_getattr = module.__name__, vars(module).get("__getattr__")

        def attribute(asked: str) -> Any:
            return (
                module_getattr(asked)
                if module_getattr is not None and f"{name}.{asked}" not in CLASSES
                else _attribute(name, asked)
            )

        vars(module)["__getattr__"] = attribute


def _attribute(module: str, name: str) -> Any:
    """Returns what a name of a former module means today.

    Raises:
        AttributeError: when it means nothing.
    """
    path = f"{module}.{name}"
    if name == "__all__":
        return _public_names(current(module))
    now = current(path)
    if now == path or name.startswith("__"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    home, _, last = now.rpartition(".")
    try:
        value = getattr(importlib.import_module(home), last)
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {module!r} has no attribute {name!r}") from error
    if path in CLASSES or hasattr(sys.modules.get(current(module)), "__path__"):
        warnings.warn(f"{path} is {now} now: import that", DeprecationWarning, stacklevel=3)
    return value


def _public_names(module: str) -> list[str]:
    names = vars(sys.modules.get(module, ModuleType(module)))
    return list(names.get("__all__", [name for name in names if not name.startswith("_")]))


def find_former_paths() -> None:
    """Makes imports of former paths work in this process. First in line: a former package's folder may still hold caches."""
    if FormerPaths not in sys.meta_path:
        sys.meta_path.insert(0, FormerPaths)
