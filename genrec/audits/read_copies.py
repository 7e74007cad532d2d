"""Reads what occurs twice: targets, events, users, items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrec.audits import findings as thresholds
from genrec.audits.content import NEAR
from genrec.audits.findings import Finding, graded


def targets(figures: Mapping[str, Any]) -> Finding:
    """Targets in the history, as copies or as repeats."""
    found = figures["copies"]
    leaked, repeated = found["leaked_targets"], found["repeated_targets"]
    copied = graded(leaked or 0.0, thresholds.LEAKED_TARGETS)
    grade = copied if copied != "fine" else graded(repeated, thresholds.REPEATED_TARGETS)
    return Finding(
        key="targets",
        title="Targets that were seen before",
        grade=grade,
        figure=f"{repeated:.1%}",
        label="of the test targets stand in the user's history",
        found=f"{found['repeated_events']:.1%} of all events are of an item that the user had before."
        + (
            f" {leaked:.1%} of the test targets are recorded in the history with the very same time."
            if leaked is not None
            else ""
        ),
        means="Recorded twice, a target leaks: it is known before it is asked for."
        if copied != "fine"
        else "Repeats can be hit by remembering the history, and cannot be hit at all where seen items are excluded."
        if grade != "fine"
        else "No target is given away by the history.",
        advice="filters.repeats=first keeps each user's first event with an item."
        if copied != "fine"
        else "Report both rules: recommend.exclude_seen=true and false."
        if grade != "fine"
        else "Excluding seen items (recommend.exclude_seen=true) costs nothing here.",
        short=f"{leaked:.1%} of the test targets are also recorded in the history" if copied == "serious" else "",
        hides="Prediction of anything new, unless repeats are counted apart." if grade != "fine" else "",
    )


def records(figures: Mapping[str, Any]) -> Finding:
    """Users and events that were recorded twice."""
    found = figures["copies"]
    double, users = found["double_events"] or 0.0, found["duplicate_users"]
    grades = (graded(users, thresholds.DUPLICATE_USERS), graded(double, thresholds.DOUBLE_EVENTS))
    grade = max(grades, key=("fine", "mind this", "serious").index)
    untimed = "" if found["double_events"] is not None else " Events cannot be told from copies without times."
    return Finding(
        key="records",
        title="Users and events that occur twice",
        grade=grade,
        figure=f"{users:.1%}",
        label="of the users have another user's whole sequence",
        found=f"The largest group of users with one and the same sequence has {found['largest_group']}."
        + (
            f" {found['double_events']:.1%} of the events repeat user, item and time."
            if found["double_events"] is not None
            else untimed
        ),
        means="A copy of a test user stands in training with everything but its last events: neighbours find the target by "
        "finding the copy."
        if grade != "fine"
        else "Copies are too few to matter.",
        advice="Remove the copies at the source (filters.repeats=first removes double events)." if grade != "fine" else "",
        short=f"{users:.0%} of the users are copies of another"
        if grades[0] == "serious"
        else f"{double:.0%} of the events are recorded twice"
        if grades[1] == "serious"
        else "",
        hides="Generalization to new users: some are copies of others." if grade != "fine" else "",
    )


def twins(figures: Mapping[str, Any]) -> Finding:
    """Items that can be taken for each other."""
    title, found = "Items that are nearly the same", figures["near_duplicates"]
    if found is None:
        return Finding("twins", title, "not tested", "–", "no titles", "The items have no titles to compare.", "", "")
    grade = graded(found["target_in_catalogue"], thresholds.TWIN_TARGETS)
    return Finding(
        key="twins",
        title=title,
        grade=grade,
        figure=f"{found['target_in_catalogue']:.1%}",
        label="of the test targets have a near-duplicate in the catalogue",
        found=f"{found['same_title']:.1%} of the items share their title with another, {found['near']:.1%} have one "
        "with a cosine of "
        f"at least {NEAR:g}; {found['target_in_history']:.1%} of the test targets have one in the user's own history.",
        means="Recommending the twin of the target counts as a miss, and so does leaving out the target for the "
        "twin: a ceiling "
        "below 1 that no model can lift, and noise between models that pick one or the other."
        if grade != "fine"
        else "Few targets have a twin that could be taken for them.",
        advice="Merge variants of one product before preparing, or read recall at larger k beside recall at 10."
        if grade != "fine"
        else "",
        short=f"{found['target_in_catalogue']:.0%} of the targets have a near-duplicate that counts as a miss"
        if grade == "serious"
        else "",
        hides="Which of several near-identical items was chosen." if grade != "fine" else "",
    )
