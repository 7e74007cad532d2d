"""GRPO and ECPO against loops over groups, and what they do to the generator they fine-tune."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_world import BATCH, NUM_ITEMS, SIDS, TRIE, ByTable, generator, log_prob, standardized, trained
from small_world import batch_of

from genrec.errors import ConfigError
from genrec.objectives.group_policy import GroupPolicy, divergence, surrogate
from genrec.objectives.lib.ensemble_reward import EnsembleReward
from genrec.objectives.lib.policy import advantages, draw_examples, format_loss, prefix_shares, rank_penalties
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.training.module import Rollouts

OPINIONS = np.random.default_rng(4).normal(size=(NUM_ITEMS, NUM_ITEMS)).astype(np.float32)


def objective(reference: Any, **changes: Any) -> GroupPolicy:
    made = GroupPolicy(**({"trie": TRIE, "num_histories": 4, "group_size": 5} | changes))
    made.check(reference)
    made.start(reference)
    return made


def test_rewards() -> None:
    hit = torch.tensor([[False, True, False], [False, False, False]])
    total = 1 + 1 / math.log2(3) + 1 / 2
    expected = [[-1 / total, 0, -1 / 2 / total], [0, 0, 0]]
    assert torch.allclose(rank_penalties(hit), torch.tensor(expected))
    codes = SIDS.codes.tolist()
    shares = prefix_shares(TRIE, torch.arange(NUM_ITEMS).unsqueeze(0), torch.tensor([4]))[0]
    for item, share in enumerate(shares.tolist()):
        same = next((depth for depth in range(3) if codes[item][depth] != codes[4][depth]), 3)
        assert share == pytest.approx(same / 3)


def test_advantages_leave_out_what_is_not_there() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.5, 9.0], [2.0, 2.0, 2.0, 2.0], [0.1, 0.1, 0.1, 0.3]])
    real = torch.tensor([[True, True, True, False], [True] * 4, [True] * 4])
    found = advantages(rewards, real)
    slow = (np.array([1.0, 0.0, 0.5]) - 0.5) / (np.std([1.0, 0.0, 0.5]) + 1e-4)
    assert found[0].tolist() == pytest.approx([*slow, 0.0], abs=1e-5)
    assert not found[1].any(), "equal rewards teach nothing"
    assert found[2, 3] > 0 > found[2, 0]


@pytest.mark.parametrize("early_clip", [None, 0.1])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.25, 5.0])
def test_the_surrogate_and_its_gradient(ratio: float, advantage: float, early_clip: float | None) -> None:
    log_p = torch.tensor(math.log(ratio), requires_grad=True)
    gain = surrogate(log_p.exp(), torch.tensor(advantage), 0.2, early_clip)
    gain.backward()
    effective = min(ratio, 1.3) if early_clip is not None and advantage < 0 else ratio
    clipped = min(max(effective, 0.8), 1.2)
    assert float(gain.detach()) == pytest.approx(min(effective * advantage, clipped * advantage), abs=1e-5)
    moves = effective * advantage <= clipped * advantage  # else the clip holds it
    assert float(log_p.grad) == pytest.approx(effective * advantage if moves else 0.0, abs=1e-5)


def test_divergence_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    log_p = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    found = divergence(log_p, torch.tensor([-1.0, -1.0, -1.0]))
    assert found.tolist() == pytest.approx([0, math.e - 2, math.exp(-0.5) - 0.5], abs=1e-5)
    found.sum().backward()
    assert log_p.grad.tolist() == pytest.approx([0, 1 - math.e, 1 - math.exp(-0.5)], abs=1e-5)  # towards the reference


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"early_clip": 0.1, "kl_weight": 0.0},
        {"prefix_weight": 0.5, "rank_weight": 0.2, "weight": 3.0},
        {"score_weight": 0.6, "scorers": {"table": ByTable(OPINIONS), "other": ByTable(OPINIONS.T)}},
    ],
    ids=["grpo", "ecpo", "prefixes", "ensemble"],
)
def test_is_the_slow_one(changes: dict[str, Any]) -> None:
    """Off policy: the copy that recommends is one step behind."""
    policy, reference = generator(seed=1), generator(seed=2)
    made = objective(reference, sync_every=2, **changes)
    made.loss(policy, BATCH, Rollouts(TRIE))  # takes the copy
    old = generator(seed=1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.05
    torch.manual_seed(5)
    terms = made.loss(policy, BATCH, Rollouts(TRIE))
    torch.manual_seed(5)
    examples, targets = draw_examples(BATCH, 4)
    total = 0.0
    for row, target in enumerate(targets.tolist()):
        group = sorted(range(NUM_ITEMS), key=lambda item: -log_prob(old, examples, row, item))[:5]
        discount = [1 / math.log2(rank + 2) for rank in range(5)]
        last = int(examples.history[row, examples.lengths[row] - 1]) if examples.lengths[row] else -1
        both = zip(
            *(standardized([float(table[last, item]) for item in group]) for table in (OPINIONS, OPINIONS.T)), strict=True
        )
        opinions = dict(zip(group, (sum(pair) / 2 for pair in both), strict=True))
        rewards = []
        for rank, item in enumerate(group):
            share = float(prefix_shares(TRIE, torch.tensor([[item]]), torch.tensor([target])))
            penalty = -discount[rank] / sum(discount) if target in group and item != target else 0.0
            rewards.append((item == target) + made.rank_weight * penalty + made.prefix_weight * share)
            rewards[-1] += made.score_weight * opinions[item]
        spread = np.std(rewards)
        for item, reward in zip(group, rewards, strict=True):
            advantage = (reward - np.mean(rewards)) / (spread + 1e-4) if spread > 1e-6 else 0.0
            log_p = log_prob(policy, examples, row, item)
            ratio = math.exp(log_p - log_prob(old, examples, row, item))
            if made.early_clip is not None and advantage < 0:
                ratio = min(ratio, 1.2 + made.early_clip)
            q = log_prob(reference, examples, row, item) - log_p
            gain = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage) - made.kl_weight * (math.exp(q) - q - 1)
            total -= gain / 20
    assert float(terms.parts["policy"]) == pytest.approx(total, abs=1e-4)
    assert float(terms.total.detach()) == pytest.approx(made.weight * total, abs=1e-4)


def test_draws_are_the_sampler_s_and_differ_from_step_to_step() -> None:
    policy = generator(seed=1)
    rollouts = Rollouts(TRIE)
    examples, _ = draw_examples(BATCH, 4)
    first = rollouts.drawn(policy, examples, 5)
    assert torch.equal(first, rollouts.drawn(policy, examples, 5))
    rollouts.seed = 1
    assert not torch.equal(first, rollouts.drawn(policy, examples, 5))
    made = objective(policy, rollouts="draws")
    made.loss(policy, BATCH, rollouts).total.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in policy.parameters())


def test_format_reward_teaches_to_write_ids(tmp_path: Path) -> None:
    """12 of 27 codes are IDs; with nothing but the format reward the generator learns which."""
    policy = generator(seed=1)
    made = objective(policy, format_weight=1.0, weight=1.0, rank_weight=0.0, kl_weight=0.0, num_histories=16)
    torch.manual_seed(0)
    examples, _ = draw_examples(BATCH, 9)
    before = float(format_loss(policy, TRIE, examples, 200)[1])
    policy.train()
    trained(policy, made, tmp_path / "work", epochs=6, lr=3e-3)
    after = float(format_loss(policy, TRIE, examples, 200)[1])
    assert after < before / 2


@pytest.mark.parametrize("rollouts", ["beams", "draws"])
def test_the_reward_goes_up(rollouts: str, tmp_path: Path) -> None:
    """A generator that has learned a little of the ring learns more of it from its own recommendations alone."""
    policy = generator(seed=1)
    trained(policy, SIDCrossEntropy(trie=TRIE), tmp_path / "first", epochs=2, lr=3e-3)
    before = first_hits(policy)
    made = objective(policy, rollouts=rollouts, num_histories=32, group_size=6)
    fitted = trained(policy, made, tmp_path / "second", epochs=12, lr=3e-3, validations=4)
    rewards = [row["train/loss_reward"] for row in fitted.history]
    assert rewards[-1] > rewards[0]
    assert first_hits(policy) > before + 0.1


def test_resumed_is_straight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy that recommends is behind, so that it has to come from the checkpoint; the reference from the start."""

    def run(work: Path) -> dict[str, torch.Tensor]:
        policy = generator(seed=1, dropout=0.1)
        made = objective(policy, supervised=SIDCrossEntropy(trie=TRIE), sync_every=4, kl_weight=0.1)
        trained(policy, made, work, epochs=3, lr=3e-3, validations=4)
        return policy.state_dict()

    def dying(self: GroupPolicy, *args: Any) -> Any:
        if self.step == 6:
            raise InterruptedError
        return original(self, *args)

    straight, original = run(tmp_path / "straight"), GroupPolicy.loss
    with monkeypatch.context() as patch:
        patch.setattr(GroupPolicy, "loss", dying)
        with pytest.raises(InterruptedError):
            run(tmp_path / "killed")
    again = run(tmp_path / "killed")
    assert [name for name, tensor in again.items() if not torch.equal(tensor, straight[name])] == []


def first_hits(policy: Any) -> float:
    """How often the most probable item after i is i + 1."""
    ranked = Rollouts(TRIE).best(policy, batch_of([[(i - 1) % NUM_ITEMS, i] for i in range(NUM_ITEMS)]), 1)[:, 0]
    return float((ranked == (torch.arange(NUM_ITEMS) + 1) % NUM_ITEMS).float().mean())


def test_the_item_head_is_a_scorer_and_somebody_must_be_one() -> None:
    head = generator(seed=3, item_head=True)
    items, is_item = torch.tensor([[1, 5, 7], [2, 3, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    histories = batch_of([[4], []])
    opinions = EnsembleReward(None)(head, histories, items, is_item)
    scores = head.item_scores(histories).detach()
    assert opinions[0].tolist() == pytest.approx(standardized(scores[0, [1, 5, 7]].tolist()), abs=1e-4)
    assert opinions[1].tolist() == pytest.approx([*standardized(scores[1, [2, 3]].tolist()), 0.0], abs=1e-4)
    with pytest.raises(ConfigError, match="score_weight above 0, got none"):
        EnsembleReward(None)(generator(seed=3), histories, items, is_item)
