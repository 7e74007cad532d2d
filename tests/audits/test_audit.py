"""The audit finds what was planted, and nothing where nothing was."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planted import (
    audited,
    bulk,
    clean,
    clean_untimed,
    days_by_id,
    days_shuffled,
    doubled_users,
    leaked_targets,
    numbered,
    out_of_order,
    sorted_without_times,
    twin_items,
)

from genrec.audits.audit import measure
from genrec.audits.findings import GRADES
from genrec.audits.readings import verdict
from genrec.errors import DataError

# Faults of data, as opposed to properties (how local, how long) that no made-up shop is without.
FAULTS = {"ids", "ties", "pace", "future", "numbering", "targets", "records", "twins", "unseen"}


@pytest.mark.parametrize("make", [clean, clean_untimed])
def test_nothing_is_found_where_nothing_is_wrong(make):
    figures, found = audited(make)
    assert {key: found[key].grade for key in FAULTS if found[key].grade not in ("fine", "not tested")} == {}
    assert all(found[key].short not in verdict(figures, list(found.values())) for key in FAULTS if found[key].short)
    assert found["direction"].grade == "fine"


def test_what_has_no_times_is_not_tested():
    _, found = audited(clean_untimed)
    assert {key for key, finding in found.items() if finding.grade == "not tested"} == {"ties", "pace", "future"}


@pytest.mark.parametrize(
    ("make", "key", "grade"),
    [
        (sorted_without_times, "ids", "serious"),
        (days_by_id, "ids", "serious"),
        (days_by_id, "ties", "serious"),
        (days_shuffled, "ties", "serious"),
        (bulk, "pace", "serious"),
        (numbered, "numbering", "serious"),
        (doubled_users, "records", "serious"),
        (leaked_targets, "targets", "serious"),
        (out_of_order, "future", "serious"),
        (out_of_order, "pace", "serious"),
        (twin_items, "twins", "serious"),
    ],
)
def test_the_planted_fault_is_found(make, key, grade):
    figures, found = audited(make)
    assert found[key].grade == grade
    assert found[key].hides
    if found[key].short:
        assert found[key].short[1:] in verdict(figures, list(found.values()))


@pytest.mark.parametrize("make", [days_shuffled, bulk, doubled_users, twin_items])
def test_one_fault_is_not_taken_for_another(make):
    _, found = audited(make)
    assert found["ids"].grade == "fine"
    assert found["numbering"].grade == "fine"
    assert found["targets"].grade == "fine"


def test_the_ascending_share_is_that_of_the_sorted_ties():
    figures, found = audited(sorted_without_times)
    rising = figures["ascending"]
    dataset = days_by_id()
    names, times = dataset.item_ids.to_list(), dataset.timestamps
    ends = dataset.events.offsets[1:]
    last = [names[dataset.events.item_idx[end - 1]] > names[dataset.events.item_idx[end - 2]] for end in ends]
    tied = np.array([times[end - 1] == times[end - 2] for end in ends])
    assert rising["last_pair"]["share"] == pytest.approx(np.mean(last))
    assert np.array(last)[tied].all()
    assert rising["by_gap"]["1"]["share"] > rising["by_gap"]["2"]["share"]
    assert figures["id_prior"]["gain"]["low"] > 0
    assert "decided by sorting" in found["ids"].means


def test_ids_numbered_along_the_sequences_are_no_sorted_ties():
    figures, found = audited(numbered)
    assert figures["ascending"]["all"]["share"] > 0.6
    assert found["ids"].grade == "fine"  # they rise by construction, and settled pairs do not
    assert figures["numbering"]["item_id"]["next_numbers"] > 0.3


def test_shuffled_ties_tell_the_sort_from_the_user():
    figures, _ = audited(days_by_id)
    orders = figures["tie_orders"]
    assert orders["prepared"]["changed_targets"] == orders["item_id"]["changed_targets"] == 0
    assert orders["shuffled_0"]["changed_targets"] > 0.3
    assert figures["ascending"]["tied"]["share"] == 1
    assert figures["ascending"]["apart"]["share"] < 0.5  # the last of a day is its highest, the first of the next its lowest


@pytest.mark.parametrize("make", [clean, numbered, twin_items])
def test_findings_are_complete_and_figures_survive_json(make):
    figures, found = audited(make)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    for finding in found.values():
        assert finding.grade in GRADES
        assert finding.title
        assert finding.figure
        assert finding.label
        assert finding.observed
        if finding.grade != "not tested":
            assert finding.means
            assert finding.advice or finding.grade == "fine"
        if finding.grade == "fine":
            assert not finding.hides
            assert not finding.short


def test_a_split_without_targets_cannot_be_audited():
    dataset = clean()
    ends = dataset.events.offsets[1:]
    everything = dataset.__class__(dataset.items, dataset.users, dataset.events, ends, ends)
    with pytest.raises(DataError, match="0 test targets"):
        measure(everything, lambda line: None)


def test_an_audit_is_the_same_twice():
    figures, _ = audited(clean_untimed)
    again = measure(clean_untimed(), lambda line: None)
    assert {**again, "seconds": None} == {**figures, "seconds": None}


def test_random_baseline_is_chance():
    figures, _ = audited(clean)
    row = figures["baselines"]["seen_kept"]["random"]["test/recall@10"]
    assert row["mean"] == pytest.approx(10 / 150, abs=0.03)
