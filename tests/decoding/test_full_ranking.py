from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import batch_of
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.decoding.full_ranking import FullRanking
from genrec.protocols import DecodingRequest, TargetLogits
from genrec.types import PAD


class FixedScores(nn.Module):
    """An item scorer whose scores are given."""

    needs = frozenset[str]()
    max_history_len = 50

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def target_logits(self, batch: Batch) -> TargetLogits:
        raise NotImplementedError

    def item_table(self) -> Tensor:
        raise NotImplementedError

    def score(self, batch: Batch) -> Tensor:
        return self.scores


@given(st.data(), st.integers(1, 12), st.integers(1, 15), st.booleans())
def test_is_a_sort(data: st.DataObject, num_items: int, k: int, excluding: bool) -> None:
    scores = np.random.default_rng(num_items * 100 + k).permutation(2 * num_items).reshape(2, num_items).astype(np.float32)
    history = st.lists(st.integers(0, num_items - 1), max_size=4)
    batch = batch_of([data.draw(history), data.draw(history)])
    allowed = data.draw(st.none() | st.lists(st.booleans(), min_size=num_items, max_size=num_items).filter(any))
    request = DecodingRequest(
        batch, k, batch.history if excluding else None, None if allowed is None else torch.tensor(allowed)
    )
    decoded = FullRanking().decode(FixedScores(torch.from_numpy(scores)), None, request)
    for row in range(2):
        expected = [
            item
            for item in np.argsort(-scores[row]).tolist()
            if (allowed is None or allowed[item]) and not (excluding and item in batch.history[row].tolist())
        ][:k]
        n = len(expected)
        assert decoded.items[row].tolist() == expected + [PAD] * (min(k, num_items) - n)
        assert decoded.scores[row, :n].tolist() == scores[row, expected].tolist()
        assert decoded.tie_start[row, :n].tolist() == list(range(1, n + 1))
        assert set(decoded.tie_size[row, :n].tolist()) <= {1}


@pytest.mark.parametrize(
    ("scores", "k", "starts", "sizes"),
    [
        ([5.0, 4, 3, 2, 1], 3, [1, 2, 3], [1, 1, 1]),
        ([1.0] * 20, 5, [1] * 20, [20] * 20),
        ([9.0, 7, 7, 5], 2, [1, 2, 2], [1, 2, 2]),
        ([9.0, 7, 7, 5], 3, [1, 2, 2], [1, 2, 2]),
        ([3.0, 3, 2, 2, 2, 1], 3, [1, 1, 3, 3, 3], [2, 2, 3, 3, 3]),
        ([float("-inf")] * 3 + [1.0], 3, [1], [1]),
        ([2.0, 2, float("-inf")], 1, [1, 1], [2, 2]),
    ],
)
def test_equal_scores_are_a_group_listed_whole(scores: list[float], k: int, starts: list[int], sizes: list[int]) -> None:
    both = torch.tensor([scores, [float(-n) for n in range(len(scores))]])  # beside a user without ties
    decoded = FullRanking().decode(FixedScores(both), None, DecodingRequest(batch_of([[], []]), k))
    live = decoded.items[0] != PAD
    assert decoded.tie_start[0][live].tolist() == starts
    assert decoded.tie_size[0][live].tolist() == sizes
    assert decoded.items[0][live].unique().numel() == len(starts)
    assert decoded.items[1][decoded.items[1] != PAD].tolist() == list(range(min(k, len(scores))))
    assert set(decoded.tie_size[1][decoded.items[1] != PAD].tolist()) == {1}


def test_a_scorer_that_knows_nothing_lists_no_whole_catalogue() -> None:
    decoded = FullRanking().decode(FixedScores(torch.zeros(1, 5000)), None, DecodingRequest(batch_of([[]]), 10))
    assert decoded.items.shape[1] == 1010
