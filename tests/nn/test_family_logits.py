"""The children of a wide level computed alone have the logits that the whole head would give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.trie_beam import TrieBeam
from genrec.generators.encdec import EncDec
from genrec.nn import trie_likelihood
from genrec.nn.trie_likelihood import child_log_probs, family_logits
from genrec.protocols import DecodingRequest

NUM_ITEMS, CODES = 300, 12


def own_tokens() -> SIDTable:
    """Families of 1 to about 90, tokens in no order."""
    random = np.random.default_rng(0)
    first = np.append((random.random(NUM_ITEMS - 1) ** 2 * (CODES - 1)).astype(int), CODES - 1)
    return SIDTable(np.column_stack([first, random.permutation(NUM_ITEMS)]), (CODES, NUM_ITEMS), collision_level=1)


@pytest.mark.parametrize("num_beams", [1, 5])
def test_they_are_those_of_the_whole_head(num_beams: int) -> None:
    torch.manual_seed(0)
    trie, head = PrefixTrie.build(own_tokens()), nn.Linear(8, NUM_ITEMS)
    hidden = torch.randn(7, num_beams, 8, requires_grad=True)
    nodes = torch.randint(1, trie.level_starts[2], (7, num_beams))
    _, codes, exists = trie.children(nodes, 1)
    few = family_logits(hidden, head, nodes, codes, exists).masked_fill(~exists, float("-inf")).log_softmax(-1)
    whole = child_log_probs(head(hidden), codes, exists, "trie")
    assert torch.equal(few == float("-inf"), whole == float("-inf"))
    assert torch.allclose(few[exists], whole[exists], atol=1e-5)
    share = torch.randn(exists.shape)[exists]
    inputs = (hidden, head.weight, head.bias)
    for ours, theirs in zip(
        torch.autograd.grad((few[exists] * share).sum(), inputs),
        torch.autograd.grad((whole[exists] * share).sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("strategy", [TrieBeam(num_beams=10), Exhaustive()], ids=["beams", "exhaustive"])
def test_lists_are_the_same_and_the_whole_head_is_never_used(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    sids = own_tokens()
    trie, generator = PrefixTrie.build(sids), EncDec(sids=sids, dim=16, num_heads=2).eval()
    for head in generator.heads:
        nn.init.normal_(head.weight, std=0.3)
    history = torch.randint(0, NUM_ITEMS, (6, 4))
    request = DecodingRequest(Batch(history, torch.full((6,), 4)), 10, seen=history)
    monkeypatch.setattr(trie_likelihood, "WIDE", 10**9)
    whole = strategy.decode(generator, trie, request)
    monkeypatch.setattr(trie_likelihood, "WIDE", 2)
    generator.heads[1].register_forward_hook(lambda *_: pytest.fail("the head of all tokens was computed"))
    few = strategy.decode(generator, trie, request)
    assert torch.equal(few.items, whole.items)
    assert torch.allclose(few.scores, whole.scores, atol=1e-4)
