from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import ring, sequences_of

from genrec.core.dataset import Dataset
from genrec.errors import ArtifactError

Parts = list[tuple[list[int], list[int], list[int]]]  # of each user: training, validation, test
PART = st.lists(st.integers(0, 6), max_size=4)
PARTS = st.lists(st.tuples(PART, PART, PART), max_size=6)


def dataset_of(users: Parts) -> Dataset:
    """A dataset with these parts. No strategy makes it: checks of types draw random numbers, which Hypothesis forbids."""
    events = sequences_of([[*a, *b, *c] for a, b, c in users])
    starts = events.offsets[:-1]
    train_ends = starts + [len(a) for a, _, _ in users] if users else starts
    validation_ends = train_ends + [len(b) for _, b, _ in users] if users else starts
    items = pl.DataFrame({"item_id": [f"i{item}" for item in range(7)]})
    names = pl.DataFrame({"user_id": [f"u{user}" for user in range(len(users))]}, schema={"user_id": pl.String})
    return Dataset(items, names, events, train_ends, validation_ends)


@given(PARTS)
def test_parts(users: Parts) -> None:
    dataset = dataset_of(users)
    assert len(dataset.train) == dataset.num_users == len(users)
    for user, (train, validation, test) in enumerate(users):
        assert dataset.train[user].tolist() == train
        assert dataset.histories("validation")[user].tolist() == train
        assert dataset.targets("validation")[user].tolist() == validation
        assert dataset.histories("test")[user].tolist() == train + validation
        assert dataset.targets("test")[user].tolist() == test
    flat = [item for train, _, _ in users for item in train]
    assert dataset.train_counts.tolist() == [flat.count(item) for item in range(dataset.num_items)]
    owners = [user for user, (train, _, _) in enumerate(users) for _ in train]
    assert dataset.train.user_idx.tolist() == owners


@given(PARTS, st.data())
def test_parts_of_some_users(users: Parts, data: st.DataObject) -> None:
    dataset = dataset_of(users)
    which = np.asarray(
        data.draw(st.lists(st.integers(0, len(users) - 1), max_size=8) if users else st.just([])), dtype=np.int64
    )
    last = data.draw(st.none() | st.integers(1, 5))
    found = replace(dataset, timestamps=10.0 * np.arange(len(dataset.events.item_idx))).histories("test").of(which, last)
    assert len(found) == len(which)
    for row, user in enumerate(which):
        train, validation, _ = users[user]
        kept = slice(-last if last else None, None)
        assert found[row].tolist() == [*train, *validation][kept]
        start = int(dataset.events.offsets[user])
        times = [10.0 * (start + place) for place in range(len(train) + len(validation))][kept]
        assert found.times[found.offsets[row] : found.offsets[row + 1]].tolist() == times
    assert dataset.histories("test").of(which).times is None


@pytest.mark.parametrize("timed", [True, False])
def test_save_and_load(tmp_path: Path, timed: bool) -> None:
    dataset = ring(num_items=7, num_users=5)
    dataset = dataset if timed else replace(dataset, timestamps=None)
    dataset.facts["split"] = {"rule": "leave_one_out"}
    dataset.save(tmp_path)
    again = Dataset.load(tmp_path)
    assert again.items.equals(dataset.items)
    assert again.users.equals(dataset.users)
    for name in ("train_ends", "validation_ends"):
        assert np.array_equal(getattr(again, name), getattr(dataset, name))
    assert np.array_equal(again.events.item_idx, dataset.events.item_idx)
    assert np.array_equal(again.events.offsets, dataset.events.offsets)
    assert (again.timestamps is not None) == timed
    assert again.facts == dataset.facts
    assert again.folder == tmp_path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    ring().save(tmp_path)
    (tmp_path / "offsets.npy").unlink()
    with pytest.raises(ArtifactError, match=r"offsets\.npy"):
        Dataset.load(tmp_path)
