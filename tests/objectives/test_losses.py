"""Losses against loops over examples."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from small_world import OPTIONS, ArbitraryLogits, batch_of, sids_of
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.dpo import DPO
from genrec.objectives.ensemble_reasoning import EnsembleReasoning
from genrec.objectives.group_policy import GroupPolicy
from genrec.objectives.in_batch_contrastive import InBatchContrastive
from genrec.objectives.item_cross_entropy import ItemCrossEntropy
from genrec.objectives.lib.item_softmax import item_cross_entropy, option_of
from genrec.objectives.prefix_aware import PrefixAware
from genrec.objectives.progressive_reasoning import ProgressiveReasoning
from genrec.objectives.sampled_softmax import SampledSoftmax
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization

BATCH = batch_of([[0]])


class Given(ArbitraryLogits):
    """A generator with fixed logits for the given targets."""

    def __init__(self, table: SIDTable, items: list[int], *, normalization: Normalization = "trie", dim: int = 0) -> None:
        super().__init__(table, normalization=normalization)
        random = torch.Generator().manual_seed(0)
        levels = tuple(torch.randn(len(items), size, generator=random, requires_grad=True) for size in table.sizes)
        queries = torch.randn(len(items), dim, generator=random) if dim else None
        self.logits = TargetLogits(torch.tensor(items), levels, queries)
        self.vectors = torch.randn(table.num_items, max(dim, 1), generator=random)

    def target_logits(self, batch: Batch) -> TargetLogits:
        return self.logits

    def item_table(self) -> Tensor:
        return self.vectors


def slow_terms(table: SIDTable, items: list[int], levels: tuple[Tensor, ...], share: float, normalization: str) -> list[float]:
    """Mean loss of each level, example by example."""
    families = defaultdict(set)
    for row in table.codes.tolist():
        for depth, code in enumerate(row):
            families[tuple(row[:depth])].add(code)
    terms = []
    for level, logits in enumerate(levels):
        total = 0.0
        for example, item in enumerate(items):
            values, row = logits[example].tolist(), table.codes[item].tolist()
            family = families[tuple(row[:level])]
            trie = math.log(sum(math.exp(values[code]) for code in family)) - values[row[level]]
            codebook = math.log(sum(map(math.exp, values))) - values[row[level]]
            total += codebook if normalization == "codebook" else (1 - share) * trie + share * codebook
        terms.append(total / len(items))
    return terms


@pytest.mark.parametrize("normalization", ["trie", "codebook"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("distinct", [True, False])
def test_sid_cross_entropy_is_the_slow_one(share: float, normalization: Normalization, distinct: bool) -> None:
    table = sids_of(60, (3, 5, 6), distinct=distinct)
    items = np.random.default_rng(1).integers(0, 60, 12).tolist()
    generator = Given(table, items, normalization=normalization)
    terms = SIDCrossEntropy(trie=PrefixTrie.build(table), codebook_share=share).loss(generator, BATCH)
    expected = slow_terms(table, items, generator.logits.levels, share, normalization)
    assert [float(terms.parts[f"level_{level}"]) for level in range(3)] == pytest.approx(expected, abs=1e-5)
    assert float(terms.total.detach()) == pytest.approx(sum(expected) / 3, abs=1e-5)


def test_an_only_child_costs_nothing() -> None:
    """Every prefix of one code has one child: level 1 is free, and gives no gradient, under trie normalization."""
    table = SIDTable(np.array([[0, 2], [1, 0], [2, 1]]), (3, 3))
    generator = Given(table, [0, 1, 2])
    terms = SIDCrossEntropy(trie=PrefixTrie.build(table), codebook_share=0.0).loss(generator, BATCH)
    terms.total.backward()
    assert float(terms.parts["level_1"]) == 0
    assert float(terms.parts["level_0"]) > 0
    level_0, level_1 = generator.logits.levels
    assert level_0.grad.abs().sum() > 0
    assert level_1.grad.abs().sum() == 0
    mixed = SIDCrossEntropy(trie=PrefixTrie.build(table), codebook_share=0.2).loss(generator, BATCH)
    assert float(mixed.parts["level_1"]) > 0


def test_the_item_head_adds_its_loss() -> None:
    table = sids_of(20)
    generator = Given(table, [3, 7], dim=4)
    trie = PrefixTrie.build(table)
    alone = SIDCrossEntropy(trie=trie).loss(generator, BATCH)
    both = SIDCrossEntropy(trie=trie, item_weight=2.0).loss(generator, BATCH)
    dense = item_cross_entropy(generator.logits.item_queries, generator.item_table(), torch.tensor([3, 7]))
    assert float(both.parts["item"]) == pytest.approx(float(dense))
    assert float(both.total.detach()) == pytest.approx(float((alone.total + 2 * dense).detach()), abs=1e-5)


def test_full_item_cross_entropy() -> None:
    queries, table = torch.randn(5, 3), torch.randn(7, 3)
    items = torch.tensor([0, 6, 3, 3, 1])
    slow = [
        math.log(sum(math.exp(float(queries[row] @ vector)) for vector in table)) - float(queries[row] @ table[item])
        for row, item in enumerate(items.tolist())
    ]
    assert float(item_cross_entropy(queries, table, items)) == pytest.approx(sum(slow) / 5, abs=1e-5)


def test_label_smoothing() -> None:
    queries, table, items = torch.randn(4, 3), torch.randn(5, 3), torch.tensor([0, 1, 2, 4])
    log_probs = torch.log_softmax(queries @ table.T, dim=1)
    expected = -(0.9 * log_probs.gather(1, items.unsqueeze(1)).squeeze(1) + 0.1 * log_probs.mean(1)).mean()
    assert torch.isclose(item_cross_entropy(queries, table, items, label_smoothing=0.1), expected)


@pytest.mark.parametrize("normalization", ["trie", "codebook"])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_sid_label_smoothing_is_spread_over_the_children(share: float, normalization: Normalization) -> None:
    """The slow loss with a target distribution: most on the true code, the rest even over the codes below the prefix."""
    table = sids_of(60, (3, 5, 6))
    items = np.random.default_rng(1).integers(0, 60, 12).tolist()
    generator = Given(table, items, normalization=normalization)
    objective = SIDCrossEntropy(trie=PrefixTrie.build(table), codebook_share=share, label_smoothing=0.2)
    terms = objective.loss(generator, BATCH)
    codes = table.codes.tolist()
    for level, logits in enumerate(generator.logits.levels):
        total = 0.0
        for example, item in enumerate(items):
            family = sorted({row[level] for row in codes if row[:level] == codes[item][:level]})
            wide = torch.log_softmax(logits[example], 0)[family]
            narrow = torch.log_softmax(logits[example][family], 0)
            log_probs = wide if normalization == "codebook" else (1 - share) * narrow + share * wide
            target = torch.full((len(family),), 0.2 / len(family))
            target[family.index(codes[item][level])] += 0.8
            total -= float((target * log_probs).sum().detach())
        assert float(terms.parts[f"level_{level}"]) == pytest.approx(total / len(items), abs=1e-5)
    terms.total.backward()
    if normalization == "trie" and not share:
        for example, item in enumerate(items):
            illegal = sorted(set(range(5)) - {row[1] for row in codes if row[0] == codes[item][0]})
            assert not generator.logits.levels[1].grad[example, illegal].any(), "illegal codes take part in nothing"


def test_objectives_refuse_what_does_not_fit() -> None:
    table = sids_of(20)
    trie = PrefixTrie.build(table)
    scorer = next(option for option in OPTIONS if option.name == "sasrec").build(table)
    for writes_codes in (SIDCrossEntropy(trie=trie), PrefixAware(trie=trie), DPO(trie=trie), GroupPolicy(trie=trie)):
        with pytest.raises(ConfigError, match=f"SASRec, .*got {option_of(writes_codes)}"):
            writes_codes.check(scorer)
    counts = np.ones(20)
    for scores_items in (ItemCrossEntropy(), SampledSoftmax(train_counts=counts), InBatchContrastive(train_counts=counts)):
        with pytest.raises(ConfigError, match=f"ArbitraryLogits, .*got {option_of(scores_items)}"):
            scores_items.check(ArbitraryLogits(table))
    with pytest.raises(ConfigError, match=r"0\.5 with item_head: False"):
        SIDCrossEntropy(trie=trie, item_weight=0.5).check(ArbitraryLogits(table))
    SIDCrossEntropy(trie=trie).check(ArbitraryLogits(table))
    ItemCrossEntropy().check(scorer)


class Thinking(nn.Module):
    """A reasoning scorer with given chains."""

    needs: ClassVar[frozenset[str]] = frozenset()
    max_history_len = 9

    def __init__(self, *chains: Tensor, readout: Literal["last", "mean"]) -> None:
        super().__init__()
        self.given, self.readout = torch.stack(chains), readout
        self.vectors = torch.randn(6, chains[0].shape[-1], generator=torch.Generator().manual_seed(5))
        self.noises: tuple[float, ...] = ()

    def chains(self, batch: Batch, noises: tuple[float, ...] = (0.0,)) -> Tensor:
        self.noises = noises
        return self.given[: len(noises)]

    def item_table(self) -> Tensor:
        return self.vectors

    def target_logits(self, batch: Batch) -> TargetLogits:
        raise NotImplementedError

    def score(self, batch: Batch) -> Tensor:
        raise NotImplementedError


THREE = batch_of([[1, 2], [4]], [[PAD, 2, 5], [0, PAD, PAD]])  # three targets: 2, 5, 0


def surprise(logits: Tensor, index: int) -> float:
    return float((torch.logsumexp(logits, 0) - logits[index]).detach())


# No target of THREE is another's negative in its row, where it has the same user; 2, 5 | 0.
@pytest.mark.parametrize(
    ("negatives", "others"),
    [("all", {0: [0, 1, 2], 1: [0, 1, 2], 2: [0, 1, 2]}), ("other_users", {0: [0, 2], 1: [1, 2], 2: [0, 1, 2]})],
)
def test_progressive_reasoning_is_the_slow_one(negatives: Literal["all", "other_users"], others: dict[int, list[int]]) -> None:
    clean, noisy = torch.randn(2, 3, 3, 4)
    generator = Thinking(clean, noisy, readout="last")
    objective = ProgressiveReasoning(
        step_weight=0.5, annealing=3.0, contrast_weight=2.0, contrast_temperature=0.2, contrast_negatives=negatives, noise=0.4
    )
    objective.check(generator)
    terms = objective.loss(generator, THREE)
    assert generator.noises == (0.0, 0.4)
    targets, table = [2, 5, 0], generator.item_table()
    last = sum(surprise(table @ clean[t, 2], targets[t]) for t in range(3)) / 3
    early = sum(surprise(table @ clean[t, k] / 3 ** (2 - k), targets[t]) for t in range(3) for k in range(2)) / 6
    contrast = (
        sum(
            surprise(
                torch.stack([torch.cosine_similarity(clean[t, k], noisy[u, k], dim=0) for u in others[t]]) / 0.2,
                others[t].index(t),
            )
            for t in range(3)
            for k in (1, 2)
        )
        / 6
    )
    assert {name: float(part) for name, part in terms.parts.items()} == pytest.approx(
        {"item": last, "steps": early, "contrast": contrast}, abs=1e-5
    )
    assert float(terms.total) == pytest.approx(last + 0.5 * early + 2 * contrast, abs=1e-5)
    assert set(ProgressiveReasoning(contrast_weight=0.0).loss(generator, THREE).parts) == {"item", "steps"}
    assert generator.noises == (0.0,), "no noisy chain that nobody looks at"


def test_ensemble_reasoning_is_the_slow_one() -> None:
    chain = torch.randn(3, 3, 4, requires_grad=True)
    generator = Thinking(chain, readout="mean")
    objective = EnsembleReasoning(diversity_weight=0.3)
    objective.check(generator)
    terms = objective.loss(generator, THREE)
    table = generator.item_table()
    item = sum(surprise(table @ chain[t].mean(0), target) for t, target in enumerate([2, 5, 0])) / 3
    probs = (chain @ table.T).softmax(-1)
    apart = (
        sum(
            (probs[t, b] * (probs[t, b] / probs[t, a].detach()).log()).sum()
            for t in range(3)
            for a in range(3)
            for b in range(3)
            if a != b
        )
        / 18
    )
    assert float(terms.parts["item"]) == pytest.approx(item, abs=1e-5)
    assert float(terms.parts["divergence"]) == pytest.approx(float(apart.detach()), abs=1e-5)
    (expected,) = torch.autograd.grad(item_cross_entropy(chain.mean(1), table, torch.tensor([2, 5, 0])) - 0.3 * apart, chain)
    (found,) = torch.autograd.grad(terms.total, chain)
    assert torch.allclose(found, expected, atol=1e-6), "the other step of a pair is not moved"
    assert set(EnsembleReasoning(diversity_weight=0.0).loss(generator, THREE).parts) == {"item"}


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("block", [10**6, 100])
def test_the_item_head_teaches_the_codes(distinct: bool, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets of a level, example by example: most on the true code, the rest as the head's softmax has it below the prefix."""
    monkeypatch.setattr("genrec.objectives.lib.item_softmax.BLOCK", block)
    monkeypatch.setattr("genrec.objectives.lib.item_softmax.FEWEST", 1)
    table, items = sids_of(40, (3, 5, 6), distinct=distinct), [3, 7, 7, 30, 12]
    generator = Given(table, items, dim=4)
    share, rows = 0.3, table.codes.tolist()
    objective = SIDCrossEntropy(trie=PrefixTrie.build(table), codebook_share=0.0, item_weight=1.0, distillation_weight=share)
    terms = objective.loss(generator, BATCH)
    assert generator.logits.item_queries is not None
    head = torch.softmax(generator.logits.item_queries @ generator.item_table().T, dim=1)
    for level, logits in enumerate(generator.logits.levels):
        expected = 0.0
        for example, item in enumerate(items):
            below = [other for other, row in enumerate(rows) if row[:level] == rows[item][:level]]
            family = sorted({rows[other][level] for other in below})
            log_probs = torch.log_softmax(logits[example, family], dim=0)
            mass = torch.tensor([sum(head[example, o] for o in below if rows[o][level] == code) for code in family])
            truth = torch.tensor([float(code == rows[item][level]) for code in family])
            expected -= float((((1 - share) * truth + share * mass / mass.sum()) @ log_probs).detach())
        assert float(terms.parts[f"level_{level}"]) == pytest.approx(expected / len(items), abs=1e-5)


def test_a_head_that_rules_a_family_out_shares_it_evenly() -> None:
    """Underflow of all items below a prefix is no 0 / 0."""
    table = sids_of(20, (3, 5, 6))
    generator = Given(table, [3], dim=4)
    generator.vectors = torch.zeros_like(generator.vectors)
    generator.vectors[19] = 1e4 * torch.sign(generator.logits.item_queries[0])
    terms = SIDCrossEntropy(trie=PrefixTrie.build(table), item_weight=1.0, distillation_weight=0.5).loss(generator, BATCH)
    assert torch.isfinite(terms.total)
