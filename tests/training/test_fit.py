"""Training is a function of its inputs: killed and resumed, warm-started, stopped early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from small_world import OPTIONS, ring, sids_of

from genrec.core.dataset import Dataset
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.training.checkpointing import RoundKeeper, Validator
from genrec.training.fit import Fitted, fit
from genrec.training.module import TrainingModule
from genrec.training.settings import TrainSettings

HYBRID, PLAIN = (next(option for option in OPTIONS if option.id == name) for name in ("encdec-hybrid", "encdec"))
WORLD, SIDS = ring(num_items=30, num_users=40, max_len=9), sids_of(30, (4, 5, 6))
SETTINGS = TrainSettings(
    epochs=5, lr=5e-3, warmup_steps=3, batch_states=60, crop_rate=0.3, num_validations=5, validation_users=15
)


class Killed(Exception):
    """Stands in for SIGKILL: whatever is on disk stays as it is."""


def die_at(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, number: int) -> None:
    """The ``number``-th call of a method does not return."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def dying(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Killed
        return original(*args, **more)

    monkeypatch.setattr(owner, name, dying)


def trained(
    work: Path,
    settings: TrainSettings = SETTINGS,
    *,
    world: Dataset = WORLD,
    change: Callable[[Any], None] = lambda g: None,
    dropout: float = 0.2,
    option: Any = HYBRID,
) -> tuple[dict[str, torch.Tensor], Fitted]:
    """Weights after training an encdec, a hybrid one with dropout if nothing else is asked for, in ``work``."""
    trie = PrefixTrie.build(SIDS)
    generator = option.build(SIDS, train_counts=world.train_counts, dropout=dropout)
    change(generator)
    fitted = fit(
        generator,
        option.objective(trie, generator),
        world,
        trie,
        settings,
        work=work,
        device=torch.device("cpu"),
        progress=False,
        log=lambda line: None,
    )
    assert not generator.training
    return {name: tensor.clone() for name, tensor in generator.state_dict().items()}, fitted


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], Fitted]:
    return trained(tmp_path_factory.mktemp("straight"))


def test_rounds(straight: tuple[dict[str, torch.Tensor], Fitted]) -> None:
    _, fitted = straight
    assert [row["round"] for row in fitted.history] == list(range(5))
    assert fitted.history[-1]["targets"] == 5 * fitted.num_targets == 5 * len(WORLD.train.item_idx)
    assert fitted.best == max(fitted.history, key=lambda row: row["val/ndcg@10"])
    assert fitted.history[-1]["train/loss"] < fitted.history[0]["train/loss"]


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (SIDCrossEntropy, "loss", 8),  # in the middle of a round
        (Validator, "measure", 1),  # before anything is on disk
        (lightning.Trainer, "save_checkpoint", 3),  # best weights are written, the checkpoint is not
        (RoundKeeper, "_log_round", 2),  # just after a checkpoint
        (RoundKeeper, "load_best", 1),  # after the last round
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_resumed_is_straight(
    owner: type,
    name: str,
    number: int,
    straight: tuple[dict[str, torch.Tensor], Fitted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, owner, name, number)
        with pytest.raises(Killed):
            trained(tmp_path)
    weights, fitted = trained(tmp_path)
    assert fitted == straight[1]
    assert weights.keys() == straight[0].keys()
    assert [key for key, tensor in weights.items() if not torch.equal(tensor, straight[0][key])] == []


@pytest.mark.parametrize("number", [2, 7, 12, 20], ids="killed at call {}".format)
def test_resumed_in_the_middle_of_a_round_is_straight(
    number: int, straight: tuple[dict[str, torch.Tensor], Fitted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = replace(SETTINGS, checkpoint_minutes=1e-9, log_every_n_steps=2)  # at every step
    with monkeypatch.context() as patch:
        die_at(patch, SIDCrossEntropy, "loss", number)
        with pytest.raises(Killed):
            trained(tmp_path, often)
    steps: list[int] = []
    with monkeypatch.context() as patch:
        original = TrainingModule.training_step
        patch.setattr(
            TrainingModule, "training_step", lambda module, batch, i: steps.append(batch.step) or original(module, batch, i)
        )
        weights, fitted = trained(tmp_path, often)
    assert steps == list(range(number - 1, straight[1].history[-1]["step"])), "not a step more than the one that was lost"
    assert number - 1 not in [row["step"] for row in fitted.history], "it was the middle of a round"
    assert fitted == straight[1]
    assert [key for key, tensor in weights.items() if not torch.equal(tensor, straight[0][key])] == []


def test_accumulated_batches_train_as_whole_ones(tmp_path: Path) -> None:
    runs = {}
    for parts in (1, 3):
        (tmp_path / str(parts)).mkdir()
        settings = replace(SETTINGS, epochs=2, accumulate=parts)
        runs[parts] = trained(tmp_path / str(parts), settings, dropout=0.0, option=PLAIN)
    whole, parted = runs[1], runs[3]
    assert [row["step"] for row in parted[1].history] == [row["step"] for row in whole[1].history]
    for before, after in zip(whole[1].history, parted[1].history, strict=True):
        assert after["train/loss"] == pytest.approx(before["train/loss"], rel=1e-4)
        assert after["targets"] == before["targets"]


def test_patience_and_a_kill_before_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still = replace(SETTINGS, lr=0.0, patience=2, crop_rate=0.0)
    with monkeypatch.context() as patch:
        die_at(patch, RoundKeeper, "_log_round", 3)
        with pytest.raises(Killed):
            trained(tmp_path, still)
    _, fitted = trained(tmp_path, still)
    assert [row["round"] for row in fitted.history] == [0, 1, 2], "no round after the one that used up the patience"
    assert fitted.best["round"] == 2, "three equal rounds say nothing: the last is kept"


def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    def poison(generator: Any) -> None:
        generator.history.start.data.fill_(float("nan"))

    with pytest.raises(ConfigError, match=r"train/loss: expected a finite number, got nan at step"):
        trained(tmp_path, change=poison)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    empty = replace(WORLD, train_ends=WORLD.events.offsets[:-1])
    with pytest.raises(ConfigError, match="at least one training event"):
        trained(tmp_path, world=empty)


def test_without_validation_users_the_last_round_counts(tmp_path: Path) -> None:
    unmeasured = replace(WORLD, validation_ends=WORLD.train_ends)
    _, fitted = trained(tmp_path, replace(SETTINGS, epochs=1, num_validations=2), world=unmeasured)
    assert fitted.best == fitted.history[-1]
    assert "val/ndcg@10" not in fitted.best


def test_learning_rate_is_a_function_of_the_step() -> None:
    settings = TrainSettings(lr=1.0, warmup_steps=4, decay="sqrt")
    assert [settings.lr_at(step, 0.0) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert settings.lr_at(10, 0.75) == pytest.approx(0.5)
    assert replace(settings, decay="linear").lr_at(10, 0.75) == pytest.approx(0.25)
    assert replace(settings, decay="constant").lr_at(10, 0.75) == 1.0
    assert np.isfinite(replace(settings, warmup_steps=0).lr_at(0, 0.0))
