"""Reads the figures of an audit: one finding per check, and the verdict.

A reader here chooses a grade and the cases that hold; the sentences are in ``findings.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from genrec.audits import findings as thresholds
from genrec.audits.content import NEAR
from genrec.audits.findings import Finding, Grade, graded

TEXTS = Path(__file__).with_name("findings.yaml")
BASELINE_NAMES = {
    "random": "random lists",
    "popularity": "popularity",
    "item_knn": "item-kNN",
    "transitions": "decayed transition counts",
    "transitions_log": "decayed transition counts (log)",
    "graph_1": "the graph heuristic TGH-1",
    "graph_2": "the graph heuristic TGH-2",
}


@cache
def _texts() -> dict[str, Any]:
    """Reads the templates: check -> case -> field -> text, or sentences for ``observed``."""
    texts: dict[str, Any] = yaml.safe_load(TEXTS.read_text(encoding="utf-8"))
    return texts


def _fill(check: str, cases: Sequence[str | None], values: Mapping[str, Any]) -> dict[str, str]:
    """Fills figures into the texts of a check in some cases; a case of None does not hold."""
    templates: dict[str, str] = {}
    sentences: list[str] = []
    for case in ("always", *cases):
        if case is not None:
            fields = dict(_texts()[check][case])
            sentences += fields.pop("observed", [])
            templates |= fields
    return {field: text.format(**values) for field, text in {**templates, "observed": " ".join(sentences)}.items()}


def _finding(check: str, grade: Grade, *cases: str | None, **values: Any) -> Finding:
    """Makes a finding; only a serious one has a clause in the verdict."""
    texts = {"means": "", "advice": ""} | _fill(check, cases, values)
    if grade != "serious":
        texts["short"] = ""
    return Finding(key=check, grade=grade, **texts)


def _case(grade: Grade) -> str:
    """Names the case of checks whose texts are the same for a warning and for a serious finding."""
    return "fine" if grade == "fine" else "warning"


def _worst(*grades: Grade) -> Grade:
    return max(grades, key=thresholds.GRADES.index)


def _mildest(*grades: Grade) -> Grade:
    return min(grades, key=thresholds.GRADES.index)


# --- what a score on this data is worth ------------------------------------------------------------------------------------


def best_baseline(figures: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Returns the name and the figures of the baseline to beat."""
    best = figures["baselines"]["best"]
    return best, figures["baselines"]["seen_excluded"][best]


def half_widths(figures: Mapping[str, Any]) -> tuple[float, float]:
    """Computes half-widths of the 95 % intervals of the best baseline's test Recall@10 and NDCG@10."""
    _, row = best_baseline(figures)
    cells = (row["test/recall@10"], row["test/ndcg@10"])
    recall, ndcg = ((cell["high"] - cell["low"]) / 2 for cell in cells)
    return recall, ndcg


def read_baseline(figures: Mapping[str, Any]) -> Finding:
    """Reads the best score that needs no training."""
    rows, (best, row) = figures["baselines"]["seen_excluded"], best_baseline(figures)
    popular, chance = (rows[name]["test/ndcg@10"]["mean"] for name in ("popularity", "random"))
    blind = row["test/ndcg@10"]["low"] <= popular
    return _finding(
        "baseline",
        "warning" if blind else "fine",
        "blind" if blind else "fine",
        name=BASELINE_NAMES[best],
        recall=row["test/recall@10"],
        ndcg=row["test/ndcg@10"],
        popular=popular,
        random=chance,
    )


def read_resolution(figures: Mapping[str, Any]) -> Finding:
    """Reads the noise of a score."""
    recall, ndcg = half_widths(figures)
    _, row = best_baseline(figures)
    share = recall / max(row["test/recall@10"]["mean"], 1e-12)
    grade = graded(share, thresholds.HALF_WIDTH)
    users = figures["size"]["targets"]["test"]["users"]
    case = "warning" if grade != "fine" else None
    return _finding("resolution", grade, case, recall=recall, ndcg=ndcg, share=share, users=users)


