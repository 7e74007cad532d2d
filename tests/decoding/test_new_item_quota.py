"""Places for items that came after training: against a walk over the whole ranking, item by item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_decoding import entries
from small_world import ArbitraryLogits, batch_of, sids_of

from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.new_item_quota import NewItemQuota, content_of
from genrec.protocols import DecodingRequest
from genrec.types import PAD

ITEMS, TRAINED = 20, 14
SIDS = sids_of(ITEMS, (3, 4, 5))
TRIE = PrefixTrie.build(SIDS)
VECTORS = np.random.default_rng(0).standard_normal((ITEMS, 6)).astype(np.float32)

histories = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=5), min_size=1, max_size=4)
filters = st.none() | st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS).filter(any)


def slow(request: DecodingRequest, row: int, share: float, reach: float) -> list[int]:
    """The list of one user, by the words of the docstring."""
    whole = Exhaustive().decode(ArbitraryLogits(SIDS), TRIE, replace(request, k=ITEMS))
    ranking = [item for item in whole.items[row].tolist() if item != PAD]  # what is allowed and not seen
    listed = ranking[: request.k]
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    history = [item for item in request.batch.history[row].tolist() if item != PAD]
    taste = np.zeros(6)
    for age, item in enumerate(reversed(history)):
        taste += 0.8**age * unit[item]
    taste /= max(np.linalg.norm(taste), 1e-12)

    def fits(item: int) -> bool:
        likenesses = sorted(unit[:TRAINED] @ unit[item], reverse=True)
        nearer = sum(likeness > unit[item] @ taste + 1e-5 for likeness in likenesses)
        return bool(history) and nearer <= int(reach * TRAINED) < TRAINED // 2

    new = [item for item in ranking if item >= TRAINED and item not in listed and fits(item)]
    nearest = sorted(new, key=lambda item: -unit[item] @ taste)
    chosen = nearest[: max(0, int(share * request.k) - sum(item >= TRAINED for item in listed))]
    for _ in range(len(chosen) - (request.k - len(listed))):
        others = [item for item in listed if item < TRAINED]
        listed.remove(others[-1])
    return sorted(listed + chosen, key=ranking.index)


@given(
    histories,
    filters,
    st.integers(1, 12),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.booleans(),
    st.sampled_from([0.01, 0.2, 0.4]),
)
def test_lists_are_those_of_a_slow_walk(
    rows: list[list[int]], allowed: list[bool] | None, k: int, share: float, hide: bool, reach: float
) -> None:
    batch = batch_of(rows)
    mask = None if allowed is None else torch.tensor(allowed)
    request = DecodingRequest(batch, k, batch.history if hide else None, mask)
    strategy = NewItemQuota(Exhaustive(), vectors=VECTORS, num_trained=TRAINED, share=share, reach=reach)
    decoded = strategy.decode(ArbitraryLogits(SIDS), TRIE, request)
    whole = Exhaustive().decode(ArbitraryLogits(SIDS), TRIE, replace(request, k=ITEMS))
    for row in range(len(rows)):
        found = entries(decoded, row)
        expected = slow(request, row, share, reach)
        assert {entry.item for entry in found if entry.item >= TRAINED} == {item for item in expected if item >= TRAINED}
        exact = dict(zip(whole.items[row].tolist(), whole.scores[row].tolist(), strict=True))
        assert [entry.score for entry in found] == pytest.approx([exact[entry.item] for entry in found], abs=1e-5)
        assert [entry.score for entry in found] == pytest.approx([exact[item] for item in expected], abs=1e-5)  # up to ties


def test_no_share_and_no_reach_change_nothing_and_an_empty_history_is_within_nobody() -> None:
    request = DecodingRequest(batch_of([[], [1, 2]]), 10)
    plain = Exhaustive().decode(ArbitraryLogits(SIDS), TRIE, request)
    for settings in ({"share": 0.0, "reach": 0.3}, {"share": 1.0, "reach": 0.0}):
        none = NewItemQuota(Exhaustive(), vectors=VECTORS, num_trained=TRAINED, **settings)
        assert none.decode(ArbitraryLogits(SIDS), TRIE, request).items.equal(plain.items)
    strategy = NewItemQuota(Exhaustive(), vectors=VECTORS, num_trained=TRAINED, share=1.0, reach=0.4)
    assert strategy.content_scores(request)[0].isneginf().all()


def test_new_items_are_compared_by_the_sources_that_know_them() -> None:
    nothing = np.concatenate([np.ones((TRAINED, 2)), np.zeros((ITEMS - TRAINED, 2))])
    content = content_of({"item": VECTORS, "text": VECTORS[:, :3] * 2, "collaborative": nothing}, "item", TRAINED)
    np.testing.assert_allclose(content, VECTORS[:, :3] / np.linalg.norm(VECTORS[:, :3], axis=1, keepdims=True), rtol=1e-6)
    assert content_of({"item": VECTORS}, "item", TRAINED) is VECTORS
