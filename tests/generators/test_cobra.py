"""What only cobra has: items inside an ID by their vectors, whatever number they have, also items that came later."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_world import OPTIONS, all_targets, batch_of, random_histories, scrambled
from torch.nn import functional as F

from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.generators.cobra import Cobra
from genrec.protocols import DecodingRequest
from genrec.types import PAD

NUM_ITEMS = 40
VECTORS = np.random.default_rng(3).normal(size=(NUM_ITEMS, 12)).astype(np.float32)
HISTORIES = random_histories(NUM_ITEMS, [0, 1, 4, 6])


def grouped(order: np.ndarray | None = None) -> SIDTable:
    """IDs of two codes, some of which several items share; within each the items are numbered by ``order``."""
    ids = np.random.default_rng(0).integers(0, (3, 4), (NUM_ITEMS, 2))
    numbers = np.zeros(NUM_ITEMS, dtype=np.int64)
    seen: dict[tuple[int, ...], int] = {}
    for item in range(NUM_ITEMS) if order is None else order:
        key = tuple(ids[item])
        numbers[item] = seen.get(key, 0)
        seen[key] = int(numbers[item]) + 1
    return SIDTable(np.column_stack([ids, numbers]), (3, 4, max(seen.values())), collision_level=2)


def cobra(sids: SIDTable, vectors: np.ndarray = VECTORS, train_counts: np.ndarray | None = None, **changes: Any) -> Cobra:
    option = next(option for option in OPTIONS if option.id == "cobra")
    settings = {key: value for key, value in option.node(**changes).items() if key != "_target_"}
    torch.manual_seed(0)
    built = Cobra(sids=sids, trie=PrefixTrie.build(sids), item_vectors=vectors, train_counts=train_counts, **settings)
    generator: Cobra = scrambled(built.eval())
    return generator


def log_probs(generator: Cobra, sids: SIDTable) -> torch.Tensor:
    """[users, items]: of every item, in the order of the catalogue."""
    decoded = Exhaustive().decode(generator, PrefixTrie.build(sids), DecodingRequest(batch_of(HISTORIES), sids.num_items))
    return torch.zeros_like(decoded.scores).scatter(1, decoded.items, decoded.scores)


def test_inside_an_id_items_are_told_apart_by_their_cosines() -> None:
    sids = grouped()
    generator = cobra(sids)
    found = log_probs(generator, sids)
    queries = generator.target_logits(all_targets(HISTORIES, NUM_ITEMS))
    last = [sum(len(row) + 1 for row in HISTORIES[: user + 1]) - 1 for user in range(len(HISTORIES))]
    table = F.normalize(generator.projection(F.normalize(torch.from_numpy(VECTORS), dim=1)), dim=1)
    memory = generator._memory(batch_of(HISTORIES))
    for user, row in enumerate(HISTORIES):
        target = int(queries.items[last[user]])
        group = [item for item in range(NUM_ITEMS) if (sids.codes[item, :2] == sids.codes[target, :2]).all()]
        written = generator.id_embedding.tokens[target].expand(len(HISTORIES), memory.shape[1], -1)
        hidden = generator.decoder(memory[:, :, -1], memory, written)[user, len(row), -1]
        expected = torch.log_softmax(torch.cosine_similarity(generator.query(hidden), table[group], dim=1) / 0.1, dim=0)
        inside = found[user, group] - torch.logsumexp(found[user, group], dim=0)
        assert torch.allclose(inside, expected, atol=1e-4)
        assert target in group


def test_the_number_of_an_item_means_nothing() -> None:
    one, other = grouped(), grouped(np.random.default_rng(1).permutation(NUM_ITEMS))
    assert (one.codes != other.codes).any()
    assert torch.allclose(log_probs(cobra(one), one), log_probs(cobra(other), other), atol=1e-5)


def test_an_item_that_came_later_is_known_by_its_vector() -> None:
    """One with the ID and the vector of an old item is as probable as that one."""
    sids = grouped()
    room = SIDTable(sids.codes, (*sids.sizes[:2], sids.sizes[2] + 1), collision_level=2)
    numbered = (sids.codes[:, :2] == sids.codes[7, :2]).all(1).sum()
    more = room.with_items(np.array([[*sids.codes[7, :2], numbered]]))
    found = log_probs(cobra(more, np.concatenate([VECTORS, VECTORS[7:8]])), more)
    assert torch.allclose(found[:, NUM_ITEMS], found[:, 7], atol=1e-5)


def test_vectors_are_told_from_all_targets_of_the_batch() -> None:
    generator = cobra(grouped(), dense_weight=2.0)
    batch = batch_of([[1, 2]], [[5, 9, 5]])
    table, memory = generator.item_table(), generator._memory(batch)
    hidden = generator.decoder(memory[:, :, -1], memory, generator.id_embedding.tokens[batch.targets])[0, :, -1]
    cosines = torch.cosine_similarity(generator.query(hidden)[:, None], table[[5, 9]][None], dim=2) / 0.1
    expected = -2 * cosines.log_softmax(1)[[0, 1, 2], [0, 1, 0]].mean()
    assert torch.allclose(generator.target_logits(batch).auxiliary["dense"], expected, atol=1e-5)


@pytest.mark.parametrize("negatives", ["other_users", "log_q"])
def test_vectors_are_compared_with_those_of_other_users(negatives: str) -> None:
    counts = np.arange(1, NUM_ITEMS + 1)
    generator = cobra(grouped(), train_counts=counts, dense_negatives=negatives, dense_weight=2.0)
    batch = batch_of([[1, 2], [3]], [[5, 9, PAD], [9, 7, PAD]])
    items, rows = [5, 9, 9, 7], [0, 0, 1, 1]
    table, memory = generator.item_table(), generator._memory(batch)
    written = generator.id_embedding.tokens[batch.targets.clamp(min=0)]
    hidden = generator.decoder(memory[:, :, -1], memory, written)[batch.targets != PAD][:, -1]
    logits = torch.cosine_similarity(generator.query(hidden)[:, None], table[items][None], dim=2) / 0.1
    expected = 0.0
    for row, (item, user) in enumerate(zip(items, rows, strict=True)):
        chosen = [column for column in range(4) if rows[column] != user and items[column] != item]
        penalty = [math.log(2 * counts[items[column]] / counts.sum()) if negatives == "log_q" else 0.0 for column in chosen]
        rivals = logits[row, chosen] - torch.tensor(penalty)
        expected += float((torch.logsumexp(torch.cat([logits[row, row : row + 1], rivals]), 0) - logits[row, row]).detach()) / 2
    assert float(generator.target_logits(batch).auxiliary["dense"].detach()) == pytest.approx(expected, abs=1e-4)


def test_identities_of_unseen_items_change_nothing() -> None:
    sids = grouped()
    counts = np.where(np.arange(NUM_ITEMS) < 20, 0, 4)
    generator = cobra(sids, train_counts=counts, identity=True)
    before = log_probs(generator, sids)
    rows = generator.id_embedding.identity
    assert rows is not None
    with torch.no_grad():
        rows.weight[:20] += 5
    assert torch.equal(log_probs(generator, sids), before)
    with torch.no_grad():
        rows.weight[20:] = rows.weight[20 + torch.randperm(20)]
    assert not torch.allclose(log_probs(generator, sids), before), "well-known items have identities"


def test_a_learned_temperature_starts_where_it_is_set() -> None:
    sids = grouped()
    fixed, learned = cobra(sids), cobra(sids, learn_temperature=True)
    learned.load_state_dict(fixed.state_dict() | {"sharpness": torch.zeros(())})
    assert torch.equal(log_probs(learned, sids), log_probs(fixed, sids))
    with torch.no_grad():
        learned.sharpness.fill_(math.log(2))
    assert torch.allclose(log_probs(learned, sids), log_probs(with_temperature(learned, 0.05), sids), atol=1e-5)


def with_temperature(generator: Cobra, temperature: float) -> Cobra:
    """A generator of the same weights with a temperature that is set."""
    other = cobra(generator.sids, temperature=temperature)
    other.load_state_dict({name: value for name, value in generator.state_dict().items() if name != "sharpness"})
    return other
