"""What every decoding strategy promises of its lists: legal, distinct, best first, as long as they can be."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from genrec.core.trie import PrefixTrie
from genrec.engine.registry import missing_members
from genrec.protocols import Decoded, DecodingRequest, DecodingStrategy
from genrec.testing.worlds import ArbitraryLogits, Contract, Maker, batch_of, sids_of
from genrec.types import PAD

NUM_ITEMS = 60
SIDS = sids_of(NUM_ITEMS, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
HISTORIES = [[], [3], [1, 2, 5, 9], [7, 7, 8]]
BATCH = batch_of(HISTORIES)


class DecodingContract(Contract):
    """The tests of a strategy; ``generator`` makes what it decodes (the default: arbitrary logits, code by code)."""

    is_random: ClassVar[bool] = False  # draws its items: neither ordered by score nor the same for a user alone

    def generator(self) -> Any:
        """Returns a generator for the IDs ``SIDS``, in eval mode; an item scorer is decoded without a trie."""
        return ArbitraryLogits(SIDS)

    def decode(self, make: Maker, request: DecodingRequest) -> Decoded:
        """The lists of a new strategy."""
        strategy: DecodingStrategy = make()
        torch.manual_seed(0)
        return strategy.decode(self.generator(), None if strategy.kind == "item_scorer" else TRIE, request)

    def test_it_is_a_strategy(self, make: Maker) -> None:
        assert missing_members(make(), ("DecodingStrategy",)) == []
        assert make().kind in ("autoregressive", "session", "parallel", "masked", "item_scorer", "text", "any")
        make().check(10)

    @pytest.mark.parametrize("k", [1, 10])
    @pytest.mark.parametrize("rule", ["nothing", "seen", "filter", "filter of each user"])
    def test_lists_are_legal_distinct_and_long_enough(self, make: Maker, k: int, rule: str) -> None:
        everything = torch.ones(NUM_ITEMS, dtype=torch.bool)
        allowed = {
            "nothing": None,
            "seen": None,
            "filter": torch.arange(NUM_ITEMS) % 3 > 0,
            "filter of each user": torch.arange(NUM_ITEMS) % 7 > torch.arange(len(HISTORIES)).unsqueeze(1),
        }[rule]
        decoded = self.decode(make, DecodingRequest(BATCH, k, BATCH.history if rule == "seen" else None, allowed))
        for row, history in enumerate(HISTORIES):
            legal = everything if allowed is None else allowed if allowed.dim() == 1 else allowed[row]
            illegal = {item for item in range(NUM_ITEMS) if not legal[item]} | (set(history) if rule == "seen" else set())
            items = [item for item in decoded.items[row].tolist() if item != PAD]
            assert len(set(items)) == len(items)
            assert not set(items) & illegal
            assert len(items) >= k

    def test_lists_are_ordered(self, make: Maker) -> None:
        if self.is_random:
            pytest.skip("draws its items")
        decoded = self.decode(make, DecodingRequest(BATCH, 10))
        assert (decoded.scores[:, :10].diff(dim=1) <= 0).all()  # behind them, a group of equal items may end early
        assert decoded.scores[:, :10].isfinite().all()

    def test_a_user_is_decoded_alone_as_among_others(self, make: Maker) -> None:
        if self.is_random:
            pytest.skip("draws its items")
        together = self.decode(make, DecodingRequest(BATCH, 10))
        for row, history in enumerate(HISTORIES):
            single = self.decode(make, DecodingRequest(batch_of([history], width=6), 10))
            assert single.items[0, :10].tolist() == together.items[row, :10].tolist()

    def test_a_bias_moves_an_item_up(self, make: Maker) -> None:
        if self.is_random:
            pytest.skip("draws its items")
        bias = torch.zeros(NUM_ITEMS)
        bias[17] = 1000.0
        decoded = self.decode(make, DecodingRequest(BATCH, 5, bias=bias))
        assert decoded.items[:, 0].tolist() == [17] * len(HISTORIES)
