"""Reads ids, order and times: whether the sequence itself tells what it should not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genrec.audits import findings as thresholds
from genrec.audits.findings import Finding, Grade, graded

IDS = "Item ids along the histories"


def ids(figures: Mapping[str, Any]) -> Finding:
    """Whether ids rise along the histories: within ties where times are known, over all settled pairs where they are not."""
    times = figures["times"]
    if times is None:
        return _untimed_ids(figures)
    return _tied_ids(figures) if times["tied_events"] else _no_tied_ids(figures)


def _tied_ids(figures: Mapping[str, Any]) -> Finding:
    rising, times = figures["ascending"], figures["times"]
    tied, apart = rising["tied"], rising["apart"]
    grade = _mildest(_excess(tied), graded(times["tied_targets"], thresholds.TIED_TARGETS))
    side, leaks = _side(tied), grade != "fine"
    return Finding(
        key="ids",
        title=IDS,
        grade=grade,
        figure=f"{tied['share']:.1%}",
        label="of the neighbours with equal times ascend in item id",
        found=f"That is of {tied['pairs']:,} pairs; of those with different times {apart['share']:.1%} do (chance is "
        "50 %; where ties "
        f"are sorted, the highest id of one time is followed by the lowest of the next). {times['tied_targets']:.1%} "
        "of the test "
        f"targets tie with the event before them. {_hint(figures)}",
        means=f"Events with equal times were put in {side} order of the item id. Which of them is the 'next' one was "
        "decided by "
        "sorting and not by the user, and a model that learns pair by pair learns the sort: part of every score is that."
        if leaks
        else "Equal times are in no order of the ids, or too few of them to matter.",
        advice="Prepare with order.by=timestamp and order.ties=random, with several order.seed, and print both figures."
        if leaks
        else "",
        short=f"the order leaks: {tied['share']:.0%} of the neighbours with equal times stand in {side} item id (chance: 50 %)"
        if grade == "serious"
        else "",
        hides=f"What users do next: of equal times, the {'lower' if side == 'ascending' else 'higher'} item id comes first."
        if leaks
        else "",
        shows="" if leaks else "Direction that is not an echo of sorted ids.",
    )


def _no_tied_ids(figures: Mapping[str, Any]) -> Finding:
    apart = figures["ascending"]["apart"]
    return Finding(
        key="ids",
        title=IDS,
        grade="fine",
        figure=f"{apart['share']:.1%}",
        label="of the consecutive pairs ascend in item id",
        found="No events of a user have equal times, so nobody had to sort them.",
        means="The times alone decide what comes next; should ids rise, it is because newer items have higher ones.",
        advice="",
        shows="Direction that is not an echo of sorted ids.",
    )


def _untimed_ids(figures: Mapping[str, Any]) -> Finding:
    rising = figures["ascending"]
    settled, two = rising["settled"], rising["by_gap"].get("2", rising["settled"])
    grade = _excess(settled)
    if figures["id_prior"]["gain"]["low"] <= 0:  # whoever reads the ids gains nothing by it
        grade = "mind this" if grade == "serious" else "fine"
    side, leaks = _side(settled), grade != "fine"
    evidence = (
        "Neighbours do so more often than events two apart; newer items with higher ids would do the reverse. So events of one "
        "date were sorted by id: which is 'next' was decided by sorting, and a model that learns pair by pair learns the sort."
        if abs(settled["share"] - 0.5) > abs(two["share"] - 0.5)
        else "Neighbours do so no more often than events two apart, as when newer items have higher ids; without "
        "times that cannot be "
        "told from sorted ties."
    )
    return Finding(
        key="ids",
        title=IDS,
        grade=grade,
        figure=f"{rising['all']['share']:.1%}",
        label="of the consecutive pairs ascend in item id",
        found=f"That is of {rising['all']['pairs']:,} pairs; of {_last_pair(figures)} "
        f"{rising['last_pair']['share']:.1%} do. Chance is "
        f"50 %. Without items that appear for the first time it is {settled['share']:.1%}, and {two['share']:.1%} "
        "for events two "
        f"apart. {_hint(figures)}",
        means=f"Users know no item ids. {evidence}"
        if leaks
        else "The order of the ids tells next to nothing about what comes next.",
        advice="Take the data with its times and prepare with order.ties=random. Where there are none, compare "
        "models only under "
        "this same order, and never with figures from another preparation."
        if leaks
        else "",
        short=f"the order leaks: {rising['all']['share']:.0%} of the consecutive pairs stand in {side} item id "
        "(chance: 50 %), and "
        f"item-kNN gains {_gain(figures):+.0%} NDCG@10 by knowing that alone"
        if grade == "serious"
        else "",
        hides="What users do next: part of the direction is the sort order of item ids." if leaks else "",
        shows="" if leaks else "Direction that is not an echo of sorted ids.",
    )


def _excess(pairs: Mapping[str, float]) -> Grade:
    surprising = abs(pairs["z"]) >= thresholds.STANDARD_ERRORS
    return graded(abs(pairs["share"] - 0.5), thresholds.TIED_RISE) if surprising else "fine"


def _mildest(*grades: Grade) -> Grade:
    """The mildest of them: all must hold for a grade."""
    return min(grades, key=("fine", "mind this", "serious").index)


def _side(pairs: Mapping[str, float]) -> str:
    return "ascending" if pairs["share"] > 0.5 else "descending"


def _gain(figures: Mapping[str, Any]) -> float:
    prior = figures["id_prior"]
    return float(prior["gain"]["mean"] / max(prior["without"], 1e-12))


def _hint(figures: Mapping[str, Any]) -> str:
    return f"Item-kNN, which knows no order, gains {_gain(figures):+.0%} NDCG@10 when it is told which way the ids go."


def _last_pair(figures: Mapping[str, Any]) -> str:
    test, validation = (figures["size"]["targets"][split] for split in ("test", "validation"))
    loo = test["targets"] == test["users"] == validation["targets"] == validation["users"]
    return "those from validation to test" if loo else "the last two events of each user"


def direction(figures: Mapping[str, Any]) -> Finding:
    """Whether before and after differ, and whether that may be the users' doing."""
    ways = figures["direction"]
    forward, backward = ways["forward"]["test/ndcg@10"]["mean"], ways["backward"]["test/ndcg@10"]["mean"]
    share = backward / max(forward, 1e-12)
    real = ways["gain"]["low"] > 0
    suspect = real and ids(figures).grade != "fine"
    return Finding(
        key="direction",
        title="Forward against backward",
        grade="fine" if real and not suspect else "mind this",
        figure=f"{share:.0%}",
        label="of the forward NDCG@10 is left when training is read backward",
        found=f"The same transition counts reach {forward:.4f} test NDCG@10 fitted forward and {backward:.4f} fitted "
        "on every training "
        f"sequence reversed (lead of forward, 95 %: {ways['gain']['low']:+.4f} to {ways['gain']['high']:+.4f}).",
        means=(
            "Direction carries signal, but the ids carry direction (see there): how much of it is the users' cannot be told."
            if suspect
            else "What came before and what came after differ: the order of events carries signal."
            if real
            else "Before and after are alike: histories are sets as far as pairs can tell, and a sequential model "
            "has little to win."
        ),
        advice="Run a model on shuffled histories as a control." if suspect or not real else "",
        hides="" if real else "The value of order: pairs score the same backward.",
        shows="The value of order: pairs read backward score less." if real and not suspect else "",
    )


