"""Which targets are in which batch: a pure function of (seed, epoch), without a Python loop per user.

Every training target appears exactly once per epoch; with ``weights``, every event whose weight is above 0. A row is a window
of one user's training events: a context that is only read, then targets. Users with more events than a model can read get
several windows, each with up to half a window of context; ``crop_rate`` cuts some sequences in two at a random place, which
changes where a history starts, never how many targets exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from genrec.core.batch import Batch, padded_columns, padded_rows
from genrec.core.dataset import Sequences
from genrec.engine.processes import Processes
from genrec.types import PAD


@dataclass(frozen=True)
class Windows:
    """Rows to train on: the history starts at ``starts``, targets are ``[firsts, ends)``, all absolute event positions."""

    starts: np.ndarray
    firsts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def where(self, mask: np.ndarray) -> Windows:
        """Selects rows."""
        return Windows(self.starts[mask], self.firsts[mask], self.ends[mask])

    @property
    def lengths(self) -> np.ndarray:
        """States that each row needs: one for every event from its start to its last target."""
        return self.ends - self.starts


@dataclass(frozen=True)
class TrainingBatch:
    """A batch of targets and how far training has come when it is used.

    Args:
        batch: histories and targets.
        step: number of the batch, from 0.
        progress: share of all batches done before this one, in [0, 1).
        num_targets: of the batch, also where ``batch`` has only the rows that one of several processes trains.
        share: what these rows count of the batch's loss.
    """

    batch: Batch
    step: int
    progress: float
    num_targets: int
    share: float = 1.0

    def part(self, here: Processes) -> TrainingBatch:
        """Returns the rows of one of several processes; the losses of all, each times its share, sum to that of the batch.

        A process for which there is no row repeats the first, which counts nothing, since all have to take part in a step.
        """
        index, whole = here.share(torch.arange(len(self.batch))), self.batch.sum_of_weights
        rows = self.batch.rows(index if len(index) else torch.zeros(1, dtype=torch.long))
        return replace(self, batch=rows, share=rows.sum_of_weights / max(whole, 1e-12) if len(index) else 0.0)


class BatchPlan:
    """The batches of all epochs.

    Args:
        train: training sequences.
        max_history_len: longest history that the generator reads, in items.
        batch_states: states (history positions) per batch, about; short and long rows are never padded together.
        epochs: passes over all targets.
        max_targets: end after about so many targets, or None.
        crop_rate: share of sequences cut in two, in [0, 1].
        seed: seed.
        request: names of the columns that are known of a target before it is predicted.
        target_columns: names of the columns of a target's own event that the generator's losses read.
        weights: float [events], how much each event counts as a target; 0: it is context only. None: all alike.
    """

    def __init__(
        self,
        train: Sequences,
        *,
        max_history_len: int,
        batch_states: int,
        epochs: int,
        max_targets: int | None = None,
        crop_rate: float = 0.0,
        seed: int = 0,
        request: Sequence[str] = (),
        target_columns: Sequence[str] = (),
        weights: np.ndarray | None = None,
    ) -> None:
        self.train, self.seed, self.request, self.weights = train, seed, request, weights
        self.target_columns = target_columns
        self._vary = weights is not None and len(np.unique(weights[weights > 0])) > 1
        self._before = None if weights is None else np.concatenate([[0], np.cumsum(weights > 0)])  # targets before each event
        self.max_history_len, self.batch_states, self.crop_rate = max_history_len, batch_states, crop_rate
        if max_targets is not None:
            epochs = min(epochs, -(-max_targets // max(self.num_targets, 1)))
        self._counts = [len(self._batch_bounds(self._windows(epoch)[0].lengths)) - 1 for epoch in range(epochs)]
        self._share = 1.0 if max_targets is None else min(1.0, max_targets / max(epochs * self.num_targets, 1))

    @property
    def num_targets(self) -> int:
        """Targets per epoch: every training event, or every one that has a weight."""
        return int(self.train.offsets[-1] if self._before is None else self._before[-1])

    @property
    def num_batches(self) -> int:
        """Batches of all epochs, or as many as hold about ``max_targets``."""
        total = sum(self._counts)
        return min(total, max(1, round(total * self._share)))

    @property
    def num_epochs(self) -> int:
        """Passes over the targets, the last of which ``max_targets`` may cut short."""
        return len(self._counts)

    def epoch_of(self, step: int) -> int:
        """The pass that a step belongs to, from 1."""
        return int(np.searchsorted(np.cumsum(self._counts), step, side="right")) + 1

    def batches(self, first_step: int = 0, last_step: int | None = None) -> Iterator[TrainingBatch]:
        """Batches ``first_step`` up to (not including) ``last_step``."""
        last_step = self.num_batches if last_step is None else min(last_step, self.num_batches)
        step = 0
        for epoch, count in enumerate(self._counts):
            if step + count <= first_step:
                step += count
                continue
            windows, rng = self._windows(epoch)
            order = np.argsort(windows.lengths + rng.random(len(windows)), kind="stable")  # by length, shuffled within
            bounds = self._batch_bounds(windows.lengths)
            for index in rng.permutation(count):
                if step >= last_step:
                    return
                if step >= first_step:
                    rows = order[bounds[index] : bounds[index + 1]]
                    batch = self._batch(windows, rows)
                    yield TrainingBatch(batch, step, step / self.num_batches, batch.num_targets)
                step += 1

    def _windows(self, epoch: int) -> tuple[Windows, np.random.Generator]:
        """The rows of an epoch, and the generator to go on with."""
        rng = np.random.default_rng((self.seed, epoch))
        starts, ends = self.train.offsets[:-1], self.train.offsets[1:]
        keep = ends > starts
        starts, ends = starts[keep], ends[keep]
        if self.crop_rate:
            cropped = (rng.random(len(starts)) < self.crop_rate) & (ends - starts > 1)
            cut = starts + 1 + (rng.random(len(starts)) * (ends - starts - 1)).astype(np.int64)
            starts, ends = (
                np.concatenate([starts, cut[cropped]]),
                np.concatenate([np.where(cropped, cut, ends), ends[cropped]]),
            )
        # A row holds at most max_history_len + 1 states; later rows of a long sequence advance by `stride` targets.
        width = self.max_history_len + 1
        stride = max(width // 2, 1)
        extra = np.maximum(-(-(ends - starts - width) // stride), 0)
        row = np.repeat(np.arange(len(starts)), extra + 1)
        number = np.arange(len(row)) - np.repeat(np.cumsum(extra + 1) - (extra + 1), extra + 1)
        last = np.minimum(starts[row] + width + number * stride, ends[row])
        first = np.where(number == 0, starts[row], starts[row] + width + (number - 1) * stride)
        windows = Windows(np.maximum(starts[row], last - width), first, last)
        if self._before is not None:  # a row without a target teaches nothing
            windows = windows.where(self._before[windows.ends] > self._before[windows.firsts])
        return windows, rng

    def _batch_bounds(self, lengths: np.ndarray) -> np.ndarray:
        """Where batches begin in the rows sorted by length: each holds about ``batch_states`` states."""
        total = np.cumsum(np.sort(lengths))
        number = (total - 1) // self.batch_states
        return np.union1d([0, len(lengths)], np.flatnonzero(np.diff(number)) + 1)

    def _batch(self, windows: Windows, rows: np.ndarray) -> Batch:
        starts, firsts, ends = windows.starts[rows], windows.firsts[rows], windows.ends[rows]
        lengths = ends - starts
        owners = np.searchsorted(self.train.offsets, starts, side="right") - 1
        histories = Batch.of_slices(self.train, owners, starts, lengths - 1)
        targets = padded_rows(self.train.item_idx, starts, lengths)
        targets[np.arange(targets.shape[1]) < (firsts - starts)[:, None]] = PAD
        changes: dict[str, Any] = {}
        if self.weights is not None:
            weights = padded_rows(self.weights, starts, lengths, fill=np.nan)
            targets[~(weights > 0)] = PAD
            if self._vary:
                changes["weights"] = torch.from_numpy(np.nan_to_num(weights))
        if self.request:
            columns = {name: self.train.columns[name] for name in self.request}
            changes["request"] = padded_columns(columns, starts, lengths)
        if self.target_columns:
            columns = {name: self.train.columns[name] for name in self.target_columns}
            changes["target_columns"] = padded_columns(columns, starts, lengths)
        if self.train.texts is not None:
            rows = padded_rows(self.train.texts.rows, starts, lengths)
            vectors = np.where((rows != PAD)[..., None], self.train.texts.vectors[rows], 0).astype(np.float32)
            changes["given"] = torch.from_numpy(vectors)
        return replace(histories, targets=torch.from_numpy(targets), **changes)