def read_unseen(figures: Mapping[str, Any]) -> Finding:
    """Reads how many targets no collaborative method can reach."""
    size = figures["size"]
    test = size["targets"]["test"]
    share = test["unseen_items"] / test["targets"]
    grade = graded(share, thresholds.UNSEEN_TARGETS)
    return _finding(
        "unseen",
        grade,
        "serious" if grade == "serious" else None,
        **{key: size[key] for key in ("untrained_items", "items", "median_item_count")},
        unseen=test["unseen_items"],
        targets=test["targets"],
        share=share,
        reachable=1 - share,
    )


def read_branching(figures: Mapping[str, Any]) -> Finding:
    """Reads how many targets are direct successors of the last item."""
    graph = figures["branching"]
    one, chance = graph["within"]["1"], graph["chance"]["1"]
    grade = graded(one - chance, thresholds.ONE_HOP)
    return _finding(
        "branching",
        grade,
        _case(grade),
        **{key: graph[key] for key in ("no_way", "median_out_degree", "mean_out_degree")},
        one=one,
        two=graph["within"]["2"],
        three=graph["within"]["3"],
        chance=chance,
    )


def read_smoothness(figures: Mapping[str, Any]) -> Finding:
    """Reads how many targets look like the last item."""
    near = figures["smoothness"]
    if near is None:
        return _finding("smoothness", "not tested", "textless")
    grade = graded(near["share"] - near["chance"], thresholds.NEAR_CONTENT)
    case = "serious" if grade == "serious" else None
    return _finding("smoothness", grade, "texts", case, **near, factor=near["share"] / near["chance"])


def read_history(figures: Mapping[str, Any]) -> Finding:
    """Reads what a baseline gains from more than two items."""
    baselines = figures["history"]
    name = max(baselines, key=lambda each: float(baselines[each]["depths"]["all"]["test/ndcg@10"]["mean"]))
    depths, gain = baselines[name]["depths"], baselines[name]["gain"]
    one, two, everything = (depths[key]["test/ndcg@10"]["mean"] for key in ("1", "2", "all"))
    relative = gain["mean"] / max(two, 1e-12)
    helps = gain["low"] > 0 and relative >= thresholds.LONG_HISTORY_GAIN
    grade: Grade = "fine" if helps else "warning"
    values = {"relative": relative, "one": one, "two": two, "everything": everything, "gain": gain}
    return _finding("history", grade, grade, name=BASELINE_NAMES[name], **values)


# --- what ids, order and times give away -----------------------------------------------------------------------------------


def read_ids(figures: Mapping[str, Any]) -> Finding:
    """Reads whether ids rise along the histories: within ties where there are times, over all repeated items where not."""
    times = figures["times"]
    if times is None:
        return _untimed_ids(figures)
    if not times["tied_events"]:
        return _finding("ids", "fine", "no_ties", apart=figures["ascending"]["apart"])
    rising = figures["ascending"]
    tied, apart = rising["tied"], rising["apart"]
    grade = _mildest(_excess(tied), graded(times["tied_targets"], thresholds.TIED_TARGETS))
    side = _side(tied)
    return _finding(
        "ids",
        grade,
        "tied",
        "tied_fine" if grade == "fine" else "tied_leak",
        tied=tied,
        apart=apart,
        tied_targets=times["tied_targets"],
        gain=_relative_gain(figures),
        side=side,
        first="lower" if side == "ascending" else "higher",
    )


def _untimed_ids(figures: Mapping[str, Any]) -> Finding:
    rising = figures["ascending"]
    repeated, two = rising["settled"], rising["by_gap"].get("2", rising["settled"])
    grade = _excess(repeated)
    if figures["id_prior"]["gain"]["low"] <= 0:  # a model that reads the ids gains nothing
        grade = "warning" if grade == "serious" else "fine"
    as_sorted = abs(repeated["share"] - 0.5) > abs(two["share"] - 0.5)
    cases = ("untimed_fine",) if grade == "fine" else ("untimed_leak", "untimed_sorted" if as_sorted else "untimed_drift")
    return _finding(
        "ids",
        grade,
        "untimed",
        *cases,
        all=rising["all"],
        last_pair=_last_pair(figures),
        last_share=rising["last_pair"]["share"],
        repeated=repeated,
        two=two,
        gain=_relative_gain(figures),
        side=_side(repeated),
    )


