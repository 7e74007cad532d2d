"""Sends a nightly feed to a running service, call by call. Sent again, it continues where it stopped."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from genrec.errors import ConfigError, DataError
from genrec.recommender.item_changes import Changes
from genrec.types import ITEM_ID

_ITEMS, _BYTES = 500, 500_000  # of a call, within the default limits of a service
_SECONDS = 600.0  # the first items of a service without a warm-up may take long


class FeedClient:
    """Feeds a service over HTTP, as ``PersistentRecommender.feed`` does.

    Args:
        url: the address of the service.
        token: the token of its admin calls.
    """

    def __init__(self, url: str, token: str | None) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError("--url", expected="the address of a service", got=url, fix="such as http://127.0.0.1:8000")
        self.url, self.token = url.rstrip("/"), token

    def feed(
        self,
        rows: Sequence[dict[str, Any]],
        *,
        removed: Sequence[str] = (),
        restored: Sequence[str] = (),
        full: bool = False,
        returning: bool = False,
        reassign: bool = False,
    ) -> Changes:
        """Sends a feed; see ``genrec.recommender.feed.Feed``.

        Raises:
            ConfigError: when the service cannot be reached, or wants another token.
            DataError: with what the service says, when it refuses something; what was sent before stays done.
        """
        changes, listed = Changes(), [row[ITEM_ID] for row in rows]
        for some in _batches(rows):
            changes = changes.and_then(self._send_changes("POST", "/items", {"items": some, "reassign": reassign}, len(some)))
        if returning:
            changes = changes.and_then(self._mark("restore", listed, absent=True))
        changes = changes.and_then(self._mark("restore", restored))
        if full:
            listed_ids, active_ids = set(listed), self._active()
            changes = changes.and_then(
                self._mark("remove", [item_id for item_id in active_ids if item_id not in listed_ids], absent=True)
            )
        return changes.and_then(self._mark("remove", removed))

    def _mark(self, verb: str, item_ids: Sequence[str], *, absent: bool = False) -> Changes:
        changes = Changes()
        for some in _batches(item_ids):
            more = self._send_changes("POST", f"/items/{verb}", {"item_ids": some, "absent": absent}, 0)
            changes = changes.and_then(more)
        return changes

    def _send_changes(self, method: str, path: str, body: Any, rows: int) -> Changes:
        """Returns the changes that an answer reports. The ids are in the request, so only their number counts."""
        answer = self._call(method, path, body)

        def some(key: str) -> tuple[str, ...]:
            return ("",) * int(answer.get(key, 0))

        return Changes(
            added=some("num_added"),
            updated=some("num_updated"),
            unchanged=some("num_unchanged") if rows else (),
            removed=some("num_taken_down"),
            restored=some("num_restored"),
            still_removed=some("num_still_removed"),
            unknown=tuple(answer.get("unknown", ())),
        )

    def _active(self) -> list[str]:
        ids: list[str] = []
        while True:
            page = self._call("GET", f"/items?status=active&limit={_ITEMS}&offset={len(ids)}")
            ids += [item[ITEM_ID] for item in page["items"]]
            if len(ids) >= page["num_found"] or not page["items"]:
                return ids

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body, default=str).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            problem = _error_fields(error.read())
            if error.code in (401, 403):
                fix = "give it by GENREC_ADMIN_TOKEN or --token-file"
                raise ConfigError("--url", expected="the admin token of the service", got=problem["got"], fix=fix) from error
            raise DataError(
                f"{self.url}{path}: {problem['where']}", expected=problem["expected"], got=problem["got"], fix=problem["fix"]
            ) from error
        except (OSError, ValueError) as error:
            fix = "start it, or feed its state_dir with --state-dir while it is stopped"
            raise ConfigError("--url", expected=f"a service at {self.url}", got=str(error), fix=fix) from error


def _error_fields(body: bytes) -> dict[str, str]:
    nothing = {"where": "request", "expected": "an answer", "got": body[:200].decode(errors="replace"), "fix": "see its log"}
    try:
        return {key: str(json.loads(body)[key]) for key in nothing}
    except (ValueError, KeyError, TypeError):
        return nothing


def _batches(entries: Sequence[Any]) -> Iterator[list[Any]]:
    """Yields the entries of each call."""
    some: list[Any] = []
    size = 0
    for entry in entries:
        length = len(json.dumps(entry, default=str))
        if some and (len(some) == _ITEMS or size + length > _BYTES):
            yield some
            some, size = [], 0
        some.append(entry)
        size += length
    if some:
        yield some
