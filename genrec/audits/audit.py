"""The audit of a dataset: all checks one after the other, and the content of audit.json."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from genrec.audits.baseline_scores import baselines_of, measure_baselines
from genrec.audits.content import item_vectors, near_duplicates
from genrec.audits.copies import copies
from genrec.audits.order import ascending, both_ways, id_prior, numbering
from genrec.audits.ranks import steps_of
from genrec.audits.readings import read_findings, verdict
from genrec.audits.shortcuts import branching, history_depth, smoothness
from genrec.audits.times import event_times, future, tie_orders, time_facts
from genrec.core.dataset import Dataset
from genrec.data.lib.events import target_facts
from genrec.engine.artifacts import Artifact
from genrec.errors import DataError


def size_facts(dataset: Dataset) -> dict[str, Any]:
    """Counts users, items, events, density and lengths; per split the targets and those whose item never occurs in training."""
    lengths = dataset.events.lengths
    return {
        "users": dataset.num_users,
        "items": dataset.num_items,
        "events": len(dataset.events.item_idx),
        "train_events": len(dataset.train.item_idx),
        "density": len(dataset.events.item_idx) / (dataset.num_users * dataset.num_items),
        "median_events": float(np.median(lengths)),
        "max_events": int(lengths.max()),
        "median_item_count": float(np.median(dataset.train_counts)),
        "untrained_items": int((dataset.train_counts == 0).sum()),
        "targets": target_facts(dataset),
    }


Figures = TypeVar("Figures")


def measure(dataset: Dataset, log: Callable[[str], None]) -> dict[str, Any]:
    """Computes every figure of the audit, check by check; None where the data has nothing to check (no times, no texts).

    Args:
        dataset: prepared, with test targets.
        log: prints a line of progress.

    Raises:
        DataError: when nothing is held out for the test, or the training part is empty.
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

    def timed(name: str, check: Callable[[], Figures]) -> Figures:
        start = time.perf_counter()
        result = check()
        seconds[name] = round(time.perf_counter() - start, 1)
        log(f"{name}: {seconds[name]:.1f} s")
        return result

    baselines = baselines_of(vectors := timed("item texts", lambda: item_vectors(dataset)))
    figures: dict[str, Any] = {
        "size": size_facts(dataset),
        "baselines": timed("baselines", lambda: measure_baselines(dataset, baselines, lambda line: log(f"  {line}"))),
        "branching": timed("branching", lambda: branching(dataset, steps)),
        "smoothness": None if vectors is None else timed("smoothness", lambda: smoothness(steps, vectors)),
        "history": timed("history", lambda: history_depth(dataset, baselines)),
        "ascending": timed("ascending ids", lambda: ascending(dataset, times)),
        "id_prior": timed("ids as a hint", lambda: id_prior(dataset, baselines["item_knn"])),
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
            figures["tie_orders"] = timed("ties", lambda: tie_orders(dataset, times, lambda line: log(f"  {line}")))
    return figures | {"seconds": seconds}


def audit_dataset(artifact: Artifact, *, name: str, threads: int | None, log: Callable[[str], None]) -> dict[str, Any]:
    """Runs every check on a dataset.

    Args:
        artifact: the dataset.
        name: name of the run.
        threads: number of processor threads; None: as many as there are.
        log: prints a line.

    Returns:
        The content of audit.json: ``verdict``, ``findings``, ``figures``, ``dataset``, ``seconds``.

    Raises:
        DataError: where the split leaves nothing to test on.
    """
    dataset, start = Dataset.load(artifact.path), time.perf_counter()
    with threadpool_limits(limits=threads):
        figures = measure(dataset, log)
    seconds = figures.pop("seconds") | {"all": round(time.perf_counter() - start, 1)}
    findings = read_findings(figures)
    return {
        "name": name,
        "verdict": verdict(figures, findings),
        "findings": [asdict(finding) for finding in findings],
        "figures": figures,
        "dataset": {"fingerprint": artifact.fingerprint, "settings": artifact.config, **dataset.facts},
        "seconds": seconds,
    }
