"""What every strategy promises of its lists: legal, distinct, best first, as long as they can be; and one's quota."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_decoding import entries
from small_world import ArbitraryLogits, batch_of, sids_of
from test_search import Made, excluded_items, requests

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.best_first import BestFirst
from genrec.decoding.diverse_trie_beam import DiverseTrieBeam, at_most_items
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.trie_beam import TrieBeam
from genrec.decoding.trie_sampling import TrieSampling
from genrec.protocols import DecodingRequest

STRATEGIES: dict[str, Any] = {
    "trie_beam": lambda beams: TrieBeam(num_beams=beams),
    "best_first": lambda beams: BestFirst(num_beams=beams),
    "trie_sampling": lambda beams: TrieSampling(),
    "exhaustive": lambda beams: Exhaustive(),
    "diverse, loose": lambda beams: DiverseTrieBeam(num_beams=beams, per_prefix=99),
}


@pytest.mark.parametrize("name", STRATEGIES)
@given(made=requests(), more=st.integers(0, 9))
def test_lists_are_legal_distinct_ordered_and_as_long_as_they_can_be(name: str, made: Made, more: int) -> None:
    codes, sizes, request, num_beams = made
    table = SIDTable(codes, sizes)
    request = DecodingRequest(request.batch, request.k + more, request.seen, request.allowed)  # often more than there are
    decoded = STRATEGIES[name](num_beams + more).decode(ArbitraryLogits(table), PrefixTrie.build(table), request)
    for row in range(len(request.batch)):
        found = entries(decoded, row)
        legal = set(range(table.num_items)) - excluded_items(request, row, table.num_items)
        items, scores = [entry.item for entry in found], [entry.score for entry in found]
        assert len(set(items)) == len(items)
        assert set(items) <= legal
        if name != "trie_sampling":  # best first by what was drawn
            assert scores == sorted(scores, reverse=True)
        assert len(items) >= min(request.k, len(legal))
        assert len(items) == min(request.k, len(legal)) or found[-1].tie_size > 1


@given(requests(), st.integers(1, 3), st.integers(1, 3), st.integers(0, 9))
def test_a_prefix_has_no_more_items_than_its_quota(made: Made, per_prefix: int, depth: int, more: int) -> None:
    codes, sizes, request, num_beams = made
    table, k = SIDTable(codes, sizes), request.k + more
    request = DecodingRequest(request.batch, k, request.seen, request.allowed)
    strategy = DiverseTrieBeam(num_beams=num_beams + more, per_prefix=per_prefix, depth=depth)
    decoded = strategy.decode(ArbitraryLogits(table), PrefixTrie.build(table), request)
    distinct = len(np.unique(codes, axis=0)) == len(codes)
    for row in range(len(request.batch)):
        found = entries(decoded, row)
        legal = set(range(table.num_items)) - excluded_items(request, row, table.num_items)
        items, scores = [entry.item for entry in found], [entry.score for entry in found]
        assert len(set(items)) == len(items)
        assert set(items) <= legal
        assert scores == sorted(scores, reverse=True)
        if depth < len(sizes):
            assert max(Counter(tuple(codes[item][:depth]) for item in items).values(), default=0) <= per_prefix
        if distinct:
            below = Counter(tuple(codes[item][:depth]) for item in legal)
            room = sum(min(count, per_prefix if depth < len(sizes) else 1) for count in below.values())
            assert len(items) == min(k, room), "fewer only when the quota allows no more"


@pytest.mark.parametrize(
    ("num_beams", "k", "per_prefix"), [(50, 20, 2), (50, 49, 2), (20, 20, 1), (30, 25, 3), (12, 10, 1), (50, 33, 4), (8, 8, 5)]
)
def test_sixteen_of_eight_prefixes(num_beams: int, k: int, per_prefix: int) -> None:
    """Eight first codes: at most ``8 * per_prefix`` items, and so many, whatever the beams."""
    table = sids_of(300, (8, 8, 8))
    request = DecodingRequest(batch_of([[1, 2], [], [7, 8, 9]]), k)
    strategy = DiverseTrieBeam(num_beams=num_beams, per_prefix=per_prefix)
    decoded = strategy.decode(ArbitraryLogits(table, scale=20.0), PrefixTrie.build(table), request)
    for row in range(3):
        found = entries(decoded, row)
        assert len(found) == min(k, 8 * per_prefix)
        assert max(Counter(table.codes[entry.item][0] for entry in found).values()) <= per_prefix
        assert [entry.score for entry in found] == sorted((entry.score for entry in found), reverse=True)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(-5, 20), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=10),
)
def test_groups_fill_up_best_first(limit: int, rows: list[tuple[int, int, int]]) -> None:
    keys = torch.tensor([[float(key) + i / 100 if key > 0 else float("-inf") for i, (key, _, _) in enumerate(rows)]])
    groups, sizes = (torch.tensor([[row[i] for row in rows]]) for i in (1, 2))
    kept = at_most_items(limit, keys, groups, sizes)[0] > float("-inf")
    room: dict[int, int] = {}
    for place in sorted(range(len(rows)), key=lambda i: -keys[0, i].item()):
        group, size = int(groups[0, place]), int(sizes[0, place])
        takes = bool(keys[0, place] > float("-inf")) and size <= room.get(group, limit)
        room[group] = room.get(group, limit) - (size if takes else 0)
        assert bool(kept[place]) == takes
