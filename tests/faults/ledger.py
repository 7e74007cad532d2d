"""What was done to the library, and what it made of it: the count behind "0 lost, 0 accepted, every stop one clear line"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from genrec.engine.machine import as_machine_error
from genrec.errors import GenRecError

FAULTS, LOST, ACCEPTED, UNCLEAR = (
    "faults",
    "lost acknowledged writes",
    "damaged artifacts accepted",
    "stops without a clear line",
)


class Ledger:
    """The faults of one test. Failures are kept to the end, so that all faults are counted and all failures told."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.failures: dict[str, list[str]] = {LOST: [], ACCEPTED: [], UNCLEAR: []}

    def inject(self, kind: str, number: int = 1) -> None:
        """Counts a fault."""
        self.faults[kind] += number

    def kept(self, what: object, holds: bool) -> None:
        """Something acknowledged that must be there."""
        if not holds:
            self.failures[LOST].append(str(what))

    def refused(self, kind: str, what: object, action: Callable[[], Any], naming: str) -> None:
        """Counts a damage; to read it must end in one line that names the damaged thing."""
        self.inject(kind)
        if self.told(what, action, naming) is None:
            self.failures[ACCEPTED].append(f"{kind}: {what}")

    def told(self, what: object, action: Callable[[], Any], naming: str = "") -> str | None:
        """The line that an action stops with, None when it does not; a stop without one is a failure."""
        try:
            action()
        except Exception as error:
            line = str(error if isinstance(error, GenRecError) else as_machine_error(error) or "")
            if not is_clear(line) or naming not in line:
                self.failures[UNCLEAR].append(f"{what}: {naming!r} wanted, {type(error).__name__}: {error}")
            return line or repr(error)
        return None

    def told_by_command(self, what: object, code: int, stderr: str, naming: str = "") -> None:
        """A command that must have stopped: exit code 2 and one line on stderr."""
        lines = [line for line in stderr.splitlines() if line]
        if code != 2 or not lines or "Traceback" in stderr or not is_clear(lines[-1]) or naming not in lines[-1]:
            self.failures[UNCLEAR].append(f"{what}: exit code {code}, {stderr[-500:]}")

    def settle(self) -> None:
        """Fails a test of which anything failed."""
        failed = {kind: told for kind, told in self.failures.items() if told}
        assert not failed, failed


def is_clear(line: str) -> bool:
    """Whether a line says where, what was expected, what there was, and what to do."""
    return "\n" not in line and ": expected " in line and ", got " in line and "; " in line
