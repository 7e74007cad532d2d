"""What a client is told when it cannot have what it wants: a status and the words of an error, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

from genrec.errors import ArtifactError, GenRecError

_LONGEST = 500  # characters of an offending value that are sent back


class RefusedError(GenRecError):
    """A request that is turned away for what it is or when it comes.

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


def answer_of(error: GenRecError) -> JSONResponse:
    """What a user of the library can cause is the client's affair; what is wrong with the server's own files is not."""
    status = error.status if isinstance(error, RefusedError) else 503 if isinstance(error, ArtifactError) else 422
    got = error.got if isinstance(error.got, str) else repr(error.got)
    told = {"where": error.where, "expected": error.expected, "got": got[:_LONGEST], "fix": error.fix}
    return JSONResponse(told, status, headers=dict(error.headers or {}) if isinstance(error, RefusedError) else None)


def of_validation(errors: Sequence[Mapping[str, Any]]) -> RefusedError:
    """The first of pydantic's errors in our words."""
    first = errors[0]
    where = ".".join(map(str, first["loc"][1:])) or str(first["loc"][0])
    got = repr(first["input"]) if first["type"] != "json_invalid" else str(first.get("ctx", {}).get("error"))
    fix = "see /openapi.json"
    return RefusedError(422, where, expected=first["msg"][:1].lower() + first["msg"][1:], got=got[:_LONGEST], fix=fix)
