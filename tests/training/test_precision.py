"""Every generator trains in every precision, and every machine gets the device and the precision that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_world import OPTIONS, Option, ring, sids_of

from genrec.core.trie import PrefixTrie
from genrec.engine.machine import resolve_device, resolve_precision
from genrec.errors import ConfigError
from genrec.training.checkpointing import Validator
from genrec.training.fit import fit
from genrec.training.settings import TrainSettings

WORLD, SIDS = ring(num_items=40, num_users=50), sids_of(40, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
every_generator = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.id)


class Watched:
    """The types that a generator's linear maps give while it trains, and while it is validated."""

    def __init__(self, generator: Any, patch: pytest.MonkeyPatch) -> None:
        self.validates, measure = False, Validator.measure
        self.training: set[torch.dtype] = set()
        self.validation: set[torch.dtype] = set()
        for module in generator.modules():
            if isinstance(module, torch.nn.Linear):
                module.register_forward_hook(self.look)

        def measured(validator: Validator, *args: Any) -> dict[str, float]:
            self.validates = True
            figures = measure(validator, *args)
            self.validates = False
            return figures

        patch.setattr(Validator, "measure", measured)

    def look(self, module: Any, inputs: Any, made: torch.Tensor) -> None:
        (self.validation if self.validates else self.training).add(made.dtype)


def trained(option: Option, work: Path, precision: Any, *, num_steps: int) -> tuple[Any, list[float], Watched, float]:
    """The generator, the loss of every step, what its linear maps gave, and how far its weights moved."""
    generator = option.build(SIDS, train_counts=WORLD.train_counts, dropout=0.1)
    before = {name: weight.detach().clone() for name, weight in generator.named_parameters()}
    settings = TrainSettings(
        epochs=20,
        max_targets=70 * num_steps,
        lr=5e-3,
        warmup_steps=2,
        batch_states=90,
        num_validations=num_steps,
        validation_users=4,
        precision=precision,
    )
    with pytest.MonkeyPatch.context() as patch:
        watched = Watched(generator, patch)
        fitted = fit(
            generator,
            option.objective(TRIE, generator),
            WORLD,
            TRIE,
            settings,
            work=work,
            device=torch.device("cpu"),
            progress=False,
            log=lambda line: None,
        )
    moved = sum(float((weight.detach() - before[name]).abs().sum()) for name, weight in generator.named_parameters())
    return generator, [row["train/loss"] for row in fitted.history], watched, moved


def check_trained(option: Option, work: Path, precision: str, num_steps: int) -> list[float]:
    generator, losses, watched, moved = trained(option, work, precision, num_steps=num_steps)
    assert len(losses) == num_steps
    assert np.isfinite(losses).all()
    assert moved > 0
    assert all(torch.isfinite(weight).all() and weight.dtype == torch.float32 for weight in generator.parameters())
    low = {torch.bfloat16} if precision == "bf16" else {torch.float32}
    assert not watched.training or low <= watched.training, "the forward pass is in this precision"
    assert watched.validation <= {torch.float32}, "what is served is what is validated: fp32"
    return losses


@every_generator
def test_bf16_trains(option: Option, tmp_path: Path) -> None:
    """Three steps, each validated: finite losses, moved weights, autocast really on."""
    check_trained(option, tmp_path, "bf16", 3)


@pytest.mark.slow
@every_generator
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_twenty_steps(option: Option, precision: str, tmp_path: Path) -> None:
    losses = check_trained(option, tmp_path, precision, 20)
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_gradients_are_clipped_in_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The norm of what the optimizer sees is at most train.clip, however large the loss."""
    option = next(option for option in OPTIONS if option.id == "encdec")
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def looking(self: torch.optim.AdamW, closure: Callable[[], Any]) -> Any:
        loss = closure()
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.cat([grad.flatten() for grad in grads]).norm()))
        return step(self, lambda: loss)

    monkeypatch.setattr(torch.optim.AdamW, "step", looking)
    for precision in ("fp32", "bf16"):
        (folder := tmp_path / precision).mkdir()
        generator = option.build(SIDS, train_counts=WORLD.train_counts)
        settings = TrainSettings(
            epochs=1, max_targets=200, clip=1e-3, batch_states=90, num_validations=1, validation_users=4, precision=precision
        )
        fit(
            generator,
            option.objective(TRIE, generator),
            WORLD,
            TRIE,
            settings,
            work=folder,
            device=torch.device("cpu"),
            progress=False,
            log=lambda line: None,
        )
    assert len(norms) >= 4
    assert max(norms) <= 1.001e-3
    assert min(norms) > 0.9e-3


# --- which device, which precision ---------------------------------------------------------------------------------------


def machine(
    monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, bf16: str = "native", mps: int = 0, cpu: frozenset[str] = frozenset()
) -> None:
    """A stand-in: number of CUDA devices, what they make of bf16, macOS version with MPS, instructions of the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)

    def supported(including_emulation: bool = True) -> bool:
        return bf16 == "native" or (bf16 == "emulated" and including_emulation)

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps > 0)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: mps >= major)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: "avx512_bf16" in cpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: "amx" in cpu)


