"""What requests want: equal wishes are answered together, from one catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genrec.serving.beams import beams
from genrec.serving.catalogue import HISTORY
from genrec.serving.explanation import explain
from genrec.serving.histories import read_histories
from genrec.serving.recommender import Recommender
from genrec.types import ITEM_ID, SCORE

Answer = dict[str, Any]  # as it is sent
Asked = tuple[Sequence[str], Sequence[float] | None]  # a history, and when each item of it was


@dataclass(frozen=True)
class Listing:
    """The next items of histories; see ``Recommender.recommend``.

    Args:
        k: items of each list.
        exclude_seen: never list an item of the history; None: the bundle's rule.
        only: a filter.
        steer: filters, and what to add to the log-probability of what passes them.
        quota: columns, and how many items of one value a list may have.
        timed: whether the histories come with times.
        searches: of single histories, at most so many for the quotas of a batch; None: as many as it takes.
    """

    k: int
    exclude_seen: bool | None = None
    only: str | None = None
    steer: tuple[tuple[str, float], ...] = ()
    quota: tuple[tuple[str, int], ...] = ()
    timed: bool = False
    searches: int | None = None

    def answer(self, recommender: Recommender, entries: Sequence[Any]) -> list[Answer]:
        """The list of each history, or of each pair of a history and its times; and its ids that are not in the catalogue."""
        histories, times = zip(*entries, strict=True) if self.timed else (entries, None)
        now = recommender.catalogue
        read = read_histories(histories, now.table.idx, times)
        table = now.recommend(
            read.sequences,
            k=self.k,
            exclude_seen=self.exclude_seen,
            only=self.only,
            steer=dict(self.steer),
            quota=dict(self.quota),
            batch_size=len(histories),
            searches=self.searches,
        )
        lists: list[list[Answer]] = [[] for _ in histories]
        for place, item_id, score in table.select(HISTORY, ITEM_ID, SCORE).iter_rows():
            lists[place].append({ITEM_ID: item_id, SCORE: score})
        return [{"items": items, "unknown": unknown} for items, unknown in zip(lists, read.unknown, strict=True)]


@dataclass(frozen=True)
class Likeness:
    """The items most like a given one; see ``Recommender.similar``.

    Args:
        item_id: the item.
        k: items of the list.
        only: a filter.
    """

    item_id: str
    k: int
    only: str | None = None

    def answer(self, recommender: Recommender, entries: list[Any]) -> list[Answer]:
        """The list, once for each who asked."""
        return [{"items": recommender.similar(self.item_id, self.k, only=self.only).drop("rank").to_dicts()}] * len(entries)


@dataclass(frozen=True)
class Reason:
    """Why an item after histories; see ``Recommender.explain``.

    Args:
        item_id: the item.
        last: items of a history that are weighed.
    """

    item_id: str
    last: int

    def answer(self, recommender: Recommender, entries: Sequence[Asked]) -> list[Answer]:
        """An explanation for each history, and its ids that are not in the catalogue."""
        now, answers = recommender.catalogue, []
        item = now.table.rows([self.item_id])[0]
        for history, times in entries:
            read = read_histories([history], now.table.idx, None if times is None else [times])
            why = explain(now, read.sequences, item, last=self.last)
            told = {"log_prob": why.log_prob, "path": None if why.path is None else why.path.to_dicts()}
            answers.append({ITEM_ID: why.item_id, **told, "because": why.because.to_dicts(), "unknown": read.unknown[0]})
        return answers


@dataclass(frozen=True)
class Beams:
    """The prefixes that searches kept; see ``Recommender.beams``.

    Args:
        k: items of the list.
        exclude_seen: never list an item of the history; None: the bundle's rule.
        only: a filter.
        steer: filters, and what to add to the log-probability of what passes them.
    """

    k: int
    exclude_seen: bool | None = None
    only: str | None = None
    steer: tuple[tuple[str, float], ...] = ()

    def answer(self, recommender: Recommender, entries: Sequence[Asked]) -> list[Answer]:
        """The prefixes for each history, and its ids that are not in the catalogue."""
        now, answers = recommender.catalogue, []
        for history, times in entries:
            read = read_histories([history], now.table.idx, None if times is None else [times])
            kept = beams(now, read.sequences, k=self.k, exclude_seen=self.exclude_seen, only=self.only, steer=dict(self.steer))
            levels = [level.drop("level").to_dicts() for level in kept.partition_by("level", maintain_order=True)]
            answers.append({"levels": levels, "unknown": read.unknown[0]})
        return answers


Wish = Listing | Likeness | Reason | Beams
