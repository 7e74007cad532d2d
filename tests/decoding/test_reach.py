"""Whom a new item is shown to: by what it is like, learned from what was taken, never everybody."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.core.dataset import Sequences
from genrec.decoding.lib.new_item_reach import LIFT, WIDEST, learned_reach, tastes, thresholds

GROUPS, SIZE, DIM = 40, 25, 16


def sequences(rows: list[list[int]]) -> Sequences:
    flat = np.array([item for row in rows for item in row], dtype=np.int32)
    return Sequences(flat, np.cumsum([0, *map(len, rows)]).astype(np.int64))


def catalogue(noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Groups of items that are alike, the more the smaller the noise; and the group of each."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(GROUPS), SIZE)
    return random.standard_normal((GROUPS, DIM))[groups] + noise * random.standard_normal((len(groups), DIM)), groups


def users(groups: np.ndarray, loyalty: float, number: int = 1500) -> tuple[Sequences, Sequences]:
    """Histories of one group each; what comes next is of that group as often as ``loyalty`` says, else anything."""
    random = np.random.default_rng(1)
    histories, targets = [], []
    for _ in range(number):
        own = np.flatnonzero(groups == random.integers(GROUPS))
        *history, following = random.permutation(own)[:4]
        histories.append([int(item) for item in history])
        targets.append([int(following) if random.random() < loyalty else int(random.integers(len(groups)))])
    return sequences(histories), sequences(targets)


@pytest.mark.parametrize(
    ("noise", "loyalty", "low", "high"),
    [
        (0.3, 0.8, 0.5 / GROUPS, 1.5 / GROUPS),  # a group is a fortieth of the catalogue
        (0.3, 0.3, 0.5 / GROUPS, 1.5 / GROUPS),  # those who are not loyal take anything: as wide, with less gain
        (0.3, 0.0, 0.0, 0.0),  # what is alike is not taken together
        (9.0, 0.8, 0.0, 0.5 / GROUPS),  # content says next to nothing
        (1.0, 0.8, 0.5 / GROUPS, WIDEST),
    ],
)
def test_the_reach_is_as_wide_as_content_tells_something(noise: float, loyalty: float, low: float, high: float) -> None:
    content, groups = catalogue(noise)
    reach = learned_reach(content, len(content), *users(groups, loyalty))
    assert reach is not None
    assert low <= reach <= high


def test_nobody_to_learn_from() -> None:
    content, groups = catalogue(0.3)
    histories, targets = users(groups, 1.0, 5)
    assert learned_reach(content, len(content), histories, sequences([[] for _ in range(5)])) is None
    assert learned_reach(content, 1, histories, targets) is None, "only of items that were there in training"
    repeated = sequences([[int(histories[user][0])] for user in range(5)])
    assert learned_reach(content, len(content), histories, repeated) is None, "what they had is no new item"


def test_one_new_item_is_listed_to_those_who_took_its_like() -> None:
    content, groups = catalogue(0.3)
    histories, targets = users(groups, 0.8)
    unit = torch.nn.functional.normalize(torch.from_numpy(content).float(), dim=1)
    reach = learned_reach(content, len(content), histories, targets) or 0.0
    taste = tastes(torch.from_numpy(histories.item_idx.reshape(-1, 3).astype(np.int64)), torch.full((len(histories),), 3), unit)
    owners = groups[histories.item_idx.reshape(-1, 3)[:, 0]]
    random = np.random.default_rng(2)
    for group in range(0, GROUPS, 8):
        late = torch.from_numpy(content[groups == group].mean(axis=0) + 0.3 * random.standard_normal(DIM)).float()
        late = torch.nn.functional.normalize(late, dim=0)
        shown = (taste @ late >= thresholds(late.unsqueeze(0), unit, reach)).numpy()
        assert shown[owners == group].mean() > 0.5
        assert shown[owners != group].mean() < 0.02


def test_an_item_like_nothing_is_nobodys() -> None:
    known = torch.eye(8)[:5]
    nothing, alone, twin = torch.zeros(8), torch.eye(8)[7], torch.eye(8)[2]
    limits = thresholds(torch.stack([nothing, alone, twin]), known, 0.1)
    assert (limits[:2] > 1).all()
    assert limits[2] == pytest.approx(1.0, abs=1e-4)
    assert (thresholds(known, known, 0.0) > 1).all()
    assert LIFT > 1
