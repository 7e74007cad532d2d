"""The parameters of a component's constructor: names, annotations and defaults."""

from __future__ import annotations

import ast
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

from genrec.engine.registry import TARGET

NOTHING = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """A constructor parameter with its evaluated annotation (``Any`` where it cannot be evaluated)."""

    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        return self.default is NOTHING


@cache
def parameters(component: type) -> Mapping[str, Parameter]:
    """Returns the parameters of a component's constructor, by name."""
    init = inspect.unwrap(component.__init__)  # type: ignore[misc]
    scope = vars(sys.modules[component.__module__]) | getattr(init, "__globals__", {})
    accepted = {}
    for name, parameter in inspect.signature(component).parameters.items():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            accepted[name] = Parameter(_evaluate(parameter.annotation, scope), parameter.default)
    return types.MappingProxyType(accepted)


def _evaluate(annotation: Any, scope: dict[str, Any]) -> Any:
    if annotation is NOTHING:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, scope)  # our own source code, what typing.get_type_hints does, but name by name
    except Exception:  # a name that exists for type checkers only
        return Any


def members_of(annotation: Any) -> tuple[Any, ...]:
    """Returns the members of a union; any other annotation is its only member."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(member for part in typing.get_args(annotation) for member in members_of(part))
    return (annotation,)


def in_words(annotation: Any) -> str:
    """Describes an annotation in words, for messages."""
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", type(None): "null"}
    parts: list[str] = []
    for member in members_of(annotation):
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        kind = origin or member
        if member in plain:
            parts.append(plain[member])
        elif origin is typing.Literal:
            parts.append("one of " + ", ".join(map(str, arguments)))
        elif isinstance(kind, type) and issubclass(kind, Mapping):
            parts.append("a mapping")
        elif isinstance(kind, type) and issubclass(kind, Sequence):
            parts.append(f"a list of ({in_words(arguments[0])})" if arguments else "a list")
        elif member is Any:
            parts.append("a value")
        else:
            parts.append(f"a component ({getattr(member, '__name__', member)}) with {TARGET}")
    return " or ".join(parts)


def classes_in(annotation: Any) -> Iterator[type]:
    """Yields the classes that an annotation names, without plain values."""
    for member in members_of(annotation):
        if arguments := typing.get_args(member):
            for argument in arguments:
                yield from classes_in(argument)
        elif isinstance(member, type) and member.__module__ not in ("builtins", "pathlib", "collections.abc", "typing"):
            yield member


@dataclass(frozen=True)
class Outline:
    """The parameters of a class, as far as a bundle may set them.

    Args:
        annotations: parameter -> annotation, as evaluated, or as written in the source.
        defaults: parameter -> default, of parameters with a known default.
        reads_later: parameters that name files or folders needed again for new items.
    """

    annotations: Mapping[str, Any]
    defaults: Mapping[str, Any]
    reads_later: tuple[str, ...] = ()

    def names_paths(self, parameter: str) -> bool:
        """Whether a parameter takes files or folders."""
        return _names_paths(self.annotations[parameter])


def outline_of(component: type) -> Outline:
    """The outline of a class."""
    accepted = parameters(component)
    return Outline(
        {name: parameter.annotation for name, parameter in accepted.items()},
        {name: parameter.default for name, parameter in accepted.items() if not parameter.required},
        tuple(getattr(component, "reads_later", ())),
    )


@cache
def outline_in_source(target: str) -> Outline | None:
    """The outline of a class of genrec, read from its source without importing it; None where the source does not show it.

    What a bundle needs for its first new item is slow to import (scikit-learn), and may never be asked for.
    """
    statement = _class_in_source(target)
    inside = statement.body if statement is not None else []
    init = next((node for node in inside if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    if init is None or init.decorator_list or init.args.kwarg:
        return None
    later: tuple[str, ...] = ()
    for node in inside:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "reads_later" and node.value is not None:
            later = tuple(ast.literal_eval(node.value))
    arguments = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    plain = {argument.arg: default for argument, default in arguments if isinstance(default, ast.Constant)}
    return Outline(
        {argument.arg: ast.unparse(argument.annotation) if argument.annotation else "Any" for argument in init.args.kwonlyargs},
        {key: default.value for key, default in plain.items()},
        later,
    )


def _names_paths(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return re.search(r"\bPath\b", annotation) is not None
    return annotation is Path or any(map(_names_paths, typing.get_args(annotation)))


def _class_in_source(target: str) -> ast.ClassDef | None:
    """The statement that makes a class of genrec; of one that only names itself and extends another of genrec, the other's."""
    module, _, name = target.rpartition(".")
    package, _, inside = module.partition(".")
    file = Path(__file__).resolve().parents[1].joinpath(*inside.split(".")).with_suffix(".py")
    if package != "genrec" or not file.is_file():
        return None
    body = ast.parse(file.read_text(encoding="utf-8")).body
    statement = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if statement is not None and len(statement.bases) == 1 and len(statement.body) == 1:  # a docstring alone
        base = ast.unparse(statement.bases[0])
        for node in body:
            if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == base for alias in node.names):
                return _class_in_source(f"{node.module}.{base}") or statement
    return statement


@cache
def names_in_source(target: str) -> tuple[str, ...] | None:
    """Returns the parameters of a class of genrec, read from its source without importing it; None where it does not show them.

    Args:
        target: ``genrec.<room>.<module>.<Class>``.
    """
    statement = _class_in_source(target)
    if statement is None:
        return None
    init = next((node for node in statement.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    if init is not None:
        plain = len(init.args.args) + len(init.args.posonlyargs) == 1 and not (init.args.vararg or init.args.kwarg)
        return tuple(argument.arg for argument in init.args.kwonlyargs) if plain and not init.decorator_list else None
    if statement.bases or not any("dataclass" in ast.unparse(decorator) for decorator in statement.decorator_list):
        return None
    fields = [node for node in statement.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    if any(
        "ClassVar" in ast.unparse(field.annotation) or "field(" in ast.unparse(field.value or field.target) for field in fields
    ):
        return None
    return tuple(field.target.id for field in fields if isinstance(field.target, ast.Name))
