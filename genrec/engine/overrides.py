"""Settings as text, ``key=value``, quoted for Hydra and for a shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from genrec.engine.components import raise_all
from genrec.errors import ConfigError

_BARE = re.compile(r"(?!(?:true|false|null|nan|inf)\Z)[A-Za-z_./][A-Za-z0-9_./-]*", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z_]\w*(?:[./]\w+)*(?:@[\w.]+)?", re.ASCII)
_DICT_KEY = re.compile(r"[A-Za-z0-9_./+$%*@?|-]+")


def setting(key: str, value: Any) -> str:
    r"""Returns ``key=value`` in Hydra's language, so that composing gives the same value, whatever characters it has.

    Args:
        key: a setting or a group.
        value: None, text, a path, a number (numpy's too), or lists and mappings of these.

    Raises:
        ConfigError: for a value of another kind.

    >>> print(setting("data.interactions", "sales, 2024 (1).csv"), setting("seed", 3), setting("train.betas", (0.9, 0.98)))
    data.interactions="sales, 2024 (1).csv" seed=3 train.betas=[0.9,0.98]
    """
    return f"{key}={_value(value, key)}"


def shell_line(words: Iterable[str]) -> str:
    """Returns a command as it is typed into a shell.

    >>> print(shell_line(["genrec", "run", setting("data", "./my shop.yaml")]))
    genrec run 'data="./my shop.yaml"'
    """
    words = list(words)
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _value(value: Any, where: str) -> str:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        value = value.item()
    elif hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1:
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | PurePath):
        return _quote(str(value))
    if isinstance(value, list | tuple):
        return "[" + ",".join(_value(part, f"{where}[{i}]") for i, part in enumerate(value)) + "]"
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not _DICT_KEY.fullmatch(key):
                raise ConfigError(where, expected="keys of plain letters and digits", got=repr(key), fix="rename the key")
        return "{" + ",".join(f"{key}: {_value(part, f'{where}.{key}')}" for key, part in value.items()) + "}"
    shown = f"{type(value).__name__} {value!r}"
    raise ConfigError(where, expected="text, a path, a number, a list or a mapping", got=_shorten(shown), fix=f"change {where}")


def _shorten(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


def _quote(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    # OmegaConf reads ${...} in any text, unless a backslash precedes it; backslashes before that one count double.
    plain = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    quoted = re.sub(r'(\\*)"', lambda match: match[1] * 2 + r"\"", plain)
    return '"' + re.sub(r"\\+\Z", lambda match: match[0] * 2, quoted) + '"'


# --- reading -----------------------------------------------------------------------------------------------------------------


def parse_overrides(overrides: Sequence[str]) -> list[Any]:
    """Parses overrides with Hydra; a value that Hydra cannot read, such as ``~/my sales (1).csv``, is taken as text.

    Raises:
        ConfigError: for one that is not ``key=value``.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser, parsed, errors = OverridesParser.create(), [], []
    for override in overrides:
        key, equals, value = str(override).partition("=")
        try:
            parsed.append(parser.parse_override(str(override)))
        except HydraException:
            if equals and _KEY.fullmatch(key) and value.strip() and value.strip()[0] not in "[{'\"":
                parsed.append(parser.parse_override(_literal(key, value.strip(), parser)))
            elif equals and key:
                fix = f"close its brackets and quotes, or quote it whole: {shell_line([setting(key, value)])}"
                errors.append(ConfigError(key, expected="key=value", got=repr(override), fix=fix))
            else:
                fix = _without_equals(override, overrides)
                errors.append(ConfigError(key or "override", expected="key=value", got=repr(override), fix=fix))
    raise_all(errors)
    return parsed


def _without_equals(word: str, words: Sequence[str]) -> str:
    """Returns the remedy for a word that sets nothing, for example because of blanks around its ``=``."""
    around = ["", *words, ""]
    index = around.index(word, 1)
    if word == "=" or around[index + 1].startswith("=") or around[index - 1].endswith("="):
        return f"write {''.join(words)}, without blanks around the ="
    return "write key=value, without blanks around the =, such as experiment=demo"


def _literal(key: str, value: str, parser: Any) -> str:
    """Returns the value as quoted text; of several values with commas, each is quoted if necessary."""
    from hydra.errors import HydraException

    parts = []
    for part in value.split(","):
        try:
            parser.parse_override(f"{key}={part}")
            parts.append(part)
        except HydraException:
            parts.append(_quote(part))
    return f"{key}={','.join(parts)}"


def text_value(override: str) -> tuple[str, str]:
    """(key, value) of an override as text, without quotes around the value; several values are returned as given."""
    key, _, value = override.partition("=")
    (parsed,) = parse_overrides([override])
    if parsed.is_sweep_override() or isinstance(parsed.value(), list | dict):
        return key, value
    read = parsed.value()
    if not isinstance(read, str):
        return key, value.strip()
    return key, re.sub(r"((?:\\\\)*)\\\$\{", lambda match: match[1][::2] + "${", read)


def flat_settings(node: Any, where: str = "", *, mark: str = ".") -> Iterator[tuple[str, Any]]:
    """Yields nested settings as keys of the command line with their values; an empty mapping is a value.

    Args:
        node: a mapping, or one value.
        where: key of ``node`` itself.
        mark: between the parts of a key.

    >>> dict(flat_settings({"train": {"lr": 0.1, "betas": [0.9, 0.98]}}))
    {'train.lr': 0.1, 'train.betas': [0.9, 0.98]}
    """
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flat_settings(value, f"{where}{mark}{key}" if where else str(key), mark=mark)
    else:
        yield where, node
