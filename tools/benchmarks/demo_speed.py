"""Speed on the demo shop: training targets a second and users decoded a second, each the median of three runs.

python tools/benchmarks/demo_speed.py                                      the default generator on all threads
python tools/benchmarks/demo_speed.py generator=sasrec threads=1           any settings of `genrec run`

The training speed is what two more epochs cost, so that start-up, validation and compilation do not enter. Numbers mean little
on a busy machine: the load is printed beside them.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

import torch

import genrec
from genrec.engine.runs import Run

REPEATS, FEW_EPOCHS, MORE_EPOCHS = 3, 1, 3


def seconds_to(until: str, settings: Sequence[str], *, epochs: int, seed: int) -> tuple[float, Run]:
    """Makes what is missing up to a stage; one validation, at the end of training."""
    budget = ["train.num_validations=1", f"train.epochs={epochs}", f"train.seed={seed}"]
    start = time.perf_counter()
    run = genrec.run(experiment="demo", until=until, quiet=True, overrides=[*settings, *budget])
    return time.perf_counter() - start, run


def main(settings: Sequence[str]) -> None:
    """Prints one JSON object."""
    training, decoding = [], []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="genrec-bench-") as runs:
        settings = [f"paths.runs={runs}", *settings]
        seconds_to("recommend", settings, epochs=FEW_EPOCHS, seed=REPEATS)  # what all share, and everything is imported
        for seed in range(REPEATS):
            few, _ = seconds_to("train", settings, epochs=FEW_EPOCHS, seed=seed)
            more, _ = seconds_to("train", settings, epochs=MORE_EPOCHS, seed=seed)
            _, run = seconds_to("recommend", settings, epochs=MORE_EPOCHS, seed=seed)
            targets = run.artifact("generator").facts["targets_per_epoch"] * (MORE_EPOCHS - FEW_EPOCHS)
            training.append(targets / max(more - few, 1e-9))
            decoding.append(run.artifact("recommendations").facts["splits"]["test"]["users_per_second"])
    row = {
        "settings": list(settings[1:]),
        "targets_per_second": round(statistics.median(training)),
        "users_per_second": round(statistics.median(decoding)),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load_before": round(load, 1),
        "torch": torch.__version__,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1:])
