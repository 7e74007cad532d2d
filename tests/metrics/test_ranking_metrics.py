"""The metrics against a naive loop that averages over every order of the tied items."""

import math
from itertools import permutations, product
from statistics import mean

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.core.dataset import Dataset, Sequences
from genrec.errors import DataError
from genrec.evaluation.measure import ACCURACY, accuracy
from genrec.metrics.lib.tables import cut_ties, find_hits, targets_of, with_ties
from genrec.metrics.mrr import MRR
from genrec.metrics.ndcg import NDCG
from genrec.metrics.recall import Recall


def naive(metric: str, ranking: tuple[int, ...], targets: dict[int, float], k: int) -> float:
    """The textbook formula for one order; ``targets``: item -> weight."""
    found = [(rank, item) for rank, item in enumerate(ranking[:k], start=1) if item in targets]
    match metric:
        case "recall":
            return sum(targets[item] for _, item in found) / sum(targets.values())
        case "mrr":
            return 1 / found[0][0] if found else 0.0
        case "precision":
            return len(found) / k
        case "hit":
            return float(bool(found))
        case "map":
            precisions = [number / rank for number, (rank, _) in enumerate(found, start=1)]
            return sum(precisions) / min(len(targets), k)
    best = sorted(targets.values(), reverse=True)[:k]
    ideal = sum(weight / math.log2(1 + rank) for rank, weight in enumerate(best, start=1))
    return sum(targets[item] / math.log2(1 + rank) for rank, item in found) / ideal


def expected(metric: str, groups: list[list[int]], targets: dict[int, float], k: int) -> float:
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
    # targets with their weights; items are numbered in list order, so some are not listed
    st.dictionaries(st.integers(0, 12), st.integers(1, 40).map(lambda eighths: eighths / 8), min_size=1, max_size=5),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(users, min_size=1, max_size=4), st.integers(1, 14), st.booleans())
def test_metrics_equal_the_mean_over_all_orders_of_ties(cases, k, weighted):
    lists, wanted = {}, []
    for number, (sizes, targets) in enumerate(cases):
        items = iter(range(100))
        lists[f"u{number}"] = [[next(items) for _ in range(size)] for size in sizes]
        wanted += [(f"u{number}", str(item), weight) for item, weight in sorted(targets.items())]
    pairs = pl.DataFrame(wanted, schema=["user_id", "item_id", "weight"], orient="row")
    measured = accuracy(table_of(lists), pairs if weighted else pairs.drop("weight"), [k])
    for name in ACCURACY:
        worth = [targets if weighted else dict.fromkeys(targets, 1.0) for _, targets in cases]
        oracle = [expected(name, lists[f"u{n}"], targets, k) for n, targets in enumerate(worth)]
        np.testing.assert_allclose(measured[f"{name}@{k}"], oracle, rtol=0, atol=1e-12, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(1, 14), st.integers(0, 2**32 - 1))
def test_metrics_agree_with_torchmetrics_where_they_define_the_same(length, k, seed):
    from torchmetrics.functional import retrieval

    rng = np.random.default_rng(seed)
    wanted = rng.random(length) < 0.4
    wanted[rng.integers(length)] = True
    items = [str(i) for i in range(length)]
    scores = {"distinct": rng.permutation(length) + 1.0, "tied": rng.integers(1, 4, length).astype(float)}
    targets = pl.DataFrame({"user_id": "u", "item_id": [item for item, yes in zip(items, wanted, strict=True) if yes]})

    def ours(kind, k):
        table = pl.DataFrame({"user_id": "u", "item_id": items, "score": scores[kind]})
        return accuracy(table, targets, [k]).drop("user_id").row(0, named=True)

    def theirs(function, kind, **more):
        return float(function(torch.tensor(scores[kind]), torch.tensor(wanted), **more))

    top_k = min(k, length)  # their metrics stop at the end of the list, some with an error
    same = {
        "recall": retrieval.retrieval_recall,
        "ndcg": retrieval.retrieval_normalized_dcg,
        "mrr": retrieval.retrieval_reciprocal_rank,
        "precision": retrieval.retrieval_precision,
        "hit": retrieval.retrieval_hit_rate,
    }
    for name, function in same.items():
        assert ours("distinct", top_k)[f"{name}@{top_k}"] == pytest.approx(theirs(function, "distinct", top_k=top_k), abs=1e-6)
    # they divide by the hits, we by min(targets, k): the same over the whole list
    assert ours("distinct", length)[f"map@{length}"] == pytest.approx(
        theirs(retrieval.retrieval_average_precision, "distinct"), abs=1e-6
    )
    # only their ndcg knows ties, and only whole groups: over the whole list the two are the same
    assert ours("tied", length)[f"ndcg@{length}"] == pytest.approx(theirs(same["ndcg"], "tied"), abs=1e-6)


