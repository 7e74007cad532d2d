"""References in settings: variables of the environment, which artifacts record by name, and home folders."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

REFERENCE = re.compile(r"\$\{oc\.env:(?P<name>[^${},]+)(?:,(?P<default>[^${},]*))?\}")
_SHORTEST = 4  # characters of a value that messages are searched for: shorter values occur by chance
_UNSET = object()
_read: dict[str, str] = {}  # spelling of a value -> the reference to it, of all that this process has looked up


def has_reference(value: object) -> bool:
    """Whether a value of the configuration refers to variables of the environment."""
    return isinstance(value, str) and REFERENCE.search(value) is not None


def resolve_references(value: Any, *, secret: bool = True) -> Any:
    """Returns a text with the values of the variables that it refers to; anything else is returned as it is.

    Args:
        value: as configured.
        secret: ``mask_secrets`` hides the values from now on.

    Raises:
        KeyError: for a variable that is not set, without a default.
    """
    return REFERENCE.sub(lambda match: _value_of(match, secret), value) if has_reference(value) else value


def mask_secrets(text: str) -> str:
    """Returns a text in which secret values that were looked up are replaced by their references."""
    if not _read:
        return text
    for value in sorted(_read, key=len, reverse=True):
        if value in text:
            text = text.replace(value, _read[value])
    return text


def without_secrets(log: Callable[[str], None]) -> Callable[[str], None]:
    """Returns a function that logs a line with its secrets masked."""
    return lambda line: log(mask_secrets(line))


def mask_secrets_in(value: Any) -> Any:
    """Returns a json-like value with its texts masked."""
    if isinstance(value, dict):
        return {mask_secrets_in(key): mask_secrets_in(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_secrets_in(item) for item in value]
    return mask_secrets(value) if isinstance(value, str) else value


@contextmanager
def keep_references() -> Iterator[None]:
    """Lets OmegaConf resolve every interpolation but ``oc.env``; ``oc.decode`` of one reads its value.

    The resolvers are OmegaConf's own again afterwards. They belong to the whole process: one thread at a time.
    """
    from omegaconf import OmegaConf
    from omegaconf.basecontainer import BaseContainer
    from omegaconf.resolvers import oc

    before = dict(BaseContainer._resolvers)

    def env(key: str, default: Any = _UNSET) -> Any:
        if default is _UNSET:
            oc.env(key)  # that it is there
            return f"${{oc.env:{key}}}"
        if default is None or not re.fullmatch(r"[^${},]*", str(default)):
            return f"${{oc.env:{key}}}" if key in os.environ else default
        return f"${{oc.env:{key},{default}}}"

    def decode(expression: Any, _parent_: Any, _node_: Any) -> Any:
        return oc.decode(resolve_references(expression, secret=False), _parent_, _node_)

    OmegaConf.register_new_resolver("oc.env", env, replace=True)
    OmegaConf.register_new_resolver("oc.decode", decode, replace=True)
    try:
        yield
    finally:
        BaseContainer._resolvers.update({name: before[name] for name in ("oc.env", "oc.decode")})


def _value_of(match: re.Match[str], secret: bool) -> str:
    name = match["name"].strip()
    value = os.environ.get(name, match["default"])
    if value is None:
        raise KeyError(name)
    if secret and name in os.environ and len(value) >= _SHORTEST:
        for spelling in (value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value), quote(value, safe="")):
            _read[spelling] = match[0]
    return value


def expand_path(path: str | Path) -> Path:
    """Returns the path with ``~`` expanded to the home folder; a name that merely begins with ``~`` stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
