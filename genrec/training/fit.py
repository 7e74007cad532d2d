"""Fits a generator: the whole of training behind one function."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments import LightningEnvironment

from genrec.core.dataset import Dataset, Sequences
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.full_ranking import FullRanking
from genrec.decoding.masked_item import MaskedItem
from genrec.decoding.trie_beam import TrieBeam
from genrec.engine.machine import resolve_precision
from genrec.engine.processes import check_shared_batches, processes
from genrec.errors import ConfigError
from genrec.protocols import (
    AutoregressiveGenerator,
    DecodingStrategy,
    DenoisingGenerator,
    FineTuningObjective,
    Objective,
    ParallelGenerator,
    ReadsTargetColumns,
    WeighsTargets,
)
from genrec.training.checkpointing import METRIC, RoundKeeper, Validator, whole_checkpoint
from genrec.training.module import Rollouts, TrainingModule, divergence
from genrec.training.plan import BatchPlan
from genrec.training.settings import TrainSettings
from genrec.training.step_log import StepLog
from genrec.training.target_weights import target_weights


@dataclass(frozen=True)
class Fitted:
    """The result of training besides the generator, which has its best weights now.

    Args:
        best: the best round: step, targets, loss and validation metrics.
        history: all rounds.
        num_targets: training targets per epoch.
        diverged: a sentence where training went astray.
    """

    best: dict[str, float]
    history: list[dict[str, float]]
    num_targets: int
    diverged: str | None = None


def fit(
    generator: Any,
    objective: Objective,
    dataset: Dataset,
    trie: PrefixTrie | None,
    settings: TrainSettings,
    *,
    work: Path,
    device: torch.device,
    track: Callable[[Mapping[str, float]], None] = lambda row: None,
    progress: bool = True,
    log: Callable[[str], None] = print,
    exclude_seen: bool = True,
    histories: Sequences | None = None,
) -> Fitted:
    """Trains ``generator`` (a ``Generator``) in place, resuming from ``work`` if an earlier process left a checkpoint there.

    ``track`` gets every round and every entry of the log of steps, those of the earlier process first. ``exclude_seen`` is the
    rule of the lists that the model is for: rounds are compared by it, and by lists for ``histories``: those of the validation
    split with what is asked for; None: nothing is asked for.

    Raises:
        ConfigError: when there is nothing to train on, and when a loss or a weight is no number.
        DataError: when the rule on seen items forbids every validation target.
        ArtifactError: when the checkpoint is damaged.
    """
    here = processes()
    check_shared_batches(generator, objective, here)
    here.connect()
    weights = target_weights(dataset, settings.targets, settings.weight)
    if settings.weight is not None and not (isinstance(objective, WeighsTargets) and objective.weighs_targets):
        expected, fix = "null: this objective takes all targets alike", "use objective=sid_cross_entropy or item_cross_entropy"
        raise ConfigError("train.weight", expected=expected, got=type(objective).__name__, fix=fix)
    plan = BatchPlan(
        dataset.train,
        max_history_len=generator.max_history_len,
        batch_states=settings.batch_states,
        epochs=settings.epochs,
        max_targets=settings.max_targets,
        crop_rate=settings.crop_rate,
        seed=settings.seed,
        request=dataset.schema.request,
        target_columns=generator.target_columns if isinstance(generator, ReadsTargetColumns) else (),
        weights=weights,
    )
    if not plan.num_batches:
        raise ConfigError("data", expected="at least one training event", got=0, fix="choose another split or more data")
    strategy = _strategy_of(generator, settings.validation_beams)
    validator = Validator(dataset, strategy, trie, settings.validation_users, exclude_seen=exclude_seen, asking=histories)
    if isinstance(objective, FineTuningObjective):
        objective.start(generator)
    rollouts = Rollouts(trie) if isinstance(generator, AutoregressiveGenerator) and trie is not None else None
    module = TrainingModule(generator, objective, plan, settings, rollouts, log, here)
    minutes = settings.checkpoint_minutes
    keeper = RoundKeeper(validator, work, settings.patience, log, track, checkpoint_minutes=minutes, here=here)
    precision = resolve_precision(settings.precision, device)
    every, num_steps = settings.log_every_n_steps, plan.num_batches
    steps = StepLog(every, num_steps, precision=precision, track=track, log=log, show_bar=progress)
    checkpoint = here.from_first(whole_checkpoint(work) if here.leads else None)
    log(
        f"  {plan.num_targets:,} targets an epoch, {plan.num_batches:,} batches in all, {precision}, "
        f"{sum(p.numel() for p in generator.parameters()):,} weights, {validator}"
        + (f", {here.world} processes" if here.world > 1 else "")
        + (", resuming" if checkpoint else "")
    )
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator=device.type,
            devices=1 if device.index is None else [device.index],
            precision="bf16-mixed" if precision == "bf16" else "32-true",
            max_epochs=module.num_rounds,
            reload_dataloaders_every_n_epochs=1,
            limit_val_batches=0,
            logger=False,
            callbacks=[steps, keeper],  # in this order: what the log waits for is no part of a round
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[LightningEnvironment()],  # several processes are ours to bring together, whoever started them
            default_root_dir=work,
        )
        generator.train()
        trainer.fit(module, ckpt_path=checkpoint, weights_only=True)
    generator.to(device)
    if here.leads:  # the others need them no more
        keeper.load_best(module)
    generator.eval()
    assert keeper.best is not None
    if keeper.is_undecided:
        log(
            f"  WARNING: {METRIC} is {keeper.best[METRIC]:.4f} in all {len(keeper.history)} rounds, so the last is kept; raise "
            f"train.validation_users or train.lr"
        )
    diverged = divergence(keeper.history, dataset.num_items, settings.lr)
    if diverged:
        log(f"  WARNING: {diverged}")
    return Fitted(keeper.best, keeper.history, plan.num_targets, diverged)


def _strategy_of(generator: Any, num_beams: int) -> DecodingStrategy:
    """Returns the strategy that decodes a generator's lists for validation."""
    if isinstance(generator, DenoisingGenerator):
        return MaskedItem(num_beams=num_beams)
    if isinstance(generator, ParallelGenerator) and generator.normalization == "codebook":
        return Exhaustive()  # look-ups; a beam over levels in no order would lose items
    return TrieBeam(num_beams=num_beams) if isinstance(generator, AutoregressiveGenerator) else FullRanking()


class _quiet_lightning(warnings.catch_warnings):
    """Lightning's advice on workers, loggers and progress bars is about choices made here on purpose."""

    def __enter__(self) -> Any:
        super().__enter__()
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", message=r".*does not have many workers.*|.*smaller than the logging interval.*")
        self._loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
        super().__exit__(*exc_info)
