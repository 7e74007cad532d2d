"""Components of the configuration: it looks them up in an allow-list, checks them against their signatures and builds them.

A component is a node with ``_target_: genrec.<room>.<module>.<Class>`` and flat arguments, some of which may be components
themselves. ``genrec.engine.registry`` lists the classes that may be used where; nothing else is imported. The annotations of
constructors are the only schema. A parameter annotated with ``Path`` is an external file or folder. Parameters named in
``genrec.types.RUNTIME`` are supplied by genrec. Text may refer to variables of the environment (``genrec.references``).
"""

from __future__ import annotations

import importlib
import re
import sys
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.engine.aliases import current
from genrec.engine.ranges import range_errors
from genrec.engine.registry import TARGET, Slot, any_slot, members_in_words, missing_members, protocol_slot, slot_of
from genrec.engine.signatures import Parameter, classes_in, in_words, members_of, parameters
from genrec.errors import ConfigError, GenRecError, did_you_mean
from genrec.references import expand_path, has_reference, resolve_references
from genrec.types import RUNTIME

MISSING = "???"  # OmegaConf's word for "must be given"
_allowed = {"genrec"}  # genrec, and the packages of the plug-ins that the user asked for


class UnknownKeyError(ConfigError):
    """A key that no component has."""

    def __init__(self, where: str, names: Sequence[str] | Mapping[str, Any] | frozenset[str]) -> None:
        key = where.rpartition(".")[2]
        super().__init__(where, expected="a known key", got=key, fix=did_you_mean(key, names))
        self.args = (f"{where}: unknown key; {self.fix}",)


class ConfigErrors(ConfigError):
    """All errors of a configuration, one line each."""

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


def component_class(
    node: Mapping[str, Any], where: str = "component", slot: Slot | None = None, packages: Collection[str] | None = None
) -> type:
    """Imports and returns the class that ``_target_`` names, if it is allowed there.

    Args:
        node: of the component.
        where: its place in the configuration.
        slot: the classes that are allowed there; None: those of the group ``where``, or any shipped class.
        packages: plug-ins that it may be a class of; None: all that were allowed so far.

    Raises:
        ConfigError: when the class is not allowed there, or does not exist.
    """
    configured, key = node.get(TARGET), f"{where}.{TARGET}"
    slot = slot or slot_of(where) or any_slot()
    names = configured.split(".") if isinstance(configured, str) else []
    if not isinstance(configured, str) or len(names) < 2 or not all(map(str.isidentifier, names)):
        raise ConfigError(key, expected="package.module.Class", got=configured, fix="name a class of genrec or of a plug-in")
    target = current(configured)
    root, (module, _, name) = target.partition(".")[0], target.rpartition(".")
    roots = _allowed if packages is None else {package.partition(".")[0] for package in packages}
    if target not in slot.targets:
        if root not in {"genrec", *roots}:
            allowed = ", ".join(f"{package}." for package in sorted({"genrec", *roots}))
            raise ConfigError(key, expected=f"a class under {allowed}", got=configured, fix=f"allow it with plugins=[{root}]")
        if root == "genrec" or any(part.startswith("_") for part in target.split(".")):
            fix = did_you_mean(target, slot.targets)
            raise ConfigError(key, expected=f"a class for {slot.name}", got=configured, fix=fix)
    try:
        loaded = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # a dependency of the module is missing
            raise ConfigError(
                key, expected=f"the package {error.name}, which {target} imports", got="no such package", fix="install it"
            ) from error
        raise ConfigError(key, expected="an importable class", got=configured, fix=f"no module {error.name}") from None
    if not isinstance(loaded, type) or (target not in slot.targets and not _belongs(loaded, root, slot)):
        raise ConfigError(key, expected=f"a class in {module}", got=configured, fix=_other_classes(module, name))
    if target not in slot.targets:
        _check_members(loaded, configured, key, slot)
    return loaded


def _check_members(component: Any, target: str, key: str, slot: Slot) -> None:
    """Raises ConfigError for a class without the members of its slot, or an object whose constructor does not set them."""
    if missing := missing_members(component, slot.protocols):
        expected = f"a class for {slot.name}, with {members_in_words(slot.protocols)}"
        if not isinstance(component, type):
            expected = f"a class for {slot.name} whose constructor sets {', '.join(missing)}"
        raise ConfigError(key, expected=expected, got=f"{target} without {', '.join(missing)}", fix="add them, or name another")


