"""`genrec serve` under load: the highest rate whose p95 stays within 150 ms, against the same server without batching.

    python tools/benchmarks/serving.py BUNDLE [--histories FILE] [--threads 2] [--seconds 10] [--bound 150] [--quick]

A bundle with 20 beams: ``genrec export ... decoding=trie_beam decoding.num_beams=20 recommend.k=10``. Requests are one history
each, k = 10, at random moments whatever has become of those before (an open loop with Poisson arrivals); a request's time runs
from the moment it was due, so a server that stalls is charged for all who wait. A rate holds when 95 % of its answers came in
time and all were 200; rates are tried for some seconds each, doubling first, then between the best that held and the least
that did not. The rival is the same program that is set to run one request at a time (``batch=1``).

Then three times the rate: what is answered and what is turned away, the server's memory before, at most and after, and whether
50 requests, asked one by one, get byte for byte what they got before. Server and client share the machine: each row has the
client's share of the processor time of both. Rows are printed as they are measured; the last line holds the ratio. Exit code 1:
something else than 200 and 429 was answered, nothing was turned away, or the answers were others afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

K, HISTORY, SEED = 10, 9, 0  # items wanted, items of a made-up history, of the arrivals
KEPT = 50  # the last items of a history are sent
SLOWEST = 0.5  # requests a second that are tried
PATIENCE = 20.0  # seconds that the client waits for stragglers; what has no answer then is an error
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def histories(bundle: Path, file: Path | None, number: int) -> list[list[str]]:
    """The users of an interactions table (rows in the order of time), or items drawn from the catalogue."""
    random = np.random.default_rng(SEED)
    if file is None:
        ids = pl.read_parquet(bundle / "items.parquet")["item_id"].to_numpy()
        return random.choice(ids, (number, HISTORY)).tolist()
    rows = pl.read_parquet(file, columns=["user_id", "item_id"]).group_by("user_id", maintain_order=True).agg("item_id")
    users = random.permutation(rows.height)[:number]
    return rows["item_id"].gather(users).list.tail(KEPT).to_list()


def request_of(history: Sequence[str]) -> bytes:
    body = json.dumps({"histories": [history], "k": K}).encode()
    head = f"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One request at a time over a connection that stays open; written for a client that costs little."""

    def __init__(self, idle: deque[Connection]) -> None:
        self.idle, self.answered = idle, None
        self.buffer, self.transport = b"", None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        self.answered = answered
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            self.buffer = b""
            self.idle.append(self)
            self._done(int(head[9:12]), body)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.idle:
            self.idle.remove(self)
        self._done(0, b"")

    def _done(self, status: int, body: bytes) -> None:
        answered, self.answered = self.answered, None
        if answered is not None:
            answered(status, body)


