"""What becomes of the next item, against the slow search: accuracy given the truth, lost beams, and whose fault it is."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from slow_decoding import SlowDecoding
from small_world import OPTIONS, ArbitraryLogits, batch_of, random_histories, scrambled, sequences_of, sids_of

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.trie_beam import TrieBeam
from genrec.diagnosis.beam_diagnostics import Decoder, Observed, beam_losses, level_accuracy, observe
from genrec.protocols import DecodingRequest, DecodingStrategy

ENCDEC = next(option for option in OPTIONS if option.id == "encdec")
NUM_ITEMS = 60
TABLE = sids_of(NUM_ITEMS, (4, 5, 6))
ROWS = random_histories(NUM_ITEMS, [0, 1, 3, 6], seed=5)
USERS, TARGETS = np.repeat(np.arange(len(ROWS)), NUM_ITEMS), np.tile(np.arange(NUM_ITEMS), len(ROWS))  # every item of everybody
PAIRS = [(ROWS[user], int(target)) for user, target in zip(USERS, TARGETS, strict=True)]


def observed(
    strategy: DecodingStrategy, *, table: SIDTable = TABLE, k: int = 10, exclude_seen: bool = True, normalization: str = "trie"
) -> tuple[Observed, ArbitraryLogits]:
    generator = ArbitraryLogits(table, normalization=normalization)  # type: ignore[arg-type]
    decoder = Decoder(generator, strategy, PrefixTrie.build(table), k, exclude_seen)
    return observe(decoder, sequences_of(ROWS), USERS, TARGETS), generator


class Remembering(SlowDecoding):
    """Computes each family once."""

    def __init__(self, generator: ArbitraryLogits, table: SIDTable, history: list[int]) -> None:
        super().__init__(generator, table, history)
        self.log_probs = cache(super().log_probs)  # type: ignore[method-assign]


@pytest.mark.parametrize("normalization", ["trie", "codebook"])
def test_accuracy_given_the_true_prefix(normalization: str) -> None:
    seen, generator = observed(TrieBeam(num_beams=10), normalization=normalization)
    levels = level_accuracy(seen)
    assert levels is not None
    slow = [Remembering(generator, TABLE, row) for row in ROWS]
    for level, told in enumerate(levels):
        right, log_probs, choices, mass = [], [], [], []
        for user, target in zip(USERS, TARGETS, strict=True):
            codes = tuple(TABLE.codes[target].tolist())
            family = slow[user].log_probs(codes[:level])
            right.append(max(family, key=lambda child: family[child]) == codes[: level + 1])
            log_probs.append(family[codes[: level + 1]])
            choices.append(len(family))
            mass.append(sum(math.exp(value) for value in family.values()))
        assert told["accuracy"] == pytest.approx(np.mean(right))
        assert told["log_prob"] == pytest.approx(np.mean(log_probs), abs=1e-5)
        assert told["log_choices"] == pytest.approx(np.mean(np.log(choices)))
        assert told["forced"] == pytest.approx(np.mean(np.array(choices) == 1))
        assert told["mass"] == pytest.approx(np.mean(mass), abs=1e-5)
    assert 0 < levels[0]["accuracy"] < 1
    assert (levels[2]["mass"] < 0.999) == (normalization == "codebook")


def test_accuracy_given_the_true_prefix_is_that_of_training() -> None:
    """``target_logits`` is another way through the same network."""
    generator = scrambled(ENCDEC.build(TABLE))
    decoder = Decoder(generator, TrieBeam(num_beams=10), PrefixTrie.build(TABLE), 10, False)
    seen = observe(decoder, sequences_of(ROWS), USERS, TARGETS)
    history = batch_of([row for row, _ in PAIRS])
    assert history.history.shape[1] <= generator.max_history_len
    targets = torch.full((len(PAIRS), history.history.shape[1] + 1), -1)
    targets[torch.arange(len(PAIRS)), history.lengths] = torch.from_numpy(TARGETS)
    with torch.inference_mode():
        logits = generator.target_logits(replace(history, targets=targets)).levels
    for level, values in enumerate(logits):
        for user, row in enumerate(values):
            codes = TABLE.codes[TARGETS[user]]
            same = (TABLE.codes[:, :level] == codes[:level]).all(axis=1)
            family = torch.from_numpy(np.unique(TABLE.codes[same, level])).long()
            assert seen["correct"][user, level] == (family[row[family].argmax()] == codes[level])
            expected = row[codes[level]] - row[family].logsumexp(0)
            assert seen["taken"][user, level] == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("num_beams", [3, 8])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_beams_lose_what_a_slow_beam_search_loses(num_beams: int, exclude_seen: bool) -> None:
    seen, generator = observed(TrieBeam(num_beams=num_beams), k=3, exclude_seen=exclude_seen)
    kept, first = np.zeros((len(PAIRS), 3), dtype=bool), np.zeros((len(PAIRS), 3), dtype=bool)
    for user, row in enumerate(ROWS):
        slow, excluded = SlowDecoding(generator, TABLE, row), set(row) if exclude_seen else set()
        beams: dict[tuple[int, ...], float] = {(): 0.0}
        for level in range(3):
            grown = {child: s + value for prefix, s in beams.items() for child, value in slow.log_probs(prefix).items()}
            grown = {child: s for child, s in grown.items() if not set(slow.below[child]) <= excluded}
            beams = dict(sorted(grown.items(), key=lambda pair: -pair[1])[:num_beams])
            for item in range(NUM_ITEMS):
                path, pair = tuple(TABLE.codes[item, : level + 1].tolist()), user * NUM_ITEMS + item
                kept[pair, level], first[pair, level] = path in beams, path == next(iter(beams))
    counted = np.array([not exclude_seen or target not in row for row, target in PAIRS])
    assert np.array_equal(seen["open"], counted)
    assert np.array_equal(seen["kept"][counted], kept[counted])
    assert np.array_equal(seen["first"][counted], first[counted])
    told = beam_losses(seen, 3)
    assert told is not None
    shares = [1.0, *kept[counted].mean(axis=0)]
    assert told["lost"] == pytest.approx([before - after for before, after in pairwise(shares)])
    assert told["kept"] == pytest.approx(kept[counted, 2].mean())
    assert sum(told["lost"]) + told["kept"] == pytest.approx(1)
    assert told["users"] == counted.sum()
    assert told["users"] + told["excluded"] == len(PAIRS)
    assert 0 < told["kept"] < 0.9, "something is lost"


def test_whose_fault_it_is() -> None:
    """A search error is an item that the exact probabilities put above the last one listed."""
    table = sids_of(NUM_ITEMS, (30, 30))  # lone items under a lost code are what a search misses
    generator, trie = scrambled(ENCDEC.build(table), scale=0.3), PrefixTrie.build(table)
    seen = observe(Decoder(generator, TrieBeam(num_beams=12), trie, 12, True), sequences_of(ROWS), USERS, TARGETS)
    told = beam_losses(seen, 12)
    assert told is not None
    assert [entry["k"] for entry in told["lists"]] == [10, 12]
    ranking = Exhaustive().decode(generator, trie, DecodingRequest(batch_of(ROWS), NUM_ITEMS))
    exact = [dict(zip(*pair, strict=True)) for pair in zip(ranking.items.tolist(), ranking.scores.tolist(), strict=True)]
    for entry in told["lists"]:
        k, listed, errors = entry["k"], [], []
        for pair, (user, (row, target)) in enumerate(zip(USERS, PAIRS, strict=True)):
            if target in row:
                continue
            mine = seen["items"][pair, :k].tolist()
            listed.append(target in mine)
            errors.append(target not in mine and exact[user][target] > exact[user][mine[-1]] + 1e-4)
        assert entry["listed"] == pytest.approx(np.mean(listed))
        assert entry["search_errors"] == pytest.approx(np.mean(errors))
        assert entry["listed"] + entry["search_errors"] + entry["model_errors"] == pytest.approx(1)
        assert entry["search_errors"] > 0


def test_a_wide_beam_loses_nothing() -> None:
    groups = sids_of(NUM_ITEMS, (4, 5, 4), distinct=False)
    seen, _ = observed(TrieBeam(num_beams=NUM_ITEMS), table=groups, k=NUM_ITEMS)
    told = beam_losses(seen, NUM_ITEMS)
    assert told is not None
    assert told["lost"] == [0, 0, 0]
    assert told["kept"] == 1
    assert told["lists"][-1] == {"k": NUM_ITEMS, "listed": 1, "search_errors": 0, "model_errors": 0}
    assert told["lists"][0]["search_errors"] == 0


def test_a_search_without_beams_loses_none() -> None:
    seen, _ = observed(Exhaustive())
    assert beam_losses(seen, 10) is None
    levels = level_accuracy(seen)
    assert levels is not None
    assert {level["own_accuracy"] for level in levels} == {None}
    rows = [i for i, row in enumerate(seen["items"]) if TARGETS[i] in row]
    assert len(rows) == 10 * len(ROWS)
    own = [seen["log_probs"][i][seen["items"][i].tolist().index(TARGETS[i])] for i in rows]
    assert np.allclose(own, seen["log_prob"][rows], atol=1e-5), "the list's scores and the target's are of one kind"


def test_nobody_to_count() -> None:
    """Everybody's next item has been seen and is excluded."""
    generator, rows = ArbitraryLogits(TABLE), [[7], [8, 9]]
    decoder = Decoder(generator, TrieBeam(num_beams=10), PrefixTrie.build(TABLE), 10, True)
    seen = observe(decoder, sequences_of(rows), np.arange(2), np.array([7, 9]))
    assert beam_losses(seen, 10) is None


def test_the_observer_changes_nothing() -> None:
    plain = Batch.of_histories(sequences_of(ROWS), np.arange(len(ROWS)), 50)
    generator, trie = ArbitraryLogits(TABLE), PrefixTrie.build(TABLE)
    calls: list[int] = []
    request = DecodingRequest(plain, 5)
    alone = TrieBeam(num_beams=5).decode(generator, trie, request)
    watched = TrieBeam(num_beams=5).decode(
        generator, trie, replace(request, observer=lambda level, nodes, scores: calls.append(level))
    )
    assert calls == [0, 1, 2]
    assert torch.equal(alone.items, watched.items)
