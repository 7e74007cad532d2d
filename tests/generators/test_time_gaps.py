"""Generators that attend by the gap in time: gaps count, moments do not, and no state hears of a later time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_world import OPTIONS, Option, all_targets, batch_of, random_histories, scrambled, sids_of

from genrec.core.batch import MISSING_TIME
from genrec.errors import ConfigError
from genrec.nn.attention import TimeGapBias

TIMED = [option for option in OPTIONS if option.id in ("encdec-times", "sasrec-times")]
SIDS = sids_of(40)
BATCH = all_targets(random_histories(40, [0, 2, 6, 6]), 40)


@pytest.mark.parametrize("option", TIMED, ids=lambda option: option.id)
def test_gaps_count_and_moments_do_not(option: Option) -> None:
    generator = scrambled(option.build(SIDS))
    assert BATCH.times is not None
    states = generator.history_states(BATCH)
    later = generator.history_states(replace(BATCH, times=BATCH.times + 10**9))
    stretched = generator.history_states(replace(BATCH, times=BATCH.times * 100))
    for row, length in enumerate(BATCH.lengths.tolist()):
        assert torch.allclose(later[row, : length + 1], states[row, : length + 1], atol=1e-5)
        assert torch.allclose(stretched[row, 0], states[row, 0], atol=1e-5), "nothing happened yet"
        assert length == 0 or not torch.allclose(stretched[row, length], states[row, length], atol=1e-3)


@pytest.mark.parametrize("option", TIMED, ids=lambda option: option.id)
def test_a_time_is_heard_from_its_own_state_on(option: Option) -> None:
    generator = scrambled(option.build(SIDS))
    batch = batch_of([[3, 1, 4, 1, 5]], [[3, 1, 4, 1, 5, 9]], width=6)
    assert batch.times is not None
    changed = batch.times.clone()
    changed[0, 3:] += 10**6
    before, after = generator.history_states(batch), generator.history_states(replace(batch, times=changed))
    assert torch.allclose(before[0, :4], after[0, :4], atol=1e-5), "the fourth item is a target of the fourth state"
    assert ((before[0, 4:6] - after[0, 4:6]).abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize("option", TIMED, ids=lambda option: option.id)
def test_histories_without_times_are_refused(option: Option) -> None:
    with pytest.raises(ConfigError, match="expected times with every history, got none"):
        scrambled(option.build(SIDS)).history_states(replace(BATCH, times=None))


def test_gaps_that_are_not_known() -> None:
    """A missing time is a bucket of its own as a key; as a query, the last time before it stands for it."""
    bias, start, unknown = TimeGapBias(num_heads=2), 62, 61
    times = torch.tensor([[10, MISSING_TIME, 13, 17], [MISSING_TIME, 5, 5, -1]])
    one, other = bias.buckets(times).tril().tolist()
    assert [row[: state + 1] for state, row in enumerate(one)] == [
        [0],
        [start, 0],
        [start, 0, unknown],
        [start, 2, unknown, 0],
        [start, 3, unknown, 2, 0],
    ]
    assert [row[: state + 1] for state, row in enumerate(other[:4])] == [
        [0],
        [unknown, unknown],
        [start, unknown, 0],
        [start, unknown, 0, 0],
    ]
    longest = torch.tensor([[-(2**60), 2**60]])  # 73 years of nanoseconds: further apart than any data's times
    assert bias.buckets(longest)[0, 2, 1] == 61


@pytest.mark.parametrize("option", TIMED, ids=lambda option: option.id)
def test_a_missing_time_changes_no_earlier_state(option: Option) -> None:
    generator = scrambled(option.build(SIDS))
    batch = batch_of([[3, 1, 4, 1, 5]], [[3, 1, 4, 1, 5, 9]], width=6)
    assert batch.times is not None
    times = batch.times.clone()
    times[0, 2] = MISSING_TIME
    before, after = generator.history_states(batch), generator.history_states(replace(batch, times=times))
    assert torch.allclose(before[0, :3], after[0, :3], atol=1e-5)
    assert ((before[0, 3:6] - after[0, 3:6]).abs().amax(1) > 1e-3).all()
    assert after.isfinite().all()
