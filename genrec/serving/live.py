"""A recommender that is replaced while it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from genrec.serving.recommender import Recommender, open_bundle
from genrec.types import ITEM_ID


class Live:
    """Stands for the newest of several recommenders: whatever a recommender has, it has.

    A call goes to the recommender that is there when it begins, and keeps it to its end: model, IDs, trie and catalogue are
    swapped together or not at all. What was removed stays removed, and nothing else is.

    Args:
        recommender: the first.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._now = recommender
        self._writing = Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now, name)

    def remove_items(self, item_ids: Sequence[str]) -> None:
        """See ``Recommender.remove_items``; waits for a swap that is under way, so that nothing is lost in it."""
        with self._writing:
            self._now.remove_items(item_ids)

    def put_back(self, item_ids: Sequence[str]) -> None:
        """See ``Recommender.put_back``."""
        with self._writing:
            self._now.put_back(item_ids)

    def swap(self, bundle: Recommender | Path) -> None:
        """Answers with another bundle from now on, such as one that ``genrec export --new`` made; opened before anything stops.

        Raises:
            ArtifactError: when it cannot be opened; the old one stays.
        """
        following = bundle if isinstance(bundle, Recommender) else open_bundle(bundle)
        with self._writing:
            known = set(following.items[ITEM_ID])
            following.put_back(following.removed)
            following.remove_items([item_id for item_id in self._now.removed if item_id in known])
            self._now = following
