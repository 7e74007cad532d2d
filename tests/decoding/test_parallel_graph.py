"""The walk along a graph of similar items: always legal and enough, with the oracle's scores, and exact when all are near."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_decoding import assert_same, entries
from small_world import batch_of, random_histories, scrambled, sids_of
from test_steering import Made, row_of, steered

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding import parallel_graph
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.parallel_graph import CodeGraph, ParallelGraph
from genrec.generators.parallel import Parallel
from genrec.protocols import DecodingRequest
from genrec.types import PAD

SIDS = sids_of(150, (6, 7, 8))
TRIE = PrefixTrie.build(SIDS)
BATCH = batch_of(random_histories(150, [0, 1, 4, 6]))


def untrained(table: SIDTable, *, dim: int = 8, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    return Parallel(sids=table, dim=dim, num_heads=2, num_layers=1, dropout=0.0, max_history_len=6).eval()


def small(table: SIDTable, seed: int = 1) -> Any:
    return scrambled(untrained(table, seed=seed), scale=1.0, seed=seed)


@given(steered(), st.integers(1, 3), st.integers(1, 2))
def test_legal_distinct_sorted_enough_and_scored_as_the_oracle_does(made: Made, num_neighbours: int, num_rounds: int) -> None:
    codes, sizes, request = made
    table = SIDTable(codes, sizes)
    trie, generator = PrefixTrie.build(table), small(table)
    strategy = ParallelGraph(num_beams=request.k, num_neighbours=num_neighbours, num_rounds=num_rounds)
    decoded = strategy.decode(generator, trie, request)
    every = DecodingRequest(request.batch, table.num_items, None, None, request.bias)
    oracle = Exhaustive().decode(generator, trie, every)
    for row in range(len(request.batch)):
        found = entries(decoded, row)
        exact = {entry.item: entry.score for entry in entries(oracle, row)}
        allowed = row_of(request.allowed, row) or [True] * table.num_items
        legal = {item for item in range(table.num_items) if allowed[item]}
        legal -= set(request.seen[row].tolist()) if request.seen is not None else set()
        items, scores = [entry.item for entry in found], [entry.score for entry in found]
        assert set(items) <= legal
        assert len(set(items)) == len(items) >= min(request.k, len(legal))
        assert len(items) == min(request.k, len(legal)) or found[-1].tie_size > 1
        assert scores == sorted(scores, reverse=True)
        assert scores == pytest.approx([exact[item] for item in items], abs=1e-4)


@given(steered())
def test_with_all_items_as_neighbours_it_is_the_oracle(made: Made) -> None:
    codes, sizes, request = made
    table = SIDTable(codes, sizes)
    trie, generator = PrefixTrie.build(table), small(table)
    walked = ParallelGraph(num_beams=16, num_neighbours=14, num_rounds=1).decode(generator, trie, request)
    oracle = Exhaustive().decode(generator, trie, request)
    for row in range(len(request.batch)):
        assert_same(entries(walked, row), entries(oracle, row))


def test_neighbours_are_the_most_similar_items_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_graph, "_PAIRS", 400)  # in chunks
    vectors = tuple(level.detach() for level in small(SIDS).code_vectors())
    graph = CodeGraph.build(TRIE, vectors, 12)
    assert graph.codes.tolist() == sorted(SIDS.codes.tolist()), "in the order of the leaves"
    for one, near in enumerate(graph.neighbours.tolist()):
        similar = []
        for other in range(150):
            pairs = zip(vectors, graph.codes[one].tolist(), graph.codes[other].tolist(), strict=True)
            similar.append(np.mean([(1 + float(level[a] @ level[b])) / 2 for level, a, b in pairs]))
        assert near[0] == one
        assert [similar[other] for other in near] == pytest.approx(sorted(similar, reverse=True)[:12], abs=1e-5)


def test_a_walk_finds_most_of_the_best_though_it_scores_few(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sids_of(1500, (9, 9, 9, 9))
    trie, generator = PrefixTrie.build(table), untrained(table, dim=32)
    request = DecodingRequest(batch_of(random_histories(1500, [1, 3, 5, 6])), 10)
    best = Exhaustive().decode(generator, trie, request).items
    scored: set[tuple[int, int]] = set()
    scores = parallel_graph._scores

    def counting(graph: CodeGraph, log_probs: Any, ids: torch.Tensor) -> torch.Tensor:
        scored.update((row, one) for row, some in enumerate(ids.tolist()) for one in some if one != PAD)
        return scores(graph, log_probs, ids)

    monkeypatch.setattr(parallel_graph, "_scores", counting)
    walked = ParallelGraph(num_beams=20, num_neighbours=20, num_rounds=4).decode(generator, trie, request).items
    found = sum(len(set(ours.tolist()) & set(theirs.tolist())) for ours, theirs in zip(walked, best, strict=True))
    assert found >= 0.9 * 4 * 10
    assert len(scored) < 0.3 * 4 * 1500


def test_the_graph_is_built_again_when_weights_or_catalogue_change() -> None:
    generator, strategy = small(SIDS), ParallelGraph(num_beams=20, num_neighbours=5)
    first = strategy.graph(generator, TRIE)
    strategy.decode(generator, TRIE, DecodingRequest(BATCH, 5))
    assert strategy.graph(generator, TRIE) is first, "and not before"
    with torch.no_grad():
        generator.history.start += 1
    assert strategy.graph(generator, TRIE) is first, "only code vectors count"
    changes = [
        lambda: generator.load_state_dict(small(SIDS, seed=2).state_dict()),
        lambda: generator.code_embedding.weight.data.mul_(torch.randn(21, 1)),  # no version counts this
    ]
    for change in changes:
        before = strategy.graph(generator, TRIE)
        change()
        after = strategy.graph(generator, TRIE)
        assert after is not before
        assert after.neighbours.equal(CodeGraph.build(TRIE, generator.code_vectors(), 5).neighbours)
        assert not after.neighbours.equal(before.neighbours)
    assert strategy.graph(generator, PrefixTrie.build(SIDS)) is not after


def test_other_users_of_the_batch_and_padding_change_nothing() -> None:
    generator, strategy = small(SIDS), ParallelGraph(num_beams=10, num_neighbours=4, num_rounds=1)
    together = strategy.decode(generator, TRIE, DecodingRequest(BATCH, 10, BATCH.history))
    for row, length in enumerate(BATCH.lengths.tolist()):
        alone = batch_of([BATCH.history[row, :length].tolist()], width=length + 3)
        assert_same(
            entries(strategy.decode(generator, TRIE, DecodingRequest(alone, 10, alone.history)), 0), entries(together, row)
        )
