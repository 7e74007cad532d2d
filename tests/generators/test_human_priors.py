"""What only human_priors has: an exact mixture of heads, a gate that is taught, and groups that nobody sees afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_world import OPTIONS, all_targets, batch_of, random_histories, scrambled, sids_of
from torch import Tensor

from genrec.core.event_schema import Column, EventSchema, category
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import leaf_log_probs
from genrec.generators.human_priors import HumanPriors, groups_of, groups_of_codes
from genrec.testing.worlds import SCHEMA, conditioned

OPTION = next(option for option in OPTIONS if option.id == "human_priors")
SIDS = sids_of(40, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
HISTORIES = random_histories(40, [0, 1, 4, 6])


def alone(generator: HumanPriors, group: int) -> Tensor:
    """What one head says of every item, [users, items]."""
    before = generator.gate.weight.clone(), generator.gate.bias.clone()
    with torch.no_grad():
        generator.gate.weight.zero_()
        generator.gate.bias[:] = torch.where(torch.arange(generator.num_groups) == group, 0.0, -1e6)
        found = leaf_log_probs(generator, TRIE, batch_of(HISTORIES))
        generator.gate.weight[:], generator.gate.bias[:] = before
    return found


@pytest.mark.parametrize("normalization", ["trie", "codebook"])
def test_an_item_is_as_likely_as_all_heads_together_say(normalization: str) -> None:
    generator: HumanPriors = scrambled(OPTION.build(SIDS, normalization=normalization))
    heads = torch.stack([alone(generator, group) for group in range(4)])
    state = generator.prefill(batch_of(HISTORIES))
    expected = torch.logsumexp(state.log_weights[:, 0].T.unsqueeze(-1) + heads, dim=0)
    assert (heads[0] - heads[1]).abs().max() > 0.1
    assert torch.allclose(leaf_log_probs(generator, TRIE, batch_of(HISTORIES)), expected, atol=1e-4)


def test_in_training_the_group_is_given() -> None:
    generator: HumanPriors = scrambled(OPTION.build(SIDS, prior="category"))
    batch = all_targets(HISTORIES, 40)
    given = generator.train().target_logits(batch)
    path = TRIE.paths(given.items)
    ends = [sum(len(row) + 1 for row in HISTORIES[: user + 1]) - 1 for user in range(len(HISTORIES))]
    total = torch.zeros(len(given.items))
    for level, logits in enumerate(given.levels):
        _, codes, real = TRIE.children(path[:, level], level)
        family = logits.gather(1, codes).masked_fill(~real, float("-inf"))
        total = total + logits.gather(1, TRIE.codes(path[:, level + 1])[:, None])[:, 0] - family.logsumexp(1)
    generator.eval()
    for user, end in enumerate(ends):
        item = int(given.items[end])
        by_head = alone(generator, item % 3)
        assert torch.allclose(total[end], by_head[user, TRIE.leaf_of[item] - TRIE.level_starts[-2]], atol=1e-4)


def test_a_head_learns_from_its_own_group_and_the_gate_from_all() -> None:
    generator: HumanPriors = scrambled(OPTION.build(SIDS, prior="category")).train()
    targets = [[3, 6, 9]]  # all of group 0
    OPTION.objective(TRIE, generator).loss(generator, batch_of([[1, 2]], targets)).total.backward()
    told = generator.widen.grad
    assert told is not None
    assert told[0].abs().sum() > 0
    assert (told[1:] == 0).all()
    assert generator.gate.weight.grad is not None
    assert (generator.gate.weight.grad.abs().sum(1) > 0).all()


def test_nobody_sees_the_group_of_a_target() -> None:
    generator: HumanPriors = scrambled(OPTION.build(SIDS))
    before = generator.target_logits(all_targets(HISTORIES, 40)).levels
    generator.groups[:] = generator.groups.flip(0)
    after = generator.target_logits(all_targets(HISTORIES, 40)).levels
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_groups() -> None:
    counts = np.array([1, 40, 30, 9, 0, 20])
    assert groups_of("popularity", 2, counts, None).tolist() == [1, 0, 0, 1, 1, 1]
    assert groups_of("popularity", 4, np.zeros(3, np.int64), None).tolist() == [0, 0, 0]
    labels = {"category": np.array([0, 2, -1, 1, 0, 5])}
    assert groups_of("category", 3, counts, labels).tolist() == [0, 2, 2, 1, 0, 2]


def test_groups_of_events() -> None:
    kinds = category("event_type", ["buy", "cart", "like", "view"])
    assert groups_of_codes(kinds, 3, np.array([7, 5, 1, 0, 9])).tolist() == [2, 1, 2, 2, 0]  # view, buy, all others
    assert groups_of_codes(kinds, 6, np.array([7, 5, 1, 0, 9])).tolist() == [5, 1, 2, 3, 0]
    gaps = Column(name="timestamp.gap", kind="time", num_codes=7)
    assert groups_of_codes(gaps, 3, np.array([50, 4, 1, 0, 2, 2, 1])).tolist() == [2, 0, 0, 1, 1, 1, 1]  # short, long, unknown
    assert groups_of_codes(gaps, 2, np.array([50, 4, 1, 0, 2, 2, 1])).tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert groups_of_codes(gaps, 3, None).tolist() == [2] * 7, "an opened generator needs none"
    schema = EventSchema(columns=(kinds, Column(name="rating", kind="number"), gaps))
    assert (schema.coded, schema.with_codes("timestamp"), schema.with_codes("rating")) == (
        ("event_type", "timestamp"),
        gaps,
        None,
    )


@pytest.mark.parametrize("prior", ["event_type", "timestamp"])
def test_the_kind_of_a_target_chooses_its_head_in_training_and_is_not_heard(prior: str) -> None:
    generator: HumanPriors = scrambled(OPTION.build(SIDS, prior=prior, num_groups=3, schema=SCHEMA))
    generator.conditions.hidden_share = 0.0
    (name,) = generator.target_columns
    assert name == {"event_type": "event_type", "timestamp": "timestamp.gap"}[prior]
    batch = replace(conditioned(all_targets(HISTORIES, 40)), request={})
    assert batch.targets is not None
    codes = torch.ones_like(batch.targets)
    of_first = replace(batch, target_columns={name: codes})
    of_second = replace(batch, target_columns={name: codes.index_fill(1, torch.tensor([0]), 0)})  # unknown: the last group
    assert generator.groups[[1, 0]].tolist() == [0, 2]
    first = generator.target_logits(of_first)
    assert all(map(torch.equal, generator.target_logits(of_second).levels, first.levels)), "the mixture does not hear of it"
    assert "gate" not in generator.target_logits(batch).auxiliary
    generator.train()
    one, other = generator.target_logits(of_first), generator.target_logits(of_second)
    moved = (one.levels[0] - other.levels[0]).abs().amax(1) > 1e-4
    assert moved.tolist() == (torch.arange(batch.targets.shape[1]) == 0).expand_as(batch.targets)[batch.targets != -1].tolist()
    asked = generator.conditions.add_request(generator._memory(batch).squeeze(2), batch)[batch.targets != -1]
    expected = torch.nn.functional.cross_entropy(generator.gate(asked), torch.zeros(len(asked), dtype=torch.long))
    assert torch.isclose(one.auxiliary["gate"], generator.gate_weight * expected, atol=1e-5)
