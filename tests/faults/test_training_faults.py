"""Losses that are no number, too little memory, disks that refuse a checkpoint: it goes on or says where it stopped."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from damage import flipped
from ledger import Ledger
from small_world import OPTIONS, ring, sids_of

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.engine.machine import wrap_os_errors
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.protocols import LossTerms
from genrec.training import checkpointing as keeper_module
from genrec.training.checkpointing import BEST_FILE, LAST_FILE, RoundKeeper
from genrec.training.fit import Fitted, fit
from genrec.training.module import in_parts
from genrec.training.plan import BatchPlan
from genrec.training.settings import TrainSettings

PLAIN = next(option for option in OPTIONS if option.id == "encdec")
WORLD, SIDS = ring(num_items=30, num_users=40, max_len=9), sids_of(30, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
SETTINGS = TrainSettings(epochs=3, lr=5e-3, warmup_steps=3, batch_states=60, num_validations=3, validation_users=15)
CPU_WORDS = (
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."
)
FULL = (
    RuntimeError(CPU_WORDS),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory"),
    MemoryError(),
)


def trained(
    work: Path, settings: TrainSettings = SETTINGS, log: Callable[[str], None] = lambda line: None
) -> tuple[dict[str, torch.Tensor], Fitted]:
    """Weights after training without dropout, so that halves of a batch draw nothing else than the whole."""
    torch.manual_seed(0)
    generator = PLAIN.build(SIDS, train_counts=WORLD.train_counts, dropout=0.0)
    with wrap_os_errors():
        fitted = fit(
            generator,
            PLAIN.objective(TRIE, generator),
            WORLD,
            TRIE,
            settings,
            work=work,
            device=torch.device("cpu"),
            progress=False,
            log=log,
        )
    return {name: tensor.clone() for name, tensor in generator.state_dict().items()}, fitted


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], Fitted]:
    return trained(tmp_path_factory.mktemp("straight"))


def spoiled(patch: pytest.MonkeyPatch, spoil: Callable[[int, Any], Any], owner: type = SIDCrossEntropy) -> None:
    """Passes the loss of every batch, and its number, through ``spoil``."""
    original, calls = owner.loss, 0  # type: ignore[attr-defined]

    def loss(self: Any, generator: Any, batch: Batch, sampler: Any = None) -> LossTerms:
        nonlocal calls
        calls += 1
        terms: LossTerms = original(self, generator, batch, sampler)
        return replace(terms, total=spoil(calls, terms.total))

    patch.setattr(owner, "loss", loss)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number(
    value: float, straight: tuple[dict[str, torch.Tensor], Fitted], tmp_path: Path, ledger: Ledger
) -> None:
    """Stops at once, names step and epoch; what was good before it is there to go on from."""
    steps = int(straight[1].history[0]["step"])
    with pytest.MonkeyPatch.context() as patch:
        spoiled(patch, lambda number, loss: loss * value if number == steps + 2 else loss)
        told = ledger.told(value, lambda: trained(tmp_path))
    ledger.inject("training: a loss that is no number")
    assert told is not None
    assert f"at step {steps + 1} of {3 * steps}" in told
    assert "(epoch 2 of 3)" in told
    weights, fitted = trained(tmp_path)
    ledger.kept("the rounds before", fitted == straight[1])
    assert all(torch.equal(weights[name], tensor) for name, tensor in straight[0].items())


def test_a_weight_that_is_no_number_is_not_saved(
    straight: tuple[dict[str, torch.Tensor], Fitted], tmp_path: Path, ledger: Ledger
) -> None:
    """The last step of a round makes it, so no loss ever shows it: the checkpoint of the round before must survive."""
    steps = int(straight[1].history[0]["step"])

    def poison(number: int, loss: torch.Tensor) -> torch.Tensor:
        if number == 2 * steps:
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        spoiled(patch, poison)
        told = ledger.told("gradient", lambda: trained(tmp_path), "weights of ")
    ledger.inject("training: a weight that is no number")
    assert told is not None
    assert f"at step {2 * steps - 1} of" in told
    ledger.kept("the first round", trained(tmp_path)[1] == straight[1])


@pytest.mark.parametrize("num_parts", [2, 3, 1000])
def test_parts_leave_the_gradient_of_the_whole(num_parts: int) -> None:
    generator = PLAIN.build(SIDS, train_counts=WORLD.train_counts, dropout=0.0)
    objective = PLAIN.objective(TRIE, generator)
    plan = BatchPlan(WORLD.train, max_history_len=generator.max_history_len, batch_states=60, epochs=1)
    for batch in (training.batch for training in plan.batches()):
        gradients = []
        whole = objective.loss(generator, batch)
        parted, terms = in_parts(lambda rows: objective.loss(generator, rows), batch, generator.parameters(), num_parts)
        for loss in (whole.total, parted):
            generator.zero_grad()
            loss.backward()
            gradients.append({name: weight.grad for name, weight in generator.named_parameters() if weight.grad is not None})
        assert parted.item() == pytest.approx(whole.total.item(), rel=1e-5)
        assert {name: float(part) for name, part in terms.parts.items()} == pytest.approx(
            {name: float(part) for name, part in whole.parts.items()}, rel=1e-5
        )
        assert gradients[0].keys() == gradients[1].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("where", "error"), list(zip(["forward", "backward"] * 2, FULL, strict=True)))
def test_a_batch_that_memory_has_no_room_for(
    where: str, error: Exception, straight: tuple[dict[str, torch.Tensor], Fitted], tmp_path: Path, ledger: Ledger
) -> None:
    """Halved once, said once, and the figures are those of a machine with more memory."""

    def refuse(gradient: Any = None) -> Any:
        raise error

    def spoil(number: int, loss: torch.Tensor) -> torch.Tensor:
        if number == 4:
            if where == "forward":
                refuse()
            loss.register_hook(refuse)
        return loss

    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        spoiled(patch, spoil)
        _, fitted = trained(tmp_path, log=said.append)
    ledger.inject("training: out of memory")
    assert len([line for line in said if "out of memory at step 3" in line and "in halves" in line]) == 1
    for row, expected in zip(fitted.history, straight[1].history, strict=True):
        assert row["targets"] == expected["targets"]
        assert row["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-3)


def test_memory_that_is_short_for_half_a_batch_too(tmp_path: Path, ledger: Ledger) -> None:
    def refuse(number: int, loss: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(CPU_WORDS)

    with pytest.MonkeyPatch.context() as patch:
        spoiled(patch, refuse)
        told = ledger.told("always", lambda: trained(tmp_path), "lower train.batch_states")
    ledger.inject("training: out of memory", 2)
    assert told is not None
    with pytest.MonkeyPatch.context() as patch:  # another error of the same class is a bug, and shown as one
        spoiled(patch, lambda number, loss: (_ for _ in ()).throw(RuntimeError("shapes do not fit")))
        with pytest.raises(RuntimeError, match="shapes do not fit"):
            trained(tmp_path)


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (lightning.Trainer, "save_checkpoint", errno.ENOSPC),
        (keeper_module, "save_file", errno.EIO),
        (os, "replace", errno.ENOSPC),
    ],
)
def test_a_disk_that_refuses_a_checkpoint(
    owner: Any, name: str, number: int, straight: tuple[dict[str, torch.Tensor], Fitted], tmp_path: Path, ledger: Ledger
) -> None:
    """Whichever round it is: the one before it is whole, and the same command ends with the same weights."""
    original, calls = getattr(owner, name), 0

    def refusing(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(number, os.strerror(number), str(tmp_path / "last.ckpt"))
        return original(*args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, refusing)
        told = ledger.told(name, lambda: trained(tmp_path), os.strerror(number))
    ledger.inject(f"training: {errno.errorcode[number]} at a checkpoint", told is not None)
    weights, fitted = trained(tmp_path)
    ledger.kept("rounds", fitted == straight[1])
    ledger.kept("weights", all(torch.equal(weights[key], tensor) for key, tensor in straight[0].items()))


def test_an_eta_while_the_wall_clock_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    now, jumps = time.time, iter(range(0, 10_000_000, 37_777))
    monkeypatch.setattr(time, "time", lambda: (ledger.inject("clock: jump of the wall clock"), now() - next(jumps))[1])
    said: list[str] = []
    trained(tmp_path, log=lambda line: (said.append(line), time.time())[0])
    left = [float(line.rpartition(", ")[2].split()[0]) for line in said if "min left" in line]
    assert len(left) == 3
    assert all(0 <= minutes < 10 for minutes in left)
    assert left[-1] == 0


def test_a_checkpoint_that_is_damaged(straight: tuple[dict[str, torch.Tensor], Fitted], tmp_path: Path, ledger: Ledger) -> None:
    """Killed after the last round, so that the checkpoint and the best weights both decide the result: refused, or the same.

    (Between the records of a checkpoint there is padding, and some of its directory stands there twice.)
    """

    def outcome(name: str, damaged: bytes) -> str | None:
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "work", copy)
        (copy / name).write_bytes(damaged)
        found: list[Fitted] = []
        line = ledger.told(name, lambda: found.append(trained(copy)[1]), name)
        ledger.kept(f"{name}, damaged", line is not None or found == [straight[1]])
        shutil.rmtree(copy)
        return line

    (tmp_path / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RoundKeeper, "load_best", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trained(tmp_path / "work")
    refused = dict.fromkeys((LAST_FILE, BEST_FILE), 0)
    for name in refused:
        whole = (tmp_path / "work" / name).read_bytes()
        middle = len(whole) // 2
        for damaged in (b"", whole[:100], whole[:middle], whole[:-1], flipped(whole, middle), flipped(whole, len(whole) - 10)):
            ledger.inject("training: checkpoint damaged")
            refused[name] += outcome(name, damaged) is not None
    assert refused[LAST_FILE] >= 4, "every cut"
    assert refused[BEST_FILE] == 6
    ledger.kept("the run", trained(tmp_path / "work")[1] == straight[1])
