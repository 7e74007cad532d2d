"""The recommendations table: everybody's rows, in order, from whole histories."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from slow_decoding import Entry, SlowDecoding, assert_same
from small_world import ArbitraryLogits, random_histories, ring, sequences_of, sids_of

from genrec.core.dataset import users_with_targets
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import recommend_users, with_ids
from genrec.decoding.trie_beam import TrieBeam

TABLE = sids_of(60, (4, 5, 6))
COLUMNS = ["user_idx", "item_idx", "rank", "score", "tie_start", "tie_size"]


def recommend(rows: list[list[int]], users: list[int], *, exclude_seen: bool = True, max_history_len: int = 4) -> pl.DataFrame:
    generator = ArbitraryLogits(TABLE)
    generator.max_history_len = max_history_len
    counted: list[int] = []
    table = recommend_users(
        generator,
        TrieBeam(num_beams=60),
        PrefixTrie.build(TABLE),
        sequences_of(rows),
        np.asarray(users, dtype=np.int64),
        k=10,
        exclude_seen=exclude_seen,
        batch_size=3,
        on_batch=lambda users, decoded: counted.append(len(users)),
    )
    assert sum(counted) == len(users)
    return table


def test_the_model_reads_the_last_items_the_seen_rule_all_of_them() -> None:
    rows = random_histories(60, [0, 30, 2, 4, 17, 0, 1, 5])
    users = [6, 1, 0, 4, 2, 5, 7]
    table = recommend(rows, users)
    assert table.columns == COLUMNS
    assert table.select("user_idx", "rank").rows() == [(user, rank) for user in sorted(users) for rank in range(1, 11)]
    for user in users:
        mine = table.filter(pl.col("user_idx") == user)
        expected = SlowDecoding(ArbitraryLogits(TABLE), TABLE, rows[user][-4:]).search(10, set(rows[user]))
        found = mine.select("item_idx", "score", "tie_start", "tie_size").rows()
        assert_same([Entry(*values) for values in found], expected)


def test_seen_items_may_be_recommended() -> None:
    rows = [list(range(60))]
    assert recommend(rows, [0], exclude_seen=False).height == 10
    assert recommend(rows, [0]).height == 0


def test_nobody() -> None:
    table = recommend([[1, 2]], [])
    assert table.columns == COLUMNS
    assert table.height == 0


def test_ids_and_users_with_targets() -> None:
    world = ring(num_items=60, num_users=8)
    histories = world.histories("test")
    table = recommend([histories[user].tolist() for user in range(8)], [5, 2])
    named = with_ids(table, world)
    assert named.columns == ["user_id", "item_id", "rank", "score", "tie_start", "tie_size"]
    assert named["user_id"].to_list() == ["u2"] * 10 + ["u5"] * 10
    assert named["item_id"].to_list() == [f"i{item}" for item in table["item_idx"]]
    assert users_with_targets(world, "test").tolist() == list(range(8))
    object.__setattr__(world, "validation_ends", world.validation_ends + (np.arange(8) % 2 == 0))
    assert users_with_targets(world, "test").tolist() == [1, 3, 5, 7]


def test_scores_do_not_depend_on_the_batch() -> None:
    rows = random_histories(60, [3, 0, 8, 2, 2, 9])
    together = recommend(rows, list(range(6)))
    alone = pl.concat([recommend(rows, [user]) for user in range(6)])
    assert together.drop("score").equals(alone.drop("score"))
    assert torch.allclose(torch.tensor(together["score"].to_list()), torch.tensor(alone["score"].to_list()), atol=1e-5)
