"""From figures to findings, and from findings to a verdict in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.audits import read_copies, read_order, read_scores
from genrec.audits.findings import Finding

READINGS = (
    read_scores.floor,
    read_scores.resolution,
    read_order.ids,
    read_order.direction,
    read_order.ties,
    read_order.pace,
    read_order.future,
    read_order.numbering,
    read_copies.targets,
    read_copies.records,
    read_copies.twins,
    read_scores.unseen,
    read_scores.branching,
    read_scores.smoothness,
    read_scores.history,
)


def findings(figures: Mapping[str, Any]) -> list[Finding]:
    """One per check, in the order of the page; ``figures`` is what ``measure`` returns."""
    return [read(figures) for read in READINGS]


def verdict(figures: Mapping[str, Any], found: Sequence[Finding]) -> str:
    """What a score on this data is worth: the floor, what is serious, and how small a difference is noise."""
    rows, best = figures["floors"]["seen_excluded"], figures["floors"]["best"]
    recall, ndcg = read_scores.half_widths(figures)
    row = rows[best]
    sentences = [
        f"The best floor without training, {read_scores.FLOOR_NAMES[best]}, reaches test Recall@10 "
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
