"""Components as Python objects: ``genrec.run(tokenizer=RQKMeans(num_levels=4))`` becomes the settings that say the same.

An object is read as scikit-learn reads its estimators: a constructor keeps each of its arguments as an attribute of the same
name. This is checked for each object: a second object made from what was read must read alike. What needs arguments that only a
run has (a generator needs the semantic IDs) cannot be made before the run: it is given as its class, or as its class with some
settings, ``configured(EncDec, dim=64)``. An object states all its settings; a class states only those that were given with it,
and the rest is what its option's file and the experiment say, as when they are typed.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any

from genrec.engine.aliases import TARGET, current
from genrec.engine.memory_tables import write_once
from genrec.engine.registry import PROTOCOLS, conf_folder, groups_of, members_in_words, missing_members, slot_of
from genrec.engine.signatures import in_words, parameters
from genrec.errors import ConfigError, GenRecError, did_you_mean
from genrec.references import expand_path
from genrec.types import RUNTIME

_DEFAULTS = "defaults"  # Hydra's list of what a file starts from
FOLDER = "settings"  # inside the store: yamls of settings that the command line cannot hold
_SCALARS = (type(None), str, PurePath, bool, int, float)
_PLAIN = (*_SCALARS, bytes, list, tuple, set, frozenset, Mapping)


def configured(component: type, /, **settings: Any) -> functools.partial[Any]:
    """A component's class with some of its settings, for ``genrec.run``, which builds it once the other arguments are there.

    It is needed for classes whose constructors take what only a run has: generators and objectives. ``functools.partial`` does
    the same, without the check.

    Args:
        component: a plug-in's class, genrec's or your own.
        settings: arguments of its constructor; other components among them as objects, or by ``configured`` again.

    Raises:
        ConfigError: for what is no class, and for settings that its constructor does not take.

    Examples:
        >>> from genrec.generators import EncDec
        >>> configured(EncDec, dim=64).keywords
        {'dim': 64}
    """
    where = getattr(component, "__name__", "component")
    settings_of_class = functools.partial(_checked_class(component, where), **settings)
    _configured_settings(settings_of_class, where)
    return settings_of_class


@dataclass(frozen=True)
class ComponentSettings:
    """Components as settings.

    Args:
        named: keys and values of the command line that say what the objects say.
        plugins: packages of the classes that are not genrec's.
    """

    named: dict[str, Any] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()


def is_component_object(group: str, value: Any) -> bool:
    """Whether a setting is a component's object or class, and not text, a number, a mapping or a table."""
    plain = isinstance(value, _PLAIN) or hasattr(value, "ndim")
    return not plain and (slot_of(group) is not None or isinstance(value, type | functools.partial))


def component_settings(objects: Mapping[str, Any], store: Callable[[], Path], *, experiment: bool) -> ComponentSettings:
    """The settings that say what some components say.

    Args:
        objects: group -> an object, a class, or a class with settings.
        store: the folder for what the command line cannot hold, asked for when it is needed.
        experiment: whether an experiment may set what the options' files leave alone.

    Raises:
        ConfigError: for an object that does not fit its group, or whose settings cannot be read; and for a class that another
            process could not import.
    """
    named: dict[str, Any] = {}
    plugins: list[str] = []
    for group, value in objects.items():
        node, complete = _group_node(group, value)
        plugins += [root for root in _roots(node) if root not in ("genrec", *plugins)]
        option = _option(group, node, complete)
        settings = {key: setting for key, setting in node.items() if key != TARGET}
        if complete:
            settings |= _defaults(value, settings, option, experiment=experiment)
        if option is None or any(map(_has_mapping, settings.values())):
            named[group] = str(_written(group, node | settings, option, store()))
        else:
            named[group] = option.name
            named |= {f"{group}.{key}": setting for key, setting in settings.items()}
    return ComponentSettings(named, tuple(plugins))


# --- from an object to a node ----------------------------------------------------------------------------------------------


def _class_of(value: Any) -> Any:
    component = value.func if isinstance(value, functools.partial) else value
    return component if isinstance(component, type) else type(component)


