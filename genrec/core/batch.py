"""A batch of histories as tensors, gathered without a Python loop per user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.core.dataset import Sequences
from genrec.core.event_schema import UNKNOWN, missing_value
from genrec.types import PAD

MISSING_TIME = -(2**63)  # in ``Batch.times``: when this event was is not known


@dataclass(frozen=True)
class Batch:
    """Right-padded histories; state ``t`` of a generator has seen the start state and the first ``t`` items.

    What a request says beside the history belongs to the state that makes the prediction, and must reach that prediction alone:
    never the states of a causal history, from which later predictions are made.

    Args:
        history: item_idx [batch, time], oldest first, ``PAD`` after the end.
        lengths: number of items of each history, [batch] (0 is legal: the start state alone predicts).
        targets: item_idx [batch, time + 1] or None; ``targets[b, t]`` is predicted from the first ``t`` items, ``PAD`` where
            there is nothing to predict.
        times: when each item of the history was [batch, time], in whole units of the data's clock, ``MISSING_TIME`` where
            that is not known; None where no time is. It has no times of targets, because they are unknown when recommending.
        columns: name -> [batch, time], of the events of the history (see ``EventSchema``).
        request: name -> [batch, time + 1], or [batch, 1] where it holds for all states: what is known of the event to be
            predicted, such as the wanted kind of event. Empty: nothing.
        given: [batch, time + 1, dim], or [batch, 1, dim]: vector of what is asked for at each state; zeros where nothing is.
        refused: likewise, of what is refused ("not ..."); only guidance reads it.
        users: name -> [batch] or [batch, any]: columns of the users.
        target_columns: name -> [batch, time + 1]: what the data say of the targets' events, for losses alone: no state may
            hear it. Empty outside of training.
        weights: [batch, time + 1], how much each target counts in training; None: all alike.
    """

    history: Int64[Tensor, "batch time"]
    lengths: Int64[Tensor, " batch"]
    targets: Int64[Tensor, "batch states"] | None = None
    times: Int64[Tensor, "batch time"] | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    request: Mapping[str, Tensor] = field(default_factory=dict)
    given: Float[Tensor, "batch states dim"] | None = None
    refused: Float[Tensor, "batch states dim"] | None = None
    users: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Float[Tensor, "batch states"] | None = None
    target_columns: Mapping[str, Tensor] = field(default_factory=dict)

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
        changed: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Mapping):
                changed[part.name] = {name: change(tensor) for name, tensor in value.items()}
            else:
                changed[part.name] = None if value is None else change(value)
        return Batch(**changed)

    @property
    def sum_of_weights(self) -> float:
        """How much all targets count together: their number where they count alike."""
        if self.weights is None or self.targets is None:
            return float(self.num_targets)
        return float(self.weights[self.targets != PAD].sum())

    @property
    def target_weights(self) -> Float[Tensor, " targets"] | None:
        """How much each target counts, with a mean of 1, in the order of ``targets[targets != PAD]``; None: all alike."""
        if self.weights is None or self.targets is None:
            return None
        weights = self.weights[self.targets != PAD]
        return weights / weights.mean()

    def at_states(self, row: Int64[Tensor, " some"], state: Int64[Tensor, " some"]) -> Batch:
        """Returns a history for each of some states: what the state has seen, and what was asked there; without targets."""
        rows = self.rows(row)
        later = torch.arange(self.history.shape[1], device=row.device) >= state.unsqueeze(1)

        def asked(values: Tensor) -> Tensor:
            return values if values.shape[1] == 1 else values[torch.arange(len(row), device=row.device), state].unsqueeze(1)

        return replace(
            rows,
            history=rows.history.masked_fill(later, PAD),
            lengths=state,
            targets=None,
            times=None if rows.times is None else rows.times.masked_fill(later, PAD),
            request={name: asked(values) for name, values in rows.request.items()},
            given=None if rows.given is None else asked(rows.given),
            refused=None if rows.refused is None else asked(rows.refused),
            weights=None,
            target_columns={},
        )

    def without_request(self) -> Batch:
        """Returns the batch as if nothing were asked for beside the history."""
        return replace(self, request={}, given=None, refused=None)

    def streams(self) -> tuple[Batch, Int64[Tensor, " targets"], Int64[Tensor, " targets"]]:
        """Builds sequences in which every target is where it is predicted: each history followed by its last target.

        Returns:
            The sequences as a batch without targets (``history`` is [rows, states], ``PAD`` after the end), and the row and
            the column of every target. A target that does not follow its history directly is the end of a row of its own. What
            is known of events is that of the histories: nothing of a last target.
        """
        assert self.targets is not None
        row, state = (self.targets != PAD).nonzero(as_tuple=True)
        items, end = self.targets[row, state], self.lengths.unsqueeze(1)
        stream = F.pad(self.history, (0, 1), value=PAD).scatter(1, end, self.targets.gather(1, end))
        rows = replace(self, targets=None, weights=None)
        if not torch.equal(stream[row, state], items):
            stream, rows = stream[row].scatter(1, state.unsqueeze(1), items.unsqueeze(1)), rows.rows(row)
            row = torch.arange(len(items), device=row.device)
        columns = {name: F.pad(values, (0, 1), value=_missing(values)) for name, values in rows.columns.items()}
        times = None if rows.times is None else F.pad(rows.times, (0, 1), value=PAD)
        return replace(rows, history=stream, columns=columns, times=times), row, state

    @classmethod
    def of_rows(cls, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, times: np.ndarray | None = None) -> Batch:
        """Gathers ``flat[starts[i] : starts[i] + lengths[i]]``, and ``times`` likewise, into row ``i``."""
        return cls(
            history=torch.from_numpy(padded_rows(flat, starts, lengths)),
            lengths=torch.from_numpy(np.asarray(lengths, np.int64)),
            times=None if times is None else torch.from_numpy(padded_rows(times, starts, lengths)),
        )

    @classmethod
    def of_slices(cls, sequences: Sequences, users: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Batch:
        """Gathers slices of sequences with all that is known of their events and users, for training or prediction.

        Args:
            sequences: flat.
            users: the user of each row.
            starts: first event of each row.
            lengths: events of each row.
        """
        rows = cls.of_rows(sequences.item_idx, starts, lengths, sequences.times)
        if not (sequences.columns or sequences.users):
            return rows
        return replace(
            rows,
            columns=padded_columns(sequences.columns, starts, lengths),
            users={name: torch.from_numpy(values[users]) for name, values in sequences.users.items()},
        )

    @classmethod
    def of_histories(cls, sequences: Sequences, users: np.ndarray, max_history_len: int) -> Batch:
        """The last ``max_history_len`` items of each of ``users``, and what they ask for, for prediction (no targets)."""
        ends = np.asarray(sequences.offsets[1:])[users]
        lengths = np.minimum(ends - np.asarray(sequences.offsets[:-1])[users], max_history_len)
        batch = cls.of_slices(sequences, users, ends - lengths, lengths)
        if not sequences.request and sequences.given is None and sequences.refused is None:
            return batch
        return replace(
            batch,
            request={name: torch.from_numpy(values[users])[:, None] for name, values in sequences.request.items()},
            given=None if sequences.given is None else torch.from_numpy(sequences.given[users])[:, None],
            refused=None if sequences.refused is None else torch.from_numpy(sequences.refused[users])[:, None],
        )


def _missing(values: Tensor) -> float:
    return float("nan") if values.is_floating_point() else float(UNKNOWN)


def padded_columns(columns: Mapping[str, np.ndarray], starts: np.ndarray, lengths: np.ndarray) -> dict[str, Tensor]:
    """Gathers slices of encoded columns as ``padded_rows`` does; what stands for a missing value comes after the end."""
    return {
        name: torch.from_numpy(padded_rows(values, starts, lengths, fill=missing_value(values)))
        for name, values in columns.items()
    }


def padded_rows(
    flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, width: int | None = None, fill: float = PAD
) -> np.ndarray:
    """[rows, width]: row ``i`` is ``flat[starts[i] : starts[i] + lengths[i]]``, then ``fill``.

    Whole numbers become int64, NaN among them ``MISSING_TIME``; with a ``fill`` that is no whole number, values are float32.
    """
    width = int(lengths.max(initial=0)) if width is None else width
    dtype = np.int64 if float(fill).is_integer() else np.float32
    column = np.arange(width)[None, :]
    inside = column < np.asarray(lengths)[:, None]
    index = np.where(inside, np.asarray(starts)[:, None] + column, 0)
    if len(flat) == 0:
        return np.full(inside.shape, fill, dtype=dtype)
    values = np.where(inside, flat[index], fill)
    if dtype == np.int64 and values.dtype.kind == "f":  # times
        values[np.isnan(values)] = MISSING_TIME
    return values.astype(dtype)
