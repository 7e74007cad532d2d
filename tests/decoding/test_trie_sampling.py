"""Sampling without replacement: how often each item and each pair is drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from slow_decoding import entries
from small_world import ArbitraryLogits, batch_of, random_histories, sids_of

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.trie_sampling import TrieSampling
from genrec.errors import ConfigError
from genrec.protocols import DecodingRequest

TABLE = SIDTable(np.array([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2], [2, 0]]), (3, 3))
TRIE = PrefixTrie.build(TABLE)
DRAWS = 6000


class Same(ArbitraryLogits):
    """The same logits whatever the history, so that a batch of different users is a sample of one distribution."""

    def prefill(self, batch: Batch) -> Any:
        return super().prefill(batch_of([[1]] * len(batch)))


def draws(k: int, **settings: Any) -> torch.Tensor:
    users = batch_of([[i % 900, i // 900] for i in range(DRAWS)])
    allowed = settings.pop("allowed", None)
    return TrieSampling(**settings).decode(Same(TABLE, scale=1.0), TRIE, DecodingRequest(users, k, allowed=allowed)).items


def probabilities(temperature: float = 1.0, allowed: torch.Tensor | None = None) -> np.ndarray:
    """Of the items, by hand: a softmax a level, over what leads to something allowed."""
    generator, alive = Same(TABLE, scale=1.0), np.ones(6, bool) if allowed is None else allowed.numpy()
    result, prefixes = np.zeros(6), {(int(a), int(b)): i for i, (a, b) in enumerate(TABLE.codes) if alive[i]}
    first, state = generator.step(generator.prefill(batch_of([[1]])), None)
    tops = sorted({a for a, _ in prefixes})
    top = dict(zip(tops, torch.softmax(first[0, 0, tops].double() / temperature, 0).tolist(), strict=True))
    for a in tops:
        second, _ = generator.step(state, torch.tensor([[a]]))
        below = sorted(b for x, b in prefixes if x == a)
        for b, p in zip(below, torch.softmax(second[0, 0, below].double() / temperature, 0).tolist(), strict=True):
            result[prefixes[a, b]] = top[a] * p
    return result


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("allowed", [None, torch.tensor([True, False, True, False, True, True])])
def test_first_draws_follow_the_distribution(temperature: float, allowed: torch.Tensor | None) -> None:
    drawn = draws(1, temperature=temperature, allowed=allowed)[:, 0].numpy()
    expected = probabilities(temperature, allowed)
    found = np.bincount(drawn, minlength=6) / DRAWS
    assert (np.abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / DRAWS) + 1e-9).all()


def test_pairs_are_drawn_without_replacement() -> None:
    pairs = Counter(map(tuple, draws(2).tolist()))
    p = probabilities()
    for first in range(6):
        for second in range(6):
            expected = 0.0 if first == second else p[first] * p[second] / (1 - p[first])
            found = pairs[first, second] / DRAWS
            assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / DRAWS) + 1e-9


def test_top_p_keeps_the_nucleus() -> None:
    """Below one prefix, so that the last level has something to cut."""
    allowed = torch.tensor([False, False, True, True, True, False])
    p = probabilities(allowed=allowed)
    best, second = np.argsort(-p)[:2]
    only = draws(6, top_p=1e-6, allowed=allowed)
    assert (only[:, 0] == best).all()
    assert (only[:, 1:] < 0).all()
    two = draws(6, top_p=float(p[best]) + 1e-3, allowed=allowed)
    assert (two[:, :2].sort().values == torch.tensor(sorted((best, second)))).all()
    assert (two[:, 2:] < 0).all()


def test_batch_and_seed() -> None:
    table = sids_of(150, (5, 6, 7), distinct=False)
    trie, generator = PrefixTrie.build(table), ArbitraryLogits(table)
    histories = random_histories(150, [0, 1, 4, 9])
    batch = batch_of(histories)
    together = TrieSampling().decode(generator, trie, DecodingRequest(batch, 12, batch.history))
    scores = Exhaustive().decode(generator, trie, DecodingRequest(batch, 150))
    for row, history in enumerate(histories):
        alone = batch_of([history], width=len(history) + 3)
        single = entries(TrieSampling().decode(generator, trie, DecodingRequest(alone, 12, alone.history)), 0)
        found = entries(together, row)
        assert [entry.item for entry in single] == [entry.item for entry in found]
        assert len({entry.item for entry in found}) == len(found) >= 12
        assert not {entry.item for entry in found} & set(history)
        exact = {entry.item: entry.score for entry in entries(scores, row)}
        assert all(entry.score == pytest.approx(exact[entry.item], abs=1e-4) for entry in found)
    other = TrieSampling(seed=1).decode(generator, trie, DecodingRequest(batch, 12, batch.history))
    assert (other.items != together.items).any(dim=1).all()


def test_settings_are_checked() -> None:
    for setting, wrong in (("temperature", 0.0), ("top_p", 1.5), ("top_p", 0.0)):
        with pytest.raises(ConfigError, match=rf"decoding\.{setting}.*got {wrong}"):
            TrieSampling(**{setting: wrong})
