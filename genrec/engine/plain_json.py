"""Reads untrusted json: duplicate keys, deep nesting and very long files are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MAX_DEPTH = 64  # levels of lists and objects; what genrec writes has a dozen
MAX_BYTES = 1 << 28
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def read_json(path: Path) -> Any:
    """Reads a json file.

    Raises:
        ValueError: in one line, for what is no json, too long or too deep, or has a key twice.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes of json, more than {MAX_BYTES:,}")
    text = path.read_bytes()
    if (depth := _depth(text)) > MAX_DEPTH:
        raise ValueError(f"json nested {depth:,} levels deep, more than {MAX_DEPTH}")
    return json.loads(text, object_pairs_hook=_once)


def _depth(text: bytes) -> int:
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:  # true of most files, and quick to check
        return 0
    deepest = depth = 0
    for mark in _BRACKETS.findall(text):
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in b"]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return whole
