"""Numbering: ids that were handed out along the sequences tell what comes next to whoever reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from scipy.stats import rankdata

from genrec.audits.steps import Steps, id_ranks
from genrec.core.dataset import Dataset

REACH = 10


def numbering(dataset: Dataset, steps: Steps, times: Float[np.ndarray, " events"] | None) -> dict[str, Any]:
    """Two numberings, by ``item_id`` (ascending) and by ``row`` of the catalogue.

    Returns:
        For each: ``first_appearance``, Spearman's correlation with the order in which items first appear, user after user;
        ``next_numbers``, the share of test targets among the ``REACH`` numbers after that of the last item, and
        ``previous_numbers`` before it; ``chance`` of either. ``user_ids``: correlation of the ids' order with the time of the
        first event, or with the users' order where there are no times.
    """
    item = dataset.events.item_idx
    occurring, first = np.unique(item, return_index=True)
    numberings = {"item_id": id_ranks(dataset.item_ids), "row": np.arange(dataset.num_items)}
    found: dict[str, Any] = {"chance": min(1.0, REACH / max(1, dataset.num_items - 1)), "reach": REACH}
    for name, number in numberings.items():
        ahead = number[steps.target] - number[steps.last]
        found[name] = {
            "first_appearance": _spearman(number[occurring], first),
            "next_numbers": float(np.mean((ahead > 0) & (ahead <= REACH))),
            "previous_numbers": float(np.mean((ahead < 0) & (ahead >= -REACH))),
        }
    starts = dataset.events.offsets[:-1][dataset.events.lengths > 0]
    users = id_ranks(dataset.user_ids)[dataset.events.lengths > 0]
    when = starts if times is None else times[starts]
    known = np.isfinite(when)
    found["user_ids"] = _spearman(users[known], when[known])
    return found


def _spearman(a: Int64[np.ndarray, " n"], b: Float[np.ndarray, " n"] | Int64[np.ndarray, " n"]) -> float:
    """0 where one of them is constant."""
    x, y = rankdata(a), rankdata(b)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
