"""Reads floors, sizes and shortcuts: what a score on this data is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrec.audits import findings as thresholds
from genrec.audits.findings import Finding, graded

FLOOR_NAMES = {
    "random": "lists drawn by lot",
    "popularity": "popularity",
    "item_knn": "item-kNN",
    "transitions": "decayed transition counts",
    "transitions_log": "decayed transition counts (log)",
    "graph_1": "the graph heuristic TGH-1",
    "graph_2": "the graph heuristic TGH-2",
}


def floor(figures: Mapping[str, Any]) -> Finding:
    """The best score that needs no training."""
    rows, best = figures["floors"]["seen_excluded"], figures["floors"]["best"]
    name, row, popular = FLOOR_NAMES[best], rows[best], rows["popularity"]
    ndcg, recall = row["test/ndcg@10"], row["test/recall@10"]
    blind = ndcg["low"] <= popular["test/ndcg@10"]["mean"]
    return Finding(
        key="floor",
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
        advice="Print this row beside every model: `genrec evaluate` does (evaluate.floors).",
        short="no floor that reads the history beats popularity" if blind else "",
        hides="Sequence modelling: counting what is popular does as well." if blind else "",
        shows="" if blind else f"Progress over counting, once a model is clearly above {ndcg['mean']:.4f} NDCG@10.",
    )


def resolution(figures: Mapping[str, Any]) -> Finding:
    """The noise of a score."""
    recall, ndcg = half_widths(figures)
    row = figures["floors"]["seen_excluded"][figures["floors"]["best"]]
    users = figures["size"]["targets"]["test"]["users"]
    share = recall / max(row["test/recall@10"]["mean"], 1e-12)
    grade = graded(share, thresholds.HALF_WIDTH)
    return Finding(
        key="resolution",
        title="The smallest difference that means something",
        grade=grade,
        figure=f"± {recall:.4f}",
        label="Recall@10, 95 % half-width",
        found=f"With {users:,} test users the best floor's figures are known to ± {recall:.4f} Recall@10 and ± "
        f"{ndcg:.4f} NDCG@10, "
        f"that is {share:.0%} of its recall.",
        means="A lead below that over another table's row is noise. Paired on the same users smaller leads can be real; "
        "the spread between seeds comes on top.",
        advice="Compare per user: `genrec compare runs/a runs/b` over several seeds.",
        short=f"with {users:,} test users only large differences can be told" if grade == "serious" else "",
        hides=f"Differences of less than {share:.0%}: there are too few users." if grade != "fine" else "",
    )


def half_widths(figures: Mapping[str, Any]) -> tuple[float, float]:
    """Of the best floor's test Recall@10 and NDCG@10."""
    row = figures["floors"]["seen_excluded"][figures["floors"]["best"]]
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
        means=f"Collaborative models and floors cannot score above {1 - share:.1%} recall; only content can reach the rest.",
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
    """What a floor gains from more than two items."""
    floors = figures["history"]
    name = max(floors, key=lambda each: float(floors[each]["depths"]["all"]["test/ndcg@10"]["mean"]))
    depths, gain = floors[name]["depths"], floors[name]["gain"]
    one, two, everything = (depths[key]["test/ndcg@10"]["mean"] for key in ("1", "2", "all"))
    relative = gain["mean"] / max(two, 1e-12)
    helps = gain["low"] > 0 and relative >= thresholds.LONG_HISTORY_GAIN
    return Finding(
        key="history",
        title="How much history is needed",
        grade="fine" if helps else "mind this",
        figure=f"{relative:+.0%}",
        label="NDCG@10 of the whole history over its last two items",
        found=f"{_upper(FLOOR_NAMES[name])}, given the last item only: {one:.4f}; the last two: {two:.4f}; all: "
        f"{everything:.4f} "
        f"(gain over two, 95 %: {gain['low']:+.4f} to {gain['high']:+.4f}).",
        means="Older events carry information that even a count can use."
        if helps
        else "Counting needs no more than the last two items here, so a score need not come from using long histories.",
        advice="Slice by history length, and cut histories (generator.max_history_len=2) to see what a model owes to the rest.",
        hides="" if helps else "Use of long histories: floors lose next to nothing when they see two items only.",
        shows="Use of more than the last items: older events help even the floors." if helps else "",
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
