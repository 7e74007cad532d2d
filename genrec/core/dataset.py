"""The prepared data that all later stages read: items, flat histories, and where each user's parts end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.core.event_schema import EventSchema, missing_value
from genrec.errors import ArtifactError, DataError, missing_file
from genrec.references import mask_secrets_in
from genrec.types import ITEM_ID, TIMESTAMP, USER_ID, Split

INTERACTIONS_FILE = "interactions.parquet"  # of a dataset artifact: every event, with the column below
PART = "part"  # train, validation or test
SCHEMA_FILE, COLUMNS, USER_COLUMNS = "schema.json", "columns", "user_columns"  # written where there are columns
TEXTS_FILE = "texts.parquet"  # a row for each event, in the order of the histories


@dataclass(frozen=True)
class Texts:
    """What was asked for before events, as vectors.

    Args:
        rows: int32 [events], the vector of each event's text; ``PAD`` where nothing was asked.
        vectors: float32 [texts, dim].
    """

    rows: np.ndarray
    vectors: np.ndarray


@dataclass(frozen=True)
class Sequences:
    """Item sequences of many users, flat, with what is known beside the items.

    Args:
        item_idx: int32 [events], oldest first within a user.
        offsets: int64 [users + 1]; user ``u`` owns ``item_idx[offsets[u]:offsets[u + 1]]``.
        times: float64 [events], when each event was, NaN where that is missing; None where no event has a time.
        columns: name -> [events], encoded (see ``EventSchema``).
        texts: of events; None where there are none.
        users: name -> [users] or [users, any]: columns of the users, encoded.
        request: name -> [users]: what is known of the event that follows each sequence, encoded; empty: nothing.
        given: float32 [users, dim]: the vector of what is asked for after each sequence, a row of zeros where nothing is.
        refused: likewise, of what is refused.
    """

    item_idx: np.ndarray
    offsets: np.ndarray
    times: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: Texts | None = None
    users: Mapping[str, np.ndarray] = field(default_factory=dict)
    request: Mapping[str, np.ndarray] = field(default_factory=dict)
    given: np.ndarray | None = None
    refused: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int | np.integer) -> np.ndarray:
        return self.item_idx[self.offsets[user] : self.offsets[user + 1]]

    def of(self, users: np.ndarray, last: int | None = None) -> Sequences:
        """Returns the sequences of some users in that order, in full or their ``last`` events."""
        ends, lengths = np.asarray(self.offsets)[1:][users], self.lengths[users]
        lengths = lengths if last is None else np.minimum(lengths, last)
        return self.slices(ends - lengths, lengths).owned_by(users)

    def owned_by(self, users: np.ndarray) -> Sequences:
        """Returns the same events, whose sequence ``i`` is of the user ``users[i]`` from now on."""
        return replace(
            self,
            users={name: values[users] for name, values in self.users.items()},
            request={name: values[users] for name, values in self.request.items()},
            given=None if self.given is None else self.given[users],
            refused=None if self.refused is None else self.refused[users],
        )

    def slices(self, starts: np.ndarray, lengths: np.ndarray) -> Sequences:
        """Returns the sequences that begin at some events; the rows of users stay as they are."""
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return self.events(np.arange(offsets[-1]) + np.repeat(np.asarray(starts) - offsets[:-1], lengths), offsets)

    def events(self, flat: np.ndarray, offsets: np.ndarray) -> Sequences:
        """Returns some events in that order as other sequences; the rows of users stay as they are."""
        return replace(
            self,
            item_idx=np.asarray(self.item_idx[flat]),
            offsets=offsets,
            times=None if self.times is None else np.asarray(self.times[flat]),
            columns={name: np.asarray(values[flat]) for name, values in self.columns.items()},
            texts=None if self.texts is None else replace(self.texts, rows=np.asarray(self.texts.rows[flat])),
        )

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
        timestamps: float64 [events]; None when some are missing, or all (see ``times``).
        facts: what prepare recorded: split rule, tie rule, what each filter removed.
        folder: where it was read from (a source may have left extra files there, e.g. the demo world).
        schema: what the columns of events and users are.
        event_texts: [events], what was asked for before each event; None where the source has no such column.
    """

    items: pl.DataFrame
    users: pl.DataFrame
    events: Sequences
    train_ends: np.ndarray
    validation_ends: np.ndarray
    timestamps: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    schema: EventSchema = field(default_factory=EventSchema)
    event_texts: pl.Series | None = None

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

    @cached_property
    def times(self) -> np.ndarray | None:
        """float64 [events]: when each event was, NaN where that is missing; None where no event has a time.

        Times with gaps stand beside the histories: whatever asks for ``timestamps`` needs all of them.
        """
        if self.timestamps is not None:
            return self.timestamps
        file = self.folder / INTERACTIONS_FILE if self.folder else None
        if file is None or not file.exists() or TIMESTAMP not in pl.scan_parquet(file, glob=False).collect_schema():
            return None
        return partial_times(pl.read_parquet(file, columns=[TIMESTAMP], glob=False))

    @property
    def code_counts(self) -> dict[str, np.ndarray]:
        """Column of events -> int64 [codes]: events of each code in the training part; of columns that have codes."""
        return {
            column.name: np.bincount(self.train.columns[column.name], minlength=column.num_codes)
            for column in self.schema.columns
            if column.num_codes
        }

    def histories(self, split: Split) -> Sequences:
        """Returns the events known of each user when ``split``'s targets are predicted (nothing is cut to a maximum length)."""
        ends = self.train_ends if split == "validation" else self.validation_ends
        return self._slice(self.events.offsets[:-1], ends)

    def targets(self, split: Split) -> Sequences:
        """Returns the held-out items of each user: an empty row when the user has none in this split."""
        if split == "validation":
            return self._slice(self.train_ends, self.validation_ends)
        return self._slice(self.validation_ends, self.events.offsets[1:])

    def request_after(self, split: Split, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Returns columns of each user's next event in ``split``: name -> [users], as in ``Sequences.request``.

        A user without a target gets what stands for a missing value.
        """
        starts = np.asarray(self.train_ends if split == "validation" else self.validation_ends)
        has_target, request = self.targets(split).lengths > 0, {}
        for name in names:
            values = self.events.columns[name]
            request[name] = np.full(self.num_users, missing_value(values), values.dtype)
            request[name][has_target] = values[starts[has_target]]
        return request

    def _slice(self, starts: np.ndarray, ends: np.ndarray) -> Sequences:
        return replace(self.events, times=self.times).slices(starts, np.asarray(ends) - np.asarray(starts))

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
        if self.schema:
            (folder / SCHEMA_FILE).write_text(json.dumps(self.schema.to_json(), indent=2), encoding="utf-8")
            for part, columns in ((COLUMNS, self.events.columns), (USER_COLUMNS, self.events.users)):
                (folder / part).mkdir()
                for name, values in columns.items():
                    np.save(folder / part / f"{name}.npy", values, allow_pickle=False)
        if self.event_texts is not None:
            self.event_texts.alias("text").to_frame().write_parquet(folder / TEXTS_FILE)
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

        def columns(part: str) -> dict[str, np.ndarray]:
            return {file.stem: array(f"{part}/{file.stem}") for file in sorted((folder / part).glob("*.npy"))}

        try:
            schema, texts = folder / SCHEMA_FILE, folder / TEXTS_FILE
            return cls(
                items=pl.read_parquet(folder / "items.parquet", glob=False),
                users=pl.read_parquet(folder / "users.parquet", glob=False),
                events=Sequences(array("item_idx"), array("offsets"), columns=columns(COLUMNS), users=columns(USER_COLUMNS)),
                train_ends=array("train_ends"),
                validation_ends=array("validation_ends"),
                timestamps=array("timestamps") if (folder / "timestamps.npy").exists() else None,
                facts=json.loads((folder / "facts.json").read_text(encoding="utf-8")),
                folder=folder,
                schema=EventSchema.from_json(json.loads(schema.read_text(encoding="utf-8")) if schema.exists() else None),
                event_texts=pl.read_parquet(texts, glob=False)["text"] if texts.exists() else None,
            )
        except FileNotFoundError as error:
            raise ArtifactError(
                folder, expected="a prepared dataset", got=f"no file {missing_file(error)}", fix="run `genrec prepare` again"
            ) from error


def partial_times(table: pl.DataFrame) -> np.ndarray | None:
    """Returns the times of a table of events, NaN where they are missing; None where all are."""
    if TIMESTAMP not in table.columns or table[TIMESTAMP].null_count() == table.height:
        return None
    return table[TIMESTAMP].cast(pl.Float64).fill_null(np.nan).to_numpy()


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
