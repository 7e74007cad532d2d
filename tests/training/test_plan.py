"""Every target once per epoch, whatever the lengths, windows and crops; a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import sequences_of

from genrec.core.dataset import Sequences
from genrec.training.plan import BatchPlan, TrainingBatch
from genrec.types import PAD


def events_by_number(lengths: list[int]) -> Sequences:
    """Sequences whose items are the numbers of the events, so that an item says where it stood, and when."""
    ends = np.cumsum(lengths)
    sequences = sequences_of([range(end - length, end) for end, length in zip(ends, lengths, strict=True)])
    return replace(sequences, times=10.0 * sequences.item_idx)


plans = st.fixed_dictionaries(
    {
        "max_history_len": st.integers(1, 7),
        "batch_states": st.integers(1, 60),
        "crop_rate": st.sampled_from([0.0, 0.5, 1.0]),
        "seed": st.integers(0, 5),
    }
)
lengths_of_users = st.lists(st.integers(0, 40), min_size=1, max_size=12)


def targets_with_histories(batch: TrainingBatch) -> Iterator[tuple[int, list[int]]]:
    parts = batch.batch
    assert parts.targets is not None
    assert parts.targets.shape == (len(parts), parts.history.shape[1] + 1)
    for history, length, targets in zip(parts.history.tolist(), parts.lengths.tolist(), parts.targets.tolist(), strict=True):
        assert set(history[length:]) <= {PAD}
        for state, target in enumerate(targets):
            if target != PAD:
                assert state <= length
                yield target, history[:state]


@given(lengths_of_users, plans)
def test_every_target_once_with_the_items_before_it(lengths: list[int], settings: dict[str, Any]) -> None:
    train = events_by_number(lengths)
    batches = list(BatchPlan(train, epochs=1, **settings).batches())
    found = [pair for batch in batches for pair in targets_with_histories(batch)]
    assert sorted(target for target, _ in found) == list(range(sum(lengths)))
    for parts in (batch.batch for batch in batches):
        assert torch.equal(parts.times, torch.where(parts.history == PAD, PAD, parts.history * 10)), "and with their times"
    owner, longest = train.user_idx, settings["max_history_len"]
    for target, history in found:
        first = int(train.offsets[owner[target]])
        assert history == list(range(target - len(history), target))
        assert len(history) <= min(longest, target - first)
        if not settings["crop_rate"]:
            assert len(history) >= min((longest + 1) // 2, target - first), "no target loses more than half a window"


@given(lengths_of_users, plans, st.integers(1, 3))
def test_epochs(lengths: list[int], settings: dict[str, Any], epochs: int) -> None:
    plan = BatchPlan(events_by_number(lengths), epochs=epochs, **settings)
    batches = list(plan.batches())
    assert [batch.step for batch in batches] == list(range(plan.num_batches))
    assert [batch.progress for batch in batches] == [step / plan.num_batches for step in range(plan.num_batches)]
    assert plan.num_targets == sum(lengths)
    assert sum(batch.batch.num_targets for batch in batches) == epochs * sum(lengths)
    first = list(BatchPlan(events_by_number(lengths), epochs=1, **settings).batches())
    assert all(torch.equal(a.batch.history, b.batch.history) for a, b in zip(first, batches, strict=False)), (
        "epoch 0 is epoch 0"
    )


@given(lengths_of_users, plans, st.lists(st.integers(0, 60), max_size=3))
def test_rounds_are_slices(lengths: list[int], settings: dict[str, Any], cuts: list[int]) -> None:
    plan = BatchPlan(events_by_number(lengths), epochs=3, **settings)
    whole = list(plan.batches(0, None))
    bounds = sorted({0, plan.num_batches, *(min(cut, plan.num_batches) for cut in cuts)})
    parts = [batch for a, b in pairwise(bounds) for batch in plan.batches(a, b)]
    assert len(parts) == len(whole)
    for ours, theirs in zip(parts, whole, strict=True):
        assert (ours.step, ours.progress) == (theirs.step, theirs.progress)
        for name in ("history", "lengths", "targets"):
            assert torch.equal(getattr(ours.batch, name), getattr(theirs.batch, name))


def order_of(plan: BatchPlan) -> list[int]:
    return [target for batch in plan.batches() for target, _ in targets_with_histories(batch)]


def test_order_comes_from_seed_and_epoch() -> None:
    train, settings = events_by_number([5, 9, 20, 3, 0, 14] * 4), {"max_history_len": 6, "batch_states": 40, "crop_rate": 0.5}
    orders = [order_of(BatchPlan(train, epochs=2, seed=seed, **settings)) for seed in (0, 0, 1)]  # type: ignore[arg-type]
    assert orders[0] == orders[1] != orders[2]
    half = len(orders[0]) // 2
    assert orders[0][:half] != orders[0][half:]


def test_hardly_anything_is_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.1, 3000).tolist()
    batches = list(BatchPlan(events_by_number(lengths), max_history_len=50, batch_states=1000, epochs=1).batches())
    states = sum(batch.batch.targets.numel() for batch in batches)  # type: ignore[union-attr]
    used = sum(int((batch.batch.lengths + 1).sum()) for batch in batches)
    assert used / states > 0.9
    assert max(batch.batch.targets.numel() for batch in batches) < 2 * 1000  # type: ignore[union-attr]


@pytest.mark.parametrize("max_targets", [1, 500, 2500, 10**6])
def test_max_targets(max_targets: int) -> None:
    plan = BatchPlan(
        events_by_number([10] * 200), max_history_len=20, batch_states=100, epochs=3, crop_rate=0.3, max_targets=max_targets
    )
    seen = sum(batch.batch.num_targets for batch in plan.batches())
    assert abs(seen - min(max_targets, 6000)) <= 200, "to within two batches"
    assert seen > 0


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_nothing_to_train_on(lengths: list[int]) -> None:
    plan = BatchPlan(events_by_number(lengths), max_history_len=5, batch_states=10, epochs=2)
    assert plan.num_batches == 0
    assert list(plan.batches()) == []
