"""The metrics against a naive loop that averages over every order of the tied items."""

import math
from itertools import permutations, product
from statistics import mean

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.dataset import Dataset, Sequences
from genrec.errors import DataError
from genrec.metrics.hits import find_hits, targets_of
from genrec.metrics.mrr import mrr
from genrec.metrics.ndcg import ndcg
from genrec.metrics.recall import recall


def naive(metric: str, ranking: tuple[int, ...], targets: set[int], k: int) -> float:
    ranks = [rank for rank, item in enumerate(ranking[:k], start=1) if item in targets]
    if metric == "recall":
        return len(ranks) / len(targets)
    if metric == "mrr":
        return 1 / ranks[0] if ranks else 0.0
    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(targets), k) + 1))
    return sum(1 / math.log2(1 + rank) for rank in ranks) / ideal


def expected(metric: str, groups: list[list[int]], targets: set[int], k: int) -> float:
    orders = product(*(permutations(group) for group in groups))
    return mean(naive(metric, tuple(item for group in order for item in group), targets, k) for order in orders)


def table_of(lists: dict[str, list[list[int]]]) -> pl.DataFrame:
    rows = []
    for user, groups in lists.items():
        start = 1
        for group in groups:
            rows += [(user, str(item), start + i, start, len(group)) for i, item in enumerate(group)]
            start += len(group)
    schema = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int64, "tie_start": pl.Int64, "tie_size": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


users = st.tuples(
    st.lists(st.integers(1, 3), max_size=4),  # sizes of the tie groups
    st.sets(st.integers(0, 12), min_size=1, max_size=5),  # targets; items are numbered in list order, so some are not listed
)


@settings(max_examples=60, deadline=None)
@given(st.lists(users, min_size=1, max_size=4), st.integers(1, 8))
def test_metrics_equal_the_mean_over_all_orders_of_ties(cases, k):
    lists, wanted = {}, []
    for number, (sizes, targets) in enumerate(cases):
        items = iter(range(100))
        lists[f"u{number}"] = [[next(items) for _ in range(size)] for size in sizes]
        wanted += [(f"u{number}", str(item)) for item in sorted(targets)]
    hits = find_hits(table_of(lists), pl.DataFrame(wanted, schema=["user_id", "item_id"], orient="row"))
    for name, metric in {"recall": recall, "ndcg": ndcg, "mrr": mrr}.items():
        oracle = [expected(name, lists[f"u{n}"], targets, k) for n, (_, targets) in enumerate(cases)]
        np.testing.assert_allclose(metric(hits, k), oracle, atol=1e-12, err_msg=name)


def test_a_user_without_a_list_counts_zero_and_one_without_a_target_does_not_count():
    table = table_of({"listed": [[1], [2]], "no_target": [[1]]})
    hits = find_hits(table, pl.DataFrame({"user_id": ["missing", "listed"], "item_id": ["1", "2"]}))
    assert hits.user_ids.to_list() == ["missing", "listed"]
    assert recall(hits, 2).tolist() == [0.0, 1.0]


def test_tables_without_tie_columns_are_counted_by_rank():
    table = table_of({"u": [[5], [7]]}).drop("tie_start", "tie_size")
    assert mrr(find_hits(table, pl.DataFrame({"user_id": ["u"], "item_id": ["7"]})), 10).tolist() == [0.5]


def test_with_one_target_ndcg_of_two_ks_lies_within_what_recall_allows():
    rng = np.random.default_rng(0)
    lists = {f"u{n}": [[int(i)] for i in rng.permutation(40)[:20]] for n in range(300)}
    targets = pl.DataFrame({"user_id": list(lists), "item_id": [str(i) for i in rng.integers(0, 40, len(lists))]})
    hits = find_hits(table_of(lists), targets)
    more_recall = recall(hits, 10).mean() - recall(hits, 5).mean()
    more_ndcg = ndcg(hits, 10).mean() - ndcg(hits, 5).mean()
    assert more_recall / math.log2(11) <= more_ndcg <= more_recall / math.log2(7)


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([("ann", "a", 1, 1, 1), ("ann", "a", 2, 2, 1)], "item a twice"),
        ([("ann", "a", 4, 1, 2)], "{'rank': 4, 'tie_start': 1, 'tie_size': 2}"),
    ],
)
def test_impossible_lists_are_told(rows, value):
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "rank", "tie_start", "tie_size"], orient="row")
    with pytest.raises(DataError, match="ann") as error:
        find_hits(table, pl.DataFrame({"user_id": ["ann"], "item_id": ["a"]}))
    assert value in str(error.value)


def test_a_missing_column_is_told():
    with pytest.raises(DataError, match=r"recommendations\.rank"):
        find_hits(pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}), pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}))


def test_an_item_held_out_twice_is_one_target():
    histories = [[0, 1, 2, 3], [2, 3, 0, 1, 0], [1, 2]]
    shop = Dataset(
        items=pl.DataFrame({"item_id": list("abcd")}),
        users=pl.DataFrame({"user_id": ["ann", "bob", "eve"]}),
        events=Sequences(np.concatenate(histories), np.cumsum([0, *map(len, histories)])),
        train_ends=np.array([2, 6, 11]),
        validation_ends=np.array([3, 6, 11]),
    )
    assert targets_of(shop, "test").rows() == [("ann", "d"), ("bob", "a"), ("bob", "b")]
