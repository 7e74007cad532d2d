"""The end of a round: the real metric on a sample of users, the best weights, the checkpoint to resume from, the log."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file

from genrec.core.dataset import Dataset, Sequences, check_unseen_targets, users_with_targets
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import recommend_users, with_ids
from genrec.engine.fingerprints import sha256_file
from genrec.engine.processes import Processes
from genrec.errors import ArtifactError
from genrec.metrics.lib.tables import find_hits, targets_of
from genrec.metrics.ndcg import NDCG
from genrec.metrics.recall import Recall
from genrec.nn.blocks import without_dropout
from genrec.protocols import DecodingStrategy
from genrec.training.module import TrainingModule, check_scores, check_weights
from genrec.types import RANK, SCORE, USER_ID, USER_IDX

SAMPLE_SEED = 0  # the same users whatever the run's seed, so that runs can be compared
TOP = 10


@dataclass
class Validator:
    """Measures Recall@10 and NDCG@10 on validation targets.

    Args:
        dataset: prepared data.
        strategy: how to decode.
        trie: the catalogue's trie, or None for item scorers.
        num_users: size of the sample; all users with a validation target when there are fewer.
        exclude_seen: the rule of the lists that the model is for: whether an item of the user's own history may be listed.
        batch_size: users per decoding batch.
        asking: histories of the validation split, with what the lists ask for; None: they ask for nothing.

    Raises:
        DataError: when the rule forbids every target of the sample, so that all rounds would be equal.
    """

    dataset: Dataset
    strategy: DecodingStrategy
    trie: PrefixTrie | None
    num_users: int
    exclude_seen: bool = True
    batch_size: int = 128
    asking: Sequences | None = None

    def __post_init__(self) -> None:
        users = users_with_targets(self.dataset, "validation")
        if len(users) > self.num_users:
            users = np.sort(np.random.default_rng(SAMPLE_SEED).choice(users, self.num_users, replace=False))
        self.users = users
        self.histories = self.asking or self.dataset.histories("validation")
        sampled = self.dataset.user_ids.gather(users)
        self.targets = targets_of(self.dataset, "validation").filter(pl.col(USER_ID).is_in(sampled.implode()))
        if self.exclude_seen:
            check_unseen_targets(self.dataset, users)

    def __str__(self) -> str:
        seen = "excluded" if self.exclude_seen else "kept"
        return f"validation on {len(self.users):,} users, seen items {seen}"

    def measure(
        self,
        generator: torch.nn.Module,
        check: Callable[[pl.Series], None] = lambda scores: None,
        here: Processes | None = None,
    ) -> dict[str, float]:
        """``val/recall@10`` and ``val/ndcg@10`` by the rule on seen items; empty when nobody has a validation target.

        ``check`` is shown the scores of all that was listed. Several processes share the users, and all get the figures.
        """
        if not len(self.users):
            return {}
        here = here or Processes()
        users = here.share(self.users) if len(self.users) >= here.world else self.users[:1]
        device = next(generator.parameters()).device
        if self.trie is not None and self.trie.device != device:
            self.trie = self.trie.to(device)
        with without_dropout(generator):
            table = recommend_users(
                generator,
                self.strategy,
                self.trie,
                self.histories,
                users,
                k=TOP,
                exclude_seen=self.exclude_seen,
                batch_size=self.batch_size,
            )
        if here.world > 1:
            table = pl.concat(here.gather(table)).sort(USER_IDX, RANK)
        check(table[SCORE])
        hits = find_hits(with_ids(table, self.dataset), self.targets)
        recall, ndcg = (float(metric.from_hits(hits, TOP).mean()) for metric in (Recall(), NDCG()))
        return {f"val/recall@{TOP}": recall, f"val/ndcg@{TOP}": ndcg}


METRIC = "val/ndcg@10"
BEST_FILE = "best.safetensors"
LAST_FILE = "last.ckpt"


class RoundKeeper(lightning.Callback):
    """Validates at the end of a round, keeps the weights that are the best so far, and writes the checkpoint.

    In that order, so that a kill between the two leaves a checkpoint that repeats the round and writes the same best weights.
    Within a round it writes a checkpoint whenever the last one is too old: training goes on with the very next step.

    Args:
        validator: measures ``val/ndcg@10``.
        work: folder that survives a kill.
        patience: rounds without a better score before training stops; None never stops early.
        log: prints a line.
        track: gets each round, also those before a kill.
        checkpoint_minutes: the oldest that the last checkpoint may be within a round; None: there is none within a round.
        clock: seconds.
        here: the processes that train together; rank 0 writes.
    """

    def __init__(
        self,
        validator: Validator,
        work: Path,
        patience: int | None,
        log: Callable[[str], None],
        track: Callable[[Mapping[str, float]], None],
        *,
        checkpoint_minutes: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
        here: Processes | None = None,
    ) -> None:
        self.here = here or Processes()
        self.validator, self.work, self.patience, self.log_line, self.track = validator, work, patience, log, track
        self.history: list[dict[str, float]] = []
        self.checkpoint_minutes, self.clock = checkpoint_minutes, clock
        self._best_sha: str | None = None
        self._started = self._round_started = self._checkpoint_written = clock()
        self._rounds_here = self._targets_before = 0

    @property
    def best(self) -> dict[str, float] | None:
        """The round whose weights are kept: the first of the best ones.

        As long as the metric is the same in every round it cannot rank them, and the last of these rounds counts. Without
        validation targets the last round counts as well.
        """
        if not self.history:
            return None
        first = self._first_best
        if first is self.history[0] and METRIC in first:
            return list(takewhile(lambda row: row[METRIC] == first[METRIC], self.history))[-1]
        return first

    @property
    def is_undecided(self) -> bool:
        """Whether there were several rounds and the metric was the same in all of them."""
        return len(self.history) > 1 and len({row.get(METRIC) for row in self.history}) == 1 and METRIC in self.history[0]

    @property
    def _first_best(self) -> dict[str, float]:
        return max(self.history, key=lambda row: row.get(METRIC, row["round"]))

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for row in self.history:
            self.track(row)
        self._round_started = self._checkpoint_written = self.clock()
        self._targets_before = pl_module.targets_seen  # type: ignore[assignment]
        if self._out_of_patience():  # killed between the checkpoint and the stop
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._round_started = self.clock()
        self._targets_before = pl_module.targets_seen  # type: ignore[assignment]

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.checkpoint_minutes is None or not batch_idx:  # the end of a round has just written one
            return
        if self.clock() - self._checkpoint_written >= 60 * self.checkpoint_minutes:
            assert isinstance(pl_module, TrainingModule)
            check_weights(pl_module.generator, trainer.global_step - 1, pl_module.plan)
            self._write_checkpoint(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        seconds = self.clock() - self._round_started
        position = trainer.global_step - 1, pl_module.plan
        check_weights(pl_module.generator, *position)
        row: dict[str, float] = {"round": trainer.current_epoch, "step": trainer.global_step, "targets": pl_module.targets_seen}
        row |= {f"train/{key}": mean for key, mean in pl_module.round_means.take().items()}
        row |= self.validator.measure(pl_module.generator, lambda scores: check_scores(scores, *position), self.here)
        self.history.append(row)
        self.track(row)
        if self.best is row and self.here.leads:
            tensors = {name: tensor.contiguous() for name, tensor in pl_module.generator.state_dict().items()}
            save_file(tensors, self.work / f"{BEST_FILE}.tmp")
            self._best_sha = sha256_file(self.work / f"{BEST_FILE}.tmp")
            os.replace(self.work / f"{BEST_FILE}.tmp", self.work / BEST_FILE)
        self._write_checkpoint(trainer)
        self._log_round(row, seconds, pl_module)
        if self._out_of_patience():
            self.log_line(f"no better {METRIC} for {self.patience} rounds: stopping")
            trainer.should_stop = True

    def _write_checkpoint(self, trainer: lightning.Trainer) -> None:
        if self.here.leads:
            trainer.save_checkpoint(self.work / f"{LAST_FILE}.tmp")
            os.replace(self.work / f"{LAST_FILE}.tmp", self.work / LAST_FILE)
        self._checkpoint_written = self.clock()

    def load_best(self, module: TrainingModule) -> None:
        """Puts the best weights into the generator.

        Raises:
            ArtifactError: when they are not the ones that were written.
        """
        if self._best_sha is not None and sha256_file(self.work / BEST_FILE) != self._best_sha:
            raise _damaged(self.work / BEST_FILE, f"weights of sha256 {self._best_sha}", "others")
        module.generator.load_state_dict(load_file(self.work / BEST_FILE))

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "best_sha": self._best_sha}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self._best_sha = list(state_dict["history"]), state_dict.get("best_sha")

    def _out_of_patience(self) -> bool:
        if self.patience is None or not self.history:
            return False
        return self.history[-1]["round"] - self._first_best["round"] >= self.patience

    def _log_round(self, row: dict[str, float], seconds: float, module: TrainingModule) -> None:
        self._rounds_here += 1
        remaining = (self.clock() - self._started) / self._rounds_here * (module.num_rounds - len(self.history))
        speed = (module.targets_seen - self._targets_before) / max(seconds, 1e-9)
        score = f"{METRIC} {row[METRIC]:.4f}" if METRIC in row else "no validation targets"
        mark = " (best)" if self._first_best is row else ""
        self.log_line(
            f"  round {len(self.history)}/{module.num_rounds}: loss {row['train/loss']:.3f}, {score}{mark}, "
            f"{speed:,.0f} targets/s, {remaining / 60:.1f} min left"
        )


def whole_checkpoint(work: Path) -> Path | None:
    """The checkpoint to go on from, if there is one. (It is a zip archive, whose checksums torch writes and does not read.)

    Raises:
        ArtifactError: when it is damaged.
    """
    file = work / LAST_FILE
    if not file.exists():
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            bad = archive.testzip()
    except OSError:
        raise
    except Exception as error:  # whatever a parser makes of damage
        raise _damaged(file, "a checkpoint", str(error) or type(error).__name__) from error
    if bad is not None:
        raise _damaged(file, "a checkpoint", f"another checksum of {bad}")
    return file


def _damaged(file: Path, expected: str, got: str) -> ArtifactError:
    fix = f"damaged; remove it (rm -r {file.parent}) and run the same command: training begins anew"
    return ArtifactError(file, expected=expected, got=got, fix=fix)