def _group_node(group: str, value: Any) -> tuple[dict[str, Any], bool]:
    """The node of a group's component, and whether it states all settings that differ from the constructor's defaults."""
    slot = slot_of(group)
    if slot is None:
        raise ConfigError(group, expected="a group of components", got=_shown(value), fix=did_you_mean(group, groups_of()))
    if isinstance(value, FunctionType | functools.partial) and not isinstance(getattr(value, "func", None), type):
        fix = "give the class itself, an object of it, or genrec.configured(ItsClass, setting=...)"
        raise ConfigError(group, expected="a component", got=_shown(value), fix=fix)
    component, complete = _class_of(value), not isinstance(value, type | functools.partial)
    target = f"{component.__module__}.{component.__qualname__}"
    if target not in slot.targets:
        others = groups_of(target)
        if others or target.startswith("genrec."):
            fix = f"give it as {others[0]}=" if others else did_you_mean(component.__name__, _class_names(slot.targets))
            raise ConfigError(group, expected=f"a class for {group}", got=target, fix=fix)
        if missing := missing_members(component, PROTOCOLS.get(group, ())):
            expected = f"a class for {group}, with {members_in_words(PROTOCOLS[group])}"
            raise ConfigError(group, expected=expected, got=f"{target} without {', '.join(missing)}", fix="name another")
    return _node(value, group), complete


def _class_names(targets: frozenset[str]) -> list[str]:
    return [target.rpartition(".")[2] for target in sorted(targets)]


def _node(value: Any, where: str) -> dict[str, Any]:
    """The node of an object, a class, or a class with settings."""
    component = _checked_class(_class_of(value), where)
    if isinstance(value, type):
        settings: dict[str, Any] = {}
    else:
        settings = _configured_settings(value, where) if isinstance(value, functools.partial) else _read_settings(value, where)
    return {TARGET: f"{component.__module__}.{component.__qualname__}", **settings}


def _checked_class(component: Any, where: str) -> Any:
    """The class, when another process can import it under its name.

    Raises:
        ConfigError: when not.
    """
    if not isinstance(component, type):
        raise ConfigError(where, expected="a class", got=_shown(component), fix="give a plug-in's class")
    module, name = component.__module__, component.__qualname__
    root = module.partition(".")[0]
    spec = find_spec(root) if root != "__main__" else None
    in_package = spec is not None and spec.submodule_search_locations is not None
    if not in_package or getattr(importlib.import_module(module), name, None) is not component:
        expected = "a class that another process can import from a package"
        fix = f"write it into a package of your own; `genrec new {_kind(where)} my_pkg.mine` starts one"
        raise ConfigError(where, expected=expected, got=f"{module}.{name}", fix=fix)
    return component


def _kind(where: str) -> str:
    kinds = ("tokenizer", "generator", "objective", "metric", "encoder")
    return where if where in kinds else kinds[0]


def _configured_settings(settings_of_class: functools.partial[Any], where: str) -> dict[str, Any]:
    """Returns the settings of ``genrec.configured`` as a configuration has them."""
    component = settings_of_class.func
    accepted = list(parameters(component))
    if settings_of_class.args:
        got, fix = f"{settings_of_class.args[0]!r:.80}", "give every setting by its name"
        raise ConfigError(where, expected="settings with their names", got=got, fix=fix)
    for name, value in settings_of_class.keywords.items():
        supplied = name in RUNTIME and not isinstance(value, _SCALARS)
        if supplied or name not in accepted:
            fix = "leave it out, a run supplies it" if supplied else did_you_mean(name, set(accepted) - RUNTIME)
            raise ConfigError(f"{where}.{name}", expected=f"a setting of {component.__name__}", got=f"{value!r:.80}", fix=fix)
    return {name: _setting(value, f"{where}.{name}") for name, value in settings_of_class.keywords.items()}


