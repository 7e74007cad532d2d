"""Filling in codes in any order: against a slow search over dictionaries, for arbitrary logits, filters and biases."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_decoding import Entry, assert_same, entries
from small_world import ArbitraryLogits, batch_of, random_histories, scrambled, sids_of
from test_steering import Made, row_of, steered
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.masked_item import MaskedItem
from genrec.generators.parallel import Parallel
from genrec.protocols import DecodingRequest, MaskedGenerator
from genrec.types import PAD

Partial = tuple[int, ...]


class ArbitraryMasked(ArbitraryLogits):
    """Logits are a fixed, patternless function of the history and of which codes are filled in."""

    last_level: int | None = None

    def fill(self, state: Any, codes: Tensor) -> tuple[Tensor, ...]:
        place = torch.arange(1, codes.shape[-1] + 1) * 7919
        prefix = ((codes + 2) * place * (codes + 5)).sum(-1) % 1_000_003
        return tuple(
            super(ArbitraryMasked, self).step(type(state)(state.user, prefix, level), None)[0]
            for level in range(self.sids.num_levels)
        )


class SlowFilling:
    """One user, one partial item at a time."""

    def __init__(self, generator: Any, table: SIDTable, request: DecodingRequest, row: int) -> None:
        self.generator, self.rows, self.k = generator, [tuple(codes) for codes in table.codes.tolist()], request.k
        self.batch = batch_of([request.batch.history[row, : request.batch.lengths[row]].tolist()])
        allowed, self.bias = row_of(request.allowed, row), row_of(request.bias, row)
        seen = set(request.seen[row].tolist()) if request.seen is not None else set()
        self.open = [i for i in range(len(self.rows)) if i not in seen and (allowed is None or allowed[i])]

    def best_bias(self, partial: Partial) -> float:
        below = [item for item in self.open if agree(partial, self.rows[item])]
        return max(((self.bias or [0.0] * len(self.rows))[item] for item in below), default=-math.inf)

    @torch.inference_mode()
    def divergence(self, before: Partial, after: Partial) -> float:
        """Mean Jensen-Shannon divergence of what the open levels predict."""
        state = self.generator.prefill(self.batch)
        old, new = (self.generator.fill(state, torch.tensor([[partial]])) for partial in (before, after))
        terms = []
        for level, code in enumerate(after):
            if code == PAD and level != self.generator.last_level:
                p, q = (each[level][0, 0].double().softmax(0) for each in (old, new))
                middle = (p + q) / 2
                terms.append(float((p * (p / middle).log() + q * (q / middle).log()).sum() / 2))
        return sum(terms) / max(len(terms), 1)

    @torch.inference_mode()
    def log_probs(self, partial: Partial) -> list[dict[int, float]]:
        """Per level, of the codes that a partial item may get."""
        filled = self.generator.fill(self.generator.prefill(self.batch), torch.tensor([[partial]]))
        answer = []
        for level, of_level in enumerate(filled):
            logits = of_level[0, 0].double()
            codes = sorted({row[level] for row in self.rows if agree(partial, row)})
            total = (logits[codes] if self.generator.normalization == "trie" else logits).logsumexp(0)
            answer.append({code: float(logits[code] - total) for code in codes})
        return answer

    def leaves(
        self, num_beams: int, in_order: bool, warm_up: int | None = None, most: float = math.inf
    ) -> dict[Partial, float]:
        num_levels, last_level = len(self.rows[0]), self.generator.last_level
        others = [level for level in range(num_levels) if level != last_level]
        beams: dict[Partial, float] = {(PAD,) * num_levels: 0.0}
        turn, parents = 0, dict[Partial, Partial]()
        while turn < num_levels:
            beams = {p: score for p, score in beams.items() if p not in parents or self.divergence(parents[p], p) <= most}
            at_once = warm_up == turn and not in_order and turn < num_levels - 1
            is_last = turn == num_levels - 1 or (at_once and last_level is None)
            grown: dict[Partial, float] = {}
            for partial, score in beams.items():
                log_probs = self.log_probs(partial)
                if at_once:
                    lacking = [level for level in others if partial[level] == PAD]
                    whole = [row for row in self.rows if agree(partial, row)]
                    ways = [(row, sum(log_probs[level][row[level]] for level in lacking)) for row in whole]
                    if last_level is not None:
                        ways = [((*row[:last_level], PAD), log_prob) for row, log_prob in ways]
                else:
                    one = [level for level in range(num_levels) if partial[level] == PAD]
                    if not in_order and last_level is not None:
                        one = [level for level in one if (level == last_level) == (one == [last_level])]
                    ways = [
                        ((*partial[:level], code, *partial[level + 1 :]), log_prob)
                        for level in ([turn] if in_order else one)
                        for code, log_prob in log_probs[level].items()
                    ]
                for longer, log_prob in ways:
                    log_prob -= math.log(self.rows.count(longer)) if is_last else 0.0
                    if score + log_prob > grown.get(longer, -math.inf):
                        grown[longer], parents[longer] = score + log_prob, partial
            keys = {partial: score + self.best_bias(partial) for partial, score in grown.items()}
            kept = sorted((p for p in grown if keys[p] > -math.inf), key=lambda p: -keys[p])[:num_beams]
            beams = {partial: grown[partial] for partial in kept}
            parents = {} if in_order or at_once else parents
            turn = num_levels if is_last else num_levels - 1 if at_once else turn + 1
        return beams

    def ranking(self, num_beams: int, warm_up: int | None = None, most: float = math.inf) -> list[Entry]:
        leaves = self.leaves(num_beams, in_order=False, warm_up=warm_up, most=most)
        if sum(self.rows[item] in leaves for item in self.open) < self.k:
            for leaf, score in self.leaves(num_beams, in_order=True).items():
                leaves[leaf] = max(score, leaves.get(leaf, -math.inf))
        bias = self.bias or [0.0] * len(self.rows)
        keys = {item: leaves[self.rows[item]] + bias[item] for item in self.open if self.rows[item] in leaves}
        items = sorted(keys, key=lambda item: (-keys[item], self.rows[item], item))
        if self.bias is not None:
            return [Entry(item, keys[item], rank, 1) for rank, item in enumerate(items[: self.k], 1)]
        found = []
        for item in items:
            group = [place for place, other in enumerate(items) if self.rows[other] == self.rows[item]]
            if group[0] < self.k:
                found.append(Entry(item, keys[item], group[0] + 1, len(group)))
        return found


def agree(partial: Partial, row: Partial) -> bool:
    return all(code in (PAD, own) for code, own in zip(partial, row, strict=True))


@given(steered(), st.integers(16, 20))
def test_narrow_beams_are_the_slow_ones(made: Made, num_beams: int) -> None:
    """Over the codebook, and with a code too many in every level: no step is certain, so that no two beams tie."""
    codes, sizes, request = made
    table = SIDTable(codes, tuple(size + 1 for size in sizes))
    generator = ArbitraryMasked(table, normalization="codebook")
    decoded = MaskedItem(num_beams=num_beams).decode(generator, PrefixTrie.build(table), request)
    for row in range(len(request.batch)):
        assert_same(entries(decoded, row), SlowFilling(generator, table, request, row).ranking(num_beams))


@given(steered(), st.integers(16, 20), st.sampled_from([None, 0, 1, 2]), st.booleans())
def test_a_level_that_comes_last_and_the_rest_at_once(
    made: Made, num_beams: int, warm_up: int | None, has_number: bool
) -> None:
    """The number among items of equal codes waits for all codes; after the warm-up all IDs that agree are scored."""
    codes, sizes, request = made
    table = SIDTable(codes, tuple(size + 1 for size in sizes))
    generator = ArbitraryMasked(table, normalization="codebook")
    generator.last_level = table.num_levels - 1 if has_number and table.num_levels > 1 else None
    decoded = MaskedItem(num_beams=num_beams, warm_up=warm_up).decode(generator, PrefixTrie.build(table), request)
    for row in range(len(request.batch)):
        assert_same(entries(decoded, row), SlowFilling(generator, table, request, row).ranking(num_beams, warm_up))


@pytest.mark.parametrize("last_level", [None, 3])
@pytest.mark.parametrize("most", [0.1, 0.2])
def test_beams_whose_last_code_changes_the_predictions_are_dropped(most: float, last_level: int | None) -> None:
    table = sids_of(80, (4, 5, 6, 7))
    request = DecodingRequest(batch_of(random_histories(80, [0, 3, 6])), 8)
    generator = ArbitraryMasked(table, normalization="codebook")
    generator.last_level = last_level
    trie, lists = PrefixTrie.build(table), []
    for limit in (most, None):
        decoded = MaskedItem(num_beams=20, max_divergence=limit).decode(generator, trie, request)
        lists.append([entries(decoded, row) for row in range(3)])
    slow = [SlowFilling(generator, table, request, row) for row in range(3)]
    for row in range(3):
        assert_same(lists[0][row], slow[row].ranking(20, most=most))
    assert lists[0] != lists[1]
    assert all(len(each) == 8 for each in lists[0]), "k items, whatever is dropped"


def test_without_a_warm_up_independent_codes_are_ranked_exactly_in_one_step() -> None:
    table = sids_of(60, (4, 5, 6))
    trie, request = PrefixTrie.build(table), DecodingRequest(batch_of(random_histories(60, [0, 2, 6])), 60)
    torch.manual_seed(0)
    generator = scrambled(Parallel(sids=table, dim=16, num_heads=2, max_history_len=6, normalization="codebook").eval())
    oracle = Exhaustive().decode(generator, trie, request)
    at_once = MaskedItem(num_beams=60, warm_up=0).decode(generator, trie, request)
    for row in range(3):
        assert_same(entries(at_once, row), entries(oracle, row))


def test_what_two_orders_lead_to_takes_one_beam() -> None:
    """Far fewer beams than partial items: a repeated one would crowd out another."""
    table = sids_of(80, (4, 5, 6))
    request = DecodingRequest(batch_of(random_histories(80, [0, 1, 3, 6])), 8)
    generator = ArbitraryMasked(table, normalization="codebook")
    decoded = MaskedItem(num_beams=8).decode(generator, PrefixTrie.build(table), request)
    for row in range(4):
        assert_same(entries(decoded, row), SlowFilling(generator, table, request, row).ranking(8))


@given(steered())
def test_wide_beams_find_the_best_order_of_every_item(made: Made) -> None:
    codes, sizes, request = made
    table = SIDTable(codes, sizes)
    generator = ArbitraryMasked(table)
    decoded = MaskedItem(num_beams=300).decode(generator, PrefixTrie.build(table), request)
    for row in range(len(request.batch)):
        assert_same(entries(decoded, row), SlowFilling(generator, table, request, row).ranking(300))


@pytest.mark.parametrize("scale", [3.0, 50.0])
def test_always_k_legal_items_even_where_all_beams_are_views_of_one(scale: float) -> None:
    table = sids_of(300, (4, 5, 6, 7))
    batch = batch_of(random_histories(300, [0, 1, 4, 9]))
    allowed = torch.rand(4, 300, generator=torch.Generator().manual_seed(0)) < torch.tensor([[1.0], [0.5], [0.1], [0.02]])
    request = DecodingRequest(batch, 20, batch.history, allowed)
    decoded = MaskedItem(num_beams=20).decode(ArbitraryMasked(table, scale=scale), PrefixTrie.build(table), request)
    for row in range(4):
        items = [entry.item for entry in entries(decoded, row)]
        legal = set(allowed[row].nonzero().flatten().tolist()) - set(batch.history[row].tolist())
        assert len(items) == len(set(items)) == min(20, len(legal))
        assert set(items) <= legal


def test_a_generator_of_independent_codes_is_decoded_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the codebook no order matters. Over the trie the best order counts, and the oracle's is one of them."""
    table = sids_of(60, (4, 5, 6))
    trie, batch = PrefixTrie.build(table), batch_of(random_histories(60, [0, 2, 6]))
    request = DecodingRequest(batch, 60)
    scores = {}
    for normalization in ("codebook", "trie"):
        options: dict[str, Any] = {"normalization": normalization, "dim": 16, "num_heads": 2, "max_history_len": 6}
        torch.manual_seed(0)
        generator = scrambled(Parallel(sids=table, **options).eval())
        oracle = Exhaustive().decode(generator, trie, request)
        filled = MaskedItem(num_beams=400).decode(generator, trie, request)
        scores[normalization] = [
            [{entry.item: entry.score for entry in entries(answer, row)} for row in range(3)] for answer in (filled, oracle)
        ]
        if normalization == "codebook":
            for row in range(3):
                assert_same(entries(filled, row), entries(oracle, row))
            monkeypatch.setattr("genrec.decoding.masked_item._ENTRIES", 1)  # a user at a time
            for row in range(3):
                alone = MaskedItem(num_beams=400).decode(generator, trie, request)
                assert_same(entries(alone, row), entries(filled, row))
    for ours, theirs in zip(*scores["trie"], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(ours[item] > theirs[item] - 1e-5 for item in ours)
        assert any(ours[item] > theirs[item] + 1e-3 for item in ours)


def test_is_what_it_needs() -> None:
    table = sids_of(20, (4, 5))
    assert isinstance(ArbitraryMasked(table), MaskedGenerator)
    assert not isinstance(ArbitraryLogits(table), MaskedGenerator)
    state = ArbitraryMasked(table).prefill(Batch(torch.zeros(1, 1, dtype=torch.long), torch.ones(1, dtype=torch.long)))
    first, second = (ArbitraryMasked(table).fill(state, torch.tensor([[[code, PAD]]]))[1] for code in (0, 1))
    assert not torch.equal(first, second), "what is filled counts"
