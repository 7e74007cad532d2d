"""Filters, seen items, biases and quotas: every strategy against the ranking of all items one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_decoding import Entry, SlowDecoding, assert_same, entries
from small_world import ArbitraryLogits, batch_of, random_histories, sids_of

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.best_first import BestFirst
from genrec.decoding.diverse_trie_beam import DiverseTrieBeam
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.lib.search_constraints import at_most
from genrec.decoding.quota import Quota
from genrec.decoding.trie_beam import TrieBeam
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest
from genrec.types import PAD

Made = tuple[np.ndarray, tuple[int, ...], DecodingRequest]


@st.composite
def steered(draw: st.DrawFn) -> Made:
    """A catalogue and a request with seen items, a filter and a bias, each of them shared, the user's own or absent."""
    sizes = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    rows = draw(st.lists(st.tuples(*(st.integers(0, size - 1) for size in sizes)), min_size=1, max_size=14))
    histories = draw(st.lists(st.lists(st.integers(0, len(rows) - 1), max_size=5), min_size=1, max_size=3))
    batch = batch_of(histories)

    def table(values: st.SearchStrategy[Any]) -> Any:
        row = st.lists(values, min_size=len(rows), max_size=len(rows))
        some = row.filter(any) if values is flags else row
        made = draw(st.none() | some | st.lists(some, min_size=len(histories), max_size=len(histories)))
        return None if made is None else torch.tensor(made)

    flags = st.booleans()
    allowed, bias = table(flags), table(st.integers(-20, 20).map(lambda tenths: tenths / 10))
    seen = batch.history if draw(flags) else None
    return np.asarray(rows), sizes, DecodingRequest(batch, draw(st.integers(1, 16)), seen, allowed, bias)


def row_of(table: torch.Tensor | None, row: int) -> Any:
    return None if table is None else (table[row] if table.dim() == 2 else table).tolist()


def ranking(slow: SlowDecoding, request: DecodingRequest, row: int) -> Sequence[Entry]:
    """All items that may be listed, scored one by one."""
    allowed, bias = row_of(request.allowed, row), row_of(request.bias, row)
    seen = set(request.seen[row].tolist()) if request.seen is not None else set()
    num_items = len(slow.table.codes)
    excluded = {item for item in range(num_items) if item in seen or (allowed is not None and not allowed[item])}
    if bias is None:
        return slow.search(request.k, excluded)
    every = [(entry.score + bias[entry.item], entry.item) for entry in slow.search(num_items, excluded)]
    return [Entry(item, score, rank, 1) for rank, (score, item) in enumerate(sorted(every, reverse=True)[: request.k], 1)]


@given(steered(), st.sampled_from(["trie", "codebook"]))
def test_every_exact_search_is_the_ranking_of_all_items(made: Made, normalization: str) -> None:
    codes, sizes, request = made
    table = SIDTable(codes, sizes)
    trie, generator = PrefixTrie.build(table), ArbitraryLogits(table, normalization=normalization)  # type: ignore[arg-type]
    strategies = [Exhaustive(batch_size=2), BestFirst(num_beams=1), BestFirst(num_beams=3), TrieBeam(num_beams=500)]
    answers = [strategy.decode(generator, trie, request) for strategy in strategies]
    for row, length in enumerate(request.batch.lengths.tolist()):
        expected = ranking(SlowDecoding(generator, table, request.batch.history[row, :length].tolist()), request, row)
        for answer in answers:
            assert_same(entries(answer, row), expected)


@given(steered(), st.integers(16, 30))
def test_narrow_beams_return_as_many_legal_items_as_there_are(made: Made, num_beams: int) -> None:
    codes, sizes, request = made
    table = SIDTable(codes, sizes)
    generator = ArbitraryLogits(table, scale=30.0)
    decoded = TrieBeam(num_beams=num_beams).decode(generator, PrefixTrie.build(table), request)
    for row in range(len(request.batch)):
        found = [entry.item for entry in entries(decoded, row)]
        allowed = row_of(request.allowed, row) or [True] * table.num_items
        legal = {item for item in range(table.num_items) if allowed[item]}
        legal -= set(request.seen[row].tolist()) if request.seen is not None else set()
        assert set(found) <= legal
        assert len(set(found)) == len(found) >= min(request.k, len(legal))


