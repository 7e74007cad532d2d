"""The figures of the audit against their definitions, written as loops."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from planted import clean, dataset_of, days

from genrec.audits.content import near_duplicates
from genrec.audits.order import _backward, ascending
from genrec.audits.ranks import id_ranks, steps_of, target_hits
from genrec.audits.shortcuts import branching, smoothness
from genrec.audits.times import event_times, future, reorder_ties
from genrec.baselines.lib.ranking import ranked_tables, scores_of
from genrec.baselines.popularity import Popularity
from genrec.baselines.random import Random
from genrec.core.dataset import Dataset
from genrec.metrics.lib.tables import find_hits, targets_of
from genrec.metrics.ndcg import NDCG
from genrec.metrics.recall import Recall


def small(*, repeats: bool = True, several: bool = False, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    rows = [random.choice(15, random.integers(3, 9), replace=repeats) for _ in range(40)]
    dataset = dataset_of(rows, ids=[f"i{number}" for number in random.permutation(15)])
    return replace(dataset, validation_ends=dataset.train_ends) if several else dataset


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("baseline", [Popularity(), Random()])
@pytest.mark.parametrize("exclude_seen", [False, True])
def test_ranks_equal_those_of_the_sorted_lists(several, baseline, exclude_seen, monkeypatch):
    monkeypatch.setattr("genrec.audits.ranks.SCORES_AT_ONCE", 100)
    dataset = small(several=several)
    baseline.fit(dataset)
    table = pl.concat(ranked_tables(scores_of(baseline), dataset, "test", k=15, exclude_seen=exclude_seen))
    expected = find_hits(table, targets_of(dataset, "test"))
    hits = target_hits(scores_of(baseline), dataset, "test")[exclude_seen]
    for k in (1, 3, 10):
        np.testing.assert_allclose(Recall().from_hits(hits, k), Recall().from_hits(expected, k), atol=1e-12)
        np.testing.assert_allclose(NDCG().from_hits(hits, k), NDCG().from_hits(expected, k), atol=1e-12)


def test_hops_and_their_chance_equal_the_loop():
    dataset = small(repeats=False)
    steps = steps_of(dataset, "test")
    after = {item: set() for item in range(15)}
    for user in range(dataset.num_users):
        row = dataset.train[user].tolist()
        for a, b in itertools.pairwise(row):
            after[a].add(b)

    def rings(item: int) -> list[set[int]]:
        found = [{item}]
        for _ in range(3):
            found.append({b for a in found[-1] for b in after[a]} - set().union(*found))
        return found

    at, chance = np.zeros(4), np.zeros(4)
    for last, target in zip(steps.last, steps.target, strict=True):
        for hop, ring in enumerate(rings(last)):
            at[hop] += target in ring
            chance[hop] += len(ring) / 15
    figures = branching(dataset, steps)
    assert list(figures["within"].values()) == pytest.approx(np.cumsum(at[1:]) / 40)
    assert list(figures["chance"].values()) == pytest.approx(np.cumsum(chance[1:]) / 40)
    occurring = [item for item in range(15) if dataset.train_counts[item]]
    assert figures["mean_out_degree"] == pytest.approx(np.mean([len(after[item]) for item in occurring]))
    assert figures["no_way"] == pytest.approx(
        np.mean(
            [not after[a] or not any(b in row for row in after.values()) for a, b in zip(steps.last, steps.target, strict=True)]
        )
    )


def test_smoothness_counts_the_nearest(monkeypatch):
    monkeypatch.setattr("genrec.audits.shortcuts.NEAREST", 4)
    dataset = small(repeats=False)
    steps = steps_of(dataset, "test")
    vectors = np.random.default_rng(1).standard_normal((15, 5))
    near = [sorted(set(range(15)) - {a}, key=lambda i: -vectors[i] @ vectors[a])[:4] for a in range(15)]
    share = np.mean([b in near[a] for a, b in zip(steps.last, steps.target, strict=True)])
    assert smoothness(steps, vectors) == {"share": pytest.approx(share), "chance": pytest.approx(4 / 14), "nearest": 4}


def test_ascending_pairs_equal_the_loop():
    dataset = small()
    names = dataset.item_ids.to_list()
    pairs, settled, seen = [], [], set()
    for user in range(dataset.num_users):
        row = dataset.events[user].tolist()
        first = [item not in seen and item not in row[:place] for place, item in enumerate(row)]
        seen |= set(row)
        for place in range(len(row) - 1):
            if row[place] != row[place + 1]:
                pairs.append(names[row[place + 1]] > names[row[place]])
                if not first[place] and not first[place + 1]:
                    settled.append(pairs[-1])
    figures = ascending(dataset, None)
    assert (figures["all"]["share"], figures["all"]["pairs"]) == (pytest.approx(np.mean(pairs)), len(pairs))
    assert (figures["settled"]["share"], figures["settled"]["pairs"]) == (pytest.approx(np.mean(settled)), len(settled))


def test_numbers_are_compared_as_numbers():
    assert id_ranks(pl.Series(["9", "10", "2"])).tolist() == [1, 2, 0]
    assert id_ranks(pl.Series(["9", "10", "x"])).tolist() == [1, 0, 2]


def test_training_parts_are_turned_around():
    dataset = small()
    turned = _backward(dataset)
    for user in range(dataset.num_users):
        assert turned.train[user].tolist() == dataset.train[user].tolist()[::-1]
        assert turned.events[user].tolist()[-2:] == dataset.events[user].tolist()[-2:]


def test_ties_are_reorder_ties_within_themselves():
    dataset = days(sort_by_id=False)
    times = event_times(dataset)
    rank = id_ranks(dataset.item_ids)
    sorted_ = reorder_ties(dataset, times, rank[dataset.events.item_idx])
    starts = dataset.events.offsets
    for user in range(50):
        when = times[starts[user] : starts[user + 1]]
        before, after = dataset.events[user].tolist(), sorted_.events[user].tolist()
        expected = [item for _, _, item in sorted(zip(when, rank[before], before, strict=True))]
        assert after == expected


def test_missing_times_tie_with_nothing_and_are_read_from_the_folder(tmp_path):
    dataset = days(sort_by_id=False)
    times = np.array(dataset.timestamps)
    dataset.save(tmp_path)
    pl.DataFrame({"timestamp": pl.Series(times).set(pl.Series(np.arange(len(times)) % 2 == 0), None)}).write_parquet(
        tmp_path / "interactions.parquet"
    )
    (tmp_path / "timestamps.npy").unlink()
    found = event_times(Dataset.load(tmp_path))
    np.testing.assert_array_equal(found[1::2], times[1::2])
    assert np.isnan(found[::2]).all()
    assert (
        reorder_ties(dataset, found, np.arange(len(found))[::-1]).events.item_idx.tolist() == dataset.events.item_idx.tolist()
    )


def test_future_equals_the_loop():
    dataset = clean()
    times = np.random.default_rng(3).integers(0, 1000, len(dataset.timestamps)).astype(float)  # in no order at all
    user, place = dataset.events.user_idx, np.arange(len(times))
    trained, tested = place < dataset.train_ends[user], place >= dataset.validation_ends[user]
    later = np.mean([np.mean(times[trained] > when) for when in times[tested]])
    own = np.mean([(times[trained & (user == u)] > when).any() for u, when in zip(user[tested], times[tested], strict=True)])
    figures = future(dataset, times)
    assert figures["later_training"] == pytest.approx(later)
    assert figures["own_later_training"] == pytest.approx(own)


def test_near_duplicates_are_told_from_variants():
    names = ["Red Lacquer, 15 ml", "red lacquer 15 ML!", "Blue lacquer, 15 ml", None, ""] + [f"other {n}" for n in range(10)]
    dataset = dataset_of([[2, 4, 3, 0, 1], [0, 2, 3, 4, 5]], ids=[f"i{n}" for n in range(15)], title=names)
    figures = near_duplicates(dataset, steps_of(dataset, "test"))
    assert figures["same_title"] == figures["near"] == pytest.approx(2 / 15)
    assert figures["target_in_catalogue"] == figures["target_in_history"] == 0.5
    assert {title for _, a, _, b in figures["examples"] for title in (a, b)} == set(names[:2])
