"""What only multi_stream has: further streams are read, never written, and may be missing."""

from __future__ import annotations

import torch
from small_world import OPTIONS, batch_of, random_histories, scrambled, sids_of, stream_of
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import leaf_log_probs
from genrec.generators.multi_stream import MultiStream
from genrec.types import PAD

OPTION = next(option for option in OPTIONS if option.id == "multi_stream")
SIDS = sids_of(40, (4, 5, 6))
OTHER = torch.from_numpy(stream_of(40).tokens)


def scores(generator: MultiStream, histories: list[list[int]]) -> Tensor:
    return leaf_log_probs(generator, PrefixTrie.build(SIDS), batch_of(histories))


def test_streams_of_the_history_are_read_and_those_of_candidates_are_not() -> None:
    generator: MultiStream = scrambled(OPTION.build(SIDS))
    before = scores(generator, [[3, 4]])
    with torch.no_grad():
        generator.get_buffer("tokens_1")[5:] = OTHER[5:].flip(0)
        assert torch.equal(scores(generator, [[3, 4]]), before)
        generator.get_buffer("tokens_1")[4] = (OTHER[4] + 1) % 5
    assert not torch.allclose(scores(generator, [[3, 4]]), before, atol=1e-3)


def test_a_stream_without_codes_has_a_vector_of_its_own() -> None:
    generator: MultiStream = OPTION.build(SIDS)
    vectors = generator.stream_vectors(torch.arange(40))
    missing = OTHER[:, 0] == PAD
    assert missing.any()
    assert torch.equal(vectors[missing, 1], generator.absent[1].expand(int(missing.sum()), -1))
    expected = generator.code_embeddings[1](OTHER[~missing]).sum(1)
    assert torch.allclose(vectors[~missing, 1], expected)


def test_streams_are_dropped_in_training_only_and_each_by_itself() -> None:
    generator: MultiStream = OPTION.build(sids_of(4000, (20, 20, 20)), stream_dropout=0.25)
    items = torch.tensor([item for item in range(4000) if item % 7])  # those that have all streams
    assert not (generator.stream_vectors(items) == generator.absent).all(-1).any()
    torch.manual_seed(0)
    dropped = (generator.train().stream_vectors(items) == generator.absent).all(-1)
    assert torch.allclose(dropped.float().mean(0), torch.tensor(0.25), atol=0.03)
    assert abs(float(dropped.all(1).float().mean()) - 0.25**2) < 0.02


def test_more_streams_make_longer_histories() -> None:
    generator: MultiStream = OPTION.build(SIDS)
    state = generator.prefill(batch_of(random_histories(40, [2, 6])))
    assert {key.shape[2] for keys_values in state.history for key in keys_values} == {2 * 7}
