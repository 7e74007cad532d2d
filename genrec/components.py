"""Components named in the configuration: found through an allow-list, held against their signatures, built.

A component is a node with ``_target_: genrec.<room>.<module>.<Class>`` and flat arguments, some of which may be components
themselves. Constructor annotations are the schema; there is no second one. A parameter annotated with ``Path`` is an external
file or folder. Parameters named in ``genrec.types.RUNTIME`` are supplied by genrec.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from genrec.errors import ConfigError, GenRecError, did_you_mean
from genrec.paths import expanded
from genrec.ranges import range_errors
from genrec.types import RUNTIME

TARGET = "_target_"
MISSING = "???"  # OmegaConf's word for "must be given"
_NOTHING = inspect.Parameter.empty
_allowed = {"genrec"}  # top-level packages whose classes a configuration, or a stranger's bundle, may name


class UnknownKeyError(ConfigError):
    """A key that nothing reads."""

    def __init__(self, where: str, known: Sequence[str] | Mapping[str, Any] | frozenset[str]) -> None:
        key = where.rpartition(".")[2]
        super().__init__(where, expected="a known key", got=key, fix=did_you_mean(key, known))
        self.args = (f"{where}: unknown key; {self.fix}",)


class ConfigErrors(ConfigError):
    """Everything wrong with a configuration at once, one line each."""

    def __init__(self, errors: Sequence[GenRecError]) -> None:
        first = errors[0]
        super().__init__(first.where, expected=first.expected, got=first.got, fix=first.fix)
        self.errors = tuple(errors)
        self.args = ("\n".join(map(str, errors)),)


def raise_all(errors: Sequence[GenRecError]) -> None:
    """Raises the errors as one, if there are any."""
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors)


def allow_package(name: str) -> None:
    """Lets ``_target_`` name classes of another top-level package (a plug-in the user asked for)."""
    _allowed.add(name.partition(".")[0])


def is_component(value: object) -> bool:
    """Whether a value of the configuration is a component's node."""
    return isinstance(value, Mapping) and TARGET in value


def component_class(node: Mapping[str, Any], where: str = "component") -> type:
    """The class that ``_target_`` names.

    Raises:
        ConfigError: when it is outside the allow-list, or there is no such class.
    """
    target, key = node.get(TARGET), f"{where}.{TARGET}"
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise ConfigError(key, expected="package.module.Class", got=target, fix="name a class of genrec or of a plug-in")
    root, (module, _, name) = target.partition(".")[0], target.rpartition(".")
    allowed = ", ".join(f"{package}." for package in sorted(_allowed))
    if root not in _allowed:
        raise ConfigError(key, expected=f"a class under {allowed}", got=target, fix=f"allow it with plugins=[{root}]")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # a dependency of the module is missing
            raise ConfigError(
                key, expected=f"the package {error.name}, which {target} imports", got="no such package", fix="install it"
            ) from error
        raise ConfigError(key, expected="an importable class", got=target, fix=f"no module {error.name}") from None
    if not isinstance(found, type) or found.__module__.partition(".")[0] not in _allowed:
        raise ConfigError(key, expected=f"a class in {module}", got=target, fix=_other_classes(module, name))
    return found


def _other_classes(module: str, name: str) -> str:
    known = [key for key, value in vars(sys.modules[module]).items() if getattr(value, "__module__", "") == module]
    return did_you_mean(name, known)


@dataclass(frozen=True)
class Parameter:
    """A constructor parameter with its evaluated annotation (``Any`` where it cannot be evaluated)."""

    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        return self.default is _NOTHING


@cache
def parameters(component: type) -> Mapping[str, Parameter]:
    """What a component's constructor takes, by name."""
    init = inspect.unwrap(component.__init__)  # type: ignore[misc]
    scope = vars(sys.modules[component.__module__]) | getattr(init, "__globals__", {})
    found = {}
    for name, parameter in inspect.signature(component).parameters.items():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            found[name] = Parameter(_evaluated(parameter.annotation, scope), parameter.default)
    return types.MappingProxyType(found)


