"""The audit of a dataset in one mapping: figures, what they show, and a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from threadpoolctl import threadpool_limits

from genrec.audits.audit import measure
from genrec.audits.verdict import findings, verdict
from genrec.core.dataset import Dataset
from genrec.engine.artifacts import Artifact


def audit_dataset(artifact: Artifact, *, name: str, threads: int | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs every check on a dataset.

    Args:
        artifact: the dataset.
        name: of the run.
        threads: of the processor; None: as many as there are.
        say: prints a line.

    Returns:
        The content of audit.json: ``verdict``, ``findings``, ``figures``, ``dataset``, ``seconds``.

    Raises:
        DataError: where the split leaves nothing to test on.
    """
    dataset, start = Dataset.load(artifact.path), time.perf_counter()
    with threadpool_limits(limits=threads):
        figures = measure(dataset, say)
    seconds = figures.pop("seconds") | {"all": round(time.perf_counter() - start, 1)}
    found = findings(figures)
    return {
        "name": name,
        "verdict": verdict(figures, found),
        "findings": [asdict(finding) for finding in found],
        "figures": figures,
        "dataset": {"fingerprint": artifact.fingerprint, "settings": artifact.config, **dataset.facts},
        "seconds": seconds,
    }
