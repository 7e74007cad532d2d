"""The log of steps: its figures are those of the steps, it goes on after a kill, and a line a minute is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_world import OPTIONS, ring, sids_of

from genrec.core.trie import PrefixTrie
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.training import fit as fit_module
from genrec.training.fit import fit
from genrec.training.settings import TrainSettings
from genrec.training.step_log import StepLog, measured_peak, words_of

HYBRID = next(option for option in OPTIONS if option.id == "encdec-hybrid")
WORLD, SIDS = ring(num_items=30, num_users=40, max_len=9), sids_of(30, (4, 5, 6))
SETTINGS = TrainSettings(
    epochs=2, lr=5e-3, warmup_steps=3, batch_states=60, num_validations=2, validation_users=15, log_every_n_steps=2
)


def entries(work: Path, settings: TrainSettings = SETTINGS, log: Callable[[str], None] = lambda line: None) -> list[Any]:
    """What trackers get of a training."""
    work.mkdir(exist_ok=True)
    trie, rows = PrefixTrie.build(SIDS), list[Mapping[str, float]]()
    generator = HYBRID.build(SIDS, train_counts=WORLD.train_counts, dropout=0.2)
    objective = HYBRID.objective(trie, generator)
    device = torch.device("cpu")
    fit(generator, objective, WORLD, trie, settings, work=work, device=device, track=rows.append, progress=False, log=log)
    return [row for row in rows if "step/loss" in row]


def timeless(rows: list[Any]) -> list[dict[str, float]]:
    clocked = ("step/targets_per_second", "step/memory_gb", "step/minutes_left")
    return [{key: figure for key, figure in row.items() if key not in clocked} for row in rows]


def test_every_entry_is_the_mean_of_its_steps(tmp_path: Path) -> None:
    single, double = entries(tmp_path / "1", replace(SETTINGS, log_every_n_steps=1)), entries(tmp_path / "2")
    assert [row["step"] for row in single] == list(range(1, len(single) + 1))
    assert [row["step"] for row in double] == list(range(2, len(single) + 1, 2))
    for one, other, both in zip(single[::2], single[1::2], double, strict=False):
        lower, upper = sorted((one["step/loss"], other["step/loss"]))
        assert lower <= both["step/loss"] <= upper
        assert both["step/lr"] == other["step/lr"] == SETTINGS.lr_at(int(other["step"]) - 1, (other["step"] - 1) / len(single))
        assert both["step/gradient_norm"] == other["step/gradient_norm"] > 0
    assert single[-1]["step/minutes_left"] == 0 < single[0]["step/minutes_left"]
    assert all(row["step/memory_gb"] > 0.05 and row["step/targets_per_second"] > 0 for row in single)
    assert any(key.startswith("step/loss_") for key in single[0]), "the parts of the loss"
    assert "step/mfu" not in single[0], "no peak of a CPU is to be trusted"


def test_after_a_kill_trackers_get_the_same_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = entries(tmp_path / "straight")
    often, original, calls = replace(SETTINGS, checkpoint_minutes=1e-9), SIDCrossEntropy.loss, 0

    def dying(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return original(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SIDCrossEntropy, "loss", dying)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            entries(tmp_path / "killed", often)
    assert timeless(entries(tmp_path / "killed", often)) == timeless(straight)


def test_a_line_a_minute_where_there_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 100_000, 7))  # each look at the clock
    monkeypatch.setattr(fit_module, "StepLog", lambda *args, **more: StepLog(*args, **more, clock=lambda: float(next(seconds))))
    lines: list[str] = []
    rows = entries(tmp_path, replace(SETTINGS, epochs=6, log_every_n_steps=1), lines.append)
    lines = [line for line in lines if line.startswith("  step ")]
    assert 0 < len(lines) < len(rows) / 2
    assert words_of(next(row for row in rows if f"step {row['step']:,}/" in lines[0])) in lines[0]
    assert all(part in lines[0] for part in ("loss", "lr", "gradient", "targets/s", "GB", "min left"))


def test_operations_of_a_step_are_counted_and_divided_by_the_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(StepLog):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            super().on_train_start(trainer, pl_module)
            self._peak, pl_module.count_flops = 1e9, True

    straight = entries(tmp_path / "straight")
    monkeypatch.setattr(fit_module, "StepLog", Counting)
    rows = entries(tmp_path / "counted")
    assert all(row["step/mfu"] > 0 for row in rows)
    assert [row["step/loss"] for row in rows] == [row["step/loss"] for row in straight], "counting changes nothing"


def test_the_measured_peak_is_one_of_a_machine() -> None:
    assert 1e8 < measured_peak(torch.device("cpu"), "fp32", size=256, repeats=2) < 1e14
