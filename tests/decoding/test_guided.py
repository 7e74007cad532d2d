"""Guidance: at the ends the lists of the one model and of the other, in between and beyond a mixture at every step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_world import ArbitraryLogits, batch_of, sids_of

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.trie import PrefixTrie
from genrec.decoding.best_first import BestFirst
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.full_ranking import FullRanking
from genrec.decoding.fusion import Fusion
from genrec.decoding.guided import Guided
from genrec.decoding.lib.batch_decoding import widened
from genrec.decoding.lib.guidance import GuidedGenerator, with_strength
from genrec.decoding.trie_beam import TrieBeam
from genrec.generators.encdec import EncDec
from genrec.generators.hstu import HSTU
from genrec.generators.sasrec import SASRec
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


# --- item scorers, and members of a fusion ---

SCHEMA = EventSchema(text_dim=3)
ASKED = replace(
    batch_of(HISTORIES), given=torch.tensor([[[1.0, 0.0, 2.0]], [[0.0, 1.0, 0.0]], [[0.0] * 3], [[2.0, -1.0, 1.0]]])
)


def drawn(generator: Any) -> Any:
    """The generator with weights drawn at random, in eval mode."""
    torch.manual_seed(0)
    for weight in generator.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return generator.eval()


SIZES: dict[str, Any] = {"dim": 16, "num_heads": 2, "schema": SCHEMA}
SCORERS = {
    "sasrec": drawn(SASRec(num_items=60, num_layers=1, **SIZES)),
    "hstu": drawn(HSTU(num_items=60, num_layers=1, **SIZES)),
}
HYBRID = drawn(EncDec(sids=SIDS, item_head=True, num_history_layers=1, num_decoder_layers=1, **SIZES))


@pytest.mark.parametrize("name", SCORERS)
def test_all_items_have_the_mixture_of_both_scores(name: str) -> None:
    scorer, k = SCORERS[name], 9
    with torch.no_grad():
        heard, unheard = scorer.score(ASKED), scorer.score(ASKED.without_request())
    assert (heard != unheard).any(dim=1).tolist() == [True, True, False, True]
    for strength in (-0.5, 0.0, 1.0, 2.5):
        lists = Guided(strategy=FullRanking(), strength=strength).decode(scorer, None, DecodingRequest(ASKED, k))
        scores, items = (unheard + strength * (heard - unheard)).topk(k, dim=1)
        torch.testing.assert_close(lists.scores, scores, rtol=1e-5, atol=1e-5)
        assert torch.equal(lists.items, items)
        if strength in (0.0, 1.0):
            alone = FullRanking().decode(scorer, None, DecodingRequest(ASKED if strength else ASKED.without_request(), k))
            assert torch.equal(lists.items, alone.items)
            assert torch.equal(lists.scores, alone.scores), "to the bit"


def fused(generator: Any, guidance: dict[str, float], batch: Batch, *, around: float | None = None) -> dict[str, Decoded]:
    """The lists of a fusion of what the generator has, and of each member alone; perhaps with the guidance of a call."""
    fusion = Fusion(members=("generator", "head"), num_candidates=60, guidance=guidance)
    fusion.active = ("generator", "head") if generator is HYBRID else ("generator",)
    fusion.weights = dict.fromkeys(fusion.active, 0.5)
    strategy = fusion if around is None else with_strength(fusion, around)
    lists = strategy.decode(generator, TRIE if generator is HYBRID else None, DecodingRequest(batch, 8))
    return {"fused": lists, **lists.members}


def same(one: Decoded, other: Decoded) -> bool:
    return torch.equal(one.items, other.items) and torch.equal(one.scores, other.scores)


@pytest.mark.parametrize("generator", [HYBRID, SCORERS["sasrec"]], ids=["codes and head", "scores"])
def test_a_member_of_a_fusion_is_guided_by_itself(generator: Any) -> None:
    asking, silent = fused(generator, {}, ASKED), fused(generator, {}, ASKED.without_request())
    members = [name for name in asking if name != "fused"]
    for strength, ends in ((0.0, silent), (1.0, asking)):
        both = fused(generator, dict.fromkeys(members, strength), ASKED)
        assert all(same(both[name], ends[name]) for name in both), "to the bit"
    assert not same(asking["fused"], silent["fused"])
    one = fused(generator, {members[-1]: 3.0}, ASKED)
    assert not same(one[members[-1]], asking[members[-1]])
    if generator is HYBRID:
        assert same(one["generator"], asking["generator"]), "the other member hears the request as it is"
        with torch.no_grad():
            heard, unheard = HYBRID.item_scores(ASKED), HYBRID.item_scores(ASKED.without_request())
        expected = (unheard + 3.0 * (heard - unheard)).log_softmax(dim=1).topk(8, dim=1)
        assert torch.equal(one["head"].items, expected.indices)
        torch.testing.assert_close(one["head"].scores.float(), expected.values, rtol=1e-5, atol=1e-5)


def test_the_guidance_of_a_call_comes_before_that_of_a_member() -> None:
    guidance = {"generator": 3.0, "head": 0.5}
    assert same(fused(HYBRID, guidance, ASKED, around=0.0)["fused"], fused(HYBRID, {}, ASKED.without_request())["fused"])
    assert same(fused(HYBRID, guidance, ASKED, around=1.0)["fused"], fused(HYBRID, {}, ASKED)["fused"])
    refusing = replace(ASKED, refused=-ASKED.given)  # type: ignore[operator]
    fusion = Fusion(members=("generator", "head"), guidance=guidance)
    fusion.weights = {"generator": 0.5, "head": 0.5}
    request = DecodingRequest(refusing, 8)
    assert same(with_strength(fusion, None).decode(HYBRID, TRIE, request), fusion.decode(HYBRID, TRIE, request))


def test_targets_too_have_the_logits_of_the_mixture() -> None:
    assert GuidedGenerator(Hearing(SIDS), 2.0).target_logits(BATCH).levels[0].tolist() == [[5.0] * 4]
