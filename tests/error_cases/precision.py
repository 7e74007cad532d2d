"""Devices and precisions that a machine does not have, and validation that could say nothing."""

from __future__ import annotations

from typing import Any

import torch
from small_world import ring

from error_cases import Case, Scene
from genrec.decoding.full_ranking import FullRanking
from genrec.engine.machine import check_device_name, resolve_device, resolve_precision
from genrec.errors import ConfigError, DataError
from genrec.training.checkpointing import Validator


def second_of_one(scene: Scene) -> Any:
    scene.monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    scene.monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    return resolve_device("cuda:1")


def no_bf16(scene: Scene) -> Any:
    scene.monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    return resolve_precision("bf16", torch.device("cuda"))


def no_cuda(scene: Scene) -> Any:
    scene.monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return resolve_device("cuda")


def only_repeats(scene: Scene) -> Any:
    """Histories of 12 events over three items."""
    return Validator(ring(num_items=3, num_users=20, min_len=12), FullRanking(), None, 9)


CASES = [
    Case("a device nobody has", ConfigError, "gpu; did you mean cuda?", lambda scene: check_device_name("gpu")),
    Case("no CUDA", ConfigError, "cuda; use device=auto", no_cuda),
    Case("one CUDA device", ConfigError, "cuda:1; use device=cuda:0", second_of_one),
    Case("no bf16", ConfigError, "got bf16; use precision=fp32", no_bf16),
    Case("only repeats", DataError, "got 9 of 9 in their users' histories", only_repeats),
]