def _read_settings(component: Any, where: str) -> dict[str, Any]:
    """The settings of an object that differ from its constructor's defaults.

    Raises:
        ConfigError: when they cannot be read, or no such object can be made before a run.
    """
    kind: Any = type(component)
    accepted = parameters(kind)
    asked = f"give the class with its settings: genrec.configured({kind.__name__}, ...)"
    if supplied := [name for name, parameter in accepted.items() if parameter.required and name in RUNTIME]:
        expected = f"a class, as only a run has the {supplied[0]} that its objects are made with"
        raise ConfigError(where, expected=expected, got=_shown(component), fix=asked)
    names = [name for name in accepted if name not in RUNTIME or isinstance(getattr(component, name, ...), _SCALARS)]
    if hidden := [name for name in names if not hasattr(component, name)]:
        expected = f"an object that keeps each of its settings as an attribute, {hidden[0]} too"
        raise ConfigError(where, expected=expected, got=_shown(component), fix=asked)
    read, default = _readings(component, names, where), _readings(_by_default(component), names, where)
    settings = {name: read[name] for name in names if accepted[name].required or read[name] != default[name]}
    try:
        again = _readings(kind(**{name: _argument(component, name) for name in settings}), names, where)
    except (GenRecError, ValueError, TypeError):  # what was kept is no argument
        again = {}
    if altered := [name for name in names if name not in again or again[name] != read[name]]:
        expected = "an object that keeps each of its settings as it was given"
        got = f"{_shown(component)} with {altered[0]}={read[altered[0]]!r:.60}"
        raise ConfigError(where, expected=expected, got=got, fix=asked)
    return settings


def _by_default(component: Any) -> Any:
    """An object of the same class with the constructor's defaults, where there are any."""
    kind: Any = type(component)
    accepted = parameters(kind)
    return kind(**{name: getattr(component, name) for name, parameter in accepted.items() if parameter.required})


def _readings(component: Any, names: Iterable[str], where: str) -> dict[str, Any]:
    return {name: _setting(_argument(component, name), f"{where}.{name}") for name in names}


def _argument(component: Any, name: str) -> Any:
    """The argument that an object was made with; one that a baseline leaves open was null."""
    return None if name in getattr(component, "open_settings", ()) else getattr(component, name)


def _setting(value: Any, where: str) -> Any:
    """A value as a configuration holds it: components as nodes, paths as text, sequences as lists.

    Raises:
        ConfigError: for a value that no configuration can hold.
    """
    if getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        value = value.item()
    elif getattr(value, "ndim", None) == 1:
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return [_setting(part, f"{where}[{i}]") for i, part in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): _setting(part, f"{where}.{key}") for key, part in value.items()}
    if not isinstance(value, (*_PLAIN, FunctionType)) and not hasattr(value, "ndim"):
        return _node(value, where)
    raise ConfigError(where, expected="a component, or a value that a yaml can hold", got=_shown(value), fix=f"change {where}")


