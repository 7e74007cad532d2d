"""Prefix-aware cross-entropy against loops over prefixes."""

from __future__ import annotations

import math

import pytest
import torch
from small_world import sids_of
from test_losses import BATCH, Given, slow_terms

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.objectives.prefix_aware import PrefixAware
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy

TABLE = sids_of(60, (3, 5, 6))
TRIE = PrefixTrie.build(TABLE)
ITEMS = [0, 7, 7, 33, 59]


@pytest.mark.parametrize("sharpness", [0.0, 1.5])
def test_is_the_slow_one(sharpness: float) -> None:
    generator = Given(TABLE, ITEMS)
    levels = slow_terms(TABLE, ITEMS, generator.logits.levels, 0.0, "trie")
    prefixes = [sum(levels[:length]) / length for length in (1, 2, 3)]
    weights = [loss * math.exp(sharpness * loss) for loss in prefixes]
    extra = sum(w / sum(weights) * loss for w, loss in zip(weights, prefixes, strict=True))
    objective = PrefixAware(trie=TRIE, codebook_share=0.0, prefix_weight=0.3, prefix_sharpness=sharpness)
    terms = objective.loss(generator, BATCH)
    assert float(terms.total.detach()) == pytest.approx(sum(levels) / 3 + 0.3 * extra, abs=1e-5)


def test_weights_carry_no_gradient_and_early_levels_weigh_more() -> None:
    """What the total gives each level's loss is 1/levels plus beta times the weights of the prefixes that hold it, over t."""
    losses = torch.tensor([2.0, 1.0, 0.5], requires_grad=True)
    PrefixAware(trie=TRIE, prefix_weight=0.3).over_levels(losses).backward()
    prefixes = [2.0, 1.5, 3.5 / 3]
    shares = [loss / sum(prefixes) / length for length, loss in enumerate(prefixes, start=1)]
    expected = [1 / 3 + 0.3 * sum(shares[level:]) for level in range(3)]
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx(expected, abs=1e-6)
    assert losses.grad[0] > losses.grad[1] > losses.grad[2]


def test_without_weight_it_is_cross_entropy() -> None:
    generator = Given(TABLE, ITEMS)
    plain = SIDCrossEntropy(trie=TRIE).loss(generator, BATCH)
    aware = PrefixAware(trie=TRIE, prefix_weight=0.0).loss(generator, BATCH)
    assert torch.equal(plain.total, aware.total)


def test_nothing_left_to_learn() -> None:
    """One item: every loss is zero, and so are weights and gradients, not NaN."""
    table = SIDTable(TABLE.codes[:1], TABLE.sizes)
    generator = Given(table, [0])
    terms = PrefixAware(trie=PrefixTrie.build(table), codebook_share=0.0, prefix_sharpness=2.0).loss(generator, BATCH)
    terms.total.backward()
    assert float(terms.total.detach()) == 0
    assert all(level.grad is not None and level.grad.abs().sum() == 0 for level in generator.logits.levels)


def test_the_pair_wise_form_over_all_prefixes_is_the_point_wise_one() -> None:
    """Because the probabilities of all prefixes of a length sum to one, which is why only one of the two is here."""
    random = torch.Generator().manual_seed(0)
    scores: dict[tuple[int, ...], float] = {(): 0.0}
    for depth in range(1, 4):
        for prefix in {tuple(row[: depth - 1]) for row in TABLE.codes.tolist()}:
            family = sorted({row[depth - 1] for row in TABLE.codes.tolist() if tuple(row[: depth - 1]) == prefix})
            log_probs = torch.randn(len(family), generator=random).log_softmax(0).tolist()
            scores |= {(*prefix, code): scores[prefix] + value for code, value in zip(family, log_probs, strict=True)}
        of_depth = {prefix: score for prefix, score in scores.items() if len(prefix) == depth}
        for target, score in of_depth.items():
            others = [math.exp(value) for prefix, value in of_depth.items() if prefix != target]
            pair_wise = -math.log(math.exp(score) / (math.exp(score) + sum(others)))
            assert pair_wise == pytest.approx(-score, abs=1e-5)
