"""The log of training between validations: loss and its parts, learning rate, gradient norm, speed, memory, MFU, time left.

Every figure is made once in ``log_every_n_steps`` steps, so that a device is waited for as seldom. Trackers get every entry; a
terminal shows the latest one beside a bar, and where there is no terminal a line is printed once a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import lightning
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from genrec.engine.machine import peak_process_memory
from genrec.training.module import TrainingBatch, TrainingModule

LINE_SECONDS = 60.0
_BF16_PEAKS = {"H100 80GB HBM3": 989e12, "H200": 989e12, "A100": 312e12}  # dense products a second, as the vendor states
_GB = 1e9


class StepLog(lightning.Callback):
    """Makes the entries of the log and sends them to the trackers and the terminal.

    Args:
        every: steps between two entries.
        num_steps: of the whole training.
        precision: "fp32" or "bf16".
        track: gets each entry, also those before a kill.
        log: prints a line.
        show_bar: whether a terminal may show a bar.
        clock: seconds.
    """

    def __init__(
        self,
        every: int,
        num_steps: int,
        *,
        precision: str,
        track: Callable[[Mapping[str, float]], None],
        log: Callable[[str], None],
        show_bar: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.every, self.num_steps, self.precision = every, num_steps, precision
        self.track, self.log_line, self.clock = track, log, clock
        self.entries: list[dict[str, float]] = []
        self.flops_per_state: float | None = None
        self._peak: float | None = None
        self._break_began: float | None = None
        words = (TextColumn("  train"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"))
        self._bar = Progress(*words, TimeElapsedColumn(), TimeRemainingColumn(), transient=True)
        self._has_bar = show_bar and self._bar.console.is_terminal

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        for entry in self.entries:
            self.track(entry)
        if self._has_bar:
            self._bar.start()
            self._task = self._bar.add_task("train", total=self.num_steps, completed=trainer.global_step, figures="")
        device = pl_module.device
        if device.type == "cuda":  # elsewhere no peak is to be trusted: cores are shared, and clocks move
            self._peak = known_peak(torch.cuda.get_device_name(device), self.precision) or measured_peak(device, self.precision)
            pl_module.count_flops = self.flops_per_state is None
        self._first_step, self._started = trainer.global_step, self.clock()
        self._last_line = self._started
        self._begin_interval(pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._break_began = self.clock()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._break_began is not None:  # validation is no training
            self._interval_began += self.clock() - self._break_began
            self._break_began = None

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: TrainingBatch,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, TrainingModule)
        step, num_states = trainer.global_step, batch.batch.history.numel()
        self._states += num_states
        if pl_module.flops is not None:
            self.flops_per_state = pl_module.flops / max(num_states, 1)
            pl_module.flops = None
        if self._has_bar:
            self._bar.update(self._task, completed=step)
        if step % self.every:
            return
        entry = {"step": step, **self._figures(step, trainer, pl_module)}
        self.entries.append(entry)
        self.track(entry)
        words = words_of(entry)
        if self._has_bar:
            self._bar.update(self._task, figures=words)
        elif self.clock() - self._last_line >= LINE_SECONDS:
            self.log_line(f"  step {step:,}/{self.num_steps:,}: {words}, {entry['step/minutes_left']:.1f} min left")
            self._last_line = self.clock()
        self._begin_interval(pl_module)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self._bar.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"entries": self.entries, "flops_per_state": self.flops_per_state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.entries, self.flops_per_state = list(state_dict["entries"]), state_dict["flops_per_state"]

    def _begin_interval(self, module: TrainingModule) -> None:
        self._interval_began, self._states, self._targets = self.clock(), 0, module.targets_seen

    def _figures(self, step: int, trainer: lightning.Trainer, module: TrainingModule) -> dict[str, float]:
        figures = {f"step/{key}": mean for key, mean in module.step_means.take().items()}  # here the device is waited for
        now = self.clock()
        seconds = max(now - self._interval_began, 1e-9)
        figures["step/lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        if module.gradient_norm is not None:
            figures["step/gradient_norm"] = float(module.gradient_norm)
        figures["step/targets_per_second"] = (module.targets_seen - self._targets) / seconds
        figures["step/memory_gb"] = peak_memory(module.device) / _GB
        if self.flops_per_state is not None and self._peak:
            figures["step/mfu"] = self.flops_per_state * self._states / seconds / self._peak
        steps_here = max(step - self._first_step, 1)
        figures["step/minutes_left"] = (now - self._started) / steps_here * (self.num_steps - step) / 60
        return figures


def words_of(entry: Mapping[str, float]) -> str:
    """An entry of the log as text.

    >>> words_of({"step/loss": 2.5, "step/loss_item": 1.25, "step/lr": 1e-3, "step/targets_per_second": 12345.6})
    'loss 2.500 (item 1.250), lr 0.001, 12,346 targets/s'
    """
    parts = [f"{key.removeprefix('step/loss_')} {entry[key]:.3f}" for key in entry if key.startswith("step/loss_")]
    words = [f"loss {entry['step/loss']:.3f}" + (f" ({', '.join(parts)})" if parts else ""), f"lr {entry['step/lr']:.3g}"]
    if "step/gradient_norm" in entry:
        words.append(f"gradient {entry['step/gradient_norm']:.2f}")
    words.append(f"{entry['step/targets_per_second']:,.0f} targets/s")
    if "step/memory_gb" in entry:
        words.append(f"{entry['step/memory_gb']:.1f} GB")
    if "step/mfu" in entry:
        words.append(f"MFU {entry['step/mfu']:.0%}")
    return ", ".join(words)


def peak_memory(device: torch.device) -> int:
    """Bytes at most in use so far: of the device's memory, or of the process on the CPU; 0 where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_process_memory()


def known_peak(name: str, precision: str) -> float | None:
    """Products a second that the vendor states for a device, None for one that is not in the table.

    >>> known_peak("NVIDIA H200", "bf16"), known_peak("NVIDIA H100 PCIe", "bf16")
    (989000000000000.0, None)
    """
    peaks = (peak for part, peak in _BF16_PEAKS.items() if part in name)
    return next(peaks, None) if precision == "bf16" else None


def measured_peak(device: torch.device, precision: str, *, size: int = 8192, repeats: int = 5) -> float:
    """Products a second of one large matrix product, the best of a few."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(repeats + 1):  # the first one warms up
        _wait(device)
        start = time.perf_counter()
        matrix @ matrix
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
