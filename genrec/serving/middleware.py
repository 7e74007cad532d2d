"""Bounds and reads the body of every request, and counts, times and logs its answer; no traceback is sent.

Bodies are json. They are read beside the event loop, and checked against the limits before they are used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import Iterator
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genrec.engine.logs import LOGGER
from genrec.serving.http_errors import RefusedError, error_response
from genrec.serving.limits import Limits
from genrec.serving.service import Service

SHORT = 20_000  # bytes that are read within a millisecond or two
DEEPEST = 20  # lists and objects inside one another
_MOST = 1_000  # entries of a list or an object without a limit in the table below
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # may be half a character, which json allows and UTF-8 does not
_LIMITS = {  # the limit of a list or an object by its path; "*": any entry
    ("histories",): "histories",
    ("histories", "*"): "history_len",
    ("times",): "history_len",  # of one history, or a list for each of several
    ("times", "*"): "history_len",
    ("histories", "*", "*"): "columns",
    ("history",): "history_len",
    ("history", "*"): "columns",
    ("request",): "columns",
    ("user",): "columns",
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


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
VALUES = "genrec.values"  # key of a scope: what its body stands for, where that is json


class RequestMiddleware:
    """Reads bodies within limits, and counts, times and logs every answer; an ASGI middleware.

    Args:
        app: answers.
        service: gets the counts.
        log_histories: write the bodies of requests to the log; nobody's history is there otherwise.
    """

    def __init__(self, app: ASGIApp, *, service: Service, log_histories: bool) -> None:
        self.app, self.service, self.log_histories = app, service, log_histories

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status, body = time.perf_counter(), 0, b""

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            body = await _read_all(scope, receive, self.service.limits)
            if body and b"json" in dict(scope["headers"]).get(b"content-type", b""):
                limits = self.service.limits
                is_short = len(body) <= SHORT
                scope[VALUES] = read_body(body, limits) if is_short else await asyncio.to_thread(read_body, body, limits)
            await _while_connected(self.app, scope, body, receive, sending)
        except RefusedError as error:
            self.service.metrics.count_refusal(error)
            await error_response(error)(scope, receive, sending)
        except ClientDisconnect:
            status = status or 499  # nginx's status for it; no client is there to read an answer
        except Exception:
            LOGGER.exception("a bug", extra={"fields": {"path": scope["path"]}})
            if not status:
                problem = {"where": "server", "expected": "an answer", "got": "a bug, see the log", "fix": "report it"}
                await JSONResponse(problem, 500)(scope, receive, sending)
        finally:
            self._record(scope, status, time.perf_counter() - start, body)

    def _record(self, scope: Scope, status: int, seconds: float, body: bytes) -> None:
        path = getattr(scope.get("route"), "path", "other")  # as declared: labels for unknown paths would be without number
        method = scope["method"] if scope["method"] in _METHODS else "other"  # made-up methods likewise
        self.service.metrics.count_request(path=path, method=method, status=status, seconds=seconds)
        fields: dict[str, Any] = {"method": method, "path": path, "status": status, "ms": round(seconds * 1000, 1)}
        if self.log_histories and body:
            fields["body"] = body.decode(errors="replace")
        level = logging.DEBUG if path in ("/healthz", "/readyz", "/metrics") else logging.INFO
        LOGGER.log(level, "%s %s %d in %.0f ms", method, path, status, seconds * 1000, extra={"fields": fields})


async def _read_all(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """Returns the whole body.

    Raises:
        RefusedError: when it is too long or too slow.
    """
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > limits.body:
        raise _too_long(limits, f"{int(length[:20]):,} bytes")
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.timeout):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.body:
                    raise _too_long(limits, f"more than {limits.body:,} bytes")
                more = message.get("more_body", False)
    except TimeoutError:
        got, fix = f"{size:,} bytes", "send it faster"
        raise RefusedError(408, "body", expected=f"all of it within {limits.timeout:g} s", got=got, fix=fix) from None
    return b"".join(parts)


def _too_long(limits: Limits, got: str) -> RefusedError:
    return RefusedError(413, "body", expected=f"at most {limits.body:,} bytes", got=got, fix="ask for less at once")


async def _while_connected(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Answers a request whose body was read, until the client goes away.

    Raises:
        ClientDisconnect: when the client went away before the answer was there; whatever worked on it is cancelled.
    """
    is_replayed, disconnected, sent = False, asyncio.Event(), asyncio.Event()

    async def replay() -> Message:
        nonlocal is_replayed
        if is_replayed:
            await disconnected.wait()
            return {"type": "http.disconnect"}
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected.set()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            sent.set()  # what has its answer may go
        await send(message)

    async def answer() -> None:
        await app(scope, replay, sending)

    answering, watching = asyncio.ensure_future(answer()), asyncio.ensure_future(watch())
    try:
        await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and not sent.is_set():
            raise ClientDisconnect
        await answering
    finally:
        for task in (answering, watching):
            task.cancel()
        await asyncio.gather(answering, watching, return_exceptions=True)
