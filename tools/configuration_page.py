"""Writes docs/configuration.md: every option of every group, from conf/, the constructors' signatures and their docstrings."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from genrec.engine.components import TARGET, component_class, is_component, parameters
from genrec.engine.config import OVERLAYS, PARTS, conf_folder, groups
from genrec.types import RUNTIME

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
INTRODUCTION = """\
# Configuration

Made by `make docs` from `conf/`, the constructors and their docstrings. Do not edit.

One option of each group is chosen with `group=option`; its keys are set with `group.key=value`, nested ones with more dots. A
file of your own is an option too: `data=./my_shop.yaml`. `genrec run --plan ...` shows what a setting would make run again.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## Top level\n", _code(_top_level())]
    for group, options in groups().items():
        default = _default(group)
        parts.append(f"## {group}\n")
        for option, file in options.items():
            name = f"{group} {option}, in a list" if group in PARTS else f"{group}={option}"
            parts.append(f"### {name}{' (default)' if option == default else ''}\n")
            parts.append("\n".join(_comment(file)) + "\n")
            parts.append(_code(_body(file)) if group in OVERLAYS else _component(OmegaConf.load(file)))
    return "\n".join(parts).rstrip() + "\n"


def _top_level() -> str:
    text = (conf_folder() / "config.yaml").read_text(encoding="utf-8")
    return text[re.search(r"^name:", text, re.MULTILINE).start() :]  # type: ignore[union-attr]


def _default(group: str) -> str | None:
    defaults = OmegaConf.load(conf_folder() / "config.yaml").defaults
    return next((entry[group] for entry in defaults if isinstance(entry, Mapping) and group in entry), None)


def _comment(file: Path) -> Iterator[str]:
    """The comment that opens the file, the command lines in it as code."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("# "):
            return
        yield re.sub(r"^(genrec .*)$", r"`\1`", line[2:])


def _body(file: Path) -> str:
    return "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("# "))


def _component(node: Any) -> str:
    plain: Any = OmegaConf.to_container(node, resolve=False)
    rows = [f"| `{key}` | `{_value_text(value)}` | {text} |" for key, value, text in _rows(plain)]
    head = [f"`{plain[TARGET]}`\n"]
    return "\n".join([*head, *(["| key | value | |", "|---|---|---|", *rows] if rows else ["No settings."]), ""])


def _rows(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    component = component_class(node)
    texts = _arguments(component)
    known = [key for key in parameters(component) if key in node or (key not in RUNTIME)]
    for key in known:
        value = node.get(key, parameters(component)[key].default)
        yield f"{prefix}{key}", value, texts.get(key, "")
        nested = {key: value} if is_component(value) else value if isinstance(value, Mapping) else {}
        for name, child in nested.items():
            if is_component(child):
                yield from _rows(child, f"{prefix}{key}." if name == key else f"{prefix}{key}.{name}.")


def _arguments(component: type) -> dict[str, str]:
    """Argument -> its text in the class's docstring."""
    docstring = inspect.getdoc(component) or ""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    texts, name = {}, ""
    for line in section[1].splitlines() if section else ():
        if start := re.match(r" {4}([\w, ]+?)(?: \([^)]*\))?: (.*)", line):
            name = start[1]
            texts.update(dict.fromkeys(re.split(r",\s*", name), start[2]))
        elif name and line.strip():
            texts.update({key: f"{texts[key]} {line.strip()}" for key in re.split(r",\s*", name)})
    return {key: text.replace("``", "`").replace("|", "\\|") for key, text in texts.items()}


def _value_text(value: Any) -> str:
    if value is inspect.Parameter.empty or value == "???":
        return "must be given"
    if is_component(value):
        return str(value[TARGET])
    if isinstance(value, Mapping):
        return ", ".join(key if is_component(child) else f"{key}: {_value_text(child)}" for key, child in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value_text, value)) + "]"
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)


def _code(text: str) -> str:
    return f"```yaml\n{text.strip()}\n```\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
