"""`genrec serve` as people start it: a process of its own, a real bundle, and everything that its OpenAPI document allows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from small_shop import shop

import genrec
from genrec.recommender import persistent as live_module
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.serving.app import create_app
from genrec.serving.connections import bounded_server
from genrec.serving.limits import Limits
from genrec.serving.service import Service

TINY = [
    *("data=demo", "data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "tokenizer.codebook_size=8"),
    *("train.epochs=1", "train.num_validations=1", "device=cpu", "name=tiny"),
    *("generator.dim=16", "generator.num_heads=2", "generator.num_history_layers=1", "generator.num_decoder_layers=1"),
]
TOKEN = "s3cret"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    return genrec.run(until="export", quiet=True, overrides=[*TINY, f"paths.runs={runs}"]).path / "bundle"


class Server:
    """A started ``genrec serve``."""

    def __init__(self, bundle: Path, state: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [sys.executable, "-m", "genrec", "serve", str(bundle), "--port", str(port), "--state-dir", str(state)]
        environment = {**os.environ, "GENREC_ADMIN_TOKEN": TOKEN}
        self.process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=300
        )  # the first new item imports the encoder
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            try:
                assert self.client.get("/readyz").status_code == 200
                return
            except httpx2.TransportError:
                time.sleep(0.1)
        raise AssertionError("it never got ready")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and its log."""
        self.client.close()
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=300)  # the first new item imports the encoder
        return self.process.returncode, log


@pytest.fixture
def server(bundle: Path, tmp_path: Path) -> Iterator[Server]:
    server = Server(bundle, tmp_path / "state")
    yield server
    if server.process.poll() is None:
        server.stop(signal.SIGKILL)


def test_what_was_acknowledged_survives_a_kill(server: Server, bundle: Path, tmp_path: Path) -> None:
    item_id = genrec.load(bundle).recommend([[]], k=1)["item_id"][0]
    state = tmp_path / "state"
    assert server.client.delete("/items", params={"item_id": item_id}).status_code == 200
    added = server.client.post("/items", json={"items": [{"item_id": "late", "title": "a late one"}]})
    assert added.json().items() >= {"num_items": 81, "num_removed": 1, "num_added": 1}.items()
    second = subprocess.run(
        [sys.executable, "-m", "genrec", "serve", str(bundle), "--state-dir", str(state)], capture_output=True, text=True
    )
    assert second.returncode == 2
    assert f"one that process {server.process.pid} is using" in second.stderr
    server.stop(signal.SIGKILL)

    again = Server(bundle, state)
    listed = again.client.post("/recommend", json={"histories": [[], ["late"]], "k": 50}).json()["lists"]
    assert item_id not in {item["item_id"] for one in listed for item in one["items"]}
    assert [one["unknown"] for one in listed] == [[], []]
    code, log = again.stop()
    assert code in (0, -signal.SIGTERM)
    assert all(json.loads(line)["level"] == "info" for line in log.splitlines())
    assert "late" not in log


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """A server in a thread of this process."""
    server = bounded_server(app, Limits(timeout=100), port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_schemathesis_finds_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the document allows or forbids: no 5xx, declared statuses, answers of the declared form."""
    monkeypatch.setattr(live_module, "open_catalogue", lambda path, plugins, **more: shop(50, seed=1))
    service = Service(PersistentRecommender(shop(40), Journal(tmp_path / "state")), Limits(timeout=100))
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    tool = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    assert tool is not None
    with listening(create_app(service, Path("bundle"), token=TOKEN)) as url:
        words = [tool, "run", f"{url}/openapi.json", "--checks", checks, "--max-examples", "40", "--seed", "1"]
        words += [
            "-H",
            f"Authorization: Bearer {TOKEN}",
            "--phases",
            "examples,coverage,fuzzing",
            "--generation-database",
            "none",
        ]
        found = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
        assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-1000:]
        assert httpx2.post(f"{url}/recommend", json={"histories": [[]]}).status_code == 200
