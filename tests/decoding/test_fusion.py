"""A fusion against its members computed one by one over the whole catalogue."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import OPTIONS, batch_of, random_histories, ring, scrambled, sids_of
from torch import Tensor

from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.transitions import Transitions
from genrec.baselines.vector_neighbours import VectorNeighbours
from genrec.core.dataset import Sequences
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.fusion import GENERATOR, HEAD, Fusion
from genrec.decoding.lib.candidates import rank_items, union
from genrec.protocols import Decoded, DecodingRequest
from genrec.statistics.ensemble_weights import TRIED, fit_experts, fit_weights
from genrec.types import PAD

NUM_ITEMS = 40
WORLD = ring(num_items=NUM_ITEMS, num_users=25)
TABLE = sids_of(NUM_ITEMS, (4, 5, 6))
TRIE = PrefixTrie.build(TABLE)
GROUPS = sids_of(NUM_ITEMS, (3, 3, 3), distinct=False)
BATCH = batch_of(random_histories(NUM_ITEMS, [0, 3, 6, 1, 5], seed=3))
MEMBERS = (GENERATOR, HEAD, "transitions", "content")
WEIGHTS = dict(zip(MEMBERS, (0.6, 0.0, 1.3, 0.4), strict=True))
OPTION = {option.id: option for option in OPTIONS}
HYBRID = scrambled(OPTION["encdec-hybrid"].build(TABLE))
SCORER = scrambled(OPTION["sasrec"].build(TABLE))


def fusion(members: tuple[str, ...] = MEMBERS, generator: Any = HYBRID, **more: Any) -> Fusion:
    """Fitted on the small world."""
    vectors = np.random.default_rng(5).normal(size=(NUM_ITEMS, 6)).astype(np.float32)
    scorers = {"transitions": Transitions(), "content": VectorNeighbours(item_vectors=vectors, neighbours=7), "knn": ItemKNN()}
    made = Fusion(members=members, scorers=scorers, **{"num_candidates": 6, **more})
    made.fit(generator, WORLD)
    made.weights = {name: WEIGHTS[name] for name in made.active}
    for scorer in made.scorers.values():
        scorer.smoothing = 0.3
    return made


def catalogue(made: Fusion, generator: Any = HYBRID) -> dict[str, Tensor]:
    """Every member's log-probability of every item, the slow way."""
    found = {}
    for name in made.active:
        if name == GENERATOR and hasattr(generator, "prefill"):
            decoded = Exhaustive().decode(generator, TRIE, DecodingRequest(BATCH, NUM_ITEMS))
            found[name] = torch.empty(len(BATCH), NUM_ITEMS).scatter(1, decoded.items, decoded.scores)
        elif name in (GENERATOR, HEAD):
            last = torch.full((len(BATCH), BATCH.history.shape[1] + 1), PAD)
            last[torch.arange(len(BATCH)), BATCH.lengths] = 0
            with torch.no_grad():
                queries = generator.target_logits(replace(BATCH, targets=last)).item_queries
                found[name] = (queries @ generator.item_table().T).log_softmax(1)
        else:
            rows = []
            for user, history in enumerate(BATCH.history.tolist()):
                items = np.array(history[: int(BATCH.lengths[user])], dtype=np.int32)
                scores = made.scorers[name].baseline.score(Sequences(items, np.array([0, len(items)])))[0]
                rows.append((scores + 0.3) / (scores + 0.3).sum())
            found[name] = torch.from_numpy(np.log(rows))
    return {name: table.double() for name, table in found.items()}


@pytest.mark.parametrize("generator", [HYBRID, SCORER], ids=["codes", "item scorer"])
def test_every_candidate_is_scored_exactly_by_every_member(generator: Any) -> None:
    made = fusion(generator=generator)
    assert made.active == (MEMBERS if generator is HYBRID else (GENERATOR, "transitions", "content"))
    trie = TRIE if generator is HYBRID else None
    found, expected = made.candidates(generator, trie, DecodingRequest(BATCH, 5)), catalogue(made, generator)
    assert 6 < found.items.shape[1] < NUM_ITEMS
    for place, name in enumerate(made.active):
        assert torch.allclose(expected[name].exp().sum(1), torch.ones(len(BATCH)).double(), atol=1e-5), (
            "over the whole catalogue"
        )
        own = expected[name].gather(1, found.items.clamp(min=0)).masked_fill(found.items == PAD, -torch.inf)
        assert torch.allclose(found.log_probs[..., place], own, atol=1e-5), name
        assert own[own.isfinite()].std() > 0.1
        best = expected[name].topk(6, dim=1).values
        assert torch.allclose(own.topk(6, dim=1).values, best, atol=1e-5), f"{name} proposes its best"


def test_the_ranking_is_that_of_the_weighted_sum() -> None:
    made = fusion(num_candidates=NUM_ITEMS)
    decoded = made.decode(HYBRID, TRIE, DecodingRequest(BATCH, 8))
    expected = sum(WEIGHTS[name] * table for name, table in catalogue(made).items())
    assert isinstance(expected, Tensor)
    scores, items = expected.topk(8, dim=1)
    assert torch.allclose(decoded.scores, scores, atol=1e-4)
    assert (decoded.items == items).float().mean() > 0.95, "but for scores closer than rounding"


