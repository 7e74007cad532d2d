"""DPO against loops over histories, and what it does to the generator it fine-tunes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from policy_world import BATCH, NUM_ITEMS, SIDS, TRIE, ByTable, generator, log_prob, standardized

from genrec.core.batch import Batch
from genrec.objectives.dpo import DPO
from genrec.objectives.lib.policy import draw_examples
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.training.module import Rollouts
from genrec.types import PAD


def objective(reference: Any, **changes: Any) -> DPO:
    made = DPO(**({"trie": TRIE, "num_histories": 4, "num_rejected": 3} | changes))
    made.check(reference)
    made.start(reference)
    return made


def test_examples_are_targets_with_what_their_state_has_seen() -> None:
    torch.manual_seed(0)
    examples, targets = draw_examples(BATCH, 100)
    assert BATCH.targets is not None
    assert len(examples) == BATCH.num_targets
    found = {(*row[: int(n)].tolist(), int(t)) for row, n, t in zip(examples.history, examples.lengths, targets, strict=True)}
    rows = zip(BATCH.history.tolist(), BATCH.targets.tolist(), strict=True)
    assert found == {(*history[:state], item) for history, row in rows for state, item in enumerate(row) if item != PAD}
    assert all((row[int(n) :] == PAD).all() for row, n in zip(examples.history, examples.lengths, strict=True))
    fewer, _ = draw_examples(BATCH, 3)
    assert len(fewer) == 3


@pytest.mark.parametrize("num_rejected", [1, 3])
def test_is_the_slow_one(num_rejected: int) -> None:
    policy, reference = generator(seed=1), generator(seed=2)
    made = objective(reference, beta=0.4, num_rejected=num_rejected, weight=2.0)
    torch.manual_seed(5)
    terms = made.loss(policy, BATCH, Rollouts(TRIE))
    torch.manual_seed(5)
    examples, targets = draw_examples(BATCH, 4)
    slow = 0.0
    for row, target in enumerate(targets.tolist()):
        ranked = sorted(range(NUM_ITEMS), key=lambda item: -log_prob(policy, examples, row, item))
        rejected = [item for item in ranked if item != target][:num_rejected]
        gain = {i: log_prob(policy, examples, row, i) - log_prob(reference, examples, row, i) for i in (target, *rejected)}
        slow += math.log(1 + sum(math.exp(0.4 * (gain[item] - gain[target])) for item in rejected)) / 4
    assert float(terms.parts["preference"]) == pytest.approx(slow, abs=1e-4)
    assert float(terms.total.detach()) == pytest.approx(2 * slow, abs=1e-4)


def test_a_step_raises_the_chosen_above_the_rejected() -> None:
    """From the reference itself every pair is a draw: the loss is log(1 + rejected), and its gradient parts them."""
    policy = generator(seed=1)
    made = objective(policy)
    before = made.loss(policy, BATCH, Rollouts(TRIE))
    assert float(before.parts["preference"]) == pytest.approx(math.log(4), abs=1e-4)
    for _ in range(20):
        torch.manual_seed(5)
        terms = made.loss(policy, BATCH, Rollouts(TRIE))
        policy.zero_grad()
        terms.total.backward()
        with torch.no_grad():
            for parameter in policy.parameters():
                if parameter.grad is not None:
                    parameter -= 0.3 * parameter.grad
    assert float(terms.parts["preference"]) < math.log(4) - 0.01
    assert float(terms.parts["won"]) > 0.6
    assert all(parameter.grad is None for parameter in made.reference.parameters())


def test_the_supervised_part_stands_beside_it() -> None:
    policy = generator(seed=1)
    supervised = SIDCrossEntropy(trie=TRIE)
    torch.manual_seed(5)
    both = objective(policy, supervised=supervised).loss(policy, BATCH, Rollouts(TRIE))
    torch.manual_seed(5)
    alone = objective(policy).loss(policy, BATCH, Rollouts(TRIE))
    cross_entropy = supervised.loss(policy, BATCH)
    assert float(both.total.detach()) == pytest.approx(float((alone.total + cross_entropy.total).detach()), abs=1e-5)
    assert {"level_0", "preference", "won", "log_p_chosen"} <= set(both.parts)


def test_items_that_share_the_target_s_id_are_not_rejected() -> None:
    """All items but one share an ID: only that one can be rejected, however likely the others are."""
    table = type(SIDS)(SIDS.codes[[0, 0, 0, 1]], SIDS.sizes)
    trie = type(TRIE).build(table)
    policy = generator(seed=1, sids=table)
    batch = Batch(torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, dtype=torch.long), torch.tensor([[0]]))
    made = DPO(trie=trie, num_rejected=2, num_histories=1)
    made.start(policy)
    terms = made.loss(policy, batch, Rollouts(trie))
    assert float(terms.parts["preference"]) == pytest.approx(math.log(2), abs=1e-5)


def test_dropout_is_no_preference() -> None:
    policy = generator(seed=1, dropout=0.5)
    made = objective(policy)
    policy.train()
    assert float(made.loss(policy, BATCH, Rollouts(TRIE)).parts["preference"]) == pytest.approx(math.log(4), abs=1e-4)
    assert policy.training


def test_an_ensemble_says_which_items_are_preferred() -> None:
    """With a reward, w is the best of the next item and twice as many beams, and the worst of them are rejected."""
    policy, reference = generator(seed=1), generator(seed=2)
    table = np.random.default_rng(4).normal(size=(NUM_ITEMS, NUM_ITEMS)).astype(np.float32)
    made = objective(reference, beta=0.4, num_rejected=2, scorers={"table": ByTable(table)}, score_weight=0.7)
    torch.manual_seed(5)
    terms = made.loss(policy, BATCH, Rollouts(TRIE))
    torch.manual_seed(5)
    examples, targets = draw_examples(BATCH, 4)
    slow, preferred = 0.0, []
    for row, target in enumerate(targets.tolist()):
        ranked = sorted(range(NUM_ITEMS), key=lambda item: -log_prob(policy, examples, row, item))[: 2 * 2 + TRIE.max_group]
        items = [target, *(item for item in ranked if item != target)]
        last = int(examples.history[row, examples.lengths[row] - 1]) if examples.lengths[row] else -1
        opinions = standardized([float(table[last, item]) for item in items])
        reward = {item: 0.7 * z + (item == target) for item, z in zip(items, opinions, strict=True)}
        best, *_ = sorted(items, key=lambda item: -reward[item])
        worst = [item for item in sorted(items, key=lambda item: reward[item]) if item != best][:2]
        gain = {i: log_prob(policy, examples, row, i) - log_prob(reference, examples, row, i) for i in (best, *worst)}
        slow += math.log(1 + sum(math.exp(0.4 * (gain[item] - gain[best])) for item in worst)) / 4
        preferred.append(best)
    assert preferred != targets.tolist(), "the reward is not only a hit"
    assert float(terms.parts["preference"]) == pytest.approx(slow, abs=1e-4)
