"""The image without Docker: what its files say is checked against the program, and the program runs where it cannot write."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
import yaml
from small_bundle import exported

from genrec.commands import serve

ROOT = Path(__file__).resolve().parents[1]


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, in order: (word, the rest)."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def last(word: str) -> str:
    return [rest for name, rest in instructions() if name == word][-1]


def serve_options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_intermixed_args(words)


def test_nobody_is_root() -> None:
    after = [name for name, _ in instructions()]
    assert last("USER").isdigit()
    assert int(last("USER")) > 0
    assert f"--uid {last('USER')} " in last("RUN")
    assert after.index("USER") > max(place for place, name in enumerate(after) if name in ("RUN", "COPY"))


def test_what_is_installed_is_what_was_tested() -> None:
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    for line in installs:
        words = shlex.split(line)
        assert words[words.index("-c") + 1] == "constraints.txt"
        assert "--no-cache-dir" in words
    tested = re.search(r"Python (\S+),", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert tested is not None
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert set(bases) == {f"python:{tested[1]}-slim"}


def test_what_is_copied_is_sent_and_is_there() -> None:
    rules = [
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    sent = {line.removeprefix("!") for line in rules if line.startswith("!")}
    copied = {word for name, rest in instructions() if name == "COPY" and "--from" not in rest for word in rest.split()[:-1]}
    assert rules[0] == "*"
    assert copied == sent
    assert all((ROOT / name).exists() for name in sent)


def test_it_starts_the_service() -> None:
    program, verb, *words = json.loads(last("ENTRYPOINT"))
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["genrec"]
    options = serve_options([*words, *compose["command"]])
    assert (program, verb) == ("genrec", "serve")
    assert options.host == "0.0.0.0"
    assert last("VOLUME") == str(options.state_dir)
    assert last("EXPOSE") == str(options.port)
    assert f":{options.port}/healthz" in last("HEALTHCHECK")
    assert compose["read_only"] is True
    assert compose["tmpfs"] == "/tmp"
    assert [mount.rpartition("}:")[2] for mount in compose["volumes"]] == [f"{options.bundle}:ro", f"state:{options.state_dir}"]
    assert compose["ports"] == [f"127.0.0.1:{options.port}:{options.port}"]
    assert str(options.token_file).startswith("/run/secrets/")


@pytest.mark.slow
def test_it_serves_where_it_cannot_write(tmp_path: Path) -> None:
    """/proc takes no file, not even root's: the working directory, the home and the caches are there."""
    bundle = exported(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(bundle), "--port", str(port), "--state-dir", str(tmp_path / "state")]
    nowhere = {"HOME": "/proc", "XDG_CACHE_HOME": "/proc", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-m", "genrec", *words], cwd="/proc", env={**os.environ, **nowhere}, stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(1200):
            assert server.poll() is None, server.stderr and server.stderr.read()
            try:
                answer = httpx2.post(f"http://127.0.0.1:{port}/recommend", json={"histories": [[]]}, timeout=60)
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        assert answer.status_code == 200
        assert len(answer.json()["lists"][0]["items"]) == 10
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
