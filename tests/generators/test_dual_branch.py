"""H2Rec: two branches whose scores add up, the view with hidden levels, and who counts as the same item."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_world import all_targets, batch_of, scrambled, sequences_of, sids_of, vectors_of

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.generators.dual_branch import DualBranch
from genrec.nn.components import principal_axes
from genrec.objectives.dual_alignment import DualAlignment, companions

SIDS = sids_of(12, (3, 4, 5))
COUNTS = np.array([5, 15, 0, *[5] * 9])


def dual(sids: SIDTable = SIDS, **changes: Any) -> DualBranch:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"dim": 16, "num_layers": 1, "dropout": 0.0, "max_history_len": 6, **changes}
    return DualBranch(sids=sids, text_vectors=vectors_of(sids.num_items), train_counts=COUNTS, **settings).eval()


def test_an_item_without_training_events_is_its_codes() -> None:
    generator = scrambled(dual())
    ids, codes = generator.item_table().chunk(2, dim=1)
    assert torch.equal(ids[2], torch.zeros(16))
    assert torch.allclose(ids[1], 0.75 * generator.ids.weight[1])
    assert torch.allclose(codes[2], generator.codes.weight[generator.tokens[2]].sum(0))
    batch = batch_of([[1, 4], [3]])
    before = generator.score(batch)
    with torch.no_grad():
        generator.ids.weight[2] += 1.0
    assert torch.equal(generator.score(batch), before)


def test_ids_start_from_the_principal_components_of_the_text() -> None:
    vectors = vectors_of(12)
    mean, axes = principal_axes(vectors, 16, whiten=False)
    assert np.allclose(dual().ids.weight[:, :12].detach().numpy(), (vectors - mean) @ axes / 4, atol=1e-6)


@pytest.mark.parametrize("cross_attention", [False, True])
def test_without_cross_attention_a_branch_sees_its_half_alone(cross_attention: bool) -> None:
    """The branch that comes first is that of the levels, which ask the ids."""
    batch, generator = batch_of([[1, 4, 3]]), scrambled(dual(cross_attention=cross_attention))
    before = generator.history_states(batch)
    with torch.no_grad():
        generator.codes.weight += 0.5 * torch.randn(generator.codes.weight.shape)
    first, second = (generator.history_states(batch) - before).abs().amax((0, 1)).chunk(2)
    assert (first.max() > 1e-3, second.max() > 1e-3) == (cross_attention, True)


def test_the_levels_that_weigh_least_are_hidden() -> None:
    generator = scrambled(dual(sids_of(12, (3, 4, 5, 2))))
    batch = all_targets([[1, 4, 3]], 12)
    whole = generator.target_logits(batch).item_queries
    assert whole is not None
    weights = generator._level_weights(generator._ids_of(batch.history)).detach()
    with torch.no_grad():
        generator.hidden_levels.zero_()
    masked = generator.masked_queries(batch)
    assert masked is not None
    assert torch.allclose(masked[0], whole[0, 16:]), "nothing is hidden before the first item"
    assert not torch.allclose(masked[1], whole[1, 16:], atol=1e-3)
    with torch.no_grad():  # the same by hand: without the two least levels of each item
        levels = generator._levels_of(batch.history)
        for at in range(3):
            levels[0, at, weights[0, at].argsort()[:2]] = 0.0
        read = generator._ids_that_read_codes(generator._ids_of(batch.history), levels.sum(-2))
        states = generator._encode({1: read}, batch)
    assert torch.allclose(masked, states[0], atol=1e-5)


def test_one_level_has_nothing_to_hide() -> None:
    assert dual(SIDTable(np.arange(12)[:, None], (12,))).masked_queries(all_targets([[1]], 12)) is None
    assert dual(cross_attention=False).masked_queries(all_targets([[1]], 12)) is None


def test_companions() -> None:
    rows = [[0, 1, 5, 6, 7, 2], [0, 1, 8, 9], [3, 4], [3, 4], [3, 4], [10, 11]]
    weights = companions(sequences_of(rows), 12).toarray()
    assert np.array_equal(weights, weights.T)
    assert weights[3, 4] == weights.max() == 1.0
    assert 0.3 < weights[0, 1] < 1.0
    assert weights[10, 11] == weights[0, 2] == 0.0, "once, and too far apart"
    assert companions(sequences_of([[], [3]]), 12).nnz == 0


def test_who_is_an_answer() -> None:
    codes = SIDS.codes.copy()
    codes[1] = codes[0]
    sids = replace(SIDS, codes=codes)
    generator = dual(sids)
    objective = DualAlignment(trie=PrefixTrie.build(sids), train_sequences=sequences_of([[3, 4], [3, 4]]))
    answers = objective._answers(torch.tensor([0, 1, 3, 4, 5]), generator)
    half = answers[2, 3]
    assert half == pytest.approx(0.5)  # the only pair has the largest weight
    expected = [[0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 0, 0.5, 0.5, 0], [0, 0, 0.5, 0.5, 0], [0, 0, 0, 0, 1]]
    assert torch.allclose(answers, torch.tensor(expected))


def test_the_parts_add_up() -> None:
    generator = scrambled(dual())
    batch = all_targets([[1, 4, 3], [5, 6]], 12)
    terms = DualAlignment(trie=PrefixTrie.build(SIDS), align_weight=0.5, view_weight=0.25).loss(generator, batch)
    parts = terms.parts
    assert terms.total.item() == pytest.approx((parts["item"] + 0.5 * parts["align"] + 0.25 * parts["view"]).item(), rel=1e-5)
    alone = DualAlignment(trie=PrefixTrie.build(SIDS), align_weight=0.0, view_weight=0.0).loss(generator, batch)
    assert list(alone.parts) == ["item"]
    assert alone.total.item() == pytest.approx(parts["item"].item())
