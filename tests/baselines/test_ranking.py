import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.baselines.lib import ranking
from genrec.baselines.lib.ranking import ranked_tables, scores_of, top_k
from genrec.baselines.popularity import Popularity
from genrec.core.dataset import Dataset, Sequences
from genrec.metrics.lib.tables import targets_of


def naive_top_k(scores: np.ndarray, k: int) -> list[tuple[int, int, int, int, int]]:
    listed = []
    for user, row in enumerate(scores):
        order = sorted((i for i in range(len(row)) if row[i] > -np.inf), key=lambda i: (-row[i], i))
        for rank, item in enumerate(order, start=1):
            start = 1 + int((row > row[item]).sum())
            if start <= k:
                listed.append((user, item, rank, start, int((row == row[item]).sum())))
    return listed


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6), st.sampled_from([2, 6, 1000]))
def test_top_k_equals_sorting(seed, items, k, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (4, items)).astype(float)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    assert list(zip(*(column.tolist() for column in top_k(scores, k)), strict=True)) == naive_top_k(scores, k)


@pytest.fixture
def dataset() -> Dataset:
    rng = np.random.default_rng(5)
    lengths = rng.integers(2, 7, 25)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Dataset(
        items=pl.DataFrame({"item_id": [f"i{i}" for i in range(9)]}),
        users=pl.DataFrame({"user_id": [f"u{u}" for u in range(25)]}),
        events=Sequences(rng.integers(0, 9, offsets[-1]).astype(np.int32), offsets),
        train_ends=offsets[1:] - 1,
        validation_ends=offsets[1:] - (np.arange(25) % 3 > 0),  # every third user has a validation target and no test target
    )


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_seen_items_follow_the_rule(dataset, exclude_seen):
    baseline = Popularity()
    baseline.fit(dataset)
    table = pl.concat(ranked_tables(scores_of(baseline), dataset, "test", k=9, exclude_seen=exclude_seen))
    with_target = [u for u in range(25) if len(dataset.targets("test")[u])]
    assert table["user_id"].unique(maintain_order=True).to_list() == [f"u{u}" for u in with_target]
    for user in with_target:
        listed = {int(item[1:]) for item in table.filter(pl.col("user_id") == f"u{user}")["item_id"]}
        seen = {int(item) for item in dataset.histories("test")[user]} if exclude_seen else set()
        assert listed == set(range(9)) - seen


def test_hits_only_keeps_the_rows_of_targets(dataset, monkeypatch):
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 60)
    baseline = Popularity()
    baseline.fit(dataset)
    every, hits = (
        pl.concat(ranked_tables(scores_of(baseline), dataset, "test", k=3, exclude_seen=False, hits_only=hits_only))
        for hits_only in (False, True)
    )
    expected = every.join(targets_of(dataset, "test"), on=["user_id", "item_id"], how="semi", maintain_order="left")
    assert 0 < hits.height < every.height
    assert hits.equals(expected)


def test_chunks_of_users_change_nothing(dataset, monkeypatch):
    baseline = Popularity()
    baseline.fit(dataset)

    def tables() -> list[pl.DataFrame]:
        return list(ranked_tables(scores_of(baseline), dataset, "validation", k=4, exclude_seen=True))

    whole = tables()
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 30)
    parts = tables()
    assert (len(whole), len(parts)) == (1, 3)
    assert pl.concat(parts).equals(whole[0])
