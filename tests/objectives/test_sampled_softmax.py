"""Sampled losses over items against loops, and their expectation against the full softmax."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from small_world import ArbitraryLogits, batch_of, sids_of
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.objectives.in_batch_contrastive import InBatchContrastive
from genrec.objectives.lib.item_softmax import Proposal, corrected_cross_entropy, item_cross_entropy, sampled_softmax
from genrec.objectives.sampled_softmax import SampledSoftmax
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.protocols import TargetLogits
from genrec.types import PAD

COUNTS = np.array([40, 1, 9, 0, 20, 30])


class Scorer(torch.nn.Module):
    """Fixed queries for the targets of a batch."""

    needs: ClassVar[frozenset[str]] = frozenset()
    max_history_len = 50

    def __init__(self, batch: Batch, num_items: int, dim: int = 3) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        assert batch.targets is not None
        self.items = batch.targets[batch.targets != PAD]
        self.queries = torch.randn(len(self.items), dim, generator=random, requires_grad=True)
        self.table = torch.randn(num_items, dim, generator=random)

    def target_logits(self, batch: Batch) -> TargetLogits:
        return TargetLogits(self.items, item_queries=self.queries)

    def item_table(self) -> Tensor:
        return self.table

    def score(self, batch: Batch) -> Tensor:
        raise NotImplementedError("nothing is decoded here")


@pytest.mark.parametrize("popular_share", [0.0, 0.5, 0.9])
def test_the_proposal_draws_as_often_as_it_says(popular_share: float) -> None:
    torch.manual_seed(0)
    items, log_expected = Proposal(COUNTS, popular_share, "here").draw(60_000)
    frequency = np.bincount(items.numpy(), minlength=6)
    expected = 60_000 * ((1 - popular_share) / 6 + popular_share * COUNTS / 100)
    assert np.abs(frequency - expected).max() < 5 * np.sqrt(expected.max())
    told = np.full(6, np.nan)
    told[items.numpy()] = log_expected.exp().numpy()
    assert told == pytest.approx(expected, rel=1e-4)


def test_is_the_slow_one() -> None:
    queries, table = torch.randn(3, 2), torch.randn(6, 2)
    items, negatives, log_expected = torch.tensor([4, 0, 2]), torch.tensor([4, 1, 1, 0]), torch.randn(4)
    fast = corrected_cross_entropy(queries, table, items, negatives, log_expected.unsqueeze(0), negatives == items.unsqueeze(1))
    slow = 0.0
    for query, item in zip(queries, items.tolist(), strict=True):
        positive = math.exp(float(query @ table[item]))
        others = [
            math.exp(float(query @ table[negative]) - float(log_q))
            for negative, log_q in zip(negatives.tolist(), log_expected, strict=True)
            if negative != item
        ]
        slow -= math.log(positive / (positive + sum(others))) / 3
    assert float(fast) == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize("popular_share", [0.0, 0.7])
def test_the_denominator_is_on_average_that_of_the_full_softmax(popular_share: float) -> None:
    torch.manual_seed(0)
    queries, table, items = torch.randn(1, 3), torch.randn(6, 3), torch.tensor([2])
    proposal = Proposal(COUNTS, popular_share, "here")
    full = float(item_cross_entropy(queries, table, items))
    ratios = torch.stack([sampled_softmax(queries, table, items, 4, proposal) for _ in range(2000)]).exp() / math.exp(full)
    error = float(ratios.std()) / len(ratios) ** 0.5
    assert abs(float(ratios.mean()) - 1) < 4 * error < 0.12


def test_a_large_sample_comes_close() -> None:
    torch.manual_seed(0)
    queries, table, items = torch.randn(50, 3), torch.randn(3000, 3), torch.randint(3000, (50,))
    counts = np.random.default_rng(0).integers(0, 50, 3000)
    objective = Proposal(counts, 0.5, "here")
    close = float(sampled_softmax(queries, table, items, 20_000, objective))
    assert close == pytest.approx(float(item_cross_entropy(queries, table, items)), rel=0.02)


def test_as_an_objective_and_for_the_item_head() -> None:
    batch = batch_of([[0, 1]], [[0, 1, 4]])
    scorer = Scorer(batch, 6)
    torch.manual_seed(3)
    terms = SampledSoftmax(train_counts=COUNTS, num_negatives=5, popular_share=0.5).loss(scorer, batch)
    torch.manual_seed(3)
    expected = sampled_softmax(scorer.queries, scorer.table, scorer.items, 5, Proposal(COUNTS, 0.5, "here"))
    assert torch.equal(terms.total, expected)

    table = sids_of(6, (2, 3))
    hybrid = ArbitraryLogits(table)
    logits = TargetLogits(scorer.items, (torch.zeros(3, 2), torch.zeros(3, 3)), scorer.queries)
    hybrid.target_logits = lambda batch: logits  # type: ignore[method-assign]
    hybrid.item_table = scorer.item_table  # type: ignore[assignment]
    head = {"item_weight": 2.0, "item_negatives": 5, "item_popular_share": 0.5}
    trie = PrefixTrie.build(table)
    torch.manual_seed(3)
    both = SIDCrossEntropy(trie=trie, train_counts=COUNTS, **head).loss(hybrid, batch)  # type: ignore[arg-type]
    codes = SIDCrossEntropy(trie=trie).loss(hybrid, batch)
    assert float(both.total.detach()) == pytest.approx(float(codes.total + 2 * expected.detach()), abs=1e-5)


@pytest.mark.parametrize("log_q", [True, False])
def test_in_batch_is_the_slow_one(log_q: bool) -> None:
    batch = batch_of([[0, 1], [4], [2, 0]], [[0, 1, 4], [4, 5], [PAD, 0, 2]])
    scorer = Scorer(batch, 6)
    user, items = [0, 0, 0, 1, 1, 2, 2], [0, 1, 4, 4, 5, 0, 2]
    assert scorer.items.tolist() == items
    slow = 0.0
    for query, item, row in zip(scorer.queries, items, user, strict=True):
        positive, total = math.exp(float(query.detach() @ scorer.table[item])), 0.0
        for other, other_row in zip(items, user, strict=True):
            if other_row != row and other != item:
                expected = COUNTS[other] / 100 * sum(u != row for u in user) if log_q else 1
                total += math.exp(float(query.detach() @ scorer.table[other])) / expected
        slow -= math.log(positive / (positive + total)) / len(items)
    loss = InBatchContrastive(train_counts=COUNTS, log_q=log_q).loss(scorer, batch).total
    assert float(loss.detach()) == pytest.approx(slow, abs=1e-5)


def test_in_batch_is_the_full_softmax_in_the_limit() -> None:
    """Many users whose targets come by frequency: with logQ the loss is the full one, without it is another."""
    frequency = np.array([0.4, 0.05, 0.1, 0.02, 0.13, 0.3])
    targets = np.random.default_rng(0).choice(6, 3000, p=frequency)
    batch = batch_of([[]] * 3000, targets[:, None].tolist())
    scorer = Scorer(batch, 6)
    full = float(item_cross_entropy(scorer.queries, scorer.table, scorer.items).detach())
    counts = (frequency * 100_000).astype(int)
    found = {
        log_q: float(InBatchContrastive(train_counts=counts, log_q=log_q).loss(scorer, batch).total.detach())
        for log_q in (True, False)
    }
    assert found[True] == pytest.approx(full, rel=0.02)
    assert abs(found[False] - full) > 0.5


def test_a_batch_of_one_user_has_no_negatives() -> None:
    batch = batch_of([[0, 1]], [[0, 1, 4]])
    assert float(InBatchContrastive(train_counts=COUNTS).loss(Scorer(batch, 6), batch).total.detach()) == 0