def _evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    if annotation is _NOTHING:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, scope)  # our own source code, what typing.get_type_hints does, but name by name
    except Exception:  # a name that exists for type checkers only
        return Any


# --- checking ----------------------------------------------------------------------------------------------------------


def component_errors(node: Mapping[str, Any], where: str) -> list[GenRecError]:
    """Everything wrong with a component's target, keys and values; it is constructed too, where nothing is missing for that."""
    try:
        component = component_class(node, where)
    except ConfigError as error:
        return [error]
    accepted = parameters(component)
    errors: list[GenRecError] = []
    for key, value in node.items():
        if key == TARGET:
            continue
        if key not in accepted:
            errors.append(UnknownKeyError(f"{where}.{key}", tuple(accepted)))
        elif value == MISSING:
            errors.append(_missing(where, key, accepted[key]))
        else:
            errors.extend(value_errors(value, accepted[key].annotation, f"{where}.{key}"))
    for key, parameter in accepted.items():
        if parameter.required and key not in node and key not in RUNTIME:
            errors.append(_missing(where, key, parameter))
    if not errors:
        settings = {
            key: node.get(key, parameter.default) for key, parameter in accepted.items() if key in node or key not in RUNTIME
        }
        errors.extend(range_errors(component, settings, where))
    if not errors and not _waits_for_runtime(node):
        try:
            instantiate(node, where)
        except GenRecError as error:
            errors.append(error)
    return errors


def _missing(where: str, key: str, parameter: Parameter) -> ConfigError:
    place = f"{where}.{key}"
    return ConfigError(place, expected=_words(parameter.annotation), got="nothing", fix=f"give {place}=...")


def _waits_for_runtime(node: Mapping[str, Any]) -> bool:
    accepted = parameters(component_class(node))
    if any(parameter.required and key not in node for key, parameter in accepted.items()):
        return True
    return any(_waits_for_runtime(nested) for _, nested in _components_in(node, ""))


def value_errors(value: Any, annotation: Any, where: str) -> list[GenRecError]:
    """What keeps a configured value from being what an annotation says; ``int`` counts as ``float``."""
    if is_component(value):
        plain = set(_members(annotation)) <= {int, float, bool, str, Path, type(None)}
        return [_mismatch(value, annotation, where)] if plain else component_errors(value, where)
    trials = [_member_errors(value, member, annotation, where) for member in _members(annotation)]
    return min(trials, key=lambda errors: (len(errors), errors != [] and str(errors[0].where) == where))


def _member_errors(value: Any, member: Any, annotation: Any, where: str) -> list[GenRecError]:
    origin, arguments = typing.get_origin(member), typing.get_args(member)
    kind = origin or member
    if member is Any:
        fits = True
    elif origin is typing.Literal:
        fits = any(value == choice and type(value) is type(choice) for choice in arguments)
        if not fits and isinstance(value, str):
            fix = did_you_mean(value, [choice for choice in arguments if isinstance(choice, str)])
            return [ConfigError(where, expected=_words(annotation), got=value, fix=fix)]
    elif member is type(None):
        fits = value is None
    elif member is bool:
        fits = isinstance(value, bool)
    elif member is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif member is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif member in (str, Path):
        fits = isinstance(value, str)
    elif isinstance(kind, type) and issubclass(kind, Mapping):
        if not isinstance(value, Mapping):
            return [_mismatch(value, annotation, where)]
        inner = arguments[1] if len(arguments) == 2 else Any
        return [error for key, item in value.items() for error in value_errors(item, inner, f"{where}.{key}")]
    elif isinstance(kind, type) and issubclass(kind, Sequence):
        if not isinstance(value, list | tuple):
            return [_mismatch(value, annotation, where)]
        fixed = kind is tuple and arguments and arguments[-1] is not Ellipsis
        if fixed and len(value) != len(arguments):
            return [_mismatch(value, annotation, where)]
        inner_kinds = arguments if fixed else (arguments[0] if arguments else Any,) * len(value)
        pairs = enumerate(zip(value, inner_kinds, strict=True))
        return [error for i, (item, inner) in pairs for error in value_errors(item, inner, f"{where}[{i}]")]
    else:
        fits = False  # a class of ours: only a component would do
    return [] if fits else [_mismatch(value, annotation, where)]


