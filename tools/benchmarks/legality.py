"""Answers under concurrent change: items come and go and bundles are swapped while lists are asked for; every item is checked.

    python tools/benchmarks/legality.py BUNDLE [--answers 100000] [--seed 0]

Runs the service's own batcher, journal and live recommender in this process; without BUNDLE, a shop of arbitrary logits. An
item is wrong when it is

    illegal      in no catalogue that was ever served and never added
    duplicate    twice in one list
    removed      acknowledged as removed before its request began and not put back since
    filtered     against the filter of its request, or in the history that it was to exclude

Prints the counts, the changes that happened meanwhile and the rate. Nothing here is timed for its own sake.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from genrec.recommender.bundle import open_catalogue
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.requests import RecommendRequest
from genrec.serving.limits import Limits
from genrec.serving.service import Service
from genrec.types import ITEM_ID

K, HISTORIES, ASKERS = 10, 100, 2
LATER = "later-"  # what the ids of added items begin with
WRONG = ("illegal", "duplicate", "removed", "filtered")


@dataclass
class Changes:
    """What was acknowledged, kept beside the service by whoever changes it.

    Args:
        known: items that were ever there.
        removed: items that no request may get that begins now.
        returned: items that were removed and came back, in order: requests that were on their way may have them.
    """

    known: set[str]
    removed: frozenset[str] = frozenset()
    returned: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def forget(self, items: list[str]) -> None:
        """They may be listed from now on; said before they are."""
        self.removed -= frozenset(items)
        self.returned += items


def change(
    live: PersistentRecommender,
    changes: Changes,
    reopened: Callable[[], Catalogue],
    moves: random.Random,
    stop: threading.Event,
) -> None:
    """Adds, removes, puts back and swaps until it is asked to stop."""
    rows, number = live.items.head(1).to_dicts(), 0
    gone: list[str] = []
    while not stop.is_set():
        kind = moves.choices(("add", "remove", "put back", "reload"), (4, 8, 4, 1))[0]
        if kind == "add":
            number += 1
            later = f"{LATER}{number % 200}"  # the same ones again and again, or the catalogue would only grow
            changes.known.add(later)  # before: an answer may have it before the call returns
            changes.forget([later])
            live.add_items([{**rows[0], ITEM_ID: later}])
            gone = [item for item in gone if item != later]
        elif kind == "remove":
            chosen = moves.sample(live.items[ITEM_ID].to_list(), 3)
            live.remove_items(chosen)
            changes.removed |= frozenset(chosen)
            gone += chosen
        elif kind == "put back" and len(gone) > 30:
            chosen, gone = gone[:3], gone[3:]
            changes.forget(chosen)
            live.restore_items(chosen)
        elif kind == "reload":
            live.swap(reopened())
        else:
            continue
        changes.counts[kind] += 1
        time.sleep(0.01)


def wrong_items(
    listed: list[str], history: list[str], passing: frozenset[str] | None, removed: frozenset[str], known: set[str]
) -> Counter[str]:
    """What is wrong with a list. (Whether an item that came later passes a filter on codes is not known here.)"""
    there = Counter(listed)
    return Counter(
        illegal=sum(item not in known for item in listed),
        duplicate=sum(number - 1 for number in there.values()),
        removed=len(removed & there.keys()),
        filtered=len(there.keys() & set(history))
        + (0 if passing is None else sum(item not in passing for item in listed if not item.startswith(LATER))),
    )


def ask(service: Service, changes: Changes, filters: dict[str, frozenset[str]], moves: random.Random, left: Countdown) -> None:
    """Asks for lists until there are enough, and checks them."""
    items = service.recommender.items[ITEM_ID].to_list()
    while left.take(HISTORIES):
        histories = [moves.choices(items, k=moves.randrange(0, 8)) for _ in range(HISTORIES)]
        only = moves.choice([None, *filters])
        returned, removed = len(changes.returned), changes.removed  # in this order: see Changes.forget
        request = RecommendRequest(histories=histories, k=K, exclude_seen=True, filter=only)
        answers = service.submit(request).result()
        still = removed.difference(changes.returned[returned:])
        for history, answer in zip(histories, answers, strict=True):
            listed, passing = [item[ITEM_ID] for item in answer["items"]], None if only is None else filters[only]
            left.found(wrong_items(listed, history, passing, still, changes.known), len(listed))


class Countdown:
    """Answers that are still to be asked for, and what was wrong with those that came."""

    def __init__(self, answers: int) -> None:
        self.left, self.answers, self.items, self.wrong, self._lock = answers, 0, 0, Counter[str](), threading.Lock()

    def take(self, number: int) -> bool:
        """Whether so many more are wanted."""
        with self._lock:
            self.left -= number
            return self.left > -number

    def found(self, wrong: Counter[str], items: int) -> None:
        """Counts an answer."""
        with self._lock:
            self.answers += 1
            self.items += items
            self.wrong.update(wrong)


def filters_of(catalogue: Catalogue) -> dict[str, frozenset[str]]:
    """Filters that some of the items pass, and which: by codes, which no swap of the same bundle changes, and by a column."""
    ids = catalogue.table.frame[ITEM_ID]
    tests = ["code_0 in [0, 1, 2, 3]", "not code_0 == 1"] if catalogue.table.codes is not None else []
    for column in catalogue.table.frame:
        if column.dtype == pl.Boolean:
            tests.append(f"`{column.name}` == true")
        elif column.dtype.is_numeric() and column.median() is not None:
            tests.append(f"`{column.name}` >= {column.median()}")
    found = {test: frozenset(ids.filter(pl.Series(catalogue.table.passing_items(test)))) for test in tests}
    return {test: passing for test, passing in found.items() if len(passing) > 2 * K}


def measured(opened: Callable[[], Catalogue], *, answers: int, seed: int) -> dict[str, Any]:
    """Counts of wrong items, of answers and of changes."""
    first = opened()
    filters = filters_of(first)
    with tempfile.TemporaryDirectory() as state:
        service = Service(
            PersistentRecommender(first, Journal(Path(state))), Limits(queue=10_000, batch=HISTORIES, histories=HISTORIES)
        )
        changes, left, stop = Changes(set(first.table.frame[ITEM_ID])), Countdown(answers), threading.Event()
        failed: list[BaseException] = []

        def guarded(work: Callable[..., None], *given: Any) -> None:
            try:
                work(*given)
            except BaseException as error:
                failed.append(error)
                left.left = 0

        changer = threading.Thread(
            target=guarded, args=(change, service.recommender, changes, opened, random.Random(seed), stop)
        )
        askers = [
            threading.Thread(target=guarded, args=(ask, service, changes, filters, random.Random(seed + 1 + number), left))
            for number in range(ASKERS)
        ]
        start = time.monotonic()
        for thread in (changer, *askers):
            thread.start()
        for thread in askers:
            thread.join()
        stop.set()
        changer.join()
        seconds = time.monotonic() - start
        service.close()
    if failed:
        raise failed[0]
    return {
        "answers": left.answers,
        "items": left.items,
        "wrong": {kind: left.wrong[kind] for kind in WRONG},
        "changes": dict(changes.counts),
        "filters": list(filters),
        "answers_per_second": round(left.answers / seconds, 1),
    }


def small_shop() -> Catalogue:
    """The catalogue of the tests, where there is no bundle."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    from small_shop import shop

    return shop(60)


def main() -> int:
    """Prints what it passing; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    opened = small_shop if options.bundle is None else lambda: open_catalogue(options.bundle)
    passing = measured(opened, answers=options.answers, seed=options.seed)
    print(f"{passing['answers']:,} answers with {passing['items']:,} items at {passing['answers_per_second']:,} answers/s")
    print("meanwhile:", ", ".join(f"{number:,} x {kind}" for kind, number in passing["changes"].items()))
    print("filters:", "; ".join(passing["filters"]) or "none")
    print("wrong items:", ", ".join(f"{number:,} {kind}" for kind, number in passing["wrong"].items()))
    return int(any(passing["wrong"].values()))


if __name__ == "__main__":
    sys.exit(main())
