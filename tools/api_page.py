"""Writes docs/api.md: what the rooms of genrec export, with signatures and the first sentence of each docstring."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import genrec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
PACKAGE = Path(genrec.__file__).parent
DETAILED = ("genrec", "genrec.core", "genrec.recommender")  # rooms whose classes are listed with their methods
INTRODUCTION = """\
# Python API

Made by `make docs` from the exports of the rooms. Do not edit.

Every name below can be imported from its room (`from genrec.tokenizers import RQKMeans`) and stays: when something moves
or gets another name, the former one works with a note ([architecture](architecture.md)). Names that are not here, and those
that start with an underscore, may change. `help(genrec.run)` prints arguments, units and errors;
[configuration](configuration.md) has the settings of every component.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for room in rooms():
        module = importlib.import_module(room)
        first_line = (module.__doc__ or "").strip().partition("\n")[0]
        parts += [f"## {room}\n", f"{first_line}\n", "\n".join(_entries(room, module)) + "\n"]
    return "\n".join(parts).rstrip() + "\n"


def rooms() -> list[str]:
    """The package, and its rooms that export something, by name."""
    names = ["genrec", *(f"genrec.{file.parent.name}" for file in sorted(PACKAGE.glob("*/__init__.py")))]
    return [name for name in names if exports(name)]


def exports(room: str) -> list[str]:
    """What a room exports, by name; modules and the version are left out."""
    module = importlib.import_module(room)
    names = getattr(module, "__all__", [])
    return [name for name in sorted(set(names)) if not name.startswith("_") and not inspect.ismodule(getattr(module, name))]


def _entries(room: str, module: Any) -> Iterator[str]:
    for name in exports(room):
        value = getattr(module, name)
        yield f"- `{name}{_signature(value)}`{_sentence(value)}"
        if room in DETAILED and inspect.isclass(value) and not issubclass(value, Exception):
            for method, function in sorted(vars(value).items()):
                if not method.startswith("_") and (text := _member(method, function)):
                    yield f"  - {text}"


def _member(name: str, member: Any) -> str | None:
    if isinstance(member, property):
        return f"`.{name}`{_sentence(member)}"
    function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
    if not inspect.isfunction(function):
        return None
    return f"`.{name}{_signature(function, bound=not isinstance(member, staticmethod))}`{_sentence(function)}"


def _signature(value: Any, *, bound: bool = False) -> str:
    """``(histories, *, k=10)``: names and plain defaults."""
    if not callable(value) or (inspect.isclass(value) and getattr(value, "_is_protocol", False)):
        return ""
    try:
        given = list(inspect.signature(value).parameters.values())[int(bound) :]
    except (TypeError, ValueError):
        return ""
    texts: list[str] = []
    star = False
    for parameter in given:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            texts, star = [*texts, "*"], True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        prefix = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        plain = parameter.default is None or isinstance(parameter.default, bool | int | float | str | tuple)
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}" if plain else "=..."
        texts.append(f"{prefix}{parameter.name}{default}")
    return f"({', '.join(texts)})"


def _sentence(value: Any) -> str:
    """The first sentence of a docstring on one line, behind a colon; nothing where there is none."""
    text = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    return f": {re.split(r'(?<=[.!?]) (?=[A-Z`])', text)[0]}" if text else ""


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
