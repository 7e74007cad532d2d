"""Kills a real pipeline in the middle of every stage, and looks whether the same command ends with the same files.

    python tests/faults/kill_stages.py RUNS_DIR KILLS_PER_STAGE SEED

Prints one line of json: kills by stage, different.
A process of its own, since it forks and nothing that has run polars may.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch  # every import that takes time: once, before the forks
from test_resume import contents, finished

import genrec
from genrec.engine.pipeline import STAGES, load_stage
from genrec.engine.runs import Run

SHOP = [
    *("data=demo", "data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "tokenizer.codebook_size=8"),
    *("train.epochs=2", "train.num_validations=2", "device=cpu", "name=shop", "threads=1"),
    *("generator.dim=16", "generator.num_heads=2", "generator.num_history_layers=1", "generator.num_decoder_layers=1"),
]
IMPORTED = (
    "genrec.training.fit",
    "genrec.reports.report",
    "genrec.api",
    "genrec.engine.config",
    "sklearn.cluster",
    "genrec.data.demo",
)


def started(runs: Path) -> tuple[int, int]:
    """A process that makes everything, and what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        sys.stdout = os.fdopen(1, "w", buffering=1)
        torch.set_num_threads(1)
        for until in ("evaluate", "export"):
            genrec.run(until=until, overrides=[*SHOP, f"paths.runs={runs}"])
        os._exit(0)
    os.close(writing)
    return child, reading


def to_the_end(runs: Path) -> dict[str, float]:
    """Runs it; the seconds of every stage that was made."""
    child, reading = started(runs)
    with os.fdopen(reading) as said:
        lines = said.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0, lines
    ends = (line.split(": ") for line in lines if line.endswith(" s") and line.partition(":")[0] in STAGES)
    return {stage: float(seconds.split()[0]) for stage, seconds in ends}


def killed_in(runs: Path, stage: str, after: float) -> None:
    """Starts it, and kills it some seconds after a stage began."""
    child, reading = started(runs)
    with os.fdopen(reading) as said:
        for line in said:
            if line.startswith((f"{stage}: running", f"{stage}: resuming")):
                break
        select.select([], [], [], after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def main(root: Path, kills: int, seed: int) -> dict[str, Any]:
    """Counts."""
    for name in (*IMPORTED, *(f"genrec.stages.{stage}" for stage in STAGES)):
        importlib.import_module(name)
    load_stage("train")
    seconds = to_the_end(root / "straight")
    expected = contents(Run(root / "straight" / "shop"))
    moments, done, different = random.Random(seed), dict[str, int](), list[str]()
    for stage, length in seconds.items():
        for attempt in range(kills):
            runs = root / f"{stage}{attempt}"
            run = Run(runs / "shop")
            killed_in(runs, stage, moments.uniform(0, length))
            before = finished(run)
            to_the_end(runs)
            print(f"killed in {stage}, with {', '.join(before) or 'nothing'}", file=sys.stderr, flush=True)
            done[stage] = done.get(stage, 0) + 1
            if contents(run) != expected:
                different.append(f"{stage} {attempt}: other files")
            if not finished(run).items() >= before.items():
                different.append(f"{stage} {attempt}: a finished stage was repeated")
    return {"kills": done, "different": different}


if __name__ == "__main__":
    start = time.monotonic()
    counts = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(counts | {"seconds": round(time.monotonic() - start)}))
