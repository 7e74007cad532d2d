"""What only hstu has: weights that need not add up to one, a constant to divide by, gaps in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_world import OPTIONS, all_targets, batch_of, random_histories, scrambled, sids_of
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.generators.hstu import HSTU, PointwiseBlock
from genrec.nn.attention import TimeGapBias
from genrec.testing.worlds import SCHEMA, conditioned

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


def acting(**changes: Any) -> HSTU:
    generator: HSTU = scrambled(TIMED.build(SIDS, schema=SCHEMA, **changes))
    return generator


def heard(batch: Batch) -> Batch:
    return replace(conditioned(batch), request={}, given=None)


def test_actions_are_tokens_after_their_items() -> None:
    """Against a model that reads the same stream as items: states of actions predict, those of items are passed over."""
    generator = acting(actions="event_type", time_gaps=False)
    batch = heard(batch_of([[3, 1, 4]]))
    assert generator.actions is not None
    codes = batch.columns["event_type"][0]
    assert "event_type" not in [column.name for column in generator.conditions.event_columns.columns], "it is heard once"
    stream, inputs = [], []
    for block in generator.blocks:
        block.register_forward_pre_hook(lambda block, read: inputs.append(read[0]))
        block.register_forward_hook(lambda block, read, written: stream.append(written))
    states = generator.history_states(batch)
    assert [x.shape[1] for x in stream] == [7, 7]
    assert torch.equal(states, stream[-1][:, ::2])
    tokens = F.layer_norm(generator.actions.table.weight[codes], (16,), generator.input_norm.weight)
    assert torch.allclose(inputs[0][0, 2::2], tokens, atol=1e-5)
    assert generator.blocks[0].num_states == 2 * generator.max_history_len + 1


@pytest.mark.parametrize("time_gaps", [False, True])
@pytest.mark.parametrize("actions", ["event_type", "rating"])
def test_an_action_is_heard_after_it_happened(actions: str, time_gaps: bool) -> None:
    generator = acting(actions=actions, time_gaps=time_gaps)
    batch = heard(all_targets(random_histories(40, [5, 5], seed=3), 40))
    values = batch.columns[actions].clone()
    values[0, 3] = 1 + values[0, 3] % 2 if actions == "event_type" else values[0, 3] + 1
    after = generator.history_states(replace(batch, columns={**batch.columns, actions: values}))
    moved = (after - generator.history_states(batch)).abs().amax(-1) > 1e-4
    assert moved.tolist() == [[False] * 4 + [True] * 2, [False] * 6], "the fourth action is of the item that state 3 predicts"


def test_a_history_with_actions_does_not_depend_on_its_neighbours() -> None:
    generator = acting(actions="event_type")
    batch = heard(batch_of(random_histories(40, [2, 6, 0], seed=4)))
    scores = generator.score(batch)
    for row in range(3):
        alone = batch.rows(torch.tensor([row]))
        length = int(alone.lengths)
        cut = replace(
            alone,
            history=alone.history[:, :length],
            times=alone.times[:, :length],
            columns={name: values[:, :length] for name, values in alone.columns.items()},
        )
        assert torch.allclose(generator.score(cut), scores[row : row + 1], atol=1e-4)


def test_codes_of_actions() -> None:
    by_number, by_word = acting(actions="rating").actions, acting(actions="event_type").actions
    assert by_number is not None
    assert by_word is not None
    batch = batch_of([[3, 1, 4, 1, 5]])
    numbers = torch.tensor([[float("nan"), -9.0, -0.3, 0.2, 7.0]])
    assert by_number.codes(replace(batch, columns={"rating": numbers})).tolist() == [[0, 1, 5, 6, 10]]
    assert by_word.codes(replace(batch, columns={"event_type": torch.tensor([[1, 2, 0, 1, 1]])})).tolist() == [[1, 2, 0, 1, 1]]
    assert by_word.codes(batch).tolist() == [[0] * 5], "who tells none has unknown ones"
    assert by_number.table.weight.shape[0] == 11
    for schema in (None, SCHEMA):
        with pytest.raises(ConfigError, match=r"generator\.actions"):
            TIMED.build(SIDS, schema=schema, actions="colour")
