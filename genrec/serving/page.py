"""The page to try a recommender: made once for each catalogue, from what its columns allow."""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_table import ItemTable
from genrec.reports.try_it import policy_of, try_it_page
from genrec.serving.limits import Limits
from genrec.serving.page_controls import choices, image_column, ranges


class PageOf:
    """Remembers the page of each catalogue that is in use.

    Args:
        limits: of the service, which the page keeps to.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._made: WeakKeyDictionary[ItemTable, tuple[str, str]] = WeakKeyDictionary()

    def of(self, catalogue: Catalogue) -> tuple[str, str]:
        """The document, and its Content-Security-Policy."""
        made = self._made.get(catalogue.table)
        if made is None:
            html = try_it_page(page_data(catalogue, self._limits), lead=_lead(catalogue))
            made = self._made[catalogue.table] = html, policy_of(html)
        return made


def page_data(catalogue: Catalogue, limits: Limits) -> dict[str, Any]:
    """What the page's script is told: columns to show, what sliders do, histories to start with, and how far it may go."""
    table = catalogue.table
    knobs, kinds = ranges(table.frame), choices(table.frame)
    return {
        "title": table.title,
        "image": image_column(table.frame),
        "facts": [*(kind.column for kind in kinds), *(knob.column for knob in knobs)],
        "ranges": [vars(knob) for knob in knobs],
        "choices": [vars(kind) for kind in kinds],
        "samples": [list(history) for history in catalogue.samples],
        "times": _times(catalogue) if catalogue.needs_times else None,
        "excludeSeen": catalogue.exclude_seen,
        "k": min(10, limits.k, len(table)),
        "found": min(12, limits.k),
        "historyLen": limits.history_len,
        "lookUp": min(50, limits.items),
    }


def _times(catalogue: Catalogue) -> dict[str, Any]:
    """The times of the samples; and of items that a person adds: when the first is, and how much later each is than the last.

    The first is as late as the latest event of the samples, and the gap is the median of theirs; without samples, as if the
    training data had dates: now, and a day.
    """
    times = [np.array(own) for own in catalogue.sample_times]
    gaps = np.concatenate([np.diff(own) for own in times]) if times else np.zeros(0)
    gaps = gaps[gaps > 0]
    return {
        "samples": [own.tolist() for own in times],
        "start": float(np.concatenate(times).max()) if times else float(int(time.time())),
        "gap": float(np.median(gaps)) if len(gaps) else 86_400.0,
    }


def _lead(catalogue: Catalogue) -> str:
    sids = catalogue.table.sids
    ids = "" if sids is None else f" by IDs of {' × '.join(map(str, sids.sizes))} codes"
    return f"{type(catalogue.generator).__name__} recommends from {len(catalogue.table):,} items{ids}."