def test_a_dull_prefix_is_kept_for_the_favoured_item_below_it() -> None:
    """With two beams: the item whose bias outweighs its path is found first, wherever it lies."""
    table = sids_of(300, (6, 8, 9))
    generator, trie, batch = ArbitraryLogits(table, scale=8.0), PrefixTrie.build(table), batch_of([[3], []])
    worst = Exhaustive().decode(generator, trie, DecodingRequest(batch, 300)).items[:, -1]
    bias = torch.zeros(2, 300).scatter(1, worst.unsqueeze(1), 200.0)
    decoded = TrieBeam(num_beams=2).decode(generator, trie, DecodingRequest(batch, 2, bias=bias))
    assert decoded.items[:, 0].tolist() == worst.tolist()


@given(st.data())
def test_at_most_keeps_the_best_of_each_group(data: st.DataObject) -> None:
    size, limit = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3))
    keys = torch.tensor(data.draw(st.lists(st.lists(st.integers(0, 9), min_size=size, max_size=size), min_size=1, max_size=3)))
    groups = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))).expand_as(keys)
    kept = at_most(limit, keys.float(), groups)
    for row in range(len(keys)):
        left: Counter[int] = Counter()
        for column in keys[row].float().argsort(descending=True, stable=True).tolist():
            group = int(groups[row, column])
            left[group] += 1
            assert float(kept[row, column]) == (float(keys[row, column]) if left[group] <= limit else -torch.inf)


@pytest.mark.parametrize(("per_prefix", "depth"), [(1, 1), (3, 1), (2, 2)])
def test_a_quota_per_prefix(per_prefix: int, depth: int) -> None:
    table = sids_of(200, (6, 7, 8))
    trie, batch = PrefixTrie.build(table), batch_of(random_histories(200, [0, 2, 5]))
    request = DecodingRequest(batch, 6, batch.history)
    decoded = DiverseTrieBeam(num_beams=200, per_prefix=per_prefix, depth=depth).decode(ArbitraryLogits(table), trie, request)
    for row, everything in enumerate(
        Exhaustive().decode(ArbitraryLogits(table), trie, DecodingRequest(batch, 200)).items.tolist()
    ):
        seen, taken, expected = set(batch.history[row].tolist()), Counter[tuple[int, ...]](), []
        for item in everything:
            prefix = tuple(table.codes[item, :depth].tolist())
            if item not in seen and taken[prefix] < per_prefix:
                taken[prefix] += 1
                expected.append(item)
        assert decoded.items[row].tolist() == expected[:6]


@pytest.mark.parametrize(("normalization", "expected"), [("trie", [None, 3]), ("codebook", [None, 5, 5])])
def test_what_is_decided_costs_no_step(normalization: str, expected: list[int | None]) -> None:
    """Five prefixes at the first level: two of one item, whose last codes follow, and three of two items that differ there."""
    rows = [[0, 0, 0], [1, 1, 0], [2, 0, 0], [2, 1, 0], [3, 0, 0], [3, 1, 0], [4, 0, 0], [4, 1, 0]]
    table, stepped = SIDTable(np.asarray(rows), (5, 2, 1)), []

    class Counting(ArbitraryLogits):
        def step(self, state: Any, codes: Any) -> Any:
            stepped.append(None if codes is None else codes.shape[1])
            return super().step(state, codes)

    generator, trie = Counting(table, normalization=normalization), PrefixTrie.build(table)  # type: ignore[arg-type]
    request = DecodingRequest(batch_of([[2], [3, 1]]), 5)
    decoded = TrieBeam(num_beams=5).decode(generator, trie, request)
    assert stepped == expected
    slow = [SlowDecoding(generator, table, history) for history in ([2], [3, 1])]
    for row, oracle in enumerate(slow):
        assert_same(entries(decoded, row), oracle.search(5, set(), 5))