def ties(figures: Mapping[str, Any]) -> Finding:
    """What the tie rule decides."""
    title, times, orders = "Equal times", figures["times"], figures["tie_orders"]
    if times is None:
        return Finding(
            "ties",
            title,
            "not tested",
            "–",
            "the data has no times",
            "Positions only: which events were tied, and how the ties were broken, is lost.",
            "What sorting did to the order cannot be undone or measured here; the check of the item ids is all there is.",
            "Prefer a source with times.",
        )
    if orders is None:
        return Finding(
            "ties", title, "fine", "none", "of the events tie", "No user has two neighbouring events with the same time.",
            "The order of events is that of the times.", "", shows="The true order of events: no times "
            "are equal.",
        )  # fmt: skip
    shuffled = [cell for name, cell in orders.items() if name.startswith("shuffled")]
    changed = float(np.mean([cell["changed_targets"] for cell in shuffled]))
    scores = {
        name: [row["transitions"]["test/ndcg@10"]["mean"] for row in rows]
        for name, rows in (("prepared", [orders["prepared"]]), ("item_id", [orders["item_id"]]), ("shuffled", shuffled))
    }
    before, after = scores["prepared"][0], float(np.mean(scores["shuffled"]))
    grade = graded(changed, thresholds.CHANGED_TARGETS)
    return Finding(
        key="ties",
        title=title,
        grade=grade,
        figure=f"{changed:.1%}",
        label="of the test targets change when ties are shuffled",
        found=f"Times are by the {times['unit']}"
        + (f" ({times['missing']:.1%} are missing)" if times["missing"] else "")
        + f"; {times['tied_events']:.1%} of the events share theirs with a neighbour. Transition counts reach test "
        f"NDCG@10 {before:.4f} "
        f"as prepared, {scores['item_id'][0]:.4f} with ties by item id, {min(scores['shuffled']):.4f} to "
        f"{max(scores['shuffled']):.4f} with ties shuffled; item ids change "
        f"{orders['item_id']['changed_targets']:.1%} of the targets.",
        means=f"The tie rule, not the user, chose {changed:.0%} of the test targets, and is worth "
        f"{before - after:+.4f} NDCG@10 to a count."
        if grade != "fine"
        else "Few targets hang on the tie rule.",
        advice="State order.ties beside every figure; report order.ties=random (order.seed=0, 1, 2) as a second column."
        if grade != "fine"
        else "",
        short=f"ties decide: shuffled, {changed:.0%} of the test targets are other items and NDCG@10 of the counts goes from "
        f"{before:.4f} to {after:.4f}"
        if grade == "serious"
        else "",
        hides="Which item was really next, where several share a time." if grade != "fine" else "",
    )


