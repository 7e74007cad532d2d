"""What a room exports: the plug-ins that the shipped yamls name, and a few classes more, each imported when it is used."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from genrec.engine.aliases import current
from genrec.engine.registry import conf_folder

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
    found: dict[str, dict[str, str]] = {}
    for file in sorted(conf_folder().glob("*/*.yaml")):
        for target in _TARGET.findall(file.read_text(encoding="utf-8")):
            module, _, name = current(target).rpartition(".")
            parts = module.split(".")
            for end in range(2, len(parts)):
                found.setdefault(".".join(parts[:end]), {})[name] = module
    return found
