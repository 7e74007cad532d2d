"""The probability of given items against the exhaustive oracle, and what it takes to leave a history item out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_world import OPTIONS, ArbitraryLogits, Option, batch_of, random_histories, scrambled, sequences_of, sids_of

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.lib.candidates import item_log_probs
from genrec.diagnosis.attribution import history_weights
from genrec.nn.trie_likelihood import path_choices
from genrec.protocols import DecodingRequest
from genrec.types import PAD

EXACT = [option for option in OPTIONS if option.name != "masked_diffusion"]  # which has no order, so no likelihood
AUTOREGRESSIVE = [option for option in EXACT if "normalization" in option.node()]
SCORERS = [option for option in EXACT if "normalization" not in option.node()]
NUM_ITEMS = 60
GROUPS = sids_of(NUM_ITEMS, (4, 5, 4), distinct=False)  # some items share an ID
ALONE = sids_of(NUM_ITEMS, (4, 5, 4))  # for generators whose last level tells all items apart
BATCH = batch_of(random_histories(NUM_ITEMS, [0, 1, 3, 6]))
ITEMS = torch.from_numpy(np.random.default_rng(0).integers(0, NUM_ITEMS, (4, 9)))


def exhaustive(generator: object, table: SIDTable, batch: Batch) -> torch.Tensor:
    """[batch, items]: what the oracle says of every item."""
    decoded = Exhaustive().decode(generator, PrefixTrie.build(table), DecodingRequest(batch, table.num_items))  # type: ignore[arg-type]
    items, scores = decoded.items[:, : table.num_items], decoded.scores[:, : table.num_items]  # what follows is padding
    return torch.full(items.shape, torch.nan).scatter(1, items, scores)


@pytest.mark.parametrize("normalization", ["trie", "codebook"])
@pytest.mark.parametrize("option", AUTOREGRESSIVE, ids=lambda option: option.id)
def test_given_items_have_the_oracles_probability(option: Option, normalization: str) -> None:
    assert len(np.unique(GROUPS.codes, axis=0)) < NUM_ITEMS, "there are groups"
    table = ALONE if option.name == "cobra" else GROUPS
    generator = scrambled(option.build(table, normalization=normalization))
    found = item_log_probs(generator, PrefixTrie.build(table), BATCH, ITEMS)
    expected = exhaustive(generator, table, BATCH).gather(1, ITEMS)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.std() > 0.5, "logits that differ"


@pytest.mark.parametrize("sizes", [(4, 5, 4), (80,), (1, 80)], ids=str)
def test_any_number_of_levels_and_candidates(sizes: tuple[int, ...]) -> None:
    table = sids_of(NUM_ITEMS, sizes)
    generator, trie = ArbitraryLogits(table), PrefixTrie.build(table)
    every = torch.arange(NUM_ITEMS).expand(4, -1)
    found = item_log_probs(generator, trie, BATCH, every)
    assert torch.allclose(found, exhaustive(generator, table, BATCH), atol=1e-5)
    assert torch.allclose(found.exp().sum(1), torch.ones(4), atol=1e-4)
    assert torch.allclose(item_log_probs(generator, trie, BATCH, every[:, 7:8]), found[:, 7:8], atol=1e-6)


def test_prefixes_that_candidates_share_are_stepped_once_and_decided_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    table = SIDTable(np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0]]), (3, 2, 2))
    generator, trie = ArbitraryLogits(table), PrefixTrie.build(table)
    step, beams = generator.step, []
    monkeypatch.setattr(generator, "step", lambda state, codes: beams.append(codes) or step(state, codes))
    every = torch.arange(6).expand(4, -1)
    assert torch.allclose(item_log_probs(generator, trie, BATCH, every), exhaustive(ArbitraryLogits(table), table, BATCH))
    assert beams[0] is None
    assert [codes[0].tolist() for codes in beams[1:]] == [[0, 2], [0]], "1 and (2, 0), (2, 1), (0, 1) lead to one item each"


def test_padding_has_no_probability() -> None:
    generator, trie = ArbitraryLogits(GROUPS), PrefixTrie.build(GROUPS)
    padded = ITEMS.clone()
    padded[0, 3:], padded[2, 0] = PAD, PAD
    found = item_log_probs(generator, trie, BATCH, padded)
    assert torch.equal(found == -torch.inf, padded == PAD)
    rest = padded != PAD
    assert torch.allclose(found[rest], item_log_probs(generator, trie, BATCH, ITEMS)[rest])


def test_a_path_meets_the_whole_family_of_each_node() -> None:
    generator, trie = ArbitraryLogits(GROUPS), PrefixTrie.build(GROUPS)
    choices = list(path_choices(generator, trie, BATCH, ITEMS))
    prefixes = [{tuple(row[:depth]) for row in GROUPS.codes.tolist()} for depth in range(4)]
    for level, choice in enumerate(choices):
        for user, items in enumerate(ITEMS.tolist()):
            for place, item in enumerate(items):
                parent = tuple(GROUPS.codes[item, :level].tolist())
                family = sorted(child for child in prefixes[level + 1] if child[:-1] == parent)
                assert choice.num_children[user, place] == len(family)
                assert family[choice.slot[user, place]][-1] == GROUPS.codes[item, level]
                assert (choice.log_probs[user, place] > -torch.inf).sum() == len(family)


@pytest.mark.parametrize("option", SCORERS, ids=lambda option: option.id)
def test_item_scorers_share_one_among_all_items(option: Option) -> None:
    generator = scrambled(option.build(GROUPS))
    every = item_log_probs(generator, None, BATCH, torch.arange(NUM_ITEMS).expand(4, -1))
    assert torch.allclose(every.exp().sum(1), torch.ones(4), atol=1e-5)
    scores = generator.score(BATCH)
    assert torch.equal(every.argsort(1), scores.argsort(1))
    padded = torch.cat([ITEMS, torch.full((4, 1), PAD)], dim=1)
    found = item_log_probs(generator, None, BATCH, padded)
    assert torch.allclose(found[:, :-1], every.gather(1, ITEMS))
    assert (found[:, -1] == -torch.inf).all()


class LastItemOnly(ArbitraryLogits):
    """Looks at nothing but the last item of a history."""

    def prefill(self, batch: Batch) -> object:  # type: ignore[override]
        last = batch.history[torch.arange(len(batch)), (batch.lengths - 1).clamp(min=0)]
        last = torch.where(batch.lengths > 0, last, PAD)
        return super().prefill(replace(batch, history=last.unsqueeze(1)))


def test_leaving_out_what_is_ignored_changes_nothing() -> None:
    table = sids_of(NUM_ITEMS)
    generator, trie = LastItemOnly(table), PrefixTrie.build(table)
    histories = sequences_of([[43, 56, 52, 30, 56, 58, 7], [], [4, 27, 36], [16]])
    weights = history_weights(generator, trie, histories, ITEMS[:, :2], last=5, batch_size=3)
    assert [len(matrix) for matrix in weights] == [5, 0, 3, 1]
    for matrix in (weights[0], weights[2], weights[3]):
        assert (matrix[:-1] == 0).all()
        assert (matrix[-1] != 0).all()


def test_weights_are_differences_of_log_probabilities() -> None:
    table = sids_of(NUM_ITEMS)
    generator, trie = ArbitraryLogits(table), PrefixTrie.build(table)
    history = [5, 9, 2, 30]
    (matrix,) = history_weights(generator, trie, sequences_of([history]), ITEMS[:1], last=2)

    def log_probs(rows: list[int]) -> torch.Tensor:
        return item_log_probs(generator, trie, batch_of([rows]), ITEMS[:1])[0]

    expected = [log_probs(history) - log_probs([5, 9, 30]), log_probs(history) - log_probs([5, 9, 2])]
    assert np.allclose(matrix, torch.stack(expected).numpy(), atol=1e-5)
