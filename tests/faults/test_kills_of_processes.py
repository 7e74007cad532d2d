"""SIGKILL of the service while it acknowledges changes, and of the real pipeline in every one of its stages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ledger import Ledger

import genrec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
KILLS_OF_THE_SERVICE, KILLS_OF_A_STAGE = 20, 2


def counted(script: str, *words: Any) -> Any:
    """What a script of this folder prints."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(Path(genrec.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_service(tmp_path: Path, ledger: Ledger) -> None:
    found = counted("kill_service.py", tmp_path, KILLS_OF_THE_SERVICE, 1)
    ledger.inject("service killed", found["kills"])
    assert found["acknowledged"] > 5 * found["kills"]
    for what in found["lost"]:
        ledger.kept(what, False)


def test_every_stage(tmp_path: Path, ledger: Ledger) -> None:
    found = counted("kill_stages.py", tmp_path, KILLS_OF_A_STAGE, 1)
    for stage, number in found["kills"].items():
        ledger.inject(f"stage killed: {stage}", number)
    assert len(found["kills"]) >= 8
    for what in found["different"]:
        ledger.kept(what, False)
