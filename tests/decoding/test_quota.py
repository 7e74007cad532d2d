"""Quotas against a walk down the whole ranking, for one column and for several; what they cost; and numbers of any size."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from slow_decoding import entries
from small_world import ArbitraryLogits, batch_of, random_histories

from genrec.core.deadlines import AbandonedError, while_wanted
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.best_first import BestFirst
from genrec.decoding.diverse_trie_beam import DiverseTrieBeam
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.quota import Quota
from genrec.decoding.trie_beam import TrieBeam
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest
from genrec.types import PAD


class World:
    """A random catalogue, random columns of groups, and a request with filters, seen items and biases."""

    def __init__(self, seed: int) -> None:
        self.random = random = np.random.default_rng(seed)
        sizes = tuple(random.integers(1, 5, random.integers(1, 4)).tolist())
        self.num_items, self.num_users = int(random.integers(1, 20)), int(random.integers(1, 4))
        self.table = SIDTable(np.stack([random.integers(0, size, self.num_items) for size in sizes], axis=1), sizes)
        self.trie, self.generator = PrefixTrie.build(self.table), ArbitraryLogits(self.table)
        self.columns = random.integers(-1, random.integers(1, 5), (random.integers(1, 4), self.num_items))
        self.limits = random.integers(1, 4, len(self.columns)).tolist()
        batch = batch_of(random_histories(self.num_items, random.integers(0, 5, self.num_users).tolist(), seed=seed))
        allowed = random.random((self.num_users, self.num_items)) < 0.6
        allowed[np.arange(self.num_users), random.integers(0, self.num_items, self.num_users)] = True
        bias = random.normal(size=self.num_items).astype(np.float32)
        self.k = int(random.integers(1, 12))
        self.request = DecodingRequest(
            batch,
            self.k,
            batch.history if random.random() < 0.5 else None,
            torch.from_numpy(allowed) if random.random() < 0.7 else None,
            torch.from_numpy(bias),  # no two items are equal, so that there is one ranking
        )

    def quota(self, strategy: Any, **more: Any) -> Decoded:
        return Quota(strategy, torch.from_numpy(self.columns), self.limits, **more).decode(
            self.generator, self.trie, self.request
        )

    def ranking(self, row: int) -> list[int]:
        """All items that may be listed, best first."""
        request = DecodingRequest(self.request.batch, self.num_items, None, None, self.request.bias)
        everything = Exhaustive().decode(self.generator, self.trie, request).items[row].tolist()
        seen = set() if self.request.seen is None else set(self.request.seen[row].tolist())
        allowed = [True] * self.num_items if self.request.allowed is None else self.request.allowed[row].tolist()
        return [item for item in everything if item != PAD and allowed[item] and item not in seen]

    def walk(self, row: int) -> list[int]:
        """An item is taken when none of its groups is full."""
        taken, count = [], Counter[tuple[int, int]]()
        for item in self.ranking(row):
            own = [(place, int(group)) for place, group in enumerate(self.columns[:, item]) if group != PAD]
            if all(count[group] < self.limits[group[0]] for group in own):
                taken.append(item)
                count.update(own)
        return taken[: self.k]

    def breaks(self, items: list[int]) -> bool:
        counts = [Counter(self.columns[place, items].tolist()) for place in range(len(self.columns))]
        return any(
            number > limit
            for count, limit in zip(counts, self.limits, strict=True)
            for group, number in count.items()
            if group >= 0
        )


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 300), marks=pytest.mark.slow)], ids=str)
def test_three_hundred_catalogues(seeds: range) -> None:
    """Exact searches give the walk; those that are not exact keep the quota, list nothing twice, and nothing forbidden."""
    for seed in seeds:
        world = World(seed)
        for strategy in (Exhaustive(), BestFirst(num_beams=3), TrieBeam(num_beams=500)):
            answer = world.quota(strategy)
            for row in range(world.num_users):
                assert [entry.item for entry in entries(answer, row)] == world.walk(row), (seed, row, strategy)
        for strategy in (TrieBeam(num_beams=world.k), DiverseTrieBeam(num_beams=40, per_prefix=2)):
            answer = world.quota(strategy)
            for row in range(world.num_users):
                listed = [entry.item for entry in entries(answer, row)]
                assert len(set(listed)) == len(listed), (seed, row, strategy)
                assert set(listed) <= set(world.ranking(row)), (seed, row, strategy)
                assert not world.breaks(listed), (seed, row, strategy)


class Counted:
    """A strategy that counts its searches."""

    kind = "autoregressive"

    def __init__(self, strategy: Any) -> None:
        self.strategy, self.searches = strategy, 0

    def check(self, k: int) -> None:
        self.strategy.check(k)

    def decode(self, generator: Any, trie: Any, request: DecodingRequest) -> Decoded:
        self.searches += 1
        decoded: Decoded = self.strategy.decode(generator, trie, request)
        return decoded


def shop() -> tuple[SIDTable, PrefixTrie, ArbitraryLogits, torch.Tensor]:
    random = np.random.default_rng(0)
    codes = np.stack(np.unravel_index(random.choice(512, 300, replace=False), (8, 8, 8)), axis=1)
    table = SIDTable(codes, (8, 8, 8))
    columns = np.concatenate([codes.T, random.integers(0, 40, (5, 300))])
    return table, PrefixTrie.build(table), ArbitraryLogits(table), torch.from_numpy(columns)


def test_quotas_do_not_multiply() -> None:
    _, trie, generator, columns = shop()
    request = DecodingRequest(batch_of(random_histories(300, [1] * 8)), 40)
    searches = []
    for number in range(1, 9):
        strategy = Counted(Exhaustive())
        Quota(strategy, columns[:number], [1] * number).decode(generator, trie, request)
        searches.append(strategy.searches)
    assert max(searches) <= 9, "about as many as groups fill up one after the other, whatever the number of columns"


def test_searches_are_bounded() -> None:
    _, trie, generator, columns = shop()
    request = DecodingRequest(batch_of(random_histories(300, [1] * 8)), 40)
    with pytest.raises(ConfigError, match=r"quota: expected lists that 20 searches fill, got \d lists of 8 that need more"):
        Quota(Exhaustive(), columns, [1] * len(columns), searches=20).decode(generator, trie, request)


@pytest.mark.parametrize("after", [0, 1])
def test_work_that_nobody_waits_for_ends(after: int) -> None:
    """Between two searches at the latest."""
    _, trie, generator, columns = shop()
    strategy = Counted(Exhaustive())
    request = DecodingRequest(batch_of(random_histories(300, [1] * 8)), 60)
    with pytest.raises(AbandonedError), while_wanted(lambda: strategy.searches <= after):
        Quota(strategy, columns, [1] * len(columns)).decode(generator, trie, request)
    assert strategy.searches == after + 1


@pytest.mark.parametrize("limit", [150, 2**31, 2**63 - 1, 2**63, 2**64, 10**400])
def test_a_limit_of_any_size(limit: int) -> None:
    _, trie, generator, columns = shop()
    request = DecodingRequest(batch_of(random_histories(300, [2, 3])), 10)
    decoded = Quota(Exhaustive(), columns[0], limit).decode(generator, trie, request)
    assert torch.equal(decoded.items, Exhaustive().decode(generator, trie, request).items)


def test_the_first_item_stays_where_lists_have_empty_slots() -> None:
    """Empty slots stand on no item: the best of each group, row 0 among them, whose group is over its quota."""
    table = SIDTable(np.array([[0], [1], [2], [3]]), (4,))
    groups, bias = torch.tensor([0, 0, 1, 2]), torch.tensor([90.0, 80.0, 70.0, 60.0])
    request = DecodingRequest(batch_of([[]]), 10, None, None, bias)
    decoded = Quota(Exhaustive(), groups, 1).decode(ArbitraryLogits(table), PrefixTrie.build(table), request)
    assert [item for item in decoded.items[0].tolist() if item != PAD] == [0, 2, 3]
