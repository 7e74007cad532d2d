"""All checks of a dataset, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from genrec.audits.baseline_scores import floors_of, measure_floors
from genrec.audits.content import item_vectors, near_duplicates
from genrec.audits.copies import copies
from genrec.audits.direction import ascending, both_ways, id_prior
from genrec.audits.numbering import numbering
from genrec.audits.shortcuts import branching, history_depth, smoothness
from genrec.audits.sizes import size_facts
from genrec.audits.steps import steps_of
from genrec.audits.times import event_times, future, tie_orders, time_facts
from genrec.core.dataset import Dataset
from genrec.errors import DataError

Found = TypeVar("Found")


def measure(dataset: Dataset, say: Callable[[str], None]) -> dict[str, Any]:
    """Every figure of the audit, check by check; None where the data has nothing to check (no times, no texts).

    Args:
        dataset: prepared, with test targets.
        say: prints a line of progress.

    Raises:
        DataError: when nothing is held out for the test, or nothing is left to learn from.
    """
    times, steps = event_times(dataset), steps_of(dataset, "test")
    if not len(steps.target) or not len(dataset.train.item_idx):
        raise DataError(
            "split",
            expected="events to learn from, and test targets of users with a history",
            got=f"{len(dataset.train.item_idx):,} training events, {len(dataset.targets('test').item_idx):,} test targets "
            f"({dataset.facts.get('split')})",
            fix="audit a split that holds events out, such as split=leave_one_out",
        )
    seconds: dict[str, float] = {}

    def timed(name: str, check: Callable[[], Found]) -> Found:
        start = time.perf_counter()
        found = check()
        seconds[name] = round(time.perf_counter() - start, 1)
        say(f"{name}: {seconds[name]:.1f} s")
        return found

    floors = floors_of(vectors := timed("item texts", lambda: item_vectors(dataset)))
    figures: dict[str, Any] = {
        "size": size_facts(dataset),
        "floors": timed("floors", lambda: measure_floors(dataset, floors, lambda line: say(f"  {line}"))),
        "branching": timed("branching", lambda: branching(dataset, steps)),
        "smoothness": None if vectors is None else timed("smoothness", lambda: smoothness(steps, vectors)),
        "history": timed("history", lambda: history_depth(dataset, floors)),
        "ascending": timed("ascending ids", lambda: ascending(dataset, times)),
        "id_prior": timed("ids as a hint", lambda: id_prior(dataset, floors["item_knn"])),
        "direction": timed("direction", lambda: both_ways(dataset)),
        "numbering": timed("numbering", lambda: numbering(dataset, steps, times)),
        "copies": timed("copies", lambda: copies(dataset, times)),
        "near_duplicates": timed("near-duplicates", lambda: near_duplicates(dataset, steps)),
        "times": None,
        "future": None,
        "tie_orders": None,
    }
    if times is not None:
        figures["times"] = time_facts(dataset, times)
        figures["future"] = future(dataset, times)
        if figures["times"]["tied_events"]:
            figures["tie_orders"] = timed("ties", lambda: tie_orders(dataset, times, lambda line: say(f"  {line}")))
    return figures | {"seconds": seconds}
