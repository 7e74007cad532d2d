"""Guidance: at the ends the lists of the one model and of the other, in between and beyond a mixture at every step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_world import ArbitraryLogits, batch_of, sids_of

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.best_first import BestFirst
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.guided import Guided, GuidedGenerator
from genrec.decoding.lib.batch_decoding import widened
from genrec.decoding.trie_beam import TrieBeam
from genrec.nn.trie_likelihood import child_log_probs, id_log_probs
from genrec.protocols import Decoded, DecodingRequest, TargetLogits

SIDS = sids_of(60, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
HISTORIES = [[], [3], [1, 2, 5, 9], [7, 7, 8]]
GIVEN = torch.tensor([[[1.0]], [[2.0]], [[0.0]], [[3.0]]])  # the third user asks for nothing
BATCH = replace(batch_of(HISTORIES), given=GIVEN)


class Hearing(ArbitraryLogits):
    """Arbitrary logits that change with what is given."""

    def target_logits(self, batch: Batch) -> TargetLogits:
        return TargetLogits(torch.tensor([5]), (torch.full((1, 4), 1.0 if batch.given is None else 3.0),))

    def prefill(self, batch: Batch) -> Any:
        state = super().prefill(batch)
        return state if batch.given is None else replace(state, user=state.user + 50_021 * batch.given[:, 0, 0].long())


def decoded(strategy: Any, batch: Batch, normalization: Any) -> tuple[Decoded, list[tuple[torch.Tensor, torch.Tensor]]]:
    """The lists, and the beams of each level."""
    beams: list[tuple[torch.Tensor, torch.Tensor]] = []
    request = DecodingRequest(batch, 8, batch.history, observer=lambda level, nodes, scores: beams.append((nodes, scores)))
    return strategy.decode(Hearing(SIDS, normalization=normalization), TRIE, request), beams


@pytest.mark.parametrize("normalization", ["trie", "codebook"])
@pytest.mark.parametrize("search", [TrieBeam(num_beams=10), BestFirst(num_beams=10)], ids=["beam", "best_first"])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_ends_are_the_two_models_to_the_bit(strength: float, search: Any, normalization: Any) -> None:
    lists, beams = decoded(Guided(strategy=search, strength=strength), BATCH, normalization)
    alone, beams_alone = decoded(search, BATCH if strength else BATCH.without_request(), normalization)
    other, _ = decoded(search, BATCH.without_request() if strength else BATCH, normalization)
    assert torch.equal(lists.items, alone.items)
    assert torch.equal(lists.scores, alone.scores)
    assert len(beams) == len(beams_alone)
    for (nodes, scores), (nodes_alone, scores_alone) in zip(beams, beams_alone, strict=True):
        assert torch.equal(nodes, nodes_alone)
        assert torch.equal(scores, scores_alone)
    assert (lists.items != other.items).any(dim=1).tolist() == [True, True, False, True]


@torch.no_grad()
@pytest.mark.parametrize("strength", [-0.5, 0.3, 2.5])
@pytest.mark.parametrize("normalization", ["trie", "codebook"])
def test_each_step_mixes_both_and_is_normalized(normalization: Any, strength: float) -> None:
    generator = Hearing(SIDS, normalization=normalization)
    item = 17
    codes = torch.as_tensor(SIDS.codes[item].astype("int64"))
    nodes = torch.zeros(len(BATCH), 1, dtype=torch.long)
    states, expected, before = [generator.prefill(BATCH), generator.prefill(BATCH.without_request())], 0.0, None
    for level, code in enumerate(codes):
        steps = [generator.step(state, before) for state in states]
        asking, silent = (logits for logits, _ in steps)
        states = [state for _, state in steps]
        child, child_codes, exists = TRIE.children(nodes, level)
        mixed = child_log_probs(silent + strength * (asking - silent), child_codes, exists, normalization)
        slot = (child_codes == code) & exists
        expected = expected + mixed[slot]
        nodes, before = child[slot].unsqueeze(1), code.expand(len(BATCH), 1)
    both: Any = GuidedGenerator(generator, strength)
    log_probs = id_log_probs(both, TRIE, BATCH, torch.full((len(BATCH), 1), item)).squeeze(1)
    torch.testing.assert_close(log_probs, expected, rtol=1e-4, atol=1e-4)
    if normalization == "trie":
        every = id_log_probs(both, TRIE, BATCH, torch.arange(60).expand(len(BATCH), -1))
        torch.testing.assert_close(every.logsumexp(dim=1), torch.zeros(len(BATCH)), rtol=0, atol=1e-4)
        lists = Guided(strategy=TrieBeam(num_beams=60), strength=strength).decode(generator, TRIE, DecodingRequest(BATCH, 60))
        torch.testing.assert_close(lists.scores, every.gather(1, lists.items), rtol=0, atol=1e-4)


def test_where_nothing_is_asked_for_the_search_is_as_it_is() -> None:
    silent = BATCH.without_request()
    lists, _ = decoded(Guided(strategy=TrieBeam(num_beams=10), strength=3.0), silent, "trie")
    assert torch.equal(lists.items, decoded(TrieBeam(num_beams=10), silent, "trie")[0].items)


def test_longer_lists_widen_the_search_inside() -> None:
    guided = Guided(strategy=TrieBeam(num_beams=10))
    wide = widened(guided, 30)
    assert (wide.strategy.num_beams, guided.at_hand, wide.at_hand) == (30, 10, 30)  # type: ignore[attr-defined]
    assert Guided(strategy=Exhaustive()).at_hand == 0


def test_targets_too_have_the_logits_of_the_mixture() -> None:
    assert GuidedGenerator(Hearing(SIDS), 2.0).target_logits(BATCH).levels[0].tolist() == [[5.0] * 4]
