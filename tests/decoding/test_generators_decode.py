"""The shipped generators through the searches: the fast one and the oracle agree on 200 items."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from slow_decoding import Entry, assert_same, entries
from small_world import OPTIONS, Option, batch_of, random_histories, scrambled, sids_of

from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive, leaf_log_probs
from genrec.decoding.masked_item import MaskedItem
from genrec.decoding.parallel_graph import ParallelGraph
from genrec.decoding.trie_beam import TrieBeam
from genrec.engine.config import compose
from genrec.engine.pipeline import check_decoding
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, DecodingRequest, ParallelGenerator

SIDS = sids_of(200, (6, 7, 9))
AUTOREGRESSIVE = [option for option in OPTIONS if isinstance(option.build(SIDS), AutoregressiveGenerator)]
PARALLEL = [option for option in AUTOREGRESSIVE if isinstance(option.build(SIDS), ParallelGenerator)]
TRIE = PrefixTrie.build(SIDS)
BATCH = batch_of(random_histories(200, [0, 1, 3, 6]))


def normalized(option: Option, normalization: str) -> Any:
    """Some are configured so, others are always normalized over the codebook; the searches ask the generator."""
    generator = scrambled(option.build(SIDS))
    generator.normalization = normalization
    return generator


def exact(rows: list[Entry]) -> dict[int, float]:
    return {entry.item: entry.score for entry in rows}


@pytest.mark.parametrize("normalization", ["trie", "codebook"])
@pytest.mark.parametrize("option", AUTOREGRESSIVE, ids=lambda option: option.id)
def test_wide_beam_equals_exhaustive(option: Option, normalization: str) -> None:
    generator = normalized(option, normalization)
    allowed = torch.arange(200) % 5 > 0
    for request in (DecodingRequest(BATCH, 200), DecodingRequest(BATCH, 50, BATCH.history, allowed)):
        beam = TrieBeam(num_beams=200).decode(generator, TRIE, request)
        oracle = Exhaustive(batch_size=3).decode(generator, TRIE, request)
        for row in range(len(BATCH)):
            assert_same(entries(beam, row), entries(oracle, row))
            scores = [entry.score for entry in entries(oracle, row)]
            assert max(scores) - min(scores) > 1, "logits that differ"


@pytest.mark.parametrize("option", AUTOREGRESSIVE, ids=lambda option: option.id)
def test_probabilities_sum_to_one(option: Option) -> None:
    generator = normalized(option, "trie")
    total = leaf_log_probs(generator, TRIE, BATCH).exp().sum(1)
    assert torch.allclose(total, torch.ones(len(BATCH)), atol=1e-4)


@pytest.mark.parametrize("option", AUTOREGRESSIVE, ids=lambda option: option.id)
def test_batch_and_padding_change_no_score(option: Option) -> None:
    generator = scrambled(option.build(SIDS))
    together = TrieBeam(num_beams=30).decode(generator, TRIE, DecodingRequest(BATCH, 20))
    for row, length in enumerate(BATCH.lengths.tolist()):
        alone = batch_of([BATCH.history[row, :length].tolist()], width=length + 4)
        single = TrieBeam(num_beams=30).decode(generator, TRIE, DecodingRequest(alone, 20))
        assert_same(entries(single, 0), entries(together, row))


@pytest.mark.parametrize("option", PARALLEL, ids=lambda option: option.id)
def test_where_levels_are_independent_every_search_is_exact(option: Option) -> None:
    """Wide enough, that is; the oracle itself looks up here, so the beam search is the independent one."""
    generator = scrambled(option.build(SIDS))
    request = DecodingRequest(BATCH, 30, BATCH.history)
    beam = TrieBeam(num_beams=200).decode(generator, TRIE, request)
    for strategy in (Exhaustive(batch_size=3), ParallelGraph(num_neighbours=200), MaskedItem(num_beams=1000)):
        decoded = strategy.decode(generator, TRIE, request)
        for row in range(len(BATCH)):
            assert_same(entries(decoded, row), entries(beam, row))


@pytest.mark.parametrize(
    ("generator", "decoding", "fits"),
    [
        ("encdec", "exhaustive", True),
        ("encdec", "parallel_graph", False),
        ("encdec", "masked_item", False),
        ("hybrid_attention", "parallel_graph", True),
        ("hybrid_attention", "masked_item", True),
        ("masked_diffusion", "masked_item", True),
        ("masked_diffusion", "best_first", True),
        ("masked_diffusion", "parallel_graph", False),
    ],
)
def test_a_search_for_other_generators_is_refused_before_anything_runs(generator: str, decoding: str, fits: bool) -> None:
    config = compose([f"generator={generator}", f"decoding={decoding}"]).tree
    if fits:
        check_decoding(config)
    else:
        with pytest.raises(ConfigError, match="decoding: expected a strategy for"):
            check_decoding(config)