MACHINES: dict[str, tuple[dict[str, Any], str, str]] = {  # stand-in -> device and precision of auto
    "an old CPU": ({}, "cpu", "fp32"),
    "a CPU with AVX512-BF16": ({"cpu": frozenset({"avx512_bf16"})}, "cpu", "bf16"),
    "a CPU with AMX": ({"cpu": frozenset({"amx"})}, "cpu", "bf16"),
    "CUDA with bf16": ({"cuda": 1}, "cuda", "bf16"),
    "CUDA that only emulates it": ({"cuda": 1, "bf16": "emulated"}, "cuda", "fp32"),
    "CUDA without bf16": ({"cuda": 1, "bf16": "none", "cpu": frozenset({"amx"})}, "cuda", "fp32"),
    "CUDA beside MPS": ({"cuda": 1, "mps": 15}, "cuda", "bf16"),
    "MPS": ({"mps": 15, "cpu": frozenset({"amx"})}, "mps", "fp32"),
}


@pytest.mark.parametrize("name", MACHINES)
def test_auto(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in, device, precision = MACHINES[name]
    machine(monkeypatch, **stand_in)
    assert resolve_device("auto") == torch.device(device)
    assert resolve_precision("auto", torch.device(device)) == precision
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_precision("fp32", torch.device(device)) == "fp32"


def test_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2, mps=15)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert resolve_device(name) == torch.device(name)
    assert resolve_precision("bf16", torch.device("cuda")) == resolve_precision("bf16", torch.device("mps")) == "bf16"
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16", "slower, and right"
    machine(monkeypatch, cuda=1, bf16="emulated")
    assert resolve_precision("bf16", torch.device("cuda")) == "bf16"


REFUSED: list[tuple[dict[str, Any], str, str, str]] = [  # stand-in, device, precision, what the message says
    ({}, "cuda", "auto", "device: expected one of auto, cpu, got cuda; use device=auto"),
    ({}, "cuda:1", "auto", "device: expected one of auto, cpu, got cuda:1; use device=auto"),
    ({}, "mps", "auto", "device: expected one of auto, cpu, got mps"),
    ({"cuda": 1}, "cuda:1", "auto", "one of the 1 CUDA devices, from cuda:0, got cuda:1; use device=cuda:0"),
    ({}, "gpu", "auto", "got gpu; did you mean cuda?"),
    ({}, "gpu:1", "auto", "got gpu:1; did you mean cuda:1?"),
    ({}, "CUDA", "auto", "got CUDA; did you mean cuda?"),
    ({}, "cuda:one", "auto", "got cuda:one; did you mean cuda?"),
    ({}, "cuda:-1", "auto", "got cuda:-1; did you mean cuda?"),
    ({}, "tpu", "auto", "got tpu; did you mean cpu?"),
    ({}, "", "auto", "known: auto, cpu, cuda, mps"),
    ({"cuda": 1, "bf16": "none"}, "cuda", "bf16", "precision: expected one that cuda has, got bf16; use precision=fp32"),
    ({"mps": 13}, "mps", "bf16", "precision: expected one that mps has, got bf16; use precision=fp32"),
]


@pytest.mark.parametrize(("stand_in", "device", "precision", "told"), REFUSED, ids=lambda value: str(value)[:20])
def test_refused(stand_in: dict[str, Any], device: str, precision: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, **stand_in)
    with pytest.raises(ConfigError) as caught:
        resolve_precision(precision, resolve_device(device))
    assert told in str(caught.value)
