"""Connections of strangers: so many of them, and none that only costs: every phase of a request has a deadline.

uvicorn bounds how long a connection may idle after an answer, and the guard how long a body may take. Here is the rest: a first
byte and a whole header have to come in time, an answer has to be fetched in time, and where too many connections are open the
one that has waited longest without a request makes room, so that a health check is answered whoever else is there.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from genrec.serving.limits import Limits

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"


class BoundedProtocol(H11Protocol):
    """One connection; see ``bounded_protocol``."""

    most_connections: int
    timeout: float
    silent: ClassVar[dict[BoundedProtocol, None]]  # the connections that owe us a request, the longest waiting first

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline: asyncio.TimerHandle | None = None
        self._fetching: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a header, if there is room."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            if not self.silent:
                self._end(_TOO_MANY)
                return
            next(iter(self.silent))._end(_TOO_SLOW)
        self._expect_header()

    def data_received(self, data: bytes) -> None:
        """Stops waiting once there is a whole header, and begins anew with the next one."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        else:
            self._expect_header()  # of what is left of a body that nobody reads, too

    def on_response_complete(self) -> None:
        """An answer is there: what comes next is another request, or nothing for a while."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._expect_header()

    def pause_writing(self) -> None:
        """The client does not fetch its answer."""
        super().pause_writing()
        self._fetching = self._fetching or self.loop.call_later(self.timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self._stop_waiting()
        super().connection_lost(exc)  # which resumes writing

    def _expect_header(self) -> None:
        """Waits for a request, from now on or since it began to: a byte now and then does not put it off."""
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.timeout, self._end, _TOO_SLOW)
            self.silent[self] = None

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.silent.pop(self, None)

    def _end(self, answer: bytes) -> None:
        """Closes it; whoever has begun a request is told why."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self.cycle is None:
            self.transport.write(answer)
        self.transport.close()


def bounded_protocol(limits: Limits) -> type[BoundedProtocol]:
    """The protocol of one service.

    Args:
        limits: how many connections, and seconds for each phase of a request.
    """

    class Protocol(BoundedProtocol):
        most_connections = limits.connections
        timeout = limits.timeout
        silent: ClassVar[dict[BoundedProtocol, None]] = {}

    return Protocol


def bounded_server(app: Any, limits: Limits, **more: Any) -> uvicorn.Server:
    """A server for an app; see ``uvicorn.Config`` for what ``more`` may be."""
    config = uvicorn.Config(app, http=bounded_protocol(limits), ws="none", log_config=None, access_log=False, **more)
    return uvicorn.Server(config)