def pace(figures: Mapping[str, Any]) -> Finding:
    """Whether events were entered in bulk, or against their times."""
    title, times = "Pace of the events", figures["times"]
    if times is None:
        return Finding(
            "pace", title, "not tested", "–", "the data has no times", "Positions only.", "", "Prefer a source with times."
        )
    reversed_grade = graded(times["backward"], thresholds.TIME_REVERSED)
    fine_times = times["unit"] in ("second", "minute")  # by the day, everything of a day is "within a minute"
    grade = graded(times["within_minute"] if fine_times else 0.0, thresholds.BULK)
    if reversed_grade != "fine":
        return Finding(
            "pace", title, reversed_grade, f"{times['backward']:.1%}", "of the consecutive events go back in time",
            "The order of the events is not that of their times.", "Histories may hold what came after their target.",
            "Set order.by=timestamp.", short="the order contradicts the times" if reversed_grade == "serious" else "",
            hides="Prediction: events are not in the order of their times.",
        )  # fmt: skip
    return Finding(
        key="pace",
        title=title,
        grade=grade,
        figure=f"{times['within_minute']:.1%}" if fine_times else f"{times['within_day']:.1%}",
        label=f"of the consecutive events are at most a {'minute' if fine_times else 'day'} apart",
        found=f"{times['within_day']:.0%} follow within a day; from the first event to the last the median user takes "
        f"{_days(times['median_span_days'])}.",
        means="These are times of entry, not of use: whoever rates dozens of items in one sitting follows the list "
        "that the site "
        "shows, so the order is that of a page, and 'next' means next on the page."
        if grade != "fine"
        else "The pace does not look like bulk entry."
        if fine_times
        else "Times by the day cannot show bulk entry within it.",
        advice="Say so beside the figures. To ask for later sessions instead of the rest of the sitting, split=temporal."
        if grade != "fine"
        else "",
        short=f"{times['within_minute']:.0%} of the events follow within a minute, so the order is that of bulk entry"
        if grade == "serious"
        else "",
        hides="What a user wants next: many events were entered in bulk, in the order of a page." if grade != "fine" else "",
    )