@dataclass
class Server:
    """A started ``genrec serve``.

    Args:
        bundle: what it serves.
        threads: of the model.
        limits: such as ``batch=1``.
    """

    bundle: Path
    threads: int
    limits: tuple[str, ...] = ()
    port: int = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = ["serve", str(self.bundle), *self.limits, "--port", str(self.port), "--threads", str(self.threads)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genrec", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while self.process.poll() is None:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        raise SystemExit(f"genrec serve ended with {self.process.returncode}; run it alone to see why")

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait()

    @property
    def cpu(self) -> float:
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def megabytes(self) -> float:
        """Resident."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1]) * PAGE / 1e6


@dataclass
class Trial:
    """What became of the requests of some seconds.

    Args:
        rate: requests a second that were due.
        statuses: how many answers of each; 0: none.
        seconds: from due to answered, of those with 200.
        client, server: processor seconds.
        megabytes: of the server, the most that was seen.
    """

    rate: float
    statuses: Counter[int]
    seconds: list[float]
    client: float
    server: float
    megabytes: float

    @property
    def p95(self) -> float:
        return float(np.percentile(self.seconds, 95)) if self.seconds else float("inf")

    def holds(self, bound: float) -> bool:
        return set(self.statuses) == {200} and self.p95 <= bound

    def row(self) -> dict[str, Any]:
        times = (
            {f"p{q}_ms": round(float(np.percentile(self.seconds, q)) * 1e3, 1) for q in (50, 95, 99)} if self.seconds else {}
        )
        sent = self.statuses.total()
        return {
            "rate": round(self.rate, 1),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            **times,
            "client_share": round(self.client / max(self.client + self.server, 1 / TICKS), 3),
            "server_cpu_ms_per_request": round(self.server / sent * 1e3, 2),
            "server_mb": round(self.megabytes, 1),
        }


async def open_loop(server: Server, requests: Sequence[bytes], rate: float, seconds: float, seed: int) -> Trial:
    """Sends requests when they are due, whatever has become of the others."""
    random, loop = np.random.default_rng(seed), asyncio.get_running_loop()
    due = np.cumsum(random.exponential(1 / rate, max(int(rate * seconds), 1))).tolist()
    chosen = random.integers(0, len(requests), len(due)).tolist()
    idle: deque[Connection] = deque()
    opened: list[Connection] = []
    statuses: Counter[int] = Counter()
    times: list[float] = []
    pending = 0

    async def send(request: bytes, at: float) -> None:
        nonlocal pending

        def answered(status: int, body: bytes) -> None:
            nonlocal pending
            pending -= 1
            statuses[status] += 1
            if status == 200:
                times.append(loop.time() - at)

        try:
            if not idle:
                _, connection = await loop.create_connection(lambda: Connection(idle), "127.0.0.1", server.port)
                opened.append(connection)
            else:
                connection = idle.pop()
        except OSError:
            answered(0, b"")
            return
        connection.send(request, answered)

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, server.megabytes)
            await asyncio.sleep(0.2)

    most, watching, sending = server.megabytes, asyncio.create_task(watch()), set[asyncio.Task[None]]()
    server_before, client_before, start = server.cpu, time.process_time(), loop.time()
    for offset, which in zip(due, chosen, strict=True):
        if (left := start + offset - loop.time()) > 0:
            await asyncio.sleep(left)
        pending += 1
        task = asyncio.create_task(send(requests[which], start + offset))
        sending.add(task)
        task.add_done_callback(sending.discard)
    deadline = loop.time() + PATIENCE
    while pending and loop.time() < deadline:
        await asyncio.sleep(0.01)
    watching.cancel()
    client, served = time.process_time() - client_before, server.cpu - server_before
    statuses[0] += pending
    trial = Trial(rate, +statuses, list(times), client, served, most)
    for connection in opened:
        connection.transport.abort()
    return trial


async def one_by_one(server: Server, requests: Sequence[bytes]) -> tuple[list[bytes], float]:
    """The answers, and the median seconds of one."""
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(deque()), "127.0.0.1", server.port)
    answers, times = [], []
    for request in requests:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        connection.send(request, lambda status, body, answer=answer: answer.set_result(body))
        answers.append(await answer)
        times.append(time.perf_counter() - start)
    connection.transport.abort()
    return answers, float(np.median(times))


def highest(attempt: Callable[[float], bool], start: float, precision: float) -> float:
    """The highest rate that held."""
    held, failed, rate = 0.0, float("inf"), start
    while failed > held * precision:
        if attempt(rate):
            held = rate
        else:
            failed = rate
        rate = held * 2 if failed == float("inf") else (held * failed) ** 0.5 if held else failed / 2
        if rate < SLOWEST:
            raise SystemExit(f"not even {2 * rate:.1f} requests a second hold: is the machine busy with something else?")
    return held


def main() -> int:
    """Prints a row each, then the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--histories", type=Path, help="interactions parquet: user_id, item_id, oldest first")
    parser.add_argument("--threads", type=int, default=2, help="of the model")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each trial")
    parser.add_argument("--bound", type=float, default=150.0, help="of the p95, in ms")
    parser.add_argument("--quick", action="store_true", help="trials of two seconds, rates to a fifth: a minute")
    options = parser.parse_args()
    seconds, precision = (2.0, 1.2) if options.quick else (options.seconds, 1.06)
    requests = [request_of(history) for history in histories(options.bundle, options.histories, 5000)]
    some = requests[:50]
    seeds = iter(range(SEED, 10**6))
    rates: dict[str, float] = {}
    faults: list[str] = []

    def tell(**row: Any) -> None:
        print(json.dumps(row | {"threads": options.threads, "load": round(os.getloadavg()[0], 1)}), flush=True)

    for name, limits in (("one at a time", ("batch=1",)), ("batched", ())):
        with Server(options.bundle, options.threads, limits) as server:

            def attempt(rate: float, name: str = name, server: Server = server) -> bool:
                trial = asyncio.run(open_loop(server, requests, rate, seconds, next(seeds)))
                holds = trial.holds(options.bound / 1e3)
                tell(server=name, holds=holds, **trial.row())
                return holds

            asyncio.run(one_by_one(server, some))  # what is slow once
            answers, median = asyncio.run(one_by_one(server, some))
            rates[name] = highest(attempt, 0.5 / median, precision)
            tell(server=name, highest_rate=round(rates[name], 1), alone_ms=round(median * 1e3, 1))
            if name == "batched":
                faults += overloaded(server, requests, some, answers, 3 * rates[name], seconds, tell)
    for fault in faults:
        print(f"FAULT: {fault}")
    ratio = rates["batched"] / rates["one at a time"]
    print(f"batched / one at a time = {rates['batched']:.0f} / {rates['one at a time']:.0f} requests/s = {ratio:.2f}")
    return 1 if faults else 0


def overloaded(
    server: Server,
    requests: Sequence[bytes],
    some: Sequence[bytes],
    answers: list[bytes],
    rate: float,
    seconds: float,
    tell: Callable[..., None],
) -> list[str]:
    """More than the server can do, three times over; returns what went wrong."""
    faults = []
    before = server.megabytes
    for again in range(3):  # memory that grows, grows again
        trial = asyncio.run(open_loop(server, requests, rate, seconds, SEED + again))
        after = server.megabytes
        tell(server="overloaded", **trial.row(), before_mb=round(before, 1), after_mb=round(after, 1))
        if strange := set(trial.statuses) - {200, 429}:
            faults.append(f"at {rate:.0f} requests/s some were answered {sorted(strange)}")
        if 429 not in trial.statuses:
            faults.append(f"at {rate:.0f} requests/s nothing was turned away")
        before = after
    same = asyncio.run(one_by_one(server, some))[0] == answers
    tell(server="afterwards", same_answers=same)
    return faults if same else [*faults, "it answers differently afterwards"]


if __name__ == "__main__":
    sys.exit(main())
