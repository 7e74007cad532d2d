"""The most expensive requests that a service admits: seconds of the process, and how late a health check is meanwhile.

    python tools/benchmarks/dearest_requests.py BUNDLE [--threads 1] [--repeats 3]

Starts ``genrec serve`` with its default limits (but a long timeout, so that all of a request's work is seen) on 127.0.0.1, and
asks one request at a time, as large as the limits allow: lists, quotas of every column that has single values, filters and
preferences as dear as they may be, explanations and beams. Figures are medians.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.serving.limits import Limits

LIMITS = Limits()
Row = tuple[float, float, float, int, bytes]  # wall, process seconds, worst health check, status, answer


class Server:
    """``genrec serve`` in a process of its own."""

    def __init__(self, bundle: Path, threads: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        words = ["serve", str(bundle), "--port", str(self.port), "--threads", str(threads), "timeout=100"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genrec", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                self.ask("GET", "/readyz")
                return
            except OSError:
                assert self.process.poll() is None, "it did not start"
                time.sleep(0.2)

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Status and answer."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        client.request(method, path, body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        reply = answer.status, answer.read()
        client.close()
        return reply

    def seconds(self) -> float:
        """Of all cores, that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measured(self, path: str, body: str) -> Row:
        """One request, and health checks until it is answered."""
        late, done = [0.0], threading.Event()

        def beat() -> None:
            while not done.is_set():
                start = time.perf_counter()
                assert self.ask("GET", "/healthz")[0] == 200
                late.append(time.perf_counter() - start)
                time.sleep(0.02)

        beating = threading.Thread(target=beat)
        beating.start()
        begun, start = self.seconds(), time.perf_counter()
        status, answer = self.ask("POST", path, body)
        wall, used = time.perf_counter() - start, self.seconds() - begun
        done.set()
        beating.join()
        return wall, used, max(late), status, answer


def requests(items: pl.DataFrame) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What to ask: a name, a path and a body."""
    random, ids = np.random.default_rng(0), items["item_id"].to_list()
    text = next(name for name, kind in items.schema.items() if kind == pl.String and name != "item_id")
    columns = [name for name, kind in items.schema.items() if not kind.is_nested()] + ["code_0"]
    histories = [[ids[row] for row in random.integers(0, len(ids), LIMITS.history_len)] for _ in range(LIMITS.histories)]

    def looks(number: int, mark: str) -> str:
        return " or ".join(f'"z{mark}{place}" in {text}' for place in range(number)) + f" or not {text} is null"

    dear = {"filter": looks(95, "f"), "steer": {looks(12, f"{place}x"): 0.1 for place in range(LIMITS.preferences)}}
    for k in (10, 50, 100, LIMITS.k):
        many = min(LIMITS.histories, LIMITS.listed // k)
        yield f"{many} lists of {k}", "/recommend", {"histories": histories[:many], "k": k}
        yield (
            f"{many} lists of {k}, seen items too",
            "/recommend",
            {"histories": histories[:many], "k": k, "exclude_seen": False},
        )
        yield f"{many} lists of {k}, filters", "/recommend", {"histories": histories[:many], "k": k, **dear}
        for part in (1.0, 0.6, 0.3, 0.1):
            some = histories[: max(1, int(many * part))]
            for quota in ({"code_0": 1}, {columns[-2]: 1, "code_0": 1}, dict.fromkeys(columns, 1)):
                name = f"{len(some)} lists of {k}, {len(quota)} quotas"
                yield name, "/recommend", {"histories": some, "k": k, "quota": quota}
        few = histories[: max(1, many // 4)]
        yield (
            f"{len(few)} lists of {k}, everything",
            "/recommend",
            {
                "histories": few,
                "k": k,
                "quota": dict.fromkeys(columns, 1),
                **dear,
            },
        )
    yield "100 items weighed", "/explain", {"history": histories[0], "item_id": ids[0], "last": 100}
    yield f"beams for {LIMITS.k}", "/beams", {"history": histories[0], "k": LIMITS.k, **dear}
    yield "similar items", "/similar", {"item_id": ids[0], "k": LIMITS.k, "filter": looks(300, "s")}


def main() -> None:
    """Prints a line for each request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    server = Server(options.bundle, options.threads)
    print(f"load {os.getloadavg()[0]:.1f}, {options.threads} threads, median of {options.repeats}")
    dearest = worst = 0.0
    for name, path, body in requests(pl.read_parquet(options.bundle / "items.parquet")):
        text = json.dumps(body)
        rows = [server.measured(path, text) for _ in range(options.repeats)]
        wall, used, late = (statistics.median(row[place] for row in rows) for place in range(3))
        dearest, worst = max(dearest, used), max(worst, late)
        why = "" if rows[0][3] == 200 else json.loads(rows[0][4])["expected"]
        print(f"{name:40s} {rows[0][3]} {used:5.2f} s, wall {wall:5.2f} s, health {late * 1000:4.0f} ms  {why}", flush=True)
    print(f"dearest {dearest:.2f} s, latest health check {worst * 1000:.0f} ms, load {os.getloadavg()[0]:.1f}")
    server.process.terminate()
    server.process.wait()


if __name__ == "__main__":
    main()