@pytest.mark.parametrize("member", MEMBERS)
def test_one_member_alone_ranks_as_it_does_itself(member: str) -> None:
    together, alone = fusion(num_candidates=NUM_ITEMS), fusion((member,), num_candidates=NUM_ITEMS)
    alone.weights = {member: 1.0}
    request = DecodingRequest(BATCH, 7, seen=BATCH.history)
    expected = catalogue(alone)[member]
    for decoded in (alone.decode(HYBRID, TRIE, request), together.decode(HYBRID, TRIE, request).members[member]):
        for user in range(len(BATCH)):
            seen = set(BATCH.history[user].tolist())
            own = sorted((i for i in range(NUM_ITEMS) if i not in seen), key=lambda i: -float(expected[user, i]))
            listed = [item for item in decoded.items[user].tolist() if item != PAD]
            assert len(listed) >= 7
            best = [float(expected[user, item]) for item in own[: len(listed)]]
            assert [float(expected[user, item]) for item in listed] == pytest.approx(best, abs=1e-5)


def test_a_few_beams_rank_their_union_exactly() -> None:
    made = fusion((GENERATOR,), num_candidates=3)
    made.weights = {GENERATOR: 1.0}
    request = DecodingRequest(BATCH, 3)
    beam = made.search(HYBRID, 3).decode(HYBRID, TRIE, request)
    decoded = made.decode(HYBRID, TRIE, request)
    assert torch.equal(decoded.items, beam.items)
    assert torch.allclose(decoded.scores.float(), beam.scores, atol=1e-5)


@cache
def small_fusion() -> tuple[Fusion, Tensor]:
    """A fusion of few candidates, and the weighted sums of the whole catalogue."""
    made = fusion(num_candidates=3)
    return made, torch.stack([WEIGHTS[name] * table for name, table in catalogue(made).items()]).sum(0)


@settings(max_examples=12)
@given(st.data(), st.integers(1, 45), st.booleans(), st.booleans())
def test_filters_seen_items_and_bias(data: st.DataObject, k: int, excluding: bool, biased: bool) -> None:
    allowed = torch.tensor(data.draw(st.lists(st.booleans(), min_size=NUM_ITEMS, max_size=NUM_ITEMS).filter(any)))
    bias = 3 * torch.randn(NUM_ITEMS, generator=torch.Generator().manual_seed(k)) if biased else None
    made, scores = small_fusion()
    if bias is not None:
        scores = scores + bias
    decoded = made.decode(HYBRID, TRIE, DecodingRequest(BATCH, k, BATCH.history if excluding else None, allowed, bias))
    for user in range(len(BATCH)):
        listed = [item for item in decoded.items[user].tolist() if item != PAD]
        seen = set(BATCH.history[user].tolist()) if excluding else set()
        left = [item for item in range(NUM_ITEMS) if allowed[item] and item not in seen]
        assert len(listed) == len(set(listed)) == min(k, len(left))
        assert set(listed) <= set(left)
        own = decoded.scores[user, : len(listed)]
        assert torch.equal(own, own.sort(descending=True).values)
        assert torch.allclose(own, scores[user, listed], atol=1e-4), "the same score whatever else is allowed"


def test_items_that_share_an_id_are_a_tie_group_for_the_generator_only() -> None:
    generator, trie = scrambled(OPTION["encdec-hybrid"].build(GROUPS)), PrefixTrie.build(GROUPS)
    made = fusion((GENERATOR, "transitions"), generator)
    decoded = made.decode(generator, trie, DecodingRequest(BATCH, 6))
    own = decoded.members[GENERATOR]
    codes = torch.from_numpy(GROUPS.codes)[own.items.clamp(min=0)]
    same = (codes.unsqueeze(1) == codes.unsqueeze(2)).all(3) & (own.items != PAD).unsqueeze(1) & (own.items != PAD).unsqueeze(2)
    assert own.tie_size.max() > 1
    assert torch.equal(same.sum(2)[own.items != PAD], own.tie_size[own.items != PAD])


def test_what_is_saved_decodes_the_same(tmp_path: Path) -> None:
    made = fusion()
    made.save(tmp_path)
    scorers = {"transitions": Transitions(), "content": VectorNeighbours(), "knn": ItemKNN()}
    opened = Fusion(members=MEMBERS, scorers=scorers, num_candidates=6)
    opened.restore(tmp_path)
    before, after = (one.decode(HYBRID, TRIE, DecodingRequest(BATCH, 9, seen=BATCH.history)) for one in (made, opened))
    assert torch.equal(before.items, after.items)
    assert torch.equal(before.scores, after.scores)


