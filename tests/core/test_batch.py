from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import batch_of, sequences_of

from genrec.core.batch import Batch, padded_rows
from genrec.types import PAD

ROWS = st.lists(st.lists(st.integers(0, 99), max_size=8), min_size=1, max_size=8)


@given(ROWS, st.data())
def test_padded_rows(rows: list[list[int]], data: st.DataObject) -> None:
    sequences = sequences_of(rows)
    which = np.asarray(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=10)))
    padded = padded_rows(sequences.item_idx, sequences.offsets[:-1][which], sequences.lengths[which])
    assert padded.shape == (len(which), max(len(rows[row]) for row in which))
    assert padded.dtype == np.int64
    for values, row in zip(padded.tolist(), which, strict=True):
        assert values == rows[row] + [PAD] * (len(values) - len(rows[row]))


@given(ROWS, st.integers(1, 9))
def test_of_histories_takes_the_last_items(rows: list[list[int]], max_history_len: int) -> None:
    users = np.arange(len(rows))[::-1].copy()
    batch = Batch.of_histories(sequences_of(rows), users, max_history_len)
    assert len(batch) == len(rows)
    for values, length, user in zip(batch.history.tolist(), batch.lengths.tolist(), users, strict=True):
        expected = rows[user][-max_history_len:]
        assert length == len(expected)
        assert values[:length] == expected
        assert set(values[length:]) <= {PAD}


@given(ROWS, st.integers(1, 9), st.data())
def test_times_stay_with_their_items(rows: list[list[int]], max_history_len: int, data: st.DataObject) -> None:
    sequences = sequences_of(rows)
    timed = replace(sequences, times=sequences.item_idx * 60.0)
    batch = Batch.of_histories(timed, np.arange(len(rows)), max_history_len)
    which = torch.tensor(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)), dtype=torch.long)
    for part in (batch, batch.to("cpu"), *batch.split(2), batch.rows(which)):
        assert torch.equal(part.times, torch.where(part.history == PAD, PAD, part.history * 60))
    assert torch.equal(batch.rows(which).lengths, batch.lengths[which])


def test_split_and_num_targets() -> None:
    batch = batch_of([[1, 2], [], [3]], [[7, 8, 9], [4], [PAD, 5]])
    assert batch.num_targets == 5
    assert batch_of([[1]]).num_targets == 0
    parts = batch.split(2)
    assert [len(part) for part in parts] == [2, 1]
    assert torch.equal(torch.cat([part.targets for part in parts if part.targets is not None]), batch.targets)
    assert torch.equal(torch.cat([part.history for part in parts]), batch.history)
    assert all(part.targets is None for part in batch_of([[1], [2], [3]]).split(2))