def test_scores_without_ranks_order_the_list_and_make_the_ties():
    told = table_of({"u": [[5], [7, 8, 9], [6]]})
    scores = pl.DataFrame({"user_id": "u", "item_id": list("56789"), "score": [0.9, 0.1, 0.5, 0.5, 0.5]})
    targets = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["8", "6"]})
    assert accuracy(scores, targets, [1, 2, 3, 5]).equals(accuracy(told, targets, [1, 2, 3, 5]))
    ranked = with_ties(scores.sample(fraction=1.0, shuffle=True, seed=1)).sort("rank")
    assert ranked["tie_size"].to_list() == [1, 3, 3, 3, 1]
    assert ranked["tie_start"].to_list() == [1, 2, 2, 2, 5]


def test_ranks_win_over_scores_and_lists_stay_apart():
    table = pl.DataFrame(
        {
            "split": ["test", "test", "validation", "test"],
            "user_id": ["u", "u", "u", "v"],
            "item_id": ["a", "b", "c", "d"],
            "rank": [1, 2, 1, 1],
            "score": [0.1, 0.7, 0.7, 0.7],
        }
    )
    assert with_ties(table)["tie_size"].to_list() == [1, 1, 1, 1]
    assert with_ties(table)["tie_start"].to_list() == [1, 2, 1, 1]


def test_cuts_inside_ties_are_counted_where_they_matter():
    rows = {"whole": [3, 2, 1], "cut at two": [3, 2, 2, 1], "open end": [3, 1, 1], "late": [9, 8, 7, 6, 5, 5]}
    flat = [(user, str(i), score) for user, scores in rows.items() for i, score in enumerate(scores)]
    table = with_ties(pl.DataFrame(flat, schema=["user_id", "item_id", "score"], orient="row"))
    assert cut_ties(table, [1, 2]) == {2: 2, 3: 1}
    assert cut_ties(table, [1, 2, 5]) == {2: 2, 3: 1, 5: 1, 6: 1}


def test_a_user_without_a_list_counts_zero_and_one_without_a_target_does_not_count():
    table = table_of({"listed": [[1], [2]], "no_target": [[1]]})
    hits = find_hits(table, pl.DataFrame({"user_id": ["missing", "listed"], "item_id": ["1", "2"]}))
    assert hits.user_ids.to_list() == ["missing", "listed"]
    assert Recall().from_hits(hits, 2).tolist() == [0.0, 1.0]


def test_tables_without_tie_columns_are_counted_by_rank():
    table = table_of({"u": [[5], [7]]}).drop("tie_start", "tie_size")
    assert MRR().from_hits(find_hits(table, pl.DataFrame({"user_id": ["u"], "item_id": ["7"]})), 10).tolist() == [0.5]


def test_with_one_target_ndcg_of_two_ks_lies_within_what_recall_allows():
    rng = np.random.default_rng(0)
    lists = {f"u{n}": [[int(i)] for i in rng.permutation(40)[:20]] for n in range(300)}
    targets = pl.DataFrame({"user_id": list(lists), "item_id": [str(i) for i in rng.integers(0, 40, len(lists))]})
    hits = find_hits(table_of(lists), targets)
    more_recall = Recall().from_hits(hits, 10).mean() - Recall().from_hits(hits, 5).mean()
    more_ndcg = NDCG().from_hits(hits, 10).mean() - NDCG().from_hits(hits, 5).mean()
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
