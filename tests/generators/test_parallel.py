"""What only parallel has: cosines in the input's own table, independent levels, long IDs."""

from __future__ import annotations

import numpy as np
import torch
from small_world import OPTIONS, batch_of, random_histories, scrambled, sids_of
from torch.nn import functional as F

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.protocols import DecodingRequest, MaskedGenerator, ParallelGenerator

PARALLEL = next(option for option in OPTIONS if option.id == "parallel")
SIDS = sids_of(40, (4, 5, 6))
BATCH = batch_of(random_histories(40, [0, 2, 6, 6]))


def test_logits_are_cosines_with_the_codes_of_the_input() -> None:
    generator = scrambled(PARALLEL.build(SIDS))
    assert isinstance(generator, ParallelGenerator)
    assert isinstance(generator, MaskedGenerator)
    states = generator.history_states(BATCH)
    for user, length in enumerate(BATCH.lengths.tolist()):
        state = states[user, length]
        for level, logits in enumerate(generator.level_logits(BATCH)):
            weights = generator.heads.weight.unflatten(0, (3, -1))[level]
            head = state + F.silu(weights @ state)
            table = generator.code_embedding.weight[SIDS.level_offsets[level] : SIDS.level_offsets[level + 1]]
            assert torch.allclose(logits[user], torch.cosine_similarity(head, table) / 0.07, atol=1e-4)


def test_at_first_every_head_is_the_state() -> None:
    generator = PARALLEL.build(sids_of(40, (7, 7)))
    with torch.no_grad():
        generator.code_embedding.weight[7:] = generator.code_embedding.weight[:7]
    first, second = generator.level_logits(BATCH)
    assert torch.equal(first, second)


def test_an_item_is_as_likely_as_its_codes_one_by_one() -> None:
    generator = scrambled(PARALLEL.build(SIDS))
    decoded = Exhaustive().decode(generator, PrefixTrie.build(SIDS), DecodingRequest(BATCH, 40))
    log_probs = [logits.log_softmax(dim=1) for logits in generator.level_logits(BATCH)]
    codes = torch.from_numpy(SIDS.codes)[decoded.items].long()
    expected = sum(log_probs[level].gather(1, codes[..., level]) for level in range(3))
    assert torch.allclose(decoded.scores, expected, atol=1e-5)
    assert decoded.scores.isfinite().all()


def test_filled_codes_change_nothing() -> None:
    generator = scrambled(PARALLEL.build(SIDS))
    codes = torch.tensor([[[-1, -1, -1], [3, -1, 2]]] * len(BATCH))
    for filled, logits in zip(generator.fill(generator.prefill(BATCH), codes), generator.level_logits(BATCH), strict=True):
        assert torch.equal(filled, logits.unsqueeze(1).expand(-1, 2, -1))


def test_an_identity_says_of_histories_who_an_item_is() -> None:
    """Items of equal codes differ, one without training events does not; without ``identity`` nothing is added."""
    sids = SIDTable(np.array([[0, 1], [0, 1], [0, 1], [1, 0]]), (2, 2))
    counts = np.array([5, 15, 0, 1])
    batch = batch_of([[0], [1], [2]])
    plain = scrambled(PARALLEL.build(sids)).eval()
    first, second, unseen = plain.history_states(batch)[:, 1]
    assert torch.equal(first, second)
    generator = scrambled(PARALLEL.build(sids, train_counts=counts, identity=True))
    assert torch.equal(generator.item_identity.gate.squeeze(-1), torch.tensor([0.5, 0.75, 0.0, 1 / 6]))
    first, second, unseen = generator.history_states(batch)[:, 1]
    assert (first - second).abs().max() > 1e-3
    with torch.no_grad():
        generator.item_identity.identity.weight.zero_()
    assert torch.allclose(generator.history_states(batch)[:, 1], unseen.expand(3, -1), atol=1e-6)