def _mismatch(value: Any, annotation: Any, where: str) -> ConfigError:
    fix = f"change {where}"
    if isinstance(value, int | float) and str in _members(annotation):
        fix = f"""quote it: {where}="'{value}'" """
    return ConfigError(where, expected=_words(annotation), got=repr(value), fix=fix)


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(member for part in typing.get_args(annotation) for member in _members(part))
    return (annotation,)


def _words(annotation: Any) -> str:
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", type(None): "null"}
    told = []
    for member in _members(annotation):
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        kind = origin or member
        if member in plain:
            told.append(plain[member])
        elif origin is typing.Literal:
            told.append("one of " + ", ".join(map(str, arguments)))
        elif isinstance(kind, type) and issubclass(kind, Mapping):
            told.append("a mapping")
        elif isinstance(kind, type) and issubclass(kind, Sequence):
            told.append(f"a list of ({_words(arguments[0])})" if arguments else "a list")
        elif member is Any:
            told.append("a value")
        else:
            told.append(f"a component ({getattr(member, '__name__', member)}) with {TARGET}")
    return " or ".join(told)


# --- building ------------------------------------------------------------------------------------------------------------


def instantiate(node: Mapping[str, Any], where: str = "component", /, **runtime: Any) -> Any:
    """Builds the component of a node, nested ones first.

    Args:
        node: a mapping with ``_target_``; its keys were, or will be, held against the signature.
        where: the node's place in the configuration, for messages.
        runtime: arguments named in ``RUNTIME``; each constructor gets those it takes and its node does not name.

    Raises:
        ConfigError: for an unknown target or key, and for whatever the constructor does not accept.
    """
    component = component_class(node, where)
    accepted = parameters(component)
    for key in node:
        if key != TARGET and key not in accepted:
            raise UnknownKeyError(f"{where}.{key}", tuple(accepted))
    given = {
        key: _built(value, accepted[key].annotation, f"{where}.{key}", runtime) for key, value in node.items() if key != TARGET
    }
    supplied = {key: value for key, value in runtime.items() if key in accepted and key not in given}
    try:
        return component(**given, **supplied)
    except GenRecError as error:
        if error.where.partition(".")[0] == where.partition(".")[0] or error.where not in accepted:
            raise
        raise type(error)(f"{where}.{error.where}", expected=error.expected, got=error.got, fix=error.fix) from error
    except (ValueError, TypeError, ArithmeticError) as error:
        expected, got = f"settings that {component.__name__} accepts ({error})", _spoken_of(str(error), node)
        raise ConfigError(where, expected=expected, got=got, fix="change them") from error


def _spoken_of(message: str, node: Mapping[str, Any]) -> str:
    """The settings that a constructor's own words name, or only how many there are: a whole node is no message."""
    named = [f"{key}={value!r}" for key, value in node.items() if re.search(rf"\b{re.escape(str(key))}\b", message)]
    return ", ".join(named) or f"others ({len(node) - 1} settings)"


