"""Decoding as one would explain it: one user, one prefix at a time, dictionaries instead of tensors."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from small_world import batch_of

from genrec.core.sids import SIDTable
from genrec.protocols import Decoded
from genrec.types import PAD

Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    item: int
    score: float
    tie_start: int
    tie_size: int


class SlowDecoding:
    """Scores and rankings for one history."""

    def __init__(self, generator: Any, table: SIDTable, history: Sequence[int]) -> None:
        self.generator, self.table, self.history = generator, table, history
        self.groups: dict[Prefix, list[int]] = defaultdict(list)
        self.below: dict[Prefix, list[int]] = defaultdict(list)
        for item, row in enumerate(table.codes.tolist()):
            self.groups[tuple(row)].append(item)
            for depth in range(table.num_levels + 1):
                self.below[tuple(row[:depth])].append(item)

    def children(self, prefix: Prefix) -> list[Prefix]:
        return sorted(other for other in self.below if len(other) == len(prefix) + 1 and other[:-1] == prefix)

    @torch.inference_mode()
    def log_probs(self, prefix: Prefix) -> dict[Prefix, float]:
        """Log-probability of each child given its parent."""
        logits, state = self.generator.step(self.generator.prefill(batch_of([self.history])), None)
        for code in prefix:
            logits, state = self.generator.step(state, torch.tensor([[code]]))
        values = logits[0, 0].double()
        children = self.children(prefix)
        total = values[[child[-1] for child in children]] if self.generator.normalization == "trie" else values
        return {child: float(values[child[-1]] - total.logsumexp(0)) for child in children}

    def item_score(self, leaf: Prefix, score: float) -> float:
        """An item's probability is its ID's, divided by the size of the group that shares it."""
        return score - math.log(len(self.groups[leaf]))

    def search(self, k: int, excluded: Collection[int] = (), num_beams: int = 10**9) -> list[Entry]:
        """Beam search over prefixes that lead to something; exhaustive with enough beams."""
        beams: dict[Prefix, float] = {(): 0.0}
        for level in range(self.table.num_levels):
            grown = {
                child: score + log_prob
                for prefix, score in beams.items()
                for child, log_prob in self.log_probs(prefix).items()
                if not set(self.below[child]) <= set(excluded)
            }
            if level == self.table.num_levels - 1:
                grown = {leaf: self.item_score(leaf, score) for leaf, score in grown.items()}
            beams = dict(sorted(grown.items(), key=lambda pair: -pair[1])[:num_beams])
        ranking: list[Entry] = []
        for leaf, score in beams.items():
            if len(ranking) >= k:
                break
            group = [item for item in self.groups[leaf] if item not in excluded]
            start = len(ranking) + 1
            ranking += [Entry(item, score, start, len(group)) for item in group]
        return ranking


def entries(decoded: Decoded, row: int) -> list[Entry]:
    """A row of the fast answer."""
    columns = (decoded.items[row], decoded.scores[row], decoded.tie_start[row], decoded.tie_size[row])
    return [Entry(*values) for values in zip(*(column.tolist() for column in columns), strict=True) if values[0] != PAD]


def assert_same(found: Sequence[Entry], expected: Sequence[Entry], score_of: Callable[[int], float] | None = None) -> None:
    """Equal, but for the order of entries whose scores are closer than 1e-5."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert abs(ours.score - theirs.score) < 1e-5
        if ours != theirs and ours.item == theirs.item:
            assert (ours.tie_start, ours.tie_size) == (theirs.tie_start, theirs.tie_size)
        if ours.item != theirs.item:
            other = next((entry.score for entry in expected if entry.item == ours.item), theirs.score)
            assert abs(ours.score - other) < 1e-5
