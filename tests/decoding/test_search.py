"""Beam search and the exhaustive oracle against a slow search, for arbitrary logits, catalogues, filters and beams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_decoding import SlowDecoding, assert_same, entries
from small_world import ArbitraryLogits, batch_of, random_histories, sids_of

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive, leaf_log_probs
from genrec.decoding.trie_beam import TrieBeam
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest
from genrec.types import PAD

EMPTY_TO_LONG = [0, 1, 4, 9]
Made = tuple[np.ndarray, tuple[int, ...], DecodingRequest, int]


@st.composite
def requests(draw: st.DrawFn) -> Made:
    """A catalogue (groups that share an ID are likely), a request with seen items and perhaps a filter, and beams.

    The table is built in the test: beartype draws random numbers, which a strategy must not.
    """
    sizes = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    rows = draw(st.lists(st.tuples(*(st.integers(0, size - 1) for size in sizes)), min_size=1, max_size=14))
    histories = draw(st.lists(st.lists(st.integers(0, len(rows) - 1), max_size=5), min_size=1, max_size=3))
    allowed = draw(st.none() | st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)).filter(any))
    batch = batch_of(histories)
    k = draw(st.integers(1, 6))
    seen = batch.history if draw(st.booleans()) else None
    request = DecodingRequest(batch, k, seen, None if allowed is None else torch.tensor(allowed))
    return np.asarray(rows), sizes, request, draw(st.integers(k, 12))


def excluded_items(request: DecodingRequest, row: int, num_items: int) -> set[int]:
    filtered = {item for item in range(num_items) if request.allowed is not None and not request.allowed[item]}
    return filtered | (set(request.seen[row].tolist()) - {PAD} if request.seen is not None else set())


@given(requests(), st.sampled_from(["trie", "codebook"]))
def test_searches_are_the_slow_ones(made: Made, normalization: str) -> None:
    codes, sizes, request, num_beams = made
    table = SIDTable(codes, sizes)
    trie, generator = PrefixTrie.build(table), ArbitraryLogits(table, normalization=normalization)  # type: ignore[arg-type]
    beam = TrieBeam(num_beams=num_beams).decode(generator, trie, request)
    exact = Exhaustive(batch_size=2).decode(generator, trie, request)
    for row, length in enumerate(request.batch.lengths.tolist()):
        slow = SlowDecoding(generator, table, request.batch.history[row, :length].tolist())
        excluded = excluded_items(request, row, table.num_items)
        assert_same(entries(exact, row), slow.search(request.k, excluded))
        assert_same(entries(beam, row), slow.search(request.k, excluded, num_beams))


@given(requests())
def test_only_distinct_existing_items_best_first_and_enough_of_them(made: Made) -> None:
    codes, sizes, request, num_beams = made
    table = SIDTable(codes, sizes)
    decoded = TrieBeam(num_beams=num_beams).decode(ArbitraryLogits(table, scale=30.0), PrefixTrie.build(table), request)
    for row in range(len(request.batch)):
        found = entries(decoded, row)
        items, scores = [entry.item for entry in found], [entry.score for entry in found]
        excluded = excluded_items(request, row, table.num_items)
        assert set(items) <= set(range(table.num_items)) - excluded
        assert len(set(items)) == len(items)
        assert scores == sorted(scores, reverse=True)
        wanted = min(request.k, table.num_items - len(excluded))
        cut = [entry for entry in found if entry.tie_start <= request.k]
        assert len(cut) == len(found) >= wanted
        assert len(found) == wanted or found[-1].tie_size > 1
        assert (decoded.items[row, len(found) :] == PAD).all()
        assert (decoded.scores[row, len(found) :] == -torch.inf).all()


@pytest.mark.parametrize("num_beams", [20, 60])
def test_narrow_beams_never_run_dry(num_beams: int) -> None:
    """Peaked logits, most items seen or filtered: still exactly min(k, allowed) legal items for everybody."""
    table = sids_of(200, (5, 8, 9))
    seen = torch.tensor([[*range(190)], [*range(100, 200), *[PAD] * 90], [PAD] * 190, [7] * 190])
    allowed = torch.arange(200) % 3 == 0
    request = DecodingRequest(batch_of(random_histories(200, EMPTY_TO_LONG)), 20, seen, allowed)
    decoded = TrieBeam(num_beams=num_beams).decode(ArbitraryLogits(table, scale=50.0), PrefixTrie.build(table), request)
    for row in range(4):
        items = [entry.item for entry in entries(decoded, row)]
        legal = set(torch.nonzero(allowed).flatten().tolist()) - set(seen[row].tolist())
        assert len(items) == len(set(items)) == min(20, len(legal))
        assert set(items) <= legal


@pytest.mark.parametrize("distinct", [True, False])
def test_probabilities_of_all_items_sum_to_one(distinct: bool) -> None:
    table = sids_of(200, (5, 6, 9), distinct=distinct)
    trie, batch = PrefixTrie.build(table), batch_of(random_histories(200, EMPTY_TO_LONG))
    total = leaf_log_probs(ArbitraryLogits(table), trie, batch).exp().sum(1)
    assert torch.allclose(total, torch.ones(4), atol=1e-4)
    everything = Exhaustive().decode(ArbitraryLogits(table), trie, DecodingRequest(batch, 200))
    assert torch.allclose(everything.scores.exp().sum(1), torch.ones(4), atol=1e-4), "groups share their ID's probability"
    lost = leaf_log_probs(ArbitraryLogits(table, normalization="codebook"), trie, batch).exp().sum(1)
    assert (lost < 0.999).all(), "codes without items keep their mass"


@pytest.mark.parametrize("strategy", [Exhaustive(), TrieBeam(num_beams=200)], ids=["exhaustive", "trie_beam"])
def test_a_filter_changes_no_score(strategy: TrieBeam | Exhaustive) -> None:
    table = sids_of(200, (5, 6, 9))
    trie, batch = PrefixTrie.build(table), batch_of(random_histories(200, EMPTY_TO_LONG))
    request = DecodingRequest(batch, 200)
    allowed = torch.from_numpy(np.random.default_rng(0).random(200) < 0.3)
    plain, filtered = (
        strategy.decode(ArbitraryLogits(table), trie, r)
        for r in (request, replace(request, allowed=allowed, seen=batch.history))
    )
    for row in range(len(batch)):
        scores = {entry.item: entry.score for entry in entries(plain, row)}
        left = entries(filtered, row)
        assert len(left) == int(allowed.sum()) - len(
            {item for item in batch.history[row].tolist() if item != PAD and allowed[item]}
        )
        assert all(scores[entry.item] == pytest.approx(entry.score, abs=1e-6) for entry in left)


def test_tie_groups() -> None:
    """Items 0, 1, 2 share an ID, 3 and 4 share one, 5 has its own; the group that crosses rank k is listed whole."""
    table = SIDTable(np.array([[0, 0]] * 3 + [[0, 1]] * 2 + [[1, 0]]), (2, 2))
    generator, trie = ArbitraryLogits(table), PrefixTrie.build(table)
    for strategy in (TrieBeam(num_beams=6), Exhaustive()):
        every = entries(strategy.decode(generator, trie, DecodingRequest(batch_of([[5]]), 6)), 0)
        assert sorted(entry.item for entry in every) == list(range(6))
        for entry in every:
            group = [other for other in every if (table.codes[other.item] == table.codes[entry.item]).all()]
            assert {other.tie_start for other in group} == {every.index(group[0]) + 1}
            assert {other.tie_size for other in group} == {len(group)}
        for k in range(1, 7):
            cut = entries(strategy.decode(generator, trie, DecodingRequest(batch_of([[5]]), k)), 0)
            assert cut == [entry for entry in every if entry.tie_start <= k]
        part = entries(strategy.decode(generator, trie, DecodingRequest(batch_of([[5]]), 6, torch.tensor([[1, 5]]))), 0)
        scores = {entry.item: entry.score for entry in every}
        assert {entry.item: entry.tie_size for entry in part} == {0: 2, 2: 2, 3: 2, 4: 2}, "only listed items count"
        assert all(entry.score == pytest.approx(scores[entry.item], abs=1e-6) for entry in part)


def rows_of(decoded: Decoded) -> list[list[tuple[int, float]]]:
    return [[(entry.item, round(entry.score, 4)) for entry in entries(decoded, row)] for row in range(len(decoded.items))]


def test_other_users_of_the_batch_and_padding_change_nothing() -> None:
    table = sids_of(100, (4, 6, 6))
    trie, generator = PrefixTrie.build(table), ArbitraryLogits(table)
    histories = random_histories(100, EMPTY_TO_LONG)
    batch = batch_of(histories)
    together = TrieBeam(num_beams=15).decode(generator, trie, DecodingRequest(batch, 10, batch.history))
    for row, history in enumerate(histories):
        alone = batch_of([history], width=len(history) + 3)
        single = TrieBeam(num_beams=15).decode(generator, trie, DecodingRequest(alone, 10, alone.history))
        assert rows_of(single)[0] == rows_of(together)[row]


def test_whoever_has_seen_everything_gets_nothing() -> None:
    table = sids_of(5, (3, 3))
    trie, batch = PrefixTrie.build(table), batch_of([[0, 1, 2, 3, 4], [1]])
    for strategy in (TrieBeam(num_beams=5), Exhaustive()):
        decoded = strategy.decode(ArbitraryLogits(table), trie, DecodingRequest(batch, 5, batch.history))
        assert [len(row) for row in rows_of(decoded)] == [0, 4]


def test_an_empty_allowed_set_is_an_error() -> None:
    with pytest.raises(ConfigError, match="none of 7"):
        DecodingRequest(batch_of([[1]]), 3, allowed=torch.zeros(7, dtype=torch.bool))


def test_fewer_beams_than_items_is_an_error() -> None:
    table = sids_of(20)
    with pytest.raises(ConfigError, match="got 4"):
        TrieBeam(num_beams=4).decode(ArbitraryLogits(table), PrefixTrie.build(table), DecodingRequest(batch_of([[1]]), 5))