def _excess(pairs: Mapping[str, float]) -> Grade:
    surprising = abs(pairs["z"]) >= thresholds.STANDARD_ERRORS
    return graded(abs(pairs["share"] - 0.5), thresholds.TIED_RISE) if surprising else "fine"


def _side(pairs: Mapping[str, float]) -> str:
    return "ascending" if pairs["share"] > 0.5 else "descending"


def _relative_gain(figures: Mapping[str, Any]) -> float:
    prior = figures["id_prior"]
    return float(prior["gain"]["mean"] / max(prior["without"], 1e-12))


def _last_pair(figures: Mapping[str, Any]) -> str:
    test, validation = (figures["size"]["targets"][split] for split in ("test", "validation"))
    leave_one_out = test["targets"] == test["users"] == validation["targets"] == validation["users"]
    return "the pairs of validation and test item" if leave_one_out else "the last two events of each user"


def read_direction(figures: Mapping[str, Any]) -> Finding:
    """Reads whether before and after differ, and whether that may come from the users."""
    ways = figures["direction"]
    forward, backward = ways["forward"]["test/ndcg@10"]["mean"], ways["backward"]["test/ndcg@10"]["mean"]
    significant = ways["gain"]["low"] > 0
    suspect = significant and read_ids(figures).grade != "fine"
    return _finding(
        "direction",
        "fine" if significant and not suspect else "warning",
        "suspect" if suspect else "ordered" if significant else "unordered",
        share=backward / max(forward, 1e-12),
        forward=forward,
        backward=backward,
        gain=ways["gain"],
    )


def read_ties(figures: Mapping[str, Any]) -> Finding:
    """Reads what the tie rule decides."""
    times, orders = figures["times"], figures["tie_orders"]
    if times is None:
        return _finding("ties", "not tested", "untimed")
    if orders is None:
        return _finding("ties", "fine", "none")
    shuffled = [cell for name, cell in orders.items() if name.startswith("shuffled")]
    changed = float(np.mean([cell["changed_targets"] for cell in shuffled]))
    before, by_id, *others = (
        row["transitions"]["test/ndcg@10"]["mean"] for row in (orders["prepared"], orders["item_id"], *shuffled)
    )
    after = float(np.mean(others))
    grade = graded(changed, thresholds.CHANGED_TARGETS)
    return _finding(
        "ties",
        grade,
        "tied",
        "missing" if times["missing"] else None,
        "scores",
        _case(grade),
        **{key: times[key] for key in ("unit", "missing", "tied_events")},
        changed=changed,
        before=before,
        after=after,
        lead=before - after,
        by_id=by_id,
        by_id_changed=orders["item_id"]["changed_targets"],
        lowest=min(others),
        highest=max(others),
    )


def read_pace(figures: Mapping[str, Any]) -> Finding:
    """Reads whether events were entered in bulk, or against their times."""
    times = figures["times"]
    if times is None:
        return _finding("pace", "not tested", "untimed")
    reversed_grade = graded(times["backward"], thresholds.TIME_REVERSED)
    if reversed_grade != "fine":
        return _finding("pace", reversed_grade, "reversed", **times)
    by_minute = times["unit"] in ("second", "minute")  # by the day, everything of a day is "within a minute"
    grade = graded(times["within_minute"] if by_minute else 0.0, thresholds.BULK)
    return _finding(
        "pace",
        grade,
        "by_minute" if by_minute else "by_day",
        "steps",
        _case(grade) if by_minute else "coarse",
        **times,
        span=_span(times["median_span_days"]),
    )


def _span(days: float) -> str:
    return f"{days:,.0f} days" if days >= 2 else f"{days * 24:.1f} hours" if days * 24 >= 2 else f"{days * 1440:.0f} minutes"


def read_future(figures: Mapping[str, Any]) -> Finding:
    """Reads how much of the training part came after the targets."""
    future = figures["future"]
    if future is None:
        return _finding("future", "not tested", "untimed")
    of_user = graded(future["own_later_training"], thresholds.OWN_FUTURE)
    grade = of_user if of_user != "fine" else graded(future["later_training"], thresholds.FUTURE)
    return _finding("future", grade, "timed", _case(grade), **future)


