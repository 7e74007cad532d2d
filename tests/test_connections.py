"""Connections that ask for nothing, or slowly: closed in time, while everybody else is answered."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from small_shop import shop

from genrec.errors import ConfigError
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.serving.app import create_app
from genrec.serving.connections import bounded_server
from genrec.serving.limits import Limits
from genrec.serving.service import Service

TIMEOUT = 1.0
BODY = json.dumps({"histories": [["i1"]]}).encode()
HEAD = b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)


@contextmanager
def listening(limits: Limits) -> Iterator[int]:
    """A server in a thread of this process; its port."""
    server = bounded_server(
        create_app(Service(PersistentRecommender(shop(40), Journal(None)), limits), Path("bundle")), limits, port=0
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with listening(Limits(timeout=TIMEOUT, connections=450, queue=400)) as port:
        yield port


def connected(port: int, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(sent)
    return connection


def answered(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def health(port: int) -> float:
    """Seconds until it is answered."""
    start = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
        client.request("GET", "/healthz")
        assert client.getresponse().status == 200
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b"408"),
        (b"GE", b"408"),
        (b"GET /healthz HTTP/1.1\r\nX: ", b"408"),
        (b"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n", b"408"),
        (HEAD, b"408"),
        (HEAD + BODY[:5], b"408"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nho", b"200"),
        (HEAD + BODY, b"200"),
    ],
    ids=[
        "nothing",
        "two letters",
        "half a header",
        "no end",
        "no body",
        "half a body",
        "an answer",
        "half of the next",
        "a list",
    ],
)
def test_every_phase_has_a_deadline(port: int, sent: bytes, answer: bytes) -> None:
    start = time.monotonic()
    with closing(connected(port, sent)) as connection:
        assert answered(connection).split(b" ")[1] == answer
        assert time.monotonic() - start < 4 * TIMEOUT + 1


def test_a_byte_now_and_then_does_not_put_it_off(port: int) -> None:
    start = time.monotonic()
    with closing(connected(port, b"GET /healthz HTTP/1.1\r\nX: ")) as connection, suppress(OSError):
        while time.monotonic() - start < 10:
            connection.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() - start < 5


def test_four_hundred_half_requests(port: int) -> None:
    """They are closed in time, and health checks are answered meanwhile."""
    start = time.monotonic()
    connections = [connected(port, b"GET / HTTP/1.1\r\nX: ") for _ in range(400)]
    slowest = max(health(port) for _ in range(20))
    for connection in connections:
        assert b"408" in answered(connection)
        connection.close()
    assert slowest < 0.5
    assert time.monotonic() - start < 15


def test_a_full_queue_is_told_on_its_connection() -> None:
    """Sixty requests of four histories at once, where twenty may wait: each is answered or asked to come back."""
    body = json.dumps({"histories": [["a"]] * 4, "k": 1}).encode()
    head = b"POST /recommend HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n" % len(body) + body
    with listening(Limits(histories=4, queue=20, max_wait=0.2)) as port:
        connections = [connected(port, request) for _ in range(60)]
        statuses = [answered(connection).split(b" ")[1] for connection in connections]
        for connection in connections:
            connection.close()
    assert set(statuses) == {b"200", b"429"}


def test_more_may_connect_than_may_wait() -> None:
    assert Limits().connections > Limits().queue
    with pytest.raises(ConfigError, match=r"^limits.connections: expected more than limits.queue \(512\).*, got 512; raise it"):
        Limits(connections=512)


def test_the_longest_waiting_makes_room() -> None:
    with listening(Limits(timeout=30.0, connections=10, histories=4, queue=8)) as port:
        connections = [connected(port, b"GET / HTTP/1.1\r\nX: ") for _ in range(14)]
        time.sleep(0.3)
        assert health(port) < 1
        closed = [connection for connection in connections[:5] if b"408" in answered(connection)]
        assert len(closed) == 5, "one for the health check as well"
        connections[-1].sendall(b"y\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"200" in answered(connections[-1])
        for connection in connections:
            connection.close()


def test_an_answer_that_is_not_fetched() -> None:
    """The same client asks on and on and reads nothing."""
    with listening(Limits(timeout=TIMEOUT)) as port:
        with closing(connected(port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            start = time.monotonic()
            with suppress(OSError):
                while time.monotonic() - start < 20:
                    connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
            assert time.monotonic() - start < 15
        assert health(port) < 1
