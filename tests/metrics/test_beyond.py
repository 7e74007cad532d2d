"""Figures beyond accuracy against loops over users, items and pairs."""

import math
from collections import Counter
from itertools import combinations
from statistics import mean

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.core.dataset import Dataset, Sequences
from genrec.core.item_labels import category_column, category_parts, category_shares
from genrec.evaluation.measure import ItemFacts, beyond_accuracy
from genrec.statistics.uncertainty import bootstrap_intervals

ITEMS = 8
CATEGORIES = ["Shop > A", "Shop > A > B", "Shop | C", None, "Shop, B; C", "Shop", "Shop > C", ""]
PARTS = [{"A"}, {"A", "B"}, {"C"}, set(), {"B", "C"}, set(), {"C"}, set()]  # without what all labelled items are


def shop(histories, targets):
    lengths = np.array([len(history) + len(held_out) for history, held_out in zip(histories, targets, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = [item for pair in zip(histories, targets, strict=True) for part in pair for item in part]
    ends = offsets[:-1] + [len(history) for history in histories]
    return Dataset(
        items=pl.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS)], "categories": CATEGORIES}),
        users=pl.DataFrame({"user_id": [f"u{u}" for u in range(len(histories))]}),
        events=Sequences(np.array(events, dtype=np.int32), offsets),
        train_ends=ends,
        validation_ends=ends,
    )


def table_of(lists):
    rows = [(f"u{u}", f"i{item}", rank, rank, 1) for u, items in enumerate(lists) for rank, item in enumerate(items, start=1)]
    schema = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int64, "tie_start": pl.Int64, "tie_size": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def divergence(history, shown):
    def shares(items):
        known = [PARTS[item] for item in items if PARTS[item]]
        parts = [(part, 1 / len(labels) / len(known)) for labels in known for part in sorted(labels)]
        return {name: sum(share for part, share in parts if part == name) for name, _ in parts}

    p, q = shares(history), shares(shown)
    return sum(x * math.log(x / (0.99 * q.get(part, 0) + 0.01 * x)) for part, x in p.items()) if p and q else None


some_items = st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=5)
cases = st.lists(st.tuples(st.lists(st.integers(0, ITEMS - 1), max_size=4), some_items, some_items), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(1, 4), st.integers(0, 1000))
def test_figures_equal_the_loops(users, k, seed):
    histories, lists, popular = zip(*users, strict=True)
    rng = np.random.default_rng(seed)
    targets = [rng.permutation(ITEMS)[:2] for _ in users]
    dataset = shop(histories, targets)
    counts = Counter(item for history in histories for item in history)
    vectors, codes = rng.normal(size=(ITEMS, 3)), rng.integers(0, 2, (ITEMS, 3))
    vectors[3] = 0.0
    pairs = pl.DataFrame(
        [(f"u{u}", f"i{item}") for u, items in enumerate(targets) for item in items],
        schema=["user_id", "item_id"],
        orient="row",
    )
    facts = ItemFacts(dataset, "categories", vectors, codes)
    per_user, overall = beyond_accuracy(table_of(lists), table_of(popular), pairs, facts, "test", k)

    shown = [items[:k] for items in lists]
    exposure = Counter(item for items in shown for item in items)
    ordered = sorted(exposure[item] for item in range(ITEMS))
    total = sum(ordered)
    assert overall[f"coverage@{k}"] == len(exposure) / ITEMS
    distances = sum(abs(a - b) for a in ordered for b in ordered)  # the mean difference, another way to the Gini coefficient
    assert overall[f"gini@{k}"] == pytest.approx(distances / (2 * ITEMS * total) if total else 0.0)
    both = [(history, items) for history, items in zip(histories, shown, strict=True) if history and items]
    before = sum(mean(counts[item] for item in history) for history, _ in both)
    after = sum(mean(counts[item] for item in items) for _, items in both)
    assert overall[f"popularity_lift@{k}"] == pytest.approx(after / before - 1 if before else 0.0)

    def cosine(a, b):
        norms = np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b])
        return vectors[a] @ vectors[b] / norms if norms else 0.0

    def common(a, b):
        return next((level for level in range(3) if codes[a, level] != codes[b, level]), 3) / 3

    def mean_pair(alike, items):
        return 1 - mean(alike(a, b) for a, b in combinations(items, 2)) if len(items) > 1 else None

    events = max(sum(counts.values()), 1)
    oracle = {
        "novelty": lambda u: mean(-math.log2(max(counts[i], 1) / events) for i in shown[u]) if shown[u] else None,
        "repeat_rate": lambda u: mean(i in histories[u] for i in shown[u]) if shown[u] else None,
        "diversity": lambda u: mean_pair(cosine, shown[u]),
        "prefix_diversity": lambda u: mean_pair(common, shown[u]),
        "serendipity": lambda u: len(set(targets[u]) & set(shown[u]) - set(popular[u][:k])) / 2,
        "miscalibration": lambda u: divergence(histories[u], shown[u]),
    }
    for name, figure in oracle.items():
        expected = [figure(u) for u in range(len(users))]
        if all(value is None for value in expected):
            assert f"{name}@{k}" not in per_user.columns
        else:
            found = per_user[f"{name}@{k}"].to_list()
            assert [value is None for value in found] == [value is None for value in expected], name
            assert found == pytest.approx(expected, abs=1e-9), name


def test_categories_are_found_and_parted():
    items = pl.DataFrame({"item_id": ["a", "b"], "categories": ["X > Y, Z", "X"], "genres": [["P", "Q"], ["P"]]})
    assert category_column(items, "auto") == "categories"
    assert category_column(items.drop("categories"), "auto") is None
    assert category_column(items, "genres") == "genres"
    assert category_column(items, None) is None
    assert category_parts(items["genres"]).rows() == [(0, 0, "P"), (0, 1, "Q"), (1, 0, "P")]
    assert category_shares(items["categories"]).toarray().tolist() == [[0.5, 0.5], [0.0, 0.0]]  # X says nothing


def test_users_without_a_figure_are_left_out_of_its_interval():
    values = pl.DataFrame({"a": [0.0, 1.0] * 50, "b": [0.25, None] * 50})
    intervals = bootstrap_intervals(values)
    assert intervals["b"] == (0.25, 0.25)
    assert intervals["a"] == bootstrap_intervals(values.select("a"))["a"]