def _days(days: float) -> str:
    return f"{days:,.0f} days" if days >= 2 else f"{days * 24:.1f} hours" if days * 24 >= 2 else f"{days * 1440:.0f} minutes"


def future(figures: Mapping[str, Any]) -> Finding:
    """What training knows that came after the targets."""
    title, found = "The future in the training part", figures["future"]
    if found is None:
        return Finding(
            "future", title, "not tested", "–", "the data has no times", "Positions only.", "", "Prefer a source with times."
        )
    own = graded(found["own_later_training"], thresholds.OWN_FUTURE)
    grade: Grade = own if own != "fine" else graded(found["later_training"], thresholds.FUTURE)
    return Finding(
        key="future",
        title=title,
        grade=grade,
        figure=f"{found['later_training']:.0%}",
        label="of the training events are later than a test target, on average",
        found=f"{found['item_not_yet_seen']:.1%} of the test targets come before their item's first training event; "
        f"{found['own_later_training']:.1%} before a training event of the same user.",
        means="A split per user lets a model learn from what others did later: trends and new items are known in advance, as "
        "they never are in service. Rows of one table share this; figures do not carry over to a live system."
        if grade != "fine"
        else "Hardly anything is learned from after the targets.",
        advice="Run split=temporal beside it before believing a figure in production." if grade != "fine" else "",
        short=f"{found['own_later_training']:.1%} of the test targets are earlier than training events of the same user"
        if own == "serious"
        else "",
        hides="Performance in service: training knows what other users did later." if grade != "fine" else "",
        shows="Prediction of the future: training ends before the targets." if grade == "fine" else "",
    )


def numbering(figures: Mapping[str, Any]) -> Finding:
    """Whether numbers were handed out along the sequences."""
    found = figures["numbering"]
    names = {"item_id": "item ids", "row": "rows of the catalogue"}
    leads = {name: found[name]["next_numbers"] - found[name]["previous_numbers"] for name in names}
    worst = max(leads, key=lambda name: leads[name])
    numbered = [names[name] for name in names if found[name]["first_appearance"] >= thresholds.FIRST_APPEARANCE]
    grade = graded(leads[worst], thresholds.NEXT_NUMBERS)
    if grade == "fine" and numbered:
        grade = "mind this"
    return Finding(
        key="numbering",
        title="Items numbered along the sequences",
        grade=grade,
        figure=f"{found[worst]['next_numbers']:.1%}",
        label=f"of the test targets are among the next {found['reach']} {names[worst]}",
        found=f"Counting on from the last item finds {found['item_id']['next_numbers']:.1%} of the targets by item id and "
        f"{found['row']['next_numbers']:.1%} by row of the catalogue, counting back "
        f"{found['item_id']['previous_numbers']:.1%} and "
        f"{found['row']['previous_numbers']:.1%}; chance is {found['chance']:.2%}. Rank correlation with the order of first "
        f"appearance: {found['item_id']['first_appearance']:.2f} (ids), {found['row']['first_appearance']:.2f} "
        "(rows). User ids: "
        f"{found['user_ids']:+.2f} with their order.",
        means=(
            f"{'Item ids' if 'item ids' in numbered else 'Rows'} were handed out as items first appeared, held-out "
            "events included. "
            if numbered
            else ""
        )
        + "Whatever reads such a number - a language model fed with ids, codes cut from them, ties broken by row - "
        "is told the answer."
        if grade != "fine"
        else "Numbers tell nothing about what comes next.",
        advice="Nothing in genrec reads ids or row numbers. Keep it so: no ids in texts, none as tokens."
        if grade != "fine"
        else "",
        short=f"numbers leak: {found[worst]['next_numbers']:.0%} of the targets are among the next {found['reach']} "
        f"{names[worst]}"
        if grade == "serious"
        else "",
        hides="Anything about a model that reads ids or row numbers." if grade != "fine" else "",
    )
