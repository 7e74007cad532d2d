"""Messages of training by several processes."""

from __future__ import annotations

import torch

from error_cases import Case, Scene
from genrec.commands.run import run_and_compare
from genrec.engine.processes import Processes, check_processes, check_shared_batches
from genrec.engine.sweep import Job
from genrec.errors import ConfigError
from genrec.generators.encdec import EncDec
from genrec.objectives.in_batch_contrastive import InBatchContrastive

TWO = Processes(0, 2, 0, 2)


def two_jobs(scene: Scene) -> None:
    scene.monkeypatch.setattr("genrec.commands.run.processes", lambda: TWO)
    run_and_compare([Job(()), Job(())])


def too_few(scene: Scene) -> None:
    scene.monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    TWO.device(torch.device("cuda"))


CASES = [
    Case("one device for two", ConfigError, "one for each of 2 processes", lambda scene: TWO.device(torch.device("cuda", 0))),
    Case("too few devices", ConfigError, "got 1; lower --nproc-per-node", too_few),
    Case(
        "rows that need each other",
        ConfigError,
        "InBatchContrastive",
        lambda scene: check_shared_batches(EncDec, InBatchContrastive, TWO),
    ),
    Case("too few processes", ConfigError, "4 to be started", lambda scene: check_processes({"devices": 4}, Processes())),
    Case("a sweep in two processes", ConfigError, "got 2 jobs", two_jobs),
]