def test_bad_requests_are_errors() -> None:
    batch = batch_of([[1], [2]])
    with pytest.raises(ConfigError, match="none of 3"):
        DecodingRequest(batch, 3, allowed=torch.tensor([[True, False, False], [False] * 3]))
    with pytest.raises(ConfigError, match=r"bias.*got nan"):
        DecodingRequest(batch, 3, bias=torch.tensor([0.0, torch.nan, 1.0]))
    for setting in ({"num_beams": 0}, {"per_prefix": 0}, {"depth": -1}):
        with pytest.raises(ConfigError, match=f"decoding.{next(iter(setting))}.*got {next(iter(setting.values()))}"):
            (BestFirst if "num_beams" in setting else DiverseTrieBeam)(**setting)


def test_padding_is_never_an_item() -> None:
    table = sids_of(4, (2, 3))
    decoded = BestFirst().decode(ArbitraryLogits(table), PrefixTrie.build(table), DecodingRequest(batch_of([[0, 1], []]), 9))
    assert decoded.items.shape == (2, 9)
    assert (decoded.items[:, 4:] == PAD).all()


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("strategy", [BestFirst(num_beams=8), Exhaustive()], ids=["best_first", "exhaustive"])
def test_quotas_are_a_walk_down_the_ranking(strategy: BestFirst | Exhaustive, limit: int) -> None:
    table = sids_of(150, (5, 6, 7))
    trie, generator, batch = PrefixTrie.build(table), ArbitraryLogits(table), batch_of(random_histories(150, [0, 2, 5, 9]))
    groups = torch.from_numpy(np.random.default_rng(0).integers(-1, 4, 150))
    allowed = torch.from_numpy(np.random.default_rng(1).random((4, 150)) < 0.7)
    request = DecodingRequest(batch, 12, batch.history, allowed)
    decoded = Quota(strategy, groups, limit).decode(generator, trie, request)
    for row, everything in enumerate(Exhaustive().decode(generator, trie, replace(request, k=150)).items.tolist()):
        taken, expected = Counter[int](), []
        for item in (item for item in everything if item != PAD):
            group = int(groups[item])
            if group == PAD or taken[group] < limit:
                taken[group] += 1
                expected.append(item)
        assert [entry.item for entry in entries(decoded, row)] == expected[:12]


def test_a_quota_of_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"quota.*got 0"):
        Quota(Exhaustive(), torch.zeros(3, dtype=torch.long), 0)


def test_lists_of_other_widths_are_put_in_place() -> None:
    """A fusion's lists are as wide as its longest; a quota asks some users again."""
    one = torch.tensor([[4, 2], [3, PAD]])
    answer = Decoded(one, torch.tensor([[-1.0, -2.0], [-1.0, -torch.inf]]), one.clamp(max=1), one.clamp(max=1))
    wider = torch.tensor([[7, 8, 9]])
    put = answer.with_rows(torch.tensor([1]), Decoded(wider, -wider.float(), wider - 6, wider.clamp(max=1)))
    assert put.items.tolist() == [[4, 2, PAD], [7, 8, 9]]
    assert put.scores.tolist() == [[-1.0, -2.0, -torch.inf], [-7.0, -8.0, -9.0]]
    assert put.rows(torch.tensor([0])).items.tolist() == [[4, 2, PAD]]
    narrow = Decoded(wider[:, :1], -wider[:, :1].float(), wider[:, :1], wider[:, :1])
    assert put.with_rows(torch.tensor([1]), narrow).items.tolist() == [[4, 2, PAD], [7, PAD, PAD]]
