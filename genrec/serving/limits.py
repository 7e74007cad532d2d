"""Limits of one request to a service, and of all requests together."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, fields

from genrec.errors import ConfigError

_AT_ONCE, _TWICE = 50, 150  # items that cost a search as much as one item, and how many more double its time


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a service. A filter has limits of its own, too (see ``genrec.recommender.filter_language``).

    Args:
        body: bytes of a request.
        histories: of one request.
        history_len: items of one history.
        columns: of one event, of what is wanted and of a user.
        k: items of one list; beams widen to it, and time and memory grow with them.
        listed: items of all lists of one request together.
        items: added, removed or looked up at once.
        searches: of single histories, at most so many for the quotas of one request; for lists of more than 50 items fewer.
        work: seconds of its core that the model's thread may work for one request; what takes longer is given up.
        preferences: filters of one ``steer``, and columns of one ``quota``.
        filtering: milliseconds that the filters of one request may take, about, of one core (see docs/filters.md).
        queue: histories that wait; further requests are refused with the time to come back.
        batch: histories decoded at once.
        max_wait: seconds that the first of a batch waits for others.
        timeout: seconds until a request that was not answered is given up; as long may its header, its body and the fetching of
            its answer take.
        connections: connections open at once; where there are more, the one that has waited longest without a request is
            closed. The number must exceed ``queue``: else a full queue would leave no connection for the answer to come back.
    """

    body: int = 1_000_000
    histories: int = 64
    history_len: int = 1_000
    columns: int = 50
    k: int = 1_000
    listed: int = 3_200
    items: int = 1_000
    searches: int = 56
    work: float = 2.0
    preferences: int = 20
    filtering: float = 500.0
    queue: int = 512
    batch: int = 64
    max_wait: float = 0.005
    timeout: float = 10.0
    connections: int = 800

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigError(f"limits.{field.name}", expected="above 0", got=getattr(self, field.name), fix="raise it")
        if self.queue < self.histories:
            fix = "raise it, or lower limits.histories"
            raise ConfigError("limits.queue", expected=f"room for a request of {self.histories}", got=self.queue, fix=fix)
        if self.connections <= self.queue:
            expected = f"more than limits.queue ({self.queue}), whose requests each hold one"
            raise ConfigError(
                "limits.connections", expected=expected, got=self.connections, fix="raise it, or lower limits.queue"
            )

    def searches_for(self, k: int) -> int:
        """Returns how many searches for lists of ``k`` items the quotas of one request may take."""
        return max(1, int(self.searches / (1 + max(k - _AT_ONCE, 0) / _TWICE)))

    def check(self, limit: str, where: str, value: int | Sized) -> None:
        """Checks a number, or the length of something, against a limit.

        Raises:
            ConfigError: when it is above.
        """
        size, most = value if isinstance(value, int) else len(value), getattr(self, limit)
        if size > most:
            raise ConfigError(where, expected=f"at most {most}", got=size, fix="ask for less at once")
