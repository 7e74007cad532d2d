"""Device, precision and memory allocation, which are determined before anything runs."""

from __future__ import annotations

import ctypes
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from genrec.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
_FORM = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9]\d{0,3}))?")
_OTHER_WORDS = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "amd": "cuda", "metal": "mps", "apple": "mps"}


def check_device_name(name: str) -> None:
    """Checks that a device is spelled as one, on whatever machine.

    Raises:
        ConfigError: naming what was probably meant.
    """
    if _FORM.fullmatch(name):
        return
    word, _, number = name.lower().strip().partition(":")
    near = _OTHER_WORDS.get(word)
    if near is None and _FORM.fullmatch(name.lower().strip()):
        near = word  # CUDA:1
    if near == "cuda" and number.isdecimal() and len(number) < 4:
        near = f"cuda:{int(number)}"
    fix = f"did you mean {near}?" if near else did_you_mean(word, DEVICES)
    raise ConfigError("device", expected="one of auto, cpu, cuda, cuda:N, mps", got=name, fix=fix)


def resolve_device(name: str) -> torch.device:
    """What ``device=auto`` means here: CUDA, else MPS, else the CPU; ``cuda:1`` is the second of several.

    Raises:
        ConfigError: for a device that this machine does not have.
    """
    import torch

    check_device_name(name)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, available in there.items() if available))
    kind, _, number = name.partition(":")
    if not there[kind]:
        available = ", ".join(device for device, available in there.items() if available)
        raise ConfigError("device", expected=f"one of auto, {available}", got=name, fix="use device=auto")
    if number and int(number) >= (count := torch.cuda.device_count()):
        fix = f"use device=cuda:{count - 1}; CUDA_VISIBLE_DEVICES chooses which devices are counted"
        raise ConfigError("device", expected=f"one of the {count} CUDA devices, from cuda:0", got=name, fix=fix)
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> str:
    """What ``precision=auto`` means: bf16 where the device multiplies in it; elsewhere autocast doubles the time (measured).

    Raises:
        ConfigError: for bf16 on a device that has none.
    """
    import torch

    if name == "bf16" and not _has_bf16(device):
        raise ConfigError("precision", expected=f"one that {device.type} has", got=name, fix="use precision=fp32")
    if name != "auto":
        return name
    if device.type == "cuda":
        with _current(device):
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
    return "fp32"


def _has_bf16(device: torch.device) -> bool:
    """Whether autocast to bf16 works at all; a CPU without the instructions computes it too, slowly."""
    import torch

    if device.type == "cuda":
        with _current(device):
            return torch.cuda.is_bf16_supported(including_emulation=True)
    return device.type != "mps" or torch.backends.mps.is_macos_or_newer(14, 0)


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Makes a CUDA device the current one for a query."""
    import torch

    return nullcontext() if device.index is None else torch.cuda.device(device)


_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # of mallopt, in glibc's malloc.h


def keep_freed_memory() -> bool:
    """Has glibc reuse large blocks instead of giving each back to the system, which fills it with zeros before the next use.

    A training step with a softmax over 12,000 items took 1.9 s with the system's zeros and 1.4 s without, on one thread of a
    busy machine; peak memory rose by 8 %. Nothing happens where malloc is not glibc's.

    Returns:
        Whether it does so now; it lasts as long as the process.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
