"""Errors as answers: a status and the words of the error, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

from genrec.errors import ArtifactError, GenRecError, did_you_mean

_LONGEST = 500  # characters of an offending value that are sent back
UNKNOWN_KEY = "unknown_key"  # type of a validation error of ours: key, names and got are in its context


class RefusedError(GenRecError):
    """A request that is refused, with the status of its answer.

    Args:
        status: of HTTP.
        where: the part of the request.
        expected: what would have been accepted.
        got: what came.
        fix: what the client can do.
        headers: of the answer.
    """

    def __init__(
        self, status: int, where: str, *, expected: str, got: object, fix: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(where, expected=expected, got=got, fix=fix)
        self.status, self.headers = status, headers


def error_response(error: GenRecError) -> JSONResponse:
    """Returns the answer to an error: 422 for what a client can cause, 503 for damaged files of the server."""
    status = error.status if isinstance(error, RefusedError) else 503 if isinstance(error, ArtifactError) else 422
    got = error.got if isinstance(error.got, str) else short_repr(error.got)
    words = {"where": error.where, "expected": error.expected, "got": got, "fix": error.fix}
    fields = {name: text[:_LONGEST] for name, text in words.items()}
    return JSONResponse(fields, status, headers=dict(error.headers or {}) if isinstance(error, RefusedError) else None)


def validation_error(errors: Sequence[Mapping[str, Any]]) -> RefusedError:
    """Returns the first of pydantic's errors in the words of genrec."""
    first = errors[0]
    places = first["loc"][:-1] if first["loc"][-1] == "str" and isinstance(first["loc"][-2], int) else first["loc"]
    where = ".".join(map(str, places[1:])) or str(places[0])  # without pydantic's name of a kind of entry
    if first["type"] == UNKNOWN_KEY:
        key, names = first["ctx"]["key"], first["ctx"]["names"]
        return RefusedError(
            422, key or "body", expected="a key of this call", got=first["ctx"]["got"], fix=did_you_mean(key, names)
        )
    got = short_repr(first["input"]) if first["type"] != "json_invalid" else str(first.get("ctx", {}).get("error"))
    fix = "see /openapi.json"
    return RefusedError(422, where, expected=first["msg"][:1].lower() + first["msg"][1:], got=got, fix=fix)


def short_repr(value: Any, room: int = _LONGEST) -> str:
    """Returns the beginning of ``repr(value)``, without formatting the rest."""
    parts, size = [], 0
    for part in _repr(value, room):
        parts.append(part)
        size += len(part)
        if size >= room:
            break
    return "".join(parts)[:room]


def _repr(value: Any, room: int) -> Iterator[str]:
    if type(value) is list:
        yield "["
        for number, entry in enumerate(value):
            yield ", " if number else ""
            yield from _repr(entry, room)
        yield "]"
    elif type(value) is dict:
        yield "{"
        for number, (key, entry) in enumerate(value.items()):
            yield ", " if number else ""
            yield from _repr(key, room)
            yield ": "
            yield from _repr(entry, room)
        yield "}"
    else:
        yield repr(value[:room] if isinstance(value, str | bytes) else value)