def read_numbering(figures: Mapping[str, Any]) -> Finding:
    """Reads whether numbers were given out along the sequences."""
    numbering = figures["numbering"]
    names = {"item_id": "item ids", "row": "rows of the catalogue"}
    leads = {name: numbering[name]["next_numbers"] - numbering[name]["previous_numbers"] for name in names}
    worst = max(leads, key=lambda name: leads[name])
    numbered = [name for name in names if numbering[name]["first_appearance"] >= thresholds.FIRST_APPEARANCE]
    grade = graded(leads[worst], thresholds.NEXT_NUMBERS)
    if grade == "fine" and numbered:
        grade = "warning"
    cases = ("fine",) if grade == "fine" else ("leak", "numbered" if numbered else None)
    of_ids = "Item ids" if "item_id" in numbered else "Rows"
    return _finding("numbering", grade, *cases, **numbering, worst=numbering[worst], name=names[worst], numbered=of_ids)


# --- what occurs twice -----------------------------------------------------------------------------------------------------


def read_targets(figures: Mapping[str, Any]) -> Finding:
    """Reads which targets are in the history, as copies or as repeats."""
    copies = figures["copies"]
    leaked = copies["leaked_targets"]
    copied = graded(leaked or 0.0, thresholds.LEAKED_TARGETS)
    grade = copied if copied != "fine" else graded(copies["repeated_targets"], thresholds.REPEATED_TARGETS)
    case = "copies" if copied != "fine" else "repeats" if grade != "fine" else "fine"
    return _finding("targets", grade, "timed" if leaked is not None else None, case, **copies)


def read_records(figures: Mapping[str, Any]) -> Finding:
    """Reads which users and events were recorded twice."""
    copies = figures["copies"]
    users = graded(copies["duplicate_users"], thresholds.DUPLICATE_USERS)
    events = graded(copies["double_events"] or 0.0, thresholds.DOUBLE_EVENTS)
    grade = _worst(users, events)
    serious = "users" if users == "serious" else "events" if events == "serious" else None
    timed = "timed" if copies["double_events"] is not None else "untimed"
    return _finding("records", grade, timed, _case(grade), serious, **copies)


def read_twins(figures: Mapping[str, Any]) -> Finding:
    """Reads which items are nearly the same."""
    duplicates = figures["near_duplicates"]
    if duplicates is None:
        return _finding("twins", "not tested", "untitled")
    grade = graded(duplicates["target_in_catalogue"], thresholds.TWIN_TARGETS)
    return _finding("twins", grade, "titled", _case(grade), **duplicates, cosine=NEAR)


# --- all of them -----------------------------------------------------------------------------------------------------------

READERS = (  # in the order of the page
    read_baseline,
    read_resolution,
    read_ids,
    read_direction,
    read_ties,
    read_pace,
    read_future,
    read_numbering,
    read_targets,
    read_records,
    read_twins,
    read_unseen,
    read_branching,
    read_smoothness,
    read_history,
)


def read_findings(figures: Mapping[str, Any]) -> list[Finding]:
    """Makes one finding per check, in the order of the page, from the figures that ``measure`` returns."""
    return [read(figures) for read in READERS]


def verdict(figures: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """Writes what a score on this data is worth: the best baseline, what is serious, and how small a difference is noise."""
    best, row = best_baseline(figures)
    recall_noise, ndcg_noise = half_widths(figures)
    clauses = "; ".join(finding.short for finding in findings if finding.short)
    texts = _fill(
        "verdict",
        ("serious" if clauses else "sound", "untimed" if figures["times"] is None else None, "noise"),
        {
            "name": BASELINE_NAMES[best],
            "recall": row["test/recall@10"]["mean"],
            "ndcg": row["test/ndcg@10"]["mean"],
            "clauses": clauses[:1].upper() + clauses[1:],
            "recall_noise": recall_noise,
            "ndcg_noise": ndcg_noise,
        },
    )
    return texts["observed"]
