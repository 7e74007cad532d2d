"""What stops training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from error_cases import Case, Scene
from genrec.core.dataset import Sequences
from genrec.errors import ArtifactError, ConfigError
from genrec.training.checkpointing import BEST_FILE, LAST_FILE, RoundKeeper, whole_checkpoint
from genrec.training.module import check_loss, check_scores, check_weights
from genrec.training.plan import BatchPlan

PLAN = BatchPlan(Sequences(np.arange(9, dtype=np.int32), np.array([0, 4, 9])), max_history_len=5, batch_states=4, epochs=3)


def no_loss(scene: Scene) -> Any:
    check_loss(torch.tensor(torch.nan), 5, PLAN)


def no_weight(scene: Scene) -> Any:
    generator = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(generator.bias, torch.inf)
    check_weights(generator, 5, PLAN)


def with_file(name: str, read: Callable[[Path], Any]) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        (scene.path / name).write_bytes(b"half")
        return read(scene.path)

    return trigger


def best_of(work: Path) -> Any:
    keeper = RoundKeeper(None, work, None, print, print)  # type: ignore[arg-type]
    keeper.load_state_dict({"history": [], "best_sha": "abc"})
    keeper.load_best(None)  # type: ignore[arg-type]


def flipped(scene: Scene) -> Any:
    torch.save({"a": torch.zeros(999)}, scene.path / LAST_FILE)
    whole = bytearray((scene.path / LAST_FILE).read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (scene.path / LAST_FILE).write_bytes(whole)
    return whole_checkpoint(scene.path)


CASES = [
    Case(
        "a loss",
        ConfigError,
        "got nan at step 5 of 6 (epoch 3 of 3)",
        lambda scene: check_loss(torch.tensor(torch.nan), 5, PLAN),
    ),
    Case("a weight", ConfigError, "weights of bias: expected finite numbers, got one that is none at step 5", no_weight),
    Case("a score", ConfigError, "got nan at step 5", lambda scene: check_scores(pl.Series([0.5, float("nan")]), 5, PLAN)),
    Case(
        "no lists", ConfigError, "got no items at step 5", lambda scene: check_scores(pl.Series([], dtype=pl.Float32), 5, PLAN)
    ),
    Case("half a checkpoint", ArtifactError, "not a zip file", with_file(LAST_FILE, whole_checkpoint)),
    Case("a flipped checkpoint", ArtifactError, "another checksum of", flipped),
    Case("other best weights", ArtifactError, "others", with_file(BEST_FILE, best_of)),
]
