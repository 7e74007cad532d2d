"""Gives every test of a fault its ledger, and prints the totals of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from ledger import ACCEPTED, FAULTS, LOST, UNCLEAR, Ledger


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    ledger = Ledger()
    yield ledger
    counts = {FAULTS: dict(ledger.faults), **{kind: len(told) for kind, told in ledger.failures.items()}}
    request.node.user_properties.append(("faults", counts))  # reports carry them, from other processes too
    ledger.settle()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The totals."""
    faults, failed = Counter[str](), Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for counts in (value for name, value in report.user_properties if name == "faults"):
                    faults.update(counts.pop(FAULTS))
                    failed.update(counts)
    if faults:
        terminalreporter.section("faults")
        for kind, number in sorted(faults.items()):
            terminalreporter.line(f"{number:6,}  {kind}")
        terminalreporter.line(f"{faults.total():6,}  faults injected")
        for kind in (LOST, ACCEPTED, UNCLEAR):
            terminalreporter.line(f"{failed[kind]:6,}  {kind}")
