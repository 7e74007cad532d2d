"""Kills a service again and again while it acknowledges changes, and looks whether the next one has them.

    python tests/faults/kill_service.py STATE_DIR KILLS SEED

Prints one line of json: kills, acknowledged, lost.
A process of its own, since it forks and nothing that has run polars may.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch  # every import that takes time: once, before the forks
import uvicorn
from small_shop import shop

from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.serving.app import create_app
from genrec.serving.limits import Limits
from genrec.serving.service import Service

TOKEN = {"Authorization": "Bearer s3cret", "Content-Type": "application/json"}
NUM_ITEMS, NUM_LATER = 20, 25


def started(state: Path) -> tuple[int, int]:
    """Process and port of a service that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        service = Service(PersistentRecommender(shop(NUM_ITEMS), Journal(state)), Limits(timeout=100))
        uvicorn.run(create_app(service, Path("bundle"), token="s3cret"), port=port, log_config=None, access_log=False)
        os._exit(0)
    while True:
        try:
            assert asked(port, "GET", "/readyz")[0] == 200
            return child, port
        except OSError:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it did not start"
            time.sleep(0.02)


def asked(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), TOKEN)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class Writer(threading.Thread):
    """Adds and removes until the service is gone."""

    def __init__(self, port: int, moves: random.Random) -> None:
        super().__init__(daemon=True)
        self.port, self.moves = port, moves
        self.there: dict[str, bool] = {}  # of the items it was told about, which are recommended
        self.asked: str | None = None  # sent, no answer yet

    def run(self) -> None:
        while True:
            number = self.moves.randrange(NUM_ITEMS + NUM_LATER)
            item, add = f"{'i' if number < NUM_ITEMS else 'late'}{number}", self.moves.random() < 0.6
            self.asked = item
            try:
                if add:
                    status, answer = asked(self.port, "POST", "/items", {"items": [{"item_id": item}]})
                    if status == 200:  # nothing else puts back what was taken down
                        status, answer = asked(self.port, "POST", "/items/restore", {"item_ids": [item]})
                else:
                    status, answer = asked(self.port, "DELETE", f"/items?item_id={item}")
            except (OSError, http.client.HTTPException, ValueError):
                return
            self.asked = None
            if status == 200 and not answer["unknown"]:  # an item that was never there cannot be removed
                self.there[item] = add


def main(state: Path, kills: int, seed: int) -> dict[str, Any]:
    """Counts."""
    moves, there = random.Random(seed), dict[str, bool]()
    acknowledged, lost = 0, list[str]()
    child, port = started(state)
    for kill in range(kills):
        writer = Writer(port, moves)
        writer.start()
        enough = moves.randrange(2, 25)
        while len(writer.there) < enough and writer.is_alive():
            time.sleep(0.001)
        time.sleep(moves.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        writer.join()
        acknowledged += len(writer.there)
        there |= writer.there
        child, port = started(state)
        listed = asked(port, "POST", "/recommend", {"histories": [[]], "k": NUM_ITEMS + NUM_LATER})[1]["lists"][0]["items"]
        now = {item["item_id"] for item in listed}
        lost += [
            f"{item} after kill {kill}"
            for item, is_there in there.items()
            if item != writer.asked and (item in now) != is_there
        ]
        if writer.asked is not None:  # written or not: nobody was told
            there[writer.asked] = writer.asked in now
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    return {"kills": kills, "acknowledged": acknowledged, "lost": lost}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
