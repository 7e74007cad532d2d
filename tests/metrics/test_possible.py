"""Rows computed from rankings are never called impossible, however they were rounded; rows that were tampered with are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.statistics.possible_figures import Figure, impossible


def figures(ranks, ks):
    """Every metric of a single-target ranking, from the definitions."""
    ranks = np.asarray(ranks)
    row = {}
    for k in ks:
        hit = ranks <= k
        row["recall", k] = row["hit", k] = hit.mean()
        row["ndcg", k] = (hit / np.log2(ranks + 1)).mean()
        row["mrr", k] = row["map", k] = (hit / ranks).mean()
    return row


def printed(row, digits):
    return {key: Figure(round(value, digits), 0.5 * 10.0**-digits) for key, value in row.items()}


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=40),
    st.lists(st.integers(1, 50), min_size=1, max_size=5, unique=True),
    st.integers(1, 6),
)
def test_true_rows_are_possible(ranks, ks, digits):
    assert list(impossible(printed(figures(ranks, ks), digits))) == []


def test_true_rows_of_real_tables_are_possible():
    """Few hits, many users, the usual cutoffs: what papers print."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        ranks = np.ceil(np.exp(rng.uniform(0, rng.uniform(3, 12), 500)))
        for digits in (2, 3, 4):
            assert list(impossible(printed(figures(ranks, (1, 5, 10, 20)), digits))) == []


def test_averages_of_true_rows_are_possible():
    rng = np.random.default_rng(1)
    rows = [figures(rng.integers(1, 40, 50), (5, 10)) for _ in range(5)]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    assert list(impossible(printed(mean, 4))) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({("ndcg", 10): 0.0427}, "NDCG@10 - NDCG@5 is 0.0183; Recall@10 - Recall@5 of 0.0260 allows"),
        ({("ndcg", 10): 0.0300}, "NDCG@10 - NDCG@5 is 0.0056"),
        ({("ndcg", 5): 0.0400}, "NDCG@5 is 0.0400; Recall@5 of 0.0387 allows"),
        ({("ndcg", 10): 0.0240}, "NDCG@10 is below NDCG@5, by 0.0004"),
        ({("recall", 10): 0.0300}, "Recall@10 is below Recall@5, by 0.0087"),
        ({("recall", 10): 1.2}, "Recall@10 is 1.2000, not a share of the users"),
        ({("recall", 5): -0.1}, "Recall@5 is -0.1000, not a share of the users"),
        ({("recall", 1): 0.01, ("ndcg", 1): 0.012}, "NDCG@1 is 0.0120; Recall@1 of 0.0100 allows 0.0099 to 0.0101"),
        ({("mrr", 10): 0.0340}, "MRR@10 is 0.0340; NDCG@10 of 0.0327 allows"),
        ({("mrr", 10): 0.0060}, "MRR@10 is 0.0060; Recall@10 of 0.0647 allows 0.0064 to"),
        ({("hit", 5): 0.0390}, "HR@5 is 0.0390; Recall@5 of 0.0387 allows 0.0386 to 0.0388"),
    ],
    ids=str,
)
def test_planted_rows_are_found(change, told):
    row = {("recall", 5): 0.0387, ("recall", 10): 0.0647, ("ndcg", 5): 0.0244, ("ndcg", 10): 0.0327}
    assert list(impossible({key: Figure(value, 0.00005) for key, value in row.items()})) == []
    found = list(impossible({key: Figure(value, 0.00005) for key, value in (row | change).items()}))
    assert any(told in line for line in found), found


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.floats(0.001, 0.5))
def test_the_bound_is_the_issues(first, more, share, gain):
    """Exact figures at two cutoffs: possible inside [dR / log2(b + 1), dR / log2(a + 2)], impossible outside."""
    a, b = first, first + more
    low, high = gain / math.log2(b + 1), gain / math.log2(a + 2)
    before = {("recall", a): 0.4, ("ndcg", a): 0.4 / math.log2(2)}
    for step, possible in ((low + share * (high - low), True), (low - 0.001, False), (high + 0.001, False)):
        row = before | {("recall", b): 0.4 + gain, ("ndcg", b): before["ndcg", a] + step}
        found = [line for line in impossible({key: Figure(value, 0.0) for key, value in row.items()}) if f"@{a}" in line]
        assert (found == []) == possible
