"""Bounds the number of connections, and gives every phase of a request a deadline.

uvicorn bounds how long a connection may idle after an answer, and the middleware how long a body may take. The rest is here: a
first byte and a whole header have to come in time, and an answer has to be fetched in time. Where too many connections are open
the one that has waited longest without a request is closed, so that a health check is answered under any load.
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
    silent: ClassVar[dict[BoundedProtocol, None]]  # the connections without a request, the longest waiting first

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
        """Stops waiting when a whole header is there, and waits again for the next one."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        else:
            self._expect_header()  # of what is left of a body that nobody reads, too

    def on_response_complete(self) -> None:
        """Waits for the next request after an answer."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._expect_header()

    def pause_writing(self) -> None:
        """Starts a deadline, since the client does not fetch its answer."""
        super().pause_writing()
        self._fetching = self._fetching or self.loop.call_later(self.timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancels the deadline, since the client fetches its answer."""
        super().resume_writing()
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._stop_waiting()
        super().connection_lost(exc)  # which resumes writing

    def _expect_header(self) -> None:
        """Waits for a header since it began, so that single bytes do not extend the deadline."""
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.timeout, self._end, _TOO_SLOW)
            self.silent[self] = None

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.silent.pop(self, None)

    def _end(self, answer: bytes) -> None:
        """Closes the connection, after an answer if a request has begun."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self.cycle is None:
            self.transport.write(answer)
        self.transport.close()


def bounded_protocol(limits: Limits) -> type[BoundedProtocol]:
    """Returns the protocol of one service.

    Args:
        limits: how many connections, and seconds for each phase of a request.
    """

    class Protocol(BoundedProtocol):
        most_connections = limits.connections
        timeout = limits.timeout
        silent: ClassVar[dict[BoundedProtocol, None]] = {}

    return Protocol


def bounded_server(app: Any, limits: Limits, **more: Any) -> uvicorn.Server:
    """Returns a server for an app; see ``uvicorn.Config`` for ``more``."""
    config = uvicorn.Config(app, http=bounded_protocol(limits), ws="none", log_config=None, access_log=False, **more)
    return uvicorn.Server(config)
