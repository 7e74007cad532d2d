from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small_codes import make_context

from genrec.engine.components import instantiate
from genrec.engine.config import conf_folder
from genrec.errors import DataError
from genrec.protocols import CollisionContext
from genrec.testing import CollisionContract
from genrec.testing.worlds import Maker
from genrec.tokenizers.collision.append_level import AppendLevel
from genrec.tokenizers.collision.item_token import ItemToken
from genrec.tokenizers.collision.keep import Keep
from genrec.tokenizers.collision.reassign_last import ReassignLast

PRESETS = sorted((conf_folder() / "collision").glob("*.yaml"))


class TestEveryPolicy(CollisionContract):
    @pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
    def make(self, request: pytest.FixtureRequest) -> Maker:
        node = yaml.safe_load(request.param.read_text(encoding="utf-8"))
        return Maker(request.param.stem, lambda: instantiate(node, "collision"))

    def gives_unique_ids(self, make: Maker) -> bool:
        return make.name != "keep"


def test_later_items_take_the_next_number_or_the_nearest_codes_with_one() -> None:
    codes = np.array([[1, 1], [0, 0], [1, 1], [0, 1]])
    table = AppendLevel().resolve(codes, (2, 4), make_context(4))
    costs = np.array([[9, 0, 2, 1]] * 4)  # of the last level: 1 is nearest, then 3
    new = np.array([[0, 1], [1, 1], [1, 1], [1, 1]])
    extended = AppendLevel().extend(table, new, make_context(4, costs, np.array([0, 3, 2, 1])))
    assert extended.codes[4:].tolist() == [[0, 1, 1], [1, 3, 0], [1, 3, 1], [1, 2, 0]]


def test_a_full_prefix_sends_later_items_to_the_level_before() -> None:
    table = ReassignLast().resolve(np.array([[0, 0], [0, 1], [1, 0]]), (2, 2), make_context(3))
    extended = ReassignLast().extend(table, np.array([[0, 0]]), make_context(1))
    assert extended.codes[3].tolist() == [1, 1]
    with pytest.raises(DataError, match=r"sids \(\).*the 4 there, got none for item-0001"):
        ReassignLast().extend(table, np.array([[0, 0], [0, 0]]), make_context(2))


def test_append_level_numbers_by_popularity_then_id() -> None:
    codes = np.array([[1, 1], [0, 0], [1, 1], [1, 1]])
    table = AppendLevel().resolve(codes, (2, 2), make_context(4, counts=np.array([3, 9, 5, 3])))
    assert table.codes.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0], [1, 1, 2]]
    assert table.sizes == (2, 2, 3)
    assert table.collision_level == 2
    assert table.unique_rate() == 1.0


def test_append_level_names_a_group_that_is_too_large() -> None:
    codes = np.array([[1, 1], [0, 0], [1, 1], [1, 1]])
    with pytest.raises(DataError, match=r"\(1, 1\).*at most 2.*3 items, item-0000"):
        AppendLevel(max_group=2).resolve(codes, (2, 2), make_context(4))


def test_item_tokens_are_numbered_by_popularity_then_id() -> None:
    codes = np.array([[1, 1], [0, 0], [1, 1], [1, 0]])
    table = ItemToken(spare=2).resolve(codes, (2, 3), make_context(4, counts=np.array([3, 9, 5, 3])))
    assert table.codes.tolist() == [[1, 2], [0, 0], [1, 1], [1, 3]]
    assert (table.sizes, table.collision_level) == ((2, 6), 1)
    assert (table.content.codes.tolist(), table.content.sizes) == (codes.tolist(), (2, 3)), "all codes stay beside the IDs"
    whole = ItemToken(path_levels=2).resolve(codes, (2, 3), make_context(4))
    assert (whole.codes[:, :2] == codes).all()