def _built(value: Any, annotation: Any, where: str, runtime: Mapping[str, Any]) -> Any:
    if is_component(value):
        return instantiate(value, where, **runtime)
    members = _members(annotation)
    if isinstance(value, Mapping):
        inner = next((typing.get_args(member)[1] for member in members if len(typing.get_args(member)) == 2), Any)
        return {key: _built(item, inner, f"{where}.{key}", runtime) for key, item in value.items()}
    if isinstance(value, list | tuple):
        as_tuple = any(tuple in (member, typing.get_origin(member)) for member in members)
        kinds = [argument for member in members for argument in typing.get_args(member) if argument is not Ellipsis]
        built = [
            _built(item, kinds[min(i, len(kinds) - 1)] if kinds else Any, f"{where}[{i}]", runtime)
            for i, item in enumerate(value)
        ]
        return tuple(built) if as_tuple else built
    if isinstance(value, str) and Path in members and (str not in members or expanded(value).exists()):
        return expanded(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in members and int not in members:
        return float(value)
    return value


# --- what an artifact depends on ---------------------------------------------------------------------------------------------


def completed(node: Any) -> Any:
    """A copy with every default of the signatures written out, so that a fingerprint does not depend on who spelled what."""
    if isinstance(node, Mapping):
        whole = {str(key): completed(value) for key, value in node.items()}
        if TARGET in whole:
            for key, parameter in parameters(component_class(node)).items():
                if key not in whole and key not in RUNTIME and _is_plain(parameter.default):
                    whole[key] = completed(parameter.default)
        return whole
    if isinstance(node, list | tuple):
        return [completed(value) for value in node]
    return str(node) if isinstance(node, Path) else node


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | Path)


@dataclass(frozen=True)
class PathPlace:
    """Where a configuration names a file or folder outside the store.

    Args:
        holder: the mapping or list that holds it, as ``holder[key]``.
        key: in the holder.
        where: the configuration key, ``train.files[0]``.
        certain: the parameter is a ``Path``; one that is ``Path | str`` may mean something else, say a hub id.
    """

    holder: Any
    key: Any
    where: str
    certain: bool


def path_places(node: Mapping[str, Any], where: str = "component") -> Iterator[PathPlace]:
    """Every text of a component and its parts whose parameter is annotated with ``Path``."""
    accepted = parameters(component_class(node, where))
    for key in node:
        if key != TARGET and key in accepted:
            yield from _paths(node, key, accepted[key].annotation, f"{where}.{key}")
    for place, nested in _components_in(node, where):
        yield from path_places(nested, place)


def external_files(node: Mapping[str, Any], where: str = "component") -> dict[str, Path]:
    """Configuration key -> path of every external file or folder that a component and its parts name.

    A value whose parameter is ``Path | str`` counts only where such a path exists (otherwise it is, say, a hub id).
    """
    named = {place.where: (expanded(place.holder[place.key]), place.certain) for place in path_places(node, where)}
    return {key: path for key, (path, certain) in named.items() if certain or path.exists()}


def _paths(holder: Any, key: Any, annotation: Any, where: str) -> Iterator[PathPlace]:
    members, value = _members(annotation), holder[key]
    if isinstance(value, str) and Path in members:
        yield PathPlace(holder, key, where, certain=str not in members)
    elif isinstance(value, list | tuple):
        kinds = [argument for member in members for argument in typing.get_args(member) if argument is not Ellipsis]
        for i in range(len(value)):
            yield from _paths(value, i, kinds[min(i, len(kinds) - 1)] if kinds else Any, f"{where}[{i}]")
    elif isinstance(value, Mapping) and not is_component(value):
        inner = next((typing.get_args(member)[1] for member in members if len(typing.get_args(member)) == 2), Any)
        for name in value:
            yield from _paths(value, name, inner, f"{where}.{name}")


def _components_in(node: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nearest components below a node."""
    pairs: Sequence[tuple[str, Any]] = ()
    if isinstance(node, Mapping):
        pairs = [(f"{where}.{key}", value) for key, value in node.items()]
    elif isinstance(node, list | tuple):
        pairs = [(f"{where}[{i}]", value) for i, value in enumerate(node)]
    for place, value in pairs:
        if is_component(value):
            yield place, value
        else:
            yield from _components_in(value, place)
