"""Reads the figures of an audit: one finding per check, and the verdict in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genrec.audits import findings as thresholds
from genrec.audits.content import NEAR
from genrec.audits.findings import Finding, Grade, graded


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


BASELINE_NAMES = {
    "random": "lists drawn by lot",
    "popularity": "popularity",
    "item_knn": "item-kNN",
    "transitions": "decayed transition counts",
    "transitions_log": "decayed transition counts (log)",
    "graph_1": "the graph heuristic TGH-1",
    "graph_2": "the graph heuristic TGH-2",
}


def baseline(figures: Mapping[str, Any]) -> Finding:
    """The best score that needs no training."""
    rows, best = figures["baselines"]["seen_excluded"], figures["baselines"]["best"]
    name, row, popular = BASELINE_NAMES[best], rows[best], rows["popularity"]
    ndcg, recall = row["test/ndcg@10"], row["test/recall@10"]
    blind = ndcg["low"] <= popular["test/ndcg@10"]["mean"]
    return Finding(
        key="baseline",
        title="The score to beat without training",
        grade="mind this" if blind else "fine",
        figure=f"{ndcg['mean']:.4f}",
        label=f"test NDCG@10 of {name}",
        found=f"{_upper(name)} reach{'es' if best in ('popularity', 'item_knn', 'graph_1', 'graph_2') else ''} test Recall@10 "
        f"{recall['mean']:.4f} and NDCG@10 {ndcg['mean']:.4f} (95 % {ndcg['low']:.4f} to {ndcg['high']:.4f}) in seconds; "
        f"popularity has {popular['test/ndcg@10']['mean']:.4f}, chance {rows['random']['test/ndcg@10']['mean']:.4f}.",
        means="Nobody's history helps here: popularity alone does as well, so a score says little about sequences."
        if blind
        else "A model below this row has learned less than counting gives for nothing, whatever rival tables print.",
        advice="Print this row beside every model: `genrec evaluate` does (evaluate.baselines).",
        short="no baseline that reads the history beats popularity" if blind else "",
        hides="Sequence modelling: counting what is popular does as well." if blind else "",
        shows="" if blind else f"Progress over counting, once a model is clearly above {ndcg['mean']:.4f} NDCG@10.",
    )


def resolution(figures: Mapping[str, Any]) -> Finding:
    """The noise of a score."""
    recall, ndcg = half_widths(figures)
    row = figures["baselines"]["seen_excluded"][figures["baselines"]["best"]]
    users = figures["size"]["targets"]["test"]["users"]
    share = recall / max(row["test/recall@10"]["mean"], 1e-12)
    grade = graded(share, thresholds.HALF_WIDTH)
    return Finding(
        key="resolution",
        title="The smallest difference that means something",
        grade=grade,
        figure=f"± {recall:.4f}",
        label="Recall@10, 95 % half-width",
        found=f"With {users:,} test users the best baseline's figures are known to ± {recall:.4f} Recall@10 and ± "
        f"{ndcg:.4f} NDCG@10, "
        f"that is {share:.0%} of its recall.",
        means="A lead below that over another table's row is noise. Paired on the same users smaller leads can be real; "
        "the spread between seeds comes on top.",
        advice="Compare per user: `genrec compare runs/a runs/b` over several seeds.",
        short=f"with {users:,} test users only large differences can be told" if grade == "serious" else "",
        hides=f"Differences of less than {share:.0%}: there are too few users." if grade != "fine" else "",
    )


def half_widths(figures: Mapping[str, Any]) -> tuple[float, float]:
    """Of the best baseline's test Recall@10 and NDCG@10."""
    row = figures["baselines"]["seen_excluded"][figures["baselines"]["best"]]
    cells = (row["test/recall@10"], row["test/ndcg@10"])
    recall, ndcg = ((cell["high"] - cell["low"]) / 2 for cell in cells)
    return recall, ndcg


def unseen(figures: Mapping[str, Any]) -> Finding:
    """Targets out of collaborative reach."""
    size = figures["size"]
    test = size["targets"]["test"]
    share = test["unseen_items"] / test["targets"]
    grade = graded(share, thresholds.UNSEEN_TARGETS)
    return Finding(
        key="unseen",
        title="Targets that nobody could have learned",
        grade=grade,
        figure=f"{share:.1%}",
        label="of the test targets never occur in training",
        found=f"{test['unseen_items']:,} of {test['targets']:,} test targets; {size['untrained_items']:,} of "
        f"{size['items']:,} items "
        f"have no training event, half of all items at most {size['median_item_count']:g}.",
        means=f"Collaborative models and baselines cannot score above {1 - share:.1%} recall; only content can reach the rest.",
        advice="Look at the slice of cold items by itself; filters=five_core removes items with little to learn from.",
        short=f"{share:.0%} of the targets are of items never seen in training" if grade == "serious" else "",
        hides="Collaborative quality alone: a good part of the targets is out of its reach." if grade == "serious" else "",
    )


