"""The processes that train one generator together, as ``torchrun`` starts them; without it, one that is alone.

Rank 0 makes the run: it has the locks, runs the stages and writes. The other ranks wait, and take part in the stages that share
their work (``Stage.shared``). Objects go over a group of their own, which waits as long as it takes: rank 0 may tokenize for
hours. Tensors go over the default group, by NCCL between CUDA devices and by gloo between CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from genrec.errors import ConfigError

if TYPE_CHECKING:
    import torch

LAUNCHER = "TORCHELASTIC_RUN_ID"  # in the environment of what torchrun starts
_PATIENCE = timedelta(days=30)
_STEP_PATIENCE = timedelta(hours=2)  # of a rank for the others in a step
_BUCKET = 1 << 24  # numbers that are summed at once


@dataclass(frozen=True)
class Processes:
    """This process among those of its training.

    Args:
        rank: of this process, from 0.
        world: how many there are.
        local_rank: of this process on its machine.
        local_world: how many are on its machine.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Processes:
        """Reads what the launcher wrote."""
        if LAUNCHER not in environment:
            return cls()
        return cls(*(int(environment[key]) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))

    @property
    def leads(self) -> bool:
        """Whether it is rank 0."""
        return self.rank == 0

    def connect(self) -> None:
        """Meets the other processes, once."""
        import torch.distributed as dist

        if self.world > 1 and not dist.is_initialized():
            import torch

            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_STEP_PATIENCE)

    def device(self, chosen: torch.device) -> torch.device:
        """The device of this process: each of a machine takes its own CUDA device.

        Raises:
            ConfigError: when one device is named for several processes, or there are too few.
        """
        import torch

        if self.local_world == 1 or chosen.type == "cpu":
            return chosen
        if chosen.type != "cuda" or chosen.index is not None:
            fix = "use device=cuda; CUDA_VISIBLE_DEVICES chooses which"
            raise ConfigError("device", expected=f"one for each of {self.local_world} processes", got=chosen, fix=fix)
        if torch.cuda.device_count() < self.local_world:
            got, fix = torch.cuda.device_count(), "lower --nproc-per-node of torchrun"
            raise ConfigError("device", expected=f"{self.local_world} CUDA devices, one a process", got=got, fix=fix)
        return torch.device("cuda", self.local_rank)

    def from_first(self, value: Any) -> Any:
        """Returns the value that rank 0 has; the other ranks wait for it."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0, group=_patient_group())
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all ranks, in their order."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        values = [None] * self.world
        dist.all_gather_object(values, value, group=_patient_group())
        return values

    def share(self, values: Any) -> Any:
        """Returns every ``world``-th row of an array or tensor from ``rank`` on; all of them where the process is alone."""
        return values if self.world == 1 else values[self.rank :: self.world]

    def sum(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replaces tensors by their sums over the ranks, which get the same bits."""
        if self.world > 1:
            for bucket in _buckets(tensors):
                _sum(bucket)


@cache
def _patient_group() -> Any:
    import torch.distributed as dist

    return dist.new_group(backend="gloo", timeout=_PATIENCE)


def _buckets(tensors: Iterable[torch.Tensor]) -> Iterable[list[torch.Tensor]]:
    """Yields tensors of one type and about ``_BUCKET`` numbers at a time."""
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or sum(part.numel() for part in bucket) + tensor.numel() > _BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _sum(bucket: Sequence[torch.Tensor]) -> None:
    import torch
    import torch.distributed as dist

    flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
    dist.all_reduce(flat)
    for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
        tensor.copy_(part.view_as(tensor))


def processes() -> Processes:
    """The processes that this one was started with."""
    return Processes.of(os.environ)


def check_shared_batches(generator: Any, objective: Any, here: Processes) -> None:
    """Checks that several processes may share the rows of a batch.

    Args:
        generator: an instance, or its class.
        objective: likewise.
        here: the processes.

    Raises:
        ConfigError: when rows of a batch depend on each other.
    """
    if here.world == 1:
        return
    for key, part, fits in (
        ("objective", objective, getattr(objective, "shares_batches", False)),
        ("generator", generator, not getattr(generator, "couples_rows", False)),
    ):
        if not fits:
            name = (part if isinstance(part, type) else type(part)).__name__
            expected = f"one whose rows of a batch do not depend on each other, for {here.world} processes"
            raise ConfigError(key, expected=expected, got=name, fix="train it in one process: without torchrun")


def check_processes(train: Mapping[str, Any], here: Processes, command: str = "genrec train") -> None:
    """Checks that as many processes were started as the settings name.

    Args:
        train: the settings of training.
        here: the processes.
        command: what to start, for the message.

    Raises:
        ConfigError: with the command that starts them.
    """
    devices, nodes = train.get("devices"), train.get("num_nodes")
    if devices in (None, here.local_world) and nodes in (None, here.world // here.local_world):
        return
    key = "devices" if devices not in (None, here.local_world) else "num_nodes"
    got = f"{here.local_world} process(es) a machine, {here.world // here.local_world} machine(s)"
    start = f"torchrun --nnodes {nodes or 1} --nproc-per-node {devices or 1} -m {command} ..."
    raise ConfigError(f"train.{key}", expected=f"{train[key]} to be started", got=got, fix=f"start `{start}`, or leave it out")
