"""A batch of histories as tensors, gathered without a Python loop per user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.core.dataset import Sequences
from genrec.types import PAD


@dataclass(frozen=True)
class Batch:
    """Right-padded histories; state ``t`` of a generator has seen the start state and the first ``t`` items.

    Args:
        history: item_idx [batch, time], oldest first, ``PAD`` after the end.
        lengths: number of items of each history, [batch] (0 is legal: the start state alone predicts).
        targets: item_idx [batch, time + 1] or None; ``targets[b, t]`` is predicted from the first ``t`` items, ``PAD`` where
            there is nothing to predict.
        times: when each item of the history was [batch, time], in whole units of the data's clock; None where that is not
            known. It has no times of targets, because they are unknown when recommending.
    """

    history: Int64[Tensor, "batch time"]
    lengths: Int64[Tensor, " batch"]
    targets: Int64[Tensor, "batch states"] | None = None
    times: Int64[Tensor, "batch time"] | None = None

    def __len__(self) -> int:
        return self.history.shape[0]

    @property
    def num_targets(self) -> int:
        return 0 if self.targets is None else int((self.targets != PAD).sum())

    def to(self, device: torch.device | str) -> Batch:
        return self._each(lambda tensor: tensor.to(device))

    def rows(self, index: Int64[Tensor, " some"]) -> Batch:
        """Returns the histories of some rows."""
        return self._each(lambda tensor: tensor[index])

    def split(self, size: int) -> list[Batch]:
        """Consecutive parts of at most ``size`` rows."""
        return [self.rows(index) for index in torch.arange(len(self), device=self.history.device).split(size)]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: None if tensor is None else change(tensor) for name, tensor in tensors.items()}
        return Batch(**changed)

    def streams(self) -> tuple[Int64[Tensor, "rows states"], Int64[Tensor, " targets"], Int64[Tensor, " targets"]]:
        """Builds sequences in which every target is where it is predicted: each history followed by its last target.

        Returns:
            The sequences, ``PAD`` after the end, and the row and the column of every target. A target that does not follow its
            history directly is the end of a row of its own.
        """
        assert self.targets is not None
        row, state = (self.targets != PAD).nonzero(as_tuple=True)
        items, end = self.targets[row, state], self.lengths.unsqueeze(1)
        stream = F.pad(self.history, (0, 1), value=PAD).scatter(1, end, self.targets.gather(1, end))
        if not torch.equal(stream[row, state], items):
            stream = stream[row].scatter(1, state.unsqueeze(1), items.unsqueeze(1))
            row = torch.arange(len(items), device=row.device)
        return stream, row, state

    @classmethod
    def of_rows(cls, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, times: np.ndarray | None = None) -> Batch:
        """Gathers ``flat[starts[i] : starts[i] + lengths[i]]``, and ``times`` likewise, into row ``i``."""
        return cls(
            history=torch.from_numpy(padded_rows(flat, starts, lengths)),
            lengths=torch.from_numpy(np.asarray(lengths, np.int64)),
            times=None if times is None else torch.from_numpy(padded_rows(times, starts, lengths)),
        )

    @classmethod
    def of_histories(cls, sequences: Sequences, users: np.ndarray, max_history_len: int) -> Batch:
        """The last ``max_history_len`` items of each of ``users``, for prediction (no targets)."""
        ends = np.asarray(sequences.offsets[1:])[users]
        lengths = np.minimum(ends - np.asarray(sequences.offsets[:-1])[users], max_history_len)
        return cls.of_rows(sequences.item_idx, ends - lengths, lengths, sequences.times)


def padded_rows(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, width: int | None = None) -> np.ndarray:
    """int64 [rows, width]: row ``i`` is ``flat[starts[i] : starts[i] + lengths[i]]``, then ``PAD``."""
    width = int(lengths.max(initial=0)) if width is None else width
    column = np.arange(width)[None, :]
    inside = column < np.asarray(lengths)[:, None]
    index = np.where(inside, np.asarray(starts)[:, None] + column, 0)
    if len(flat) == 0:
        return np.full(inside.shape, PAD, dtype=np.int64)
    return np.where(inside, flat[index], PAD).astype(np.int64)
