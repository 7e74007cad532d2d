"""Messages of decoding strategies and of what they are asked."""

from __future__ import annotations

from typing import Any

import torch
from small_world import ArbitraryLogits, batch_of, sids_of

from error_cases import Case, Scene
from genrec.core.trie import PrefixTrie
from genrec.decoding.best_first import BestFirst
from genrec.decoding.diverse_trie_beam import DiverseTrieBeam
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.fusion import Fusion
from genrec.decoding.guided import Guided
from genrec.decoding.masked_item import MaskedItem
from genrec.decoding.quota import Quota
from genrec.decoding.trie_sampling import TrieSampling
from genrec.errors import ConfigError
from genrec.protocols import DecodingRequest

SIDS = sids_of(20, (4, 5))
BATCH = batch_of([[1, 2]])


def search_once(scene: Scene) -> Any:
    """A quota that one search cannot fill: the best items are all of one group."""
    quota = Quota(Exhaustive(), torch.arange(20) // 10, 1, searches=1)
    return quota.decode(
        ArbitraryLogits(SIDS), PrefixTrie.build(SIDS), DecodingRequest(BATCH, 2, bias=-1e3 * torch.arange(20.0))
    )


CASES = [
    Case("guided masks", ConfigError, "got MaskedItem (masked)", lambda scene: Guided(strategy=MaskedItem())),
    Case(
        "a baseline guided",
        ConfigError,
        "decoding.guidance: expected generator or head, where it is a member, got transitions",
        lambda scene: Fusion(members=("generator",), guidance={"transitions": 2.0}),
    ),
    Case(
        "a member's strength",
        ConfigError,
        "decoding.guidance.generator: expected a finite number, got inf",
        lambda scene: Fusion(members=("generator",), guidance={"generator": float("inf")}),
    ),
    Case("no strength", ConfigError, "got nan", lambda scene: Guided(strategy=Exhaustive(), strength=float("nan"))),
    Case("no beams", ConfigError, "decoding.num_beams: expected at least 1, got 0", lambda scene: BestFirst(num_beams=0)),
    Case(
        "no item of a prefix",
        ConfigError,
        "decoding.per_prefix: expected at least 1, got 0",
        lambda scene: DiverseTrieBeam(per_prefix=0),
    ),
    Case(
        "no temperature",
        ConfigError,
        "decoding.temperature: expected above 0, got 0.0",
        lambda scene: TrieSampling(temperature=0.0),
    ),
    Case("no mass", ConfigError, "decoding.top_p: expected in (0, 1], got 0.0", lambda scene: TrieSampling(top_p=0.0)),
    Case(
        "a quota of nothing",
        ConfigError,
        "quota: expected at least 1, got 0",
        lambda scene: Quota(Exhaustive(), torch.zeros(3).long(), 0),
    ),
    Case(
        "a quota that takes many searches",
        ConfigError,
        "lists that 1 searches fill, got 1 lists of 1 that need more",
        search_once,
    ),
    Case(
        "nothing allowed",
        ConfigError,
        "got none of 20",
        lambda scene: DecodingRequest(BATCH, 2, allowed=torch.zeros(20).bool()),
    ),
    Case(
        "a bias that is no number",
        ConfigError,
        "bias: expected finite numbers, got inf",
        lambda scene: DecodingRequest(BATCH, 2, bias=torch.full((20,), torch.inf)),
    ),
]
