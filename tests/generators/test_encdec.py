"""What only encdec has: identities, an item head, and a beam state that stays small."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from small_world import OPTIONS, all_targets, batch_of, random_histories, scrambled, sids_of

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import item_log_probs
from genrec.decoding.trie_beam import TrieBeam
from genrec.protocols import CollisionContext, DecodingRequest
from genrec.tokenizers.collision.item_token import ItemToken

HYBRID = next(option for option in OPTIONS if option.id == "encdec-hybrid")
SIDS = sids_of(40, (4, 5, 6))
HISTORIES = random_histories(40, [0, 2, 6, 6])


def test_identities_of_unseen_items_change_no_score() -> None:
    counts = np.where(np.arange(40) < 20, 0, 4)
    generator = scrambled(HYBRID.build(SIDS, train_counts=counts))
    request = DecodingRequest(batch_of(HISTORIES), 40)

    def scores() -> tuple[torch.Tensor, torch.Tensor]:
        logits = generator.target_logits(all_targets(HISTORIES, 40))
        dense = logits.item_queries @ generator.item_table().T
        return TrieBeam(num_beams=40).decode(generator, PrefixTrie.build(SIDS), request).scores, dense.detach()

    before = scores()
    with torch.no_grad():
        rows = generator.item_embedding.identity.weight
        rows[:20] = rows[torch.randperm(20)] * 100
    assert all(torch.equal(*pair) for pair in zip(before, scores(), strict=True))
    with torch.no_grad():
        rows[20:] = rows[20 + torch.randperm(20)]
    assert not any(torch.allclose(*pair) for pair in zip(before, scores(), strict=True)), "known items have identities"


def test_histories_are_told_by_content_and_ids_end_in_a_token() -> None:
    codes = SIDS.codes.copy()
    codes[1] = codes[0]  # two items that only their tokens tell apart
    context = CollisionContext(pl.Series([f"item-{row:02}" for row in range(40)]), np.zeros(40, dtype=np.int64))
    table = ItemToken(spare=3).resolve(codes, SIDS.sizes, context)
    generator = scrambled(HYBRID.build(table, identity=False, item_head=False))
    states = generator.history_states(batch_of([[0, 2], [1, 2], [3, 2]]))
    assert torch.equal(states[0], states[1])
    assert not torch.allclose(states[0], states[2])
    batch = batch_of(HISTORIES)
    found = TrieBeam(num_beams=43).decode(generator, PrefixTrie.build(table), DecodingRequest(batch, 40))
    assert (found.items.sort(dim=1).values == torch.arange(40)).all()
    assert torch.allclose(found.scores.exp().sum(1), torch.ones(len(HISTORIES)))
    every = torch.arange(40).expand(len(HISTORIES), -1)
    given = item_log_probs(generator, PrefixTrie.build(table), batch, every)
    assert torch.allclose(given.gather(1, found.items), found.scores, atol=1e-5)


def test_the_history_is_stored_once_per_user() -> None:
    generator = HYBRID.build(SIDS)
    batch = batch_of(HISTORIES)
    _, state = generator.step(generator.prefill(batch), None)
    wide = generator.reorder(state, torch.zeros(len(HISTORIES), 50, dtype=torch.long))
    assert all(ours[0] is theirs[0] for ours, theirs in zip(wide.history, state.history, strict=True))
    assert wide.state is state.state
    assert {key.shape[1] for cache in wide.codes for key in cache.keys} == {1}, "what all beams share is stored once"
