"""What only hstu has: weights that need not add up to one, a constant to divide by, gaps in time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_world import OPTIONS, all_targets, batch_of, random_histories, scrambled, sids_of
from torch.nn import functional as F

from genrec.generators.hstu import PointwiseBlock
from genrec.nn.attention import TimeGapBias

TIMED = next(option for option in OPTIONS if option.id == "hstu-times")
SIDS = sids_of(40)
BATCH = all_targets(random_histories(40, [0, 2, 6, 6]), 40)


def test_a_block_against_a_loop() -> None:
    torch.manual_seed(0)
    block = PointwiseBlock(dim=6, num_heads=2, dropout=0.0, num_states=9)
    torch.nn.init.normal_(block.out.weight)
    x, bias = torch.randn(2, 4, 6), torch.randn(2, 4, 4)
    gate, value, query, key = F.silu(block.project(F.layer_norm(x, (6,)))).chunk(4, dim=-1)
    found = block(x, bias.unsqueeze(0))
    for user in range(2):
        for row in range(4):
            read = torch.zeros(6)
            for head, part in enumerate((slice(0, 3), slice(3, 6))):
                for column in range(row + 1):
                    logit = query[user, row, part] @ key[user, column, part] + bias[head, row, column]
                    read[part] += F.silu(logit) / 9 * value[user, column, part]
            expected = x[user, row] + block.out(F.layer_norm(read, (6,), eps=1e-6) * gate[user, row])
            assert torch.allclose(found[user, row], expected, atol=1e-5)


def test_scores_are_cosines_over_the_temperature() -> None:
    generator = scrambled(TIMED.build(SIDS, temperature=0.5))
    last = generator.history_states(BATCH)[range(len(BATCH)), BATCH.lengths]
    expected = torch.cosine_similarity(generator.query(last).unsqueeze(1), generator.items.weight, dim=2) / 0.5
    assert torch.allclose(generator.score(BATCH), expected, atol=1e-5)


def test_gaps_fall_into_buckets_that_double() -> None:
    bias = TimeGapBias(num_heads=1)
    with torch.no_grad():
        bias.weight.copy_(torch.arange(63.0).unsqueeze(1))
    times = torch.tensor([[0, 1, 3, 6, 7, 10**9, 2**61]])
    found = bias(times)[0, 0]
    assert found[1:, 1].tolist() == [0, 1, 2, 2, 3, 29, 61]
    assert (found[1:, 0] == 62).all(), "the start was before all"
    assert (found.diagonal() == 0).all()


def test_only_gaps_count() -> None:
    """When everything happened is nothing; how far apart is something; the target's own time is not asked for."""
    generator = scrambled(TIMED.build(SIDS))
    assert BATCH.times is not None
    scores = generator.score(BATCH)
    assert torch.allclose(generator.score(replace(BATCH, times=BATCH.times + 10**9)), scores, atol=1e-5)
    stretched = generator.score(replace(BATCH, times=BATCH.times * 100))
    assert torch.allclose(stretched[0], scores[0]), "nothing happened yet"
    assert not torch.isclose(stretched[1:], scores[1:], atol=1e-3).all(1).any()


@pytest.mark.parametrize("width", [6, 9])
def test_an_item_tells_its_time_only_from_its_own_state_on(width: int) -> None:
    generator = scrambled(TIMED.build(SIDS))
    batch = batch_of([[3, 1, 4, 1, 5]], [[3, 1, 4, 1, 5, 9]], width=width)
    assert batch.times is not None
    before = generator.target_logits(batch).item_queries
    later = batch.times.clone()
    later[0, 3:] += 10**6
    after = generator.target_logits(replace(batch, times=later)).item_queries
    assert torch.allclose(before[:4], after[:4], atol=1e-5), "the fourth item is a target of the fourth state"
    assert ((before[4:] - after[4:]).abs().amax(1) > 1e-3).all()
