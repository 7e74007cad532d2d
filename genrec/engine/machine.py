"""The machine: its device and precision, its names and versions for manifests, and its errors (memory, disk, permission)."""

from __future__ import annotations

import ctypes
import errno
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrec.errors import ConfigError, GenRecError, did_you_mean

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
    """Resolves ``device=auto`` to CUDA, else MPS, else the CPU; ``cuda:1`` is the second of several.

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
    """Resolves ``precision=auto``: bf16 if the device multiplies in it; elsewhere autocast doubles the time (measured).

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


_PACKAGE = Path(__file__).resolve().parents[1]
_REPORTED_VERSIONS = ("torch", "lightning", "transformers", "numpy", "scipy", "scikit-learn", "polars", "safetensors")


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Versions of Python and of the libraries that results depend on, system and processor, and genrec's own source."""
    versions = {name: _version(name) for name in _REPORTED_VERSIONS}
    return {
        **source_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        **versions,
    }


@cache
def source_state(package: Path = _PACKAGE) -> dict[str, Any]:
    """The commit of genrec that this process runs, and whether its source or configuration differed from it.

    It is asked once: a process keeps the code that it began with, whatever is committed or edited while it runs.

    Returns:
        ``commit`` (40 hex digits) and ``dirty``; both None where genrec was installed and is no checkout, or there is no git.
    """
    unknown = {"commit": None, "dirty": None}
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:  # installed within somebody else's repository
        return unknown
    commit = _git(package, "rev-parse", "HEAD")
    conf = [str(path) for path in (package.parent / "conf",) if path.is_dir()]
    changes = _git(package, "status", "--porcelain", "--", ".", *conf)
    return unknown if commit is None or changes is None else {"commit": commit, "dirty": changes != ""}


def _git(folder: Path, *words: str) -> str | None:
    """Returns the output of a git command in a folder; None where it fails or git is missing."""
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}  # a hook's own repository
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=30,
            env=surroundings | {"GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The processor's name; ``platform.processor()`` is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


_GO_ON = "the same command goes on where it stopped"
_ROOM = ("room on the disk", f"make some; {_GO_ON}")
_LEAVE = ("permission to read and write there", "allow it, or choose another place")
_DISK = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _LEAVE,
    errno.EPERM: _LEAVE,
    errno.EROFS: _LEAVE,
    errno.EIO: ("a disk that can be read and written", f"check it; {_GO_ON}"),
}
_RUST = re.compile(r"\(os error (\d+)\)")  # how safetensors and polars report an error of the system
_NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # of torch: on the CPU, elsewhere, inside cuBLAS


class MachineError(GenRecError):
    """A resource that the machine lacks or refuses."""


def peak_process_memory() -> int:
    """Returns the most bytes of this process in memory so far, or 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; smaller batches may fit.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    True
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    )


def as_machine_error(error: BaseException) -> MachineError | None:
    """Converts an error of Python or a library; None for a GenRecError, and for errors that are not the machine's."""
    if isinstance(error, GenRecError):
        return None
    if is_out_of_memory(error):
        got = str(error).strip().partition("\n")[0] or type(error).__name__
        fix = "lower train.batch_states, recommend.batch_size or the number of beams"
        return MachineError("memory", expected="enough of it", got=got, fix=fix)
    match = _RUST.search(str(error))
    number = error.errno if isinstance(error, OSError) and error.errno else int(match[1]) if match else None
    if number not in _DISK:
        return None
    expected, fix = _DISK[number]
    where = getattr(error, "filename", None) or "disk"
    return MachineError(where, expected=expected, got=os.strerror(number), fix=fix)


@contextmanager
def wrap_os_errors() -> Iterator[None]:
    """Converts errors of memory and disk into a ``MachineError``.

    Raises:
        MachineError: in place of an error of memory or of the disk.
    """
    try:
        yield
    except Exception as error:
        if refusal := as_machine_error(error):
            raise refusal from error
        raise
