"""Content outside the store that a stage depends on: files, artifacts of other runs, source of plug-ins."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from genrec.engine.artifacts import Store
from genrec.engine.components import TARGET, component_class
from genrec.engine.config import outside_files
from genrec.engine.stage import Stage
from genrec.errors import DataError

SOURCE = "source of "  # what the keys of ``plugin_sources`` begin with, among the other content from outside


def plugin_sources(node: Any) -> dict[str, str]:
    """``source of <module>`` -> sha256 of its file, for every class outside genrec that a node or one inside it names.

    A class counts with its module and for all modules of its package that this one imports, directly or through others, as
    the ``import`` statements show; what is imported by a computed name, or read as data, does not count.
    """
    return dict(sorted(_plugin_modules(node)))


def _plugin_modules(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        if isinstance(node.get(TARGET), str) and not node[TARGET].startswith("genrec."):
            for module, sha in modules_of(component_class(node)).items():
                yield f"{SOURCE}{module}", sha
        for value in node.values():
            yield from _plugin_modules(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _plugin_modules(value)


@cache  # by the class: a process keeps the code that it imported, a reloaded module has another class
def modules_of(component: type) -> Mapping[str, str]:
    """Module -> sha256 of its file: the class's own, its package's that it imports, and those of its bases outside genrec."""
    hashes: dict[str, str] = {}
    for base in component.__mro__:
        root = base.__module__.partition(".")[0]
        if base is component or root == component.__module__.partition(".")[0]:
            _collect(base.__module__, hashes)
    return hashes


def _collect(module: str, hashes: dict[str, str]) -> None:
    parts = module.split(".")
    for end in range(1, len(parts) + 1):  # a package's __init__ runs before its modules do
        name = ".".join(parts[:end])
        file = None if name in hashes else _file_of(name)
        if file is None:
            continue
        content = file.read_bytes()
        hashes[name] = hashlib.sha256(content).hexdigest()
        for imported in _imports(content, name, is_package=file.stem == "__init__"):
            if imported.partition(".")[0] == parts[0]:
                _collect(imported, hashes)


def _file_of(module: str) -> Path | None:
    root, *parts = module.split(".")
    package = sys.modules.get(root)
    for folder in getattr(package, "__path__", []):
        path = Path(folder, *parts)
        for file in (path / "__init__.py", path.with_suffix(".py")) if parts else (path / "__init__.py",):
            if file.is_file():
                return file
    return None


def _imports(content: bytes, module: str, *, is_package: bool) -> Iterator[str]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # it could not be imported either
        return
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def files_of(stage: Stage, tree: Mapping[str, Any]) -> dict[str, Path]:
    """Configuration key -> file or folder outside the store whose content counts.

    Raises:
        ArtifactError: where a setting names a run that lacks what it stands for.
    """
    named = outside_files(tree, [key for key in stage.reads if "." not in key])
    return {key: stage.stands_for.get(key, _same_path)(path) for key, path in named.items()}


def content_of(files: Mapping[str, Path], subtree: Mapping[str, Any], store: Store) -> dict[str, str]:
    """Configuration key -> content hash, and ``source of <module>`` -> content hash for plug-ins.

    Raises:
        DataError: for a file that is not there.
    """
    return {key: _hash(key, path, store) for key, path in files.items()} | plugin_sources(subtree)


def refuse_changes(stage: str, files: Mapping[str, Path], planned: Mapping[str, str], store: Store) -> None:
    """Checks that what a stage reads still has the content of its fingerprint.

    Raises:
        DataError: naming the first file or folder that has another.
    """
    for key, path in files.items():
        if (current := _hash(key, path, store)) != planned[key]:
            raise DataError(
                key,
                expected=f"{path} as it was when `genrec {stage}` was planned ({planned[key][:12]})",
                got=f"other content ({current[:12]})",
                fix="nothing of it was kept; let whatever writes it finish, and run the same command again",
            )


def _same_path(path: Path) -> Path:
    return path


def _hash(key: str, path: Path, store: Store) -> str:
    try:
        return store.hashes.of(path)
    except FileNotFoundError:
        fix = f"put it there, or give {key}=..."
        raise DataError(key, expected="a file or folder", got=f"nothing at {path}", fix=fix) from None
