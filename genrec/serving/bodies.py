"""Reads the bodies of requests, json, beside the event loop, and checks them against the limits before they are used."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from genrec.serving.http_errors import RefusedError
from genrec.serving.limits import Limits

SHORT = 20_000  # bytes that are read within a millisecond or two
DEEPEST = 20  # lists and objects inside one another
_MOST = 1_000  # entries of a list or an object without a limit in the table below
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # may be half a character, which json allows and UTF-8 does not
_LIMITS = {  # the limit of a list or an object by its path; "*": any entry
    ("histories",): "histories",
    ("histories", "*"): "history_len",
    ("times",): "history_len",  # of one history, or a list for each of several
    ("times", "*"): "history_len",
    ("history",): "history_len",
    ("items",): "items",
    ("item_ids",): "items",
    ("steer",): "preferences",
    ("quota",): "preferences",
}
_Path = tuple[str | int, ...]


def read_body(body: bytes, limits: Limits) -> Any:
    """Returns the values of a body.

    Args:
        body: at most ``limits.body`` bytes.
        limits: of lists.

    Raises:
        RefusedError: for what is no json, lists that are too long, too much inside one another, numbers beyond 64 bits and half
            characters: the first of them, and nothing behind it is looked at.
    """
    try:
        values = json.loads(body.decode("utf-8-sig"))  # json.loads would let other encodings pass, and halves of characters
    except json.JSONDecodeError as error:
        where = f"body, character {error.pos + 1}"
        raise RefusedError(422, where, expected="json", got=error.msg, fix="see /openapi.json") from None
    except UnicodeDecodeError as error:
        got = repr(bytes(body[error.start : error.start + 8]))
        raise RefusedError(422, "body", expected="json in UTF-8", got=got, fix="encode it so") from None
    except RecursionError:
        raise _too_deep("body") from None
    except ValueError:  # Python reads no number of more digits
        got, fix = "one of thousands of digits", "see /openapi.json"
        raise RefusedError(422, "body", expected="numbers of at most 64 bits", got=got, fix=fix) from None
    _check(values, limits, has_surrogates=_SURROGATE.search(body) is not None)
    return values


def with_limits(document: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Returns an OpenAPI document with the limits of lists, objects and ``k``."""
    for schema in document["components"]["schemas"].values():
        for name, property_schema in (
            schema.get("properties", {}).items() if schema.get("additionalProperties") is False else ()
        ):
            for one in (property_schema, *property_schema.get("anyOf", ())):
                for path, inner in (((name,), one), ((name, "*"), one.get("items", {}))):
                    kind, limit = inner.get("type"), _LIMITS.get(path)
                    if limit is not None and kind in ("array", "object"):
                        inner["maxItems" if kind == "array" else "maxProperties"] = getattr(limits, limit)
            if name == "k":
                property_schema["maximum"] = limits.k
    return document


def _check(values: Any, limits: Limits, *, has_surrogates: bool) -> None:
    todo: list[tuple[_Path, Any]] = [((), values)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, list | dict):
            most = getattr(limits, _LIMITS.get(_kind(path), ""), _MOST)
            if len(value) > most:
                fix = "ask for less at once"
                raise RefusedError(422, _dotted(path), expected=f"at most {most}", got=len(value), fix=fix)
            if len(path) >= DEEPEST:
                raise _too_deep(_dotted(path))
            todo += reversed([*_entries(path, value, has_surrogates=has_surrogates)])
        else:
            _check_scalar(path, value, has_surrogates=has_surrogates)


def _entries(path: _Path, value: list[Any] | dict[str, Any], *, has_surrogates: bool) -> Iterator[tuple[_Path, Any]]:
    """Yields the entries that remain to be checked; most entries are texts, which need no check."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in pairs:
        if has_surrogates and isinstance(key, str):
            _check_scalar(path, key, has_surrogates=True)
        if has_surrogates or not isinstance(entry, str):
            yield (*path, key), entry


def _check_scalar(path: _Path, value: Any, *, has_surrogates: bool) -> None:
    if isinstance(value, str) and has_surrogates:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = repr(error.object[error.start : error.end])
            raise RefusedError(400, "body", expected="whole characters", got=half, fix="send surrogates in pairs") from None
    elif isinstance(value, float) and not math.isfinite(value):
        raise RefusedError(422, _dotted(path), expected="a finite number", got=repr(value), fix="see /openapi.json")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        got = str(value)
        raise RefusedError(422, _dotted(path), expected="a number of at most 64 bits", got=got, fix="see /openapi.json")


def _kind(path: _Path) -> tuple[str, ...]:
    return tuple("*" if isinstance(key, int) else key for key in path)


def _dotted(path: _Path) -> str:
    return ".".join(map(str, path)) or "body"


def _too_deep(where: str) -> RefusedError:
    expected, got = f"at most {DEEPEST} lists and objects inside one another", "more"
    return RefusedError(400, where, expected=expected, got=got, fix="see /openapi.json")