def slot_below(component: type, slot: Slot | None, parameter: str) -> Slot | None:
    """Returns the classes allowed at a parameter of a component: shipped ones, or those of a plug-in's annotation.

    None: any class that is allowed anywhere.
    """
    if below := slot.of(parameter) if slot else None:
        return below
    if component.__module__.partition(".")[0] == "genrec":
        return Slot(f"a part of {component.__name__}", frozenset())
    accepted = parameters(component)
    kinds = list(classes_in(accepted[parameter].annotation)) if parameter in accepted else []
    for kind in kinds:
        if other_slot := protocol_slot(kind.__name__):
            return other_slot
    names = frozenset(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Slot(" or ".join(kind.__name__ for kind in kinds), names) if names else None


def _belongs(candidate: type, root: str, slot: Slot) -> bool:
    """Whether a class is defined in its plug-in, or is an allowed class of genrec that the plug-in imports."""
    return candidate.__module__.partition(".")[0] == root or f"{candidate.__module__}.{candidate.__qualname__}" in slot.targets


def _other_classes(module: str, name: str) -> str:
    class_names = [key for key, value in vars(sys.modules[module]).items() if getattr(value, "__module__", "") == module]
    return did_you_mean(name, class_names)


# --- checking ----------------------------------------------------------------------------------------------------------


def component_errors(node: Mapping[str, Any], where: str, slot: Slot | None = None) -> list[GenRecError]:
    """Returns all errors of a component's target, keys and values; the component is also constructed, if that is possible."""
    slot = slot or slot_of(where)
    try:
        component = component_class(node, where, slot)
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
            errors.append(_missing_error(where, key, accepted[key]))
        else:
            errors.extend(value_errors(value, accepted[key].annotation, f"{where}.{key}", slot_below(component, slot, key)))
    for key, parameter in accepted.items():
        if parameter.required and key not in node and key not in RUNTIME:
            errors.append(_missing_error(where, key, parameter))
    if not errors:
        settings = {
            key: node.get(key, parameter.default) for key, parameter in accepted.items() if key in node or key not in RUNTIME
        }
        errors.extend(range_errors(component, settings, where))
    if not errors and not _waits_for_runtime(node):
        try:
            _instantiate(node, where, slot, {})
        except GenRecError as error:
            errors.append(error)
    return errors


def _missing_error(where: str, key: str, parameter: Parameter) -> ConfigError:
    full_key = f"{where}.{key}"
    return ConfigError(full_key, expected=in_words(parameter.annotation), got="nothing", fix=f"give {full_key}=...")


def _waits_for_runtime(node: Mapping[str, Any]) -> bool:
    accepted = parameters(component_class(node))
    if any(parameter.required and key not in node for key, parameter in accepted.items()):
        return True
    return any(_waits_for_runtime(nested) for _, nested in _components_in(node, ""))


def value_errors(value: Any, annotation: Any, where: str, slot: Slot | None = None) -> list[GenRecError]:
    """Returns the errors of a configured value against an annotation; ``int`` is accepted for ``float``.

    Args:
        value: as configured.
        annotation: of its parameter.
        where: its place.
        slot: the classes allowed there, when it is a component; None: any.
    """
    if is_component(value):
        plain = set(members_of(annotation)) <= {int, float, bool, str, Path, type(None)}
        return [_mismatch(value, annotation, where)] if plain else component_errors(value, where, slot or any_slot())
    members = [
        member for member in members_of(annotation) if value is None or member is not type(None)
    ]  # null says nothing of it
    trials = [_member_errors(value, member, annotation, where, slot) for member in members or members_of(annotation)]
    return min(trials, key=lambda errors: (len(errors), errors != [] and str(errors[0].where) == where))


def _member_errors(value: Any, member: Any, annotation: Any, where: str, slot: Slot | None) -> list[GenRecError]:
    origin, arguments = typing.get_origin(member), typing.get_args(member)
    kind = origin or member
    if member is Any:
        fits = True
    elif origin is typing.Literal:
        fits = any(value == choice and type(value) is type(choice) for choice in arguments)
        if not fits and isinstance(value, str):
            fix = did_you_mean(value, [choice for choice in arguments if isinstance(choice, str)])
            return [ConfigError(where, expected=in_words(annotation), got=value, fix=fix)]
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
        return [error for key, item in value.items() for error in value_errors(item, inner, f"{where}.{key}", slot)]
    elif isinstance(kind, type) and issubclass(kind, Sequence):
        if not isinstance(value, list | tuple):
            return [_mismatch(value, annotation, where)]
        fixed = kind is tuple and arguments and arguments[-1] is not Ellipsis
        if fixed and len(value) != len(arguments):
            return [_mismatch(value, annotation, where)]
        inner_kinds = arguments if fixed else (arguments[0] if arguments else Any,) * len(value)
        pairs = enumerate(zip(value, inner_kinds, strict=True))
        return [error for i, (item, inner) in pairs for error in value_errors(item, inner, f"{where}[{i}]", slot)]
    else:
        fits = False  # a class of ours: only a component would do
    return [] if fits else [_mismatch(value, annotation, where)]


def _mismatch(value: Any, annotation: Any, where: str) -> ConfigError:
    fix = f"change {where}"
    if has_reference(value):
        fix = f"write ${{oc.decode:{value}}}, which reads it as what it looks like"
    if isinstance(value, int | float) and str in members_of(annotation):
        fix = f"""quote it: {where}="'{value}'" """
    return ConfigError(where, expected=in_words(annotation), got=repr(value), fix=fix)


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
    return _instantiate(node, where, slot_of(where), runtime)


def _instantiate(node: Mapping[str, Any], where: str, slot: Slot | None, runtime: Mapping[str, Any]) -> Any:
    component = component_class(node, where, slot)
    accepted = parameters(component)
    for key in node:
        if key != TARGET and key not in accepted:
            raise UnknownKeyError(f"{where}.{key}", tuple(accepted))
    arguments = {
        key: _build_value(value, accepted[key].annotation, f"{where}.{key}", slot_below(component, slot, key), runtime)
        for key, value in node.items()
        if key != TARGET
    }
    supplied = {key: value for key, value in runtime.items() if key in accepted and key not in arguments}
    try:
        built = component(**arguments, **supplied)
    except GenRecError as error:
        if error.where.partition(".")[0] == where.partition(".")[0] or error.where not in accepted:
            raise
        raise type(error)(f"{where}.{error.where}", expected=error.expected, got=error.got, fix=error.fix) from error
    except (ValueError, TypeError, ArithmeticError) as error:
        expected, got = f"settings that {component.__name__} accepts ({error})", _settings_in_message(str(error), node)
        raise ConfigError(where, expected=expected, got=got, fix="change them") from error
    if slot is not None and current(node[TARGET]) not in slot.targets:
        _check_members(built, node[TARGET], f"{where}.{TARGET}", slot)
    return built


def _settings_in_message(message: str, node: Mapping[str, Any]) -> str:
    """Returns the settings that a constructor's message names, else only their number: a whole node would be too long."""
    named = [f"{key}={value!r}" for key, value in node.items() if re.search(rf"\b{re.escape(str(key))}\b", message)]
    return ", ".join(named) or f"others ({len(node) - 1} settings)"


def _build_value(value: Any, annotation: Any, where: str, slot: Slot | None, runtime: Mapping[str, Any]) -> Any:
    if is_component(value):
        return _instantiate(value, where, slot or any_slot(), runtime)
    members = members_of(annotation)
    if isinstance(value, Mapping):
        inner = next((typing.get_args(member)[1] for member in members if len(typing.get_args(member)) == 2), Any)
        return {key: _build_value(item, inner, f"{where}.{key}", slot, runtime) for key, item in value.items()}
    if isinstance(value, list | tuple):
        as_tuple = any(tuple in (member, typing.get_origin(member)) for member in members)
        kinds = [argument for member in members for argument in typing.get_args(member) if argument is not Ellipsis]
        built = [
            _build_value(item, kinds[min(i, len(kinds) - 1)] if kinds else Any, f"{where}[{i}]", slot, runtime)
            for i, item in enumerate(value)
        ]
        return tuple(built) if as_tuple else built
    value = look_up_variables(value, where)
    if isinstance(value, str) and Path in members and (str not in members or expand_path(value).exists()):
        return expand_path(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in members and int not in members:
        return float(value)
    return value


def look_up_variables(value: Any, where: str, *, secret: bool = True) -> Any:
    """Returns a value with the environment's variables that it refers to.

    Args:
        value: as configured.
        where: its place.
        secret: keep it out of messages from now on.

    Raises:
        ConfigError: for a variable that is not set.
    """
    try:
        return resolve_references(value, secret=secret)
    except KeyError as error:
        name = error.args[0]
        fix = f"set it: export {name}=..."
        raise ConfigError(where, expected=f"the variable {name} of the environment", got=value, fix=fix) from None


def look_up_all_variables(value: Any, where: str) -> Any:
    """Returns a value, list or mapping with the environment's variables that it refers to; none of them is a secret."""
    if isinstance(value, Mapping):
        return {key: look_up_all_variables(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [look_up_all_variables(item, f"{where}[{i}]") for i, item in enumerate(value)]
    return look_up_variables(value, where, secret=False)


def look_up_choices(node: Any, where: str) -> None:
    """Looks up variables in paths and choices of a component, in place. They are no secrets and enter fingerprints."""
    refers = is_component(node) and any(map(has_reference, node.values()))  # most do not: a class is slow to import
    accepted = parameters(component_class(node, where)) if refers else {}
    for key, parameter in accepted.items():
        members = members_of(parameter.annotation)
        if has_reference(node.get(key)) and (Path in members or any(typing.get_origin(m) is typing.Literal for m in members)):
            node[key] = look_up_variables(node[key], f"{where}.{key}", secret=False)
    for nested_where, nested in _components_in(node, where):
        look_up_choices(nested, nested_where)


# --- what an artifact depends on ---------------------------------------------------------------------------------------------


def complete_settings(node: Any) -> Any:
    """Returns a copy with all defaults of the signatures, so that fingerprints do not depend on which ones were given."""
    if isinstance(node, Mapping):
        whole = {str(key): complete_settings(value) for key, value in node.items()}
        if TARGET in whole:
            for key, parameter in parameters(component_class(node)).items():
                if key not in whole and key not in RUNTIME and _is_plain(parameter.default):
                    whole[key] = complete_settings(parameter.default)
        return whole
    if isinstance(node, list | tuple):
        return [complete_settings(value) for value in node]
    return str(node) if isinstance(node, Path) else node


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | Path)


@dataclass(frozen=True)
class PathPlace:
    """A value of a configuration that names a file or folder outside the store.

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
    """Yields every text of a component and its parts whose parameter is annotated with ``Path``."""
    accepted = parameters(component_class(node, where))
    for key in node:
        if key != TARGET and key in accepted:
            yield from _paths(node, key, accepted[key].annotation, f"{where}.{key}")
    for nested_where, nested in _components_in(node, where):
        yield from path_places(nested, nested_where)


def external_files(node: Mapping[str, Any], where: str = "component") -> dict[str, Path]:
    """Returns configuration key -> path of every external file or folder that a component and its parts name.

    A value whose parameter is ``Path | str`` counts only where such a path exists (otherwise it is, say, a hub id).
    """
    named = {entry.where: (expand_path(entry.holder[entry.key]), entry.certain) for entry in path_places(node, where)}
    return {key: path for key, (path, certain) in named.items() if certain or path.exists()}


def _paths(holder: Any, key: Any, annotation: Any, where: str) -> Iterator[PathPlace]:
    members, value = members_of(annotation), holder[key]
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
    """Yields the nearest components below a node."""
    pairs: Sequence[tuple[str, Any]] = ()
    if isinstance(node, Mapping):
        pairs = [(f"{where}.{key}", value) for key, value in node.items()]
    elif isinstance(node, list | tuple):
        pairs = [(f"{where}[{i}]", value) for i, value in enumerate(node)]
    for nested_where, value in pairs:
        if is_component(value):
            yield nested_where, value
        else:
            yield from _components_in(value, nested_where)
