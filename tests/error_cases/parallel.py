"""Messages of the generator that predicts all codes at once, and of the searches that it opens up."""

from __future__ import annotations

from typing import Any

from small_world import OPTIONS, ArbitraryLogits, batch_of, sids_of

from error_cases import Case
from genrec.core.trie import PrefixTrie
from genrec.decoding.masked_item import MaskedItem
from genrec.decoding.parallel_graph import ParallelGraph
from genrec.errors import ConfigError
from genrec.protocols import DecodingRequest

SIDS = sids_of(20, (4, 5))


def parallel(**changes: Any) -> Any:
    return next(option for option in OPTIONS if option.id == "parallel").build(SIDS, **changes)


def filled(generator: Any) -> Any:
    return MaskedItem().decode(generator, PrefixTrie.build(SIDS), DecodingRequest(batch_of([[1]]), 3))


def walked(generator: Any) -> Any:
    return ParallelGraph().decode(generator, PrefixTrie.build(SIDS), DecodingRequest(batch_of([[1]]), 3))


CASES = [
    Case("no temperature", ConfigError, "got 0.0", lambda scene: parallel(temperature=0.0)),
    Case("no neighbours", ConfigError, "decoding.num_neighbours", lambda scene: ParallelGraph(num_neighbours=0)),
    Case("too few beams", ConfigError, "got 3", lambda scene: ParallelGraph(num_beams=3).check(4)),
    Case("levels that depend on each other", ConfigError, "ArbitraryLogits", lambda scene: walked(ArbitraryLogits(SIDS))),
    Case(
        "levels that depend by their normalization",
        ConfigError,
        "got trie",
        lambda scene: walked(parallel(normalization="trie")),
    ),
    Case("a warm-up below zero", ConfigError, "got -1", lambda scene: MaskedItem(warm_up=-1)),
    Case("no divergence at all", ConfigError, "got 0.0", lambda scene: MaskedItem(max_divergence=0.0)),
    Case("codes in one order only", ConfigError, "ArbitraryLogits", lambda scene: filled(ArbitraryLogits(SIDS))),
]