def _shown(value: Any) -> str:
    """A value as messages name it: an object by its class, a function by its name."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, FunctionType):
        return f"the function {value.__name__}"
    if isinstance(value, (*_PLAIN, functools.partial)):
        return f"{value!r:.80}"
    return f"an object of {type(value).__name__}"


def _roots(node: Any) -> Iterator[str]:
    """The top-level packages of all classes in a node."""
    if isinstance(node, Mapping):
        if TARGET in node:
            yield str(node[TARGET]).partition(".")[0]
        for value in node.values():
            yield from _roots(value)
    elif isinstance(node, list):
        for value in node:
            yield from _roots(value)


# --- from a node to settings -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Option:
    """An option of a group.

    Args:
        name: of its file.
        content: of its file as it is written, with references such as ``${seed}``, without its list of defaults.
        choices: the entries of that list that choose options of other groups.
        extends: whether the list names another option of its own group.
    """

    name: str
    content: Mapping[str, Any]
    choices: tuple[Any, ...]
    extends: bool


def _option(group: str, node: Mapping[str, Any], complete: bool) -> _Option | None:
    """The option of a group that has the node's class; of several the one that is nearest to the constructor's defaults."""
    component = _imported(node[TARGET])
    accepted = parameters(component)
    options = list(_options(group, node[TARGET]))
    if not options:
        return None

    def departure(option: _Option) -> tuple[bool, int, bool]:
        others = {key: value for key, value in option.content.items() if key in accepted and not accepted[key].required}
        named_so = option.name in ("default", component.__module__.rpartition(".")[2])
        changed = sum(not _refers(value) and not _equal(value, accepted[key].default) for key, value in others.items())
        return option.extends, changed, not named_so

    nearest = min(map(departure, options))
    candidates = [option for option in options if departure(option) == nearest]
    for name, parameter in accepted.items():
        unsaid = parameter.required and name not in node and name not in RUNTIME
        if unsaid and len({repr(option.content.get(name)) for option in candidates}) > 1:
            fix = f"give genrec.configured({component.__name__}, {name}=...)"
            raise ConfigError(f"{group}.{name}", expected=in_words(parameter.annotation), got="nothing", fix=fix)
    return candidates[0]


def _options(group: str, target: str) -> Iterator[_Option]:
    import yaml

    folders = [conf_folder() / group]
    root = target.partition(".")[0]
    if root != "genrec" and (spec := find_spec(root)) is not None:
        folders += [Path(place) / "conf" / group for place in spec.submodule_search_locations or ()]
    for file in (file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.yaml"))):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if isinstance(content, Mapping) and current(str(content.get(TARGET))) == target:
            defaults = content.get(_DEFAULTS, [])
            choices = tuple(entry for entry in defaults if isinstance(entry, Mapping))
            whole = {key: value for key, value in content.items() if key != _DEFAULTS}
            yield _Option(file.stem, whole, choices, extends=len(choices) < len(defaults))


def _imported(target: str) -> type:
    module, _, name = target.rpartition(".")
    component: type = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    return component


def _refers(value: Any) -> bool:
    """Whether a file's value refers to another setting, such as the run's seed."""
    return isinstance(value, str) and "${" in value


def _equal(value: Any, default: Any) -> bool:
    return value == (list(default) if isinstance(default, tuple) else default)


def _defaults(component: Any, settings: Mapping[str, Any], option: _Option | None, *, experiment: bool) -> dict[str, Any]:
    """The constructor's defaults that an object has, where something else would hold if they were left unsaid.

    Seed and precision are left to the run, of which the option's file takes them.
    """
    written: Mapping[str, Any] = {} if option is None else option.content
    by_default, unsaid, kind = _by_default(component), {}, _class_of(component)
    for name, parameter in parameters(kind).items():
        if name in settings or name in RUNTIME or parameter.required or _refers(written.get(name)):
            continue
        value = written.get(name, parameter.default)
        same = _equal(value, parameter.default) or value == _setting(_argument(by_default, name), name)
        if not same or (option is not None and experiment):
            unsaid[name] = _setting(parameter.default, name)
    return unsaid


def _has_mapping(value: Any) -> bool:
    """Whether a setting has a mapping in it, which the command line would mix with that of the option's file."""
    return isinstance(value, Mapping) or (isinstance(value, list) and any(map(_has_mapping, value)))


def _written(group: str, node: Mapping[str, Any], option: _Option | None, store: Path) -> Path:
    """A yaml of the settings, in the store, named by its content: an option of the group as a user's own yaml is."""
    import yaml

    from genrec.engine.components import path_places

    said = {key: _literal(value) for key, value in node.items()}
    for reference in path_places(said, group):  # they start at the working folder, the yaml lies elsewhere
        path = expand_path(reference.holder[reference.key])
        if reference.certain or path.exists():
            reference.holder[reference.key] = str(path.absolute())
    content: dict[str, Any] = {_DEFAULTS: list(option.choices)} if option and option.choices else {}
    content |= {**(option.content if option else {}), **said}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    name = str(node[TARGET]).rpartition(".")[2]
    file = store.absolute() / FOLDER / f"{name}-{sha256(text.encode()).hexdigest()[:12]}.yaml"
    write_once(file, text.encode())
    return file


def _literal(value: Any) -> Any:
    """A setting whose texts are what they are: OmegaConf reads ``${...}`` in a yaml, unless a backslash is before it."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
    if isinstance(value, Mapping):
        return {key: _literal(part) for key, part in value.items()}
    return [_literal(part) for part in value] if isinstance(value, list) else value