def test_later_items_share_the_spare_tokens_of_different_paths() -> None:
    policy, costs = ItemToken(spare=2), np.array([[1, 0, 2]] * 4)
    table = policy.resolve(np.array([[0, 1], [1, 1]]), (3, 2), make_context(2))
    once = policy.extend(table, np.array([[0, 0], [1, 0]]), make_context(2, costs))
    assert once.codes[2:].tolist() == [[0, 2], [1, 2]]
    again = policy.extend(once, np.array([[1, 0], [1, 0], [1, 1]]), make_context(3, costs))
    assert again.codes[4:].tolist() == [[1, 3], [0, 3], [2, 2]], "the nearest path with a spare token"
    assert again.content.codes[2:].tolist() == [[0, 0], [1, 0], [1, 0], [1, 0], [1, 1]], "what they are like is their own"
    with pytest.raises(DataError, match="a free place among the 6 there, got none for item-0001"):
        policy.extend(again, np.array([[0, 0], [1, 0]]), make_context(2, costs))


def test_keep_keeps() -> None:
    codes = np.array([[1, 1], [1, 1]])
    table = Keep().resolve(codes, (2, 2), make_context(2))
    assert table.codes.tolist() == codes.tolist()
    assert table.collision_level is None


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10_000))
def test_reassign_equals_brute_force(size: int, seed: int) -> None:
    """Fewest moves first, then least distortion, over all assignments of one prefix group."""
    random = np.random.default_rng(seed)
    number = int(random.integers(2, size + 1))
    last = random.integers(0, size, number)
    costs = random.random((number, size))
    table = ReassignLast().resolve(np.stack([np.zeros(number, int), last], axis=1), (1, size), make_context(number, costs))

    def price(choice: tuple[int, ...]) -> tuple[int, float]:
        return int((np.array(choice) != last).sum()), float(costs[np.arange(number), list(choice)].sum())

    best = min(map(price, permutations(range(size), number)))
    got = price(tuple(table.codes[:, 1].tolist()))
    if len(set(last.tolist())) == number:  # nothing collides, nothing is touched
        assert got[0] == 0
    else:
        assert got[0] == best[0]
        np.testing.assert_allclose(got[1], best[1])
    assert table.unique_rate() == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_reassign_leaves_no_collision_wherever_there_is_room(seed: int, with_costs: bool) -> None:
    random = np.random.default_rng(seed)
    sizes = (2, 4, 3)
    number = int(random.integers(1, 13))  # below one first code there is room for 12
    codes = np.concatenate(
        [np.stack([np.full(number, a), random.integers(0, 2, number), random.integers(0, 3, number)], 1) for a in (0, 1)]
    )
    costs = {depth: random.random((2 * number, size)) for depth, size in enumerate(sizes)}
    context = make_context(2 * number)
    if with_costs:
        context = CollisionContext(
            context.item_ids, context.train_counts, lambda rows, prefix: costs[prefix.shape[1]][rows], context.codebooks
        )
    table = ReassignLast().resolve(codes, sizes, context)
    assert table.unique_rate() == 1.0
    assert table.sizes == sizes
    np.testing.assert_array_equal(table.codes[:, 0], codes[:, 0])  # only the last two levels may change
    alone = [codes[i].tolist() for i in range(len(codes))]
    for item, row in enumerate(alone):  # prefixes without a collision that nobody came to stay as they are
        group = (codes[:, :2] == codes[item, :2]).all(axis=1)
        after = (table.codes[:, :2] == codes[item, :2]).all(axis=1)
        if len(np.unique(codes[group, 2])) == group.sum() and (group == after).all():
            assert table.codes[item].tolist() == row


def test_reassign_sends_the_items_that_lose_least_to_their_next_code() -> None:
    codes = np.array([[0, 0], [0, 0], [0, 1]])
    level_0 = np.array([[0.0, 5.0, 9.0], [0.0, 8.0, 9.0], [0.0, 9.0, 2.0]])
    context = make_context(3)
    costs = {0: level_0, 1: np.zeros((3, 2))}
    context = CollisionContext(context.item_ids, context.train_counts, lambda rows, prefix: costs[prefix.shape[1]][rows], "")
    table = ReassignLast().resolve(codes, (3, 2), context)
    assert table.codes[:, 0].tolist() == [0, 0, 2]


def test_reassign_without_room_names_the_group() -> None:
    with pytest.raises(DataError, match=r"at most 4.*5 items, item-0000"):
        ReassignLast().resolve(np.zeros((5, 2), int), (2, 2), make_context(5))
    with pytest.raises(DataError, match=r"at most 2.*3 items"):
        ReassignLast().resolve(np.zeros((3, 1), int), (2,), make_context(3))
