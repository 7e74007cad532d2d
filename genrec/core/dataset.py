"""The prepared data that all later stages read: items, flat histories, and where each user's parts end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.errors import ArtifactError, DataError, missing_file
from genrec.references import mask_secrets_in
from genrec.types import ITEM_ID, USER_ID, Split

INTERACTIONS_FILE = "interactions.parquet"  # of a dataset artifact: every event, with the column below
PART = "part"  # train, validation or test


@dataclass(frozen=True)
class Sequences:
    """Item sequences of many users, flat.

    Args:
        item_idx: int32 [events], oldest first within a user.
        offsets: int64 [users + 1]; user ``u`` owns ``item_idx[offsets[u]:offsets[u + 1]]``.
        times: float64 [events], when each event was; None where that is not known.
    """

    item_idx: np.ndarray
    offsets: np.ndarray
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int | np.integer) -> np.ndarray:
        return self.item_idx[self.offsets[user] : self.offsets[user + 1]]

    def of(self, users: np.ndarray, last: int | None = None) -> Sequences:
        """Returns the sequences of some users in that order, in full or their ``last`` events."""
        ends, lengths = np.asarray(self.offsets)[1:][users], self.lengths[users]
        lengths = lengths if last is None else np.minimum(lengths, last)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = np.arange(offsets[-1]) + np.repeat(ends - offsets[1:], lengths)
        return Sequences(self.item_idx[flat], offsets, None if self.times is None else self.times[flat])

    @property
    def lengths(self) -> np.ndarray:
        """int64 [users]: number of events of each user."""
        return np.diff(self.offsets)

    @property
    def user_idx(self) -> np.ndarray:
        """int64 [events]: the owner of each event."""
        return np.repeat(np.arange(len(self)), self.lengths)


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset.

    Each user's events are split in place by two absolute ends:
    ``offsets[u] <= train_ends[u] <= validation_ends[u] <= offsets[u + 1]``. Validation targets lie between the first two,
    test targets after the second; the test history includes the validation part.

    Args:
        items: one row per item, row number == item_idx; column ``item_id`` and any others.
        users: one row per user, row number == user_idx; column ``user_id``.
        events: all events of all users.
        train_ends: int64 [users].
        validation_ends: int64 [users].
        timestamps: float64 [events] or None when the source has positions only.
        facts: what prepare recorded: split rule, tie rule, what each filter removed.
        folder: where it was read from (a source may have left extra files there, e.g. the demo world).
    """

    items: pl.DataFrame
    users: pl.DataFrame
    events: Sequences
    train_ends: np.ndarray
    validation_ends: np.ndarray
    timestamps: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def num_items(self) -> int:
        return self.items.height

    @property
    def num_users(self) -> int:
        return self.users.height

    @property
    def item_ids(self) -> pl.Series:
        return self.items[ITEM_ID]

    @property
    def user_ids(self) -> pl.Series:
        return self.users[USER_ID]

    @cached_property
    def train(self) -> Sequences:
        """The training part of every user (users without one keep an empty row): all that anything may be fitted on."""
        return self._slice(self.events.offsets[:-1], self.train_ends)

    @cached_property
    def train_counts(self) -> np.ndarray:
        """int64 [items]: events of each item in the training part."""
        return np.bincount(self.train.item_idx, minlength=self.num_items)

    def histories(self, split: Split) -> Sequences:
        """Returns the events known of each user when ``split``'s targets are predicted (nothing is cut to a maximum length)."""
        ends = self.train_ends if split == "validation" else self.validation_ends
        return self._slice(self.events.offsets[:-1], ends)

    def targets(self, split: Split) -> Sequences:
        """Returns the held-out items of each user: an empty row when the user has none in this split."""
        if split == "validation":
            return self._slice(self.train_ends, self.validation_ends)
        return self._slice(self.validation_ends, self.events.offsets[1:])

    def _slice(self, starts: np.ndarray, ends: np.ndarray) -> Sequences:
        lengths = np.asarray(ends) - np.asarray(starts)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        flat = np.arange(offsets[-1]) + np.repeat(np.asarray(starts) - offsets[:-1], lengths)
        times = None if self.timestamps is None else np.asarray(self.timestamps[flat])
        return Sequences(np.asarray(self.events.item_idx[flat]), offsets, times)

    def save(self, folder: Path) -> None:
        """Writes items and users as parquet, the histories as npy (memory-mapped on load), the facts as json."""
        self.items.write_parquet(folder / "items.parquet")
        self.users.write_parquet(folder / "users.parquet")
        arrays: dict[str, np.ndarray] = {
            "item_idx": self.events.item_idx.astype(np.int32),
            "offsets": self.events.offsets.astype(np.int64),
            "train_ends": self.train_ends.astype(np.int64),
            "validation_ends": self.validation_ends.astype(np.int64),
        }
        if self.timestamps is not None:
            arrays["timestamps"] = self.timestamps.astype(np.float64)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        (folder / "facts.json").write_text(json.dumps(mask_secrets_in(self.facts), indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Opens a saved dataset; histories stay on disk until they are touched.

        Raises:
            ArtifactError: when a file of it is missing.
        """
        folder = Path(folder)

        def array(name: str) -> np.ndarray:
            return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

        try:
            return cls(
                items=pl.read_parquet(folder / "items.parquet", glob=False),
                users=pl.read_parquet(folder / "users.parquet", glob=False),
                events=Sequences(array("item_idx"), array("offsets")),
                train_ends=array("train_ends"),
                validation_ends=array("validation_ends"),
                timestamps=array("timestamps") if (folder / "timestamps.npy").exists() else None,
                facts=json.loads((folder / "facts.json").read_text(encoding="utf-8")),
                folder=folder,
            )
        except FileNotFoundError as error:
            raise ArtifactError(
                folder, expected="a prepared dataset", got=f"no file {missing_file(error)}", fix="run `genrec prepare` again"
            ) from error


def users_with_targets(dataset: Dataset, split: Split) -> np.ndarray:
    """Returns the rows of the users who have something to predict in ``split``."""
    return np.flatnonzero(dataset.targets(split).lengths)


def check_unseen_targets(dataset: Dataset, users: np.ndarray) -> None:
    """Refuses validation targets that are all in their users' histories, where seen items are not listed.

    Args:
        dataset: the prepared data.
        users: int [users]: those whose targets validate; without any, nothing is refused.

    Raises:
        DataError: when no target is left.
    """
    targets, histories = dataset.targets("validation"), dataset.histories("validation")
    for user in map(int, users):
        seen = set(histories[user].tolist())
        if any(int(item) not in seen for item in targets[user]):
            return
    if len(users):
        count = sum(len(targets[user]) for user in map(int, users))
        raise DataError(
            "recommend.exclude_seen",
            expected="a validation target that it leaves possible",
            got=f"{count:,} of {count:,} in their users' histories",
            fix="use recommend.exclude_seen=false",
        )
