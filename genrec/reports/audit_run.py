"""An audit from a configuration to its files; the command line and the Python API both call it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genrec.audits.audit import audit_dataset
from genrec.engine.config import Config
from genrec.engine.pipeline import make_artifact, run_of
from genrec.engine.runs import AUDIT
from genrec.reports.audit_page import audit_page


def audit_data(config: Config, *, log: Callable[[str], None] = print) -> tuple[Path, dict[str, Any]]:
    """Prepares the data, runs every check, and writes ``audit.json`` and ``audit.html`` into the run's folder, nothing else.

    A run of the same name stays as it is: its record, and what it links to.

    Returns:
        The folder, and the content of audit.json: ``verdict``, ``findings``, ``figures``, ``dataset``, ``seconds``.

    Raises:
        GenRecError: as ``prepare`` does; DataError where the split leaves nothing to test on.
    """
    run = run_of(config)
    artifact = make_artifact(config, until="prepare", log=log)
    audit = audit_dataset(artifact, name=run.name, threads=config.tree["threads"], log=log)
    run.path.mkdir(parents=True, exist_ok=True)
    for name, text in (("json", json.dumps(audit, indent=2, ensure_ascii=False)), ("html", audit_page(audit))):
        draft = run.path / f".{AUDIT}.{name}.{os.getpid()}"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, run.path / f"{AUDIT}.{name}")
    return run.path, audit
