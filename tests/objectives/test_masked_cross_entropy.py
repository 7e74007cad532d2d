"""The loss on hidden codes: against all orders of writing them, and against loops over views."""

from __future__ import annotations

from itertools import combinations, permutations
from math import comb
from typing import Any

import pytest
import torch
from small_world import ArbitraryLogits, batch_of, sids_of
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.generators.sasrec import SASRec
from genrec.objectives.masked_cross_entropy import MaskedCrossEntropy
from genrec.types import PAD

SIDS = sids_of(30, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
BATCH = batch_of([[3, 7], [11]], [[PAD, 7, 2], [5]])
ITEMS = [7, 2, 5]


class Denoiser(nn.Module):
    """Logits are a fixed, patternless function of the target's number and of the codes that are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.normalization = "codebook"
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.modes: list[tuple[bool, bool]] = []

    def denoise(self, batch: Batch, codes: Tensor) -> tuple[Tensor, ...]:
        self.modes.append((self.training, torch.is_grad_enabled()))
        number = ((codes + 2) * torch.tensor([7919, 104729, 1299709])).sum(-1) + torch.arange(len(codes)).unsqueeze(1) * 31
        return tuple(
            self.scale * torch.sin((number + level).unsqueeze(-1) * 0.37 * torch.arange(1, size + 1))
            for level, size in enumerate(SIDS.sizes)
        )


def log_probs(shown: Tensor) -> list[Tensor]:
    """Per level [targets, size], given one view."""
    return [logits[:, 0].log_softmax(-1).detach() for logits in Denoiser().denoise(BATCH, shown.unsqueeze(1))]


def slow_loss(hidden: list[list[int]], smoothing: float) -> float:
    """The mean over all hidden codes of all views, one by one."""
    codes, terms = torch.from_numpy(SIDS.codes[ITEMS]).long(), []
    for view in hidden:
        shown = codes.clone()
        shown[:, view] = PAD
        for level in view:
            of_level = log_probs(shown)[level]
            right = of_level.gather(1, codes[:, level : level + 1]).squeeze(1)
            terms.append(-((1 - smoothing) * right + smoothing * of_level.mean(1)).mean())
    return float(torch.stack(terms).mean())


def test_random_masks_cost_the_likelihood_in_random_order(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, generator = MaskedCrossEntropy(trie=TRIE, mask="random", label_smoothing=0.0), Denoiser()
    expected = 0.0
    for number in (1, 2, 3):
        for levels in combinations(range(3), number):
            hidden = torch.zeros(3, 1, 3, dtype=torch.bool)
            hidden[..., levels] = True
            monkeypatch.setattr(objective, "_random", lambda codes, last_level, hidden=hidden: hidden)
            expected += float(objective.loss(generator, BATCH).total.detach()) / 3 / comb(3, number)
    codes, orders = torch.from_numpy(SIDS.codes[ITEMS]).long(), list(permutations(range(3)))
    written = 0.0
    for order in orders:
        shown = torch.full_like(codes, PAD)
        for level in order:
            written -= float(log_probs(shown)[level].gather(1, codes[:, level : level + 1]).mean()) / len(orders)
            shown[:, level] = codes[:, level]
    assert expected == pytest.approx(written / 3, abs=1e-5)


def test_random_masks_hide_any_number_and_any_choice() -> None:
    torch.manual_seed(0)
    hidden = MaskedCrossEntropy(trie=TRIE, mask="random")._random(torch.zeros(30_000, 3, dtype=torch.long), None)[:, 0]
    for number in (1, 2, 3):
        chosen = hidden[hidden.sum(1) == number]
        assert len(chosen) / len(hidden) == pytest.approx(1 / 3, abs=0.02)
        assert torch.allclose(chosen.float().mean(0), torch.full((3,), number / 3), atol=0.02)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_guided_views_hide_the_least_sure_first(smoothing: float) -> None:
    objective, generator = MaskedCrossEntropy(trie=TRIE, label_smoothing=smoothing), Denoiser().train()
    terms = objective.loss(generator, BATCH)
    assert generator.modes == [(False, False), (True, True)], "guided without dropout and gradients, trained with both"
    codes = torch.from_numpy(SIDS.codes[ITEMS]).long()
    sure = torch.stack([of_level.exp().amax(1) for of_level in log_probs(torch.full_like(codes, PAD))], dim=1)
    total, order = 0.0, sure.argsort(dim=1).tolist()
    for target in range(3):
        for view in (order[target][:number] for number in (1, 2, 3)):
            shown = codes.clone()
            shown[target, view] = PAD
            for level in view:
                of_level = log_probs(shown)[level][target]
                right = (1 - smoothing) * of_level[codes[target, level]] + smoothing * of_level.mean()
                total -= float(right) / 6 / 3  # six hidden codes a target
    assert float(terms.total.detach()) == pytest.approx(total, abs=1e-5)
    assert set(terms.parts) == {"level_0", "level_1", "level_2"}
    terms.total.backward()
    assert generator.scale.grad is not None
    assert generator.scale.grad.abs() > 0


def test_one_view_is_the_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = MaskedCrossEntropy(trie=TRIE, mask="random", label_smoothing=0.2)
    hidden = torch.tensor([True, False, True]).expand(3, 1, 3)
    monkeypatch.setattr(objective, "_random", lambda codes, last_level: hidden)
    assert float(objective.loss(Denoiser(), BATCH).total.detach()) == pytest.approx(slow_loss([[0, 2]], 0.2), abs=1e-5)


@pytest.mark.parametrize("mask", ["random", "guided_least", "rising"])
def test_what_is_written_last_is_hidden_from_all_others(mask: Any) -> None:
    """Every view hides it; it is learned where all the others are shown, and from nothing else."""
    shown_views: list[Tensor] = []

    class Last(Denoiser):
        last_level = 2

        def denoise(self, batch: Batch, codes: Tensor) -> tuple[Tensor, ...]:
            shown_views.append(codes)
            return super().denoise(batch, codes)

    objective, generator = MaskedCrossEntropy(trie=TRIE, mask=mask, label_smoothing=0.0), Last()
    codes = torch.from_numpy(SIDS.codes[ITEMS]).long()
    learned = set()
    for seed in range(20):
        torch.manual_seed(seed)
        loss = float(objective.loss(generator, BATCH).total.detach())
        shown = shown_views[-1]
        assert (shown[..., 2] == PAD).all()
        expected = 0.0
        for target in range(3):
            terms = []
            for view in shown[target]:
                hidden = [level for level in range(3) if view[level] == PAD]
                levels = hidden if hidden == [2] else hidden[:-1]
                learned |= set(levels)
                of_view = log_probs(shown.new_full((3, 3), PAD).index_copy(0, torch.tensor([target]), view.unsqueeze(0)))
                terms += [-float(of_view[level][target, codes[target, level]]) for level in levels]
            expected += sum(terms) / len(terms) / 3
        assert loss == pytest.approx(expected, abs=1e-5)
    assert learned == {0, 1, 2}


def test_over_the_trie_only_codes_of_items_that_agree_have_mass(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, generator = MaskedCrossEntropy(trie=TRIE, mask="random", label_smoothing=0.3), Denoiser()
    generator.normalization = "trie"
    codes = torch.from_numpy(SIDS.codes).long()
    for levels in ([0], [0, 2], [0, 1, 2]):
        hidden = torch.zeros(3, 1, 3, dtype=torch.bool)
        hidden[..., levels] = True
        monkeypatch.setattr(objective, "_random", lambda codes, last_level, hidden=hidden: hidden)
        shown = codes[ITEMS].masked_fill(hidden[:, 0], PAD)
        logits, expected = generator.denoise(BATCH, shown.unsqueeze(1)), 0.0
        for target, item in enumerate(ITEMS):
            agree = codes[((codes == shown[target]) | (shown[target] == PAD)).all(1)]
            for level in levels:
                open_codes = agree[:, level].unique()
                of_level = logits[level][target, 0].detach()[open_codes].log_softmax(0)
                right = float(of_level[open_codes == codes[item, level]])
                expected -= (0.7 * right + 0.3 * float(of_level.mean())) / len(levels) / 3
        assert float(objective.loss(generator, BATCH).total.detach()) == pytest.approx(expected, abs=1e-5)


def test_masks_rise_and_hide_more_of_what_is_hard() -> None:
    torch.manual_seed(0)
    targets, codes = 30_000, torch.zeros(30_000, 4, dtype=torch.long)
    easy = torch.arange(targets) % 3 > 0
    alone = tuple(torch.where(easy, 1.0, -1.0).unsqueeze(1) * torch.tensor([1.0, 0.0]) for _ in range(4))
    objective = MaskedCrossEntropy(trie=TRIE, mask="rising", least_hidden_share=0.75)
    for progress, least in ((0.0, 1), (0.25, 2), (0.5, 3), (1.0, 3)):
        objective.progress = progress
        number = objective._rising(alone, codes, None)[:, 0].sum(1)
        assert int(number.min()) == least
        assert int(number[~easy].min()) == least + 1
        assert torch.bincount(number[easy])[least:].float().std() < 0.02 * targets, "any number above the least, alike"
        with_number = objective._rising(alone, codes, 3)[:, 0]
        assert with_number[:, 3].all()
        assert (with_number.sum(1) == 1).float().mean() == pytest.approx(1 / 4, abs=0.02), "all codes shown"


@pytest.mark.parametrize("generator", [ArbitraryLogits(SIDS), SASRec(num_items=5, dim=4)], ids=["in one order only", "items"])
def test_refuses_what_cannot_restore_codes(generator: Any) -> None:
    with pytest.raises(ConfigError, match=f"an objective for {type(generator).__name__}"):
        MaskedCrossEntropy(trie=TRIE).check(generator)