def test_a_larger_catalogue_changes_no_order_and_no_state() -> None:
    made = fusion(("transitions", "content"))
    grown = made.with_items(NUM_ITEMS + 3)
    for name, scorer in made.scorers.items():
        before, after = scorer.scores(BATCH), grown.scorers[name].scores(BATCH)
        assert torch.equal(after[:, :NUM_ITEMS], before)
        assert not after[:, NUM_ITEMS:].any()
        assert grown.scorers[name].smoothing == 0.3
        assert grown.scorers[name].scores(batch_of([[1, NUM_ITEMS + 2]])).shape == (1, NUM_ITEMS + 3)
        assert torch.equal(scorer.scores(BATCH), before)


def test_what_a_scorer_knows_nothing_about_goes_by_its_tie_breaker() -> None:
    alone = fusion(("transitions",))
    alone.weights, alone.scorers["transitions"].smoothing = {"transitions": 1.0}, 100.0
    decoded = alone.decode(HYBRID, TRIE, DecodingRequest(batch_of([[], []]), 5))
    counts = WORLD.train_counts[decoded.items.numpy()]
    assert counts[0].tolist() == sorted(counts[0].tolist(), reverse=True)
    assert counts[0, 4] == sorted(WORLD.train_counts)[-5]


# --- weights and ranking ---------------------------------------------------------------------------------------------------


def drawn(weights: list[float], *, users: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Members' log-probabilities of ten candidates or fewer, and targets drawn from their product."""
    random = np.random.default_rng(seed)
    log_probs = np.log(random.dirichlet(np.full(10, 0.4), size=(users, len(weights))) + 1e-4).transpose(0, 2, 1)
    log_probs[random.random((users, 10)) < 0.2] = -np.inf
    log_probs[:, 0] = np.where(np.isfinite(log_probs[:, 0]), log_probs[:, 0], -2.0)
    keys = np.where(np.isfinite(log_probs).all(2), np.nan_to_num(log_probs, neginf=0.0) @ np.array(weights), -np.inf)
    return log_probs, (keys + random.gumbel(size=keys.shape)).argmax(1)


def test_planted_weights_are_recovered() -> None:
    log_probs, targets = drawn([0.5, 0.0, 1.2], users=8000)
    assert fit_weights(log_probs, targets) == pytest.approx([0.5, 0.0, 1.2], abs=0.06)


def test_a_member_that_misleads_gets_nothing() -> None:
    log_probs, targets = drawn([-0.5, 1.0], users=2000)
    found = fit_weights(log_probs, targets)
    assert found[0] == 0
    assert found[1] > 0.8


def test_few_users_move_the_weights_little() -> None:
    log_probs, _ = drawn([0.0, 1.0], users=1)
    best = np.nan_to_num(log_probs[:, :, 1], neginf=-99.0).argmax(1)
    found = fit_weights(log_probs, best)
    assert np.all(np.isfinite(found))
    assert found.max() < 5, "separable: without a prior the weights had no bound"


def test_planted_smoothing_is_found() -> None:
    random = np.random.default_rng(2)
    raw = np.where(random.random((2000, 8)) < 0.5, random.exponential(size=(2000, 8)), 0.0)
    other = np.log(random.dirichlet(np.full(8, 0.4), size=2000) + 1e-4)
    planted = TRIED[4] * raw[raw > 0].mean()
    keys = np.log(raw + planted) * 2.0 + other
    targets = (keys + random.gumbel(size=keys.shape)).argmax(1)
    found = fit_experts(np.stack([other, np.full_like(other, np.nan)], axis=2), targets, {1: raw})
    assert 0.3 < found.smoothings[1] / planted < 3.5, "itself or the next in the grid"
    assert found.weights == pytest.approx([1.0, 2.0], abs=0.5)
    assert found.log_probs[..., 1] == pytest.approx(np.log(raw + found.smoothings[1]))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(1, 6))
def test_ranked_lists_tie_groups_whole(values: list[int], k: int) -> None:
    items = torch.arange(len(values)).flip(0).unsqueeze(0)
    decoded: Decoded = rank_items(items, torch.tensor([values], dtype=torch.float), k)
    order = sorted(values, reverse=True)
    listed = [value for value in order if order.index(value) < k]
    assert decoded.scores[0].tolist() == listed
    assert [values[len(values) - 1 - item] for item in decoded.items[0].tolist()] == listed
    assert decoded.tie_start[0].tolist() == [order.index(value) + 1 for value in listed]
    assert decoded.tie_size[0].tolist() == [order.count(value) for value in listed]


@given(st.lists(st.lists(st.integers(-1, 6), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_union_has_each_item_once(rows: list[list[int]]) -> None:
    lists = torch.tensor(rows)
    found = union([lists, lists.flip(1)[:, :2]])
    for row, items in zip(rows, found.tolist(), strict=True):
        assert [item for item in items if item != PAD] == sorted({item for item in row if item != PAD}, reverse=True)


def test_members_that_only_mislead_still_rank() -> None:
    log_probs = np.log(np.array([[[0.9], [0.1]]] * 50))
    assert fit_weights(log_probs, np.ones(50, dtype=np.int64)).tolist() == [1.0]