def branching(figures: Mapping[str, Any]) -> Finding:
    """How many targets are a hop away."""
    graph = figures["branching"]
    one, chance = graph["within"]["1"], graph["chance"]["1"]
    grade = graded(one - chance, thresholds.ONE_HOP)
    return Finding(
        key="branching",
        title="Targets around the corner",
        grade=grade,
        figure=f"{one:.1%}",
        label="of the test targets are one hop from the last item",
        found=f"That many followed the last item directly in somebody's training part (a random item does in {chance:.2%}); "
        f"{graph['within']['2']:.0%} lie within two hops, {graph['within']['3']:.0%} within three, "
        f"{graph['no_way']:.1%} can not be reached at "
        f"all. An item has {graph['median_out_degree']:g} different successors in the median, "
        f"{graph['mean_out_degree']:.1f} on average.",
        means="A look-up of successors finds these without a model; a score mixes them with the targets that need more.",
        advice="Keep the transition and graph rows beside every model, and look at the targets beyond one hop by themselves.",
        short=f"{one:.0%} of the targets are direct successors of the last item" if grade == "serious" else "",
        hides="Reasoning over many steps: many targets are direct successors of the last item." if grade != "fine" else "",
        shows="More than memorized pairs: few targets are direct successors of the last item." if grade == "fine" else "",
    )


def smoothness(figures: Mapping[str, Any]) -> Finding:
    """How many targets look like the last item."""
    near, title = figures["smoothness"], "Targets that look like the last item"
    if near is None:
        return Finding("smoothness", title, "not tested", "–", "no item texts", "The items have no texts to compare.", "", "")
    grade = graded(near["share"] - near["chance"], thresholds.NEAR_CONTENT)
    return Finding(
        key="smoothness",
        title=title,
        grade=grade,
        figure=f"{near['share']:.1%}",
        label=f"of the test targets are among the {near['nearest']} nearest by content",
        found=f"By the cosine of TF-IDF vectors to the last item; a random target would be there in {near['chance']:.1%} "
        f"({near['share'] / near['chance']:.0f} times as many as by chance).",
        means="Content alone finds these. Semantic IDs made of the same text put such items under one prefix, which "
        "helps every "
        "generative model here more than on data whose users change subject.",
        advice="Compare with IDs made from collaborative vectors (encoder=collaborative) before crediting the tokenizer.",
        short=f"{near['share']:.0%} of the targets are content neighbours of the last item" if grade == "serious" else "",
        hides="Taste beyond similarity: many targets look like the last item." if grade == "serious" else "",
    )


def history(figures: Mapping[str, Any]) -> Finding:
    """What a baseline gains from more than two items."""
    baselines = figures["history"]
    name = max(baselines, key=lambda each: float(baselines[each]["depths"]["all"]["test/ndcg@10"]["mean"]))
    depths, gain = baselines[name]["depths"], baselines[name]["gain"]
    one, two, everything = (depths[key]["test/ndcg@10"]["mean"] for key in ("1", "2", "all"))
    relative = gain["mean"] / max(two, 1e-12)
    helps = gain["low"] > 0 and relative >= thresholds.LONG_HISTORY_GAIN
    return Finding(
        key="history",
        title="How much history is needed",
        grade="fine" if helps else "mind this",
        figure=f"{relative:+.0%}",
        label="NDCG@10 of the whole history over its last two items",
        found=f"{_upper(BASELINE_NAMES[name])}, given the last item only: {one:.4f}; the last two: {two:.4f}; all: "
        f"{everything:.4f} "
        f"(gain over two, 95 %: {gain['low']:+.4f} to {gain['high']:+.4f}).",
        means="Older events carry information that even a count can use."
        if helps
        else "Counting needs no more than the last two items here, so a score need not come from using long histories.",
        advice="Slice by history length, and cut histories (generator.max_history_len=2) to see what a model owes to the rest.",
        hides="" if helps else "Use of long histories: baselines lose next to nothing when they see two items only.",
        shows="Use of more than the last items: older events help even the baselines." if helps else "",
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


READINGS = (
    baseline,
    resolution,
    ids,
    direction,
    ties,
    pace,
    future,
    numbering,
    targets,
    records,
    twins,
    unseen,
    branching,
    smoothness,
    history,
)


def findings(figures: Mapping[str, Any]) -> list[Finding]:
    """One per check, in the order of the page; ``figures`` is what ``measure`` returns."""
    return [read(figures) for read in READINGS]


def verdict(figures: Mapping[str, Any], found: Sequence[Finding]) -> str:
    """What a score on this data is worth: the baseline, what is serious, and how small a difference is noise."""
    rows, best = figures["baselines"]["seen_excluded"], figures["baselines"]["best"]
    recall, ndcg = half_widths(figures)
    row = rows[best]
    sentences = [
        f"The best baseline without training, {BASELINE_NAMES[best]}, reaches test Recall@10 "
        f"{row['test/recall@10']['mean']:.4f} and "
        f"NDCG@10 {row['test/ndcg@10']['mean']:.4f}: a model below it is not good yet."
    ]
    serious = [finding.short for finding in found if finding.grade == "serious" and finding.short]
    if serious:
        sentences.append("; ".join(serious) + ".")
    else:
        sentences.append("Nothing that was tested makes a score untrustworthy.")
    if figures["times"] is None:
        sentences.append("Without times nobody can test which events were tied, or how much of the future is in training.")
    sentences.append(f"Differences of less than {recall:.4f} Recall@10 or {ndcg:.4f} NDCG@10 between two rows are noise.")
    return " ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)
