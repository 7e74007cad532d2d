"""Bounds and reads the body of every request, and counts, times and logs its answer; no traceback is sent."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genrec.engine.logs import LOGGER
from genrec.serving.bodies import SHORT, read_body
from genrec.serving.http_errors import RefusedError, error_response
from genrec.serving.limits import Limits
from genrec.serving.service import Service

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
