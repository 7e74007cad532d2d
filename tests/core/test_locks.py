"""Locks between threads and processes, and the links of runs where a system makes none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from genrec.engine.artifacts import Artifact, Store
from genrec.engine.runs import STORE, Run
from genrec.engine.store_files import Lock, file_lock, holder, point, remove, target_of

HOLD = """
import sys, time
from pathlib import Path
from genrec.engine.store_files import Lock
lock = Lock(Path(sys.argv[1]))
print(lock.take(), flush=True)
time.sleep(60)
"""


def other_process(path: Path) -> subprocess.Popen[str]:
    """One that has taken the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


@pytest.mark.parametrize("name", ["x.lock", "ü (1).lock", "数据.lock", "a,b=[c].lock", "deep/er/x.lock"])
def test_two_objects_exclude_each_other(tmp_path: Path, name: str) -> None:
    one, two = Lock(tmp_path / name), Lock(tmp_path / name)
    assert one.take()
    assert not two.take()
    assert holder(tmp_path / name) == f"process {os.getpid()}"
    one.free()
    assert two.take()
    assert not one.take()
    two.free()
    two.free()  # nothing to let go of


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    process = other_process(path)
    lock = Lock(path)
    assert not lock.take()
    assert holder(path) == f"process {process.pid}"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lock.take()
    assert holder(path) == f"process {os.getpid()}"
    lock.free()
    assert process.stdout is not None
    process.stdout.close()


def test_threads_take_turns(tmp_path: Path) -> None:
    inside, most, lines = [0], [0], list[str]()

    def work() -> None:
        with file_lock(tmp_path / "x.lock", doing="counting", log=lines.append):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert any(line.startswith("waiting: process ") and line.endswith(" is counting") for line in lines)


def test_what_fails_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "x.lock", doing="failing"):
        1 / 0
    assert Lock(tmp_path / "x.lock").take()


def test_a_holder_on_another_machine_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.lock.holder").write_text("17 elsewhere", encoding="utf-8")
    assert holder(tmp_path / "x.lock") == "process 17 on elsewhere"
    assert holder(tmp_path / "y.lock") == "process unknown"


def test_an_artifact_in_use_is_not_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.lock("sids", "f1"):
        assert not store.remove("sids", "f1")
    assert store.remove("sids", "f1")
    with store.lock("sids", "f1"):  # its lock file is still the one that others wait for
        assert not Lock(tmp_path / "sids" / "f1.lock").take()


# --- links ---------------------------------------------------------------------------------------------------------------


def made(store: Store, fingerprint: str) -> Artifact:
    def build(folder: Path, work: Path) -> dict[str, str]:
        (folder / "a.txt").write_text(fingerprint, encoding="utf-8")
        return {}

    return store.make("sids", fingerprint, build, stage="assign", config={}, inputs={})


@pytest.mark.parametrize("links", [True, False])
def test_a_run_without_symbolic_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refused(*args: object, **more: object) -> None:
        raise OSError("a required privilege is not held by the client")

    if not links:
        monkeypatch.setattr(os, "symlink", refused)
    store, run = Store(tmp_path / STORE), Run(tmp_path / "r")
    for fingerprint in ("f1", "f2"):
        made(store, fingerprint)
        run.start({}, [], {"sids": fingerprint})
        run.link("sids", fingerprint)
        assert (run.links, run.kinds) == ({"sids": fingerprint}, ("sids",))
        assert (run.artifact("sids").path / "a.txt").read_text(encoding="utf-8") == fingerprint
        assert (run.path / "sids").is_symlink() is links
    run.start({}, [], {"sids": "f3"})  # what it no longer needs goes away, the store keeps it
    assert run.links == {}
    assert store.find("sids", "f2")
    assert [path.name for path in run.path.iterdir()] == ["run.json"]


def test_what_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert [target_of(tmp_path / name) for name in ("folder", "file", "nothing")] == [None, None, None]
    point(tmp_path / "link", Path("folder"))
    assert target_of(tmp_path / "link") == "folder"
    remove(tmp_path / "link")
    remove(tmp_path / "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
