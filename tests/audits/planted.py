"""Made-up shops with a known fault, or none, for the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from genrec.audits.audit import measure
from genrec.audits.findings import Finding
from genrec.audits.readings import read_findings
from genrec.core.dataset import Dataset, Sequences

USERS, ITEMS = 700, 150
Rows = list[np.ndarray]


def dataset_of(rows: Sequence[Sequence[int]], *, ids: Sequence[str], times: np.ndarray | None = None, **items: Any) -> Dataset:
    """Leave-one-out over the rows as they are."""
    lengths = [len(row) for row in rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Dataset(
        items=pl.DataFrame({"item_id": list(ids)} | items),
        users=pl.DataFrame({"user_id": [f"u{number}" for number in np.random.default_rng(9).permutation(len(rows))]}),
        events=Sequences(np.concatenate([np.asarray(row, np.int32) for row in rows]), offsets),
        train_ends=offsets[1:] - 2,
        validation_ends=offsets[1:] - 1,
        timestamps=times,
        facts={"split": {"rule": "leave_one_out"}, "order": {"ties": "input_order"}},
    )


def clean_rows(seed: int = 0) -> Rows:
    """Users wander over a hidden ring of items, mostly forward, and never come back; item numbers say nothing."""
    random = np.random.default_rng(seed)
    ring = random.permutation(ITEMS)
    rows = []
    for _ in range(USERS):
        steps = random.integers(1, 20, random.integers(5, 8))  # at most 7 steps below 20: less than a round
        rows.append(ring[(random.integers(ITEMS) + np.cumsum(steps)) % ITEMS])
    return rows


def clean_times(rows: Rows, seed: int = 1) -> np.ndarray:
    """Days apart, to the second, everybody's test target after everybody's training part."""
    random = np.random.default_rng(seed)
    when = []
    for row in rows:
        train = np.sort(random.choice(100 * 86_400, len(row) - 2, replace=False))
        when.append(
            [*train, *np.sort(random.choice(np.arange(101, 200), 2, replace=False)) * 86_400 + random.integers(1, 86_399)]
        )
    return np.concatenate(when).astype(np.float64)


def titles(seed: int = 2) -> list[str]:
    """Six words each out of many, so that no two titles are alike."""
    random = np.random.default_rng(seed)
    return [" ".join(f"w{word}" for word in random.choice(4000, 6, replace=False)) for _ in range(ITEMS)]


def clean() -> Dataset:
    rows = clean_rows()
    return dataset_of(rows, ids=shuffled_ids(), times=clean_times(rows), title=titles())


def shuffled_ids() -> list[str]:
    return [f"B{number:04d}" for number in np.random.default_rng(3).permutation(ITEMS)]


def clean_untimed() -> Dataset:
    return without_times(clean())


def without_times(dataset: Dataset) -> Dataset:
    return replace(dataset, timestamps=None)


def days(sort_by_id: bool) -> Dataset:
    """Times by the day, two or three events each; equal times in item-id order or in no order."""
    random = np.random.default_rng(5)
    names, rows = shuffled_ids(), clean_rows()
    when = []
    for row in rows:
        day = np.sort(random.integers(0, 3, len(row)))
        when.append((day + 10) * 86_400.0)
        key = [names[item] for item in row] if sort_by_id else random.permutation(len(row))
        row[:] = row[np.lexsort((key, day))]
    return dataset_of(rows, ids=names, times=np.concatenate(when), title=titles())


def days_by_id() -> Dataset:
    return days(sort_by_id=True)


def days_shuffled() -> Dataset:
    return days(sort_by_id=False)


def sorted_without_times() -> Dataset:
    return without_times(days_by_id())


def bulk() -> Dataset:
    """Everything within a minute of the event before."""
    rows = clean_rows()
    random = np.random.default_rng(6)
    times = [random.integers(10**6) + np.cumsum(random.integers(1, 40, len(row))) for row in rows]
    return dataset_of(rows, ids=shuffled_ids(), times=np.concatenate(times).astype(np.float64), title=titles())


def numbered() -> Dataset:
    """Ids handed out as items first appear, user after user, held-out events included."""
    random = np.random.default_rng(7)
    fresh = iter(range(1000))
    rows = [[next(fresh) for _ in range(4)] for _ in range(250)]
    rows += [list(random.choice(1000, 6, replace=False)) for _ in range(450)]
    return dataset_of(rows, ids=[str(number) for number in range(1000)], title=[f"t{number}" for number in range(1000)])


def doubled_users() -> Dataset:
    rows = clean_rows()
    return dataset_of(rows + rows[:150], ids=shuffled_ids(), title=titles())


def leaked_targets() -> Dataset:
    """Every tenth user's test target was recorded in the training part too, with its own time."""
    rows = [list(row) for row in clean_rows()]
    times = np.split(clean_times([np.array(row) for row in rows]), np.cumsum([len(row) for row in rows])[:-1])
    for user in range(0, USERS, 10):
        rows[user][0], times[user][0] = rows[user][-1], times[user][-1]
    return dataset_of(rows, ids=shuffled_ids(), times=np.concatenate(times), title=titles())


def out_of_order() -> Dataset:
    """Every tenth user's test target happened before everything else."""
    dataset = clean()
    times = np.array(dataset.timestamps)
    times[dataset.events.offsets[1::10] - 1] = 0.0
    return replace(dataset, timestamps=times)


def twin_items() -> Dataset:
    """Every second item has the title of the one before it."""
    names = titles()
    names[1::2] = names[::2]
    return dataset_of(clean_rows(), ids=shuffled_ids(), title=names)


@cache
def audited(make: Callable[[], Dataset]) -> tuple[dict[str, Any], dict[str, Finding]]:
    """Figures and findings by key; each shop is audited once."""
    figures = measure(make(), lambda line: None)
    return figures, {finding.key: finding for finding in read_findings(figures)}
