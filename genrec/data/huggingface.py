"""Data sets of the Hugging Face hub, or in its layout on disk, through the ``datasets`` library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.lib.events import PARTS, WORDS
from genrec.data.lib.ids import lists_in
from genrec.data.lib.text_lines import kind_of
from genrec.errors import DataError, did_you_mean, excerpt, join_names
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, RATING, SPLIT, TIMESTAMP, USER_ID, WEIGHT

BATCH = 100_000  # rows that are converted at a time
BUILDERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".arrow": "arrow"}


@dataclass(frozen=True, kw_only=True)
class HuggingFace:
    """Interactions, and optionally items, of a hub data set or a local folder or file in a layout that ``datasets`` reads.

    Rows stream into tables of the needed columns only; code of a data set is never run. A row may also be a user with a list of
    items. Where several splits are read, each event carries the name of its split, which ``split=column`` uses.

    Args:
        dataset: hub id (``owner/name``), or a folder or file.
        config: configuration of the data set, where it has several.
        split: which of its splits holds the interactions, such as ``train`` or ``train[:1000]``; None: the only one, or those
            called train, validation and test, each a part.
        revision: branch, tag or commit of a hub data set; give a commit where the result must be reproducible.
        user_id: column of the user.
        item_id: column of the item, or of the user's list of items.
        timestamp: column of the time; None: used under its own name where it is there, like the next four.
        position: column of the order within the user.
        rating: column of the rating.
        event_type: column of the kind of event.
        weight: column of the weight.
        items: hub id, folder or file of the items; None: the items are those that occur, unless ``items_config`` is given.
        items_config: configuration of ``items`` (of ``dataset``, where that is None).
        items_split: split of ``items``; None: all of them.
        items_key: column of the item in ``items``; None: as in the interactions.
    """

    dataset: Path | str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    user_id: str = USER_ID
    item_id: str = ITEM_ID
    timestamp: str | None = None
    position: str | None = None
    rating: str | None = None
    event_type: str | None = None
    weight: str | None = None
    items: Path | str | None = None
    items_config: str | None = None
    items_split: str | None = None
    items_key: str | None = None

    def load(self) -> RawData:
        """Reads interactions and items."""
        return self.load_with(())

    def load_with(self, columns: Sequence[str]) -> RawData:
        """Reads interactions and items, and further columns of the interactions where they are there.

        Raises:
            DataError: when a data set cannot be reached or read, or a split or column is missing.
        """
        splits = self._splits("dataset", self.dataset, self.config, self.split)
        if self.split is None and len(splits) > 1:
            splits = {part: rows for name, rows in splits.items() if (part := _part(name))} or self._choose(splits)
        optional = {
            TIMESTAMP: self.timestamp,
            POSITION: self.position,
            RATING: self.rating,
            EVENT_TYPE: self.event_type,
            WEIGHT: self.weight,
        }
        named = {USER_ID: self.user_id, ITEM_ID: self.item_id} | {key: name for key, name in optional.items() if name}
        tables = []
        for name in sorted(splits, key=lambda name: PARTS.index(name) if name in PARTS else 0):
            names = named | {key: key for key, column in optional.items() if column is None}
            names |= {column: column for column in columns if column not in names}
            table = self._table(f"{self.dataset} ({name})", splits[name], names, list(named))
            tables.append(table.with_columns(pl.lit(name).alias(SPLIT)) if len(splits) > 1 else table)
        interactions = self._events(pl.concat(tables, how="diagonal_relaxed"))
        files = {"interactions": str(self.dataset)}
        if self.items is None and self.items_config is None:
            return RawData(interactions=interactions, items=None, files=files)
        where = self.dataset if self.items is None else self.items
        of_items = self._splits("items", where, self.items_config, self.items_split)
        key = self.items_key or self.item_id
        parts = [self._table(f"{where} ({name})", rows, None, [key]) for name, rows in of_items.items()]
        items = pl.concat(parts, how="diagonal_relaxed").rename({key: ITEM_ID}).select(ITEM_ID, pl.exclude(ITEM_ID))
        return RawData(interactions=interactions, items=items, files=files | {"items": str(where)})

    def _events(self, table: pl.DataFrame) -> pl.DataFrame:
        """Returns one row per event, also where a row of the data set holds a list of events."""
        if not isinstance(table.schema[ITEM_ID], pl.List | pl.Array):
            return table
        table = table.with_columns(lists_in(table[ITEM_ID], str(self.dataset))).filter(pl.col(ITEM_ID).list.len() > 0)
        lists = [name for name, dtype in table.schema.items() if isinstance(dtype, pl.List)]
        if POSITION not in table.columns:
            table = table.with_columns(pl.int_ranges(pl.col(ITEM_ID).list.len(), dtype=pl.Int64).alias(POSITION))
            lists.append(POSITION)
        try:
            return table.explode(*lists)
        except pl.exceptions.PolarsError as error:
            got = excerpt(str(error).splitlines()[0])
            fix = "repair the rows, or leave the column out"
            raise DataError(
                f"{self.dataset}, columns {', '.join(lists)}", expected="lists of one length", got=got, fix=fix
            ) from error

    def _splits(self, key: str, where: Path | str, config: str | None, split: str | None) -> dict[str, Any]:
        """Opens the splits: name -> streaming rows."""
        import datasets

        path = Path(where).expanduser()
        options: dict[str, Any] = {"name": config, "streaming": True}
        name = str(where)
        if path.is_file():
            builder = BUILDERS.get(kind_of(path))
            if builder is None:
                expected = f"a file that datasets reads ({', '.join(BUILDERS)})"
                raise DataError(path, expected=expected, got=path.name, fix="convert it, or read it with data=tables")
            options |= {"data_files": str(path.absolute())} | ({"sep": "\t"} if kind_of(path) == ".tsv" else {})
            name = builder
        elif path.is_dir():
            name = str(path.absolute())
        elif re.match(r"[./~\\]|[A-Za-z]:", name) or name.count("/") > 1:
            raise DataError(
                path, expected="a folder, a file, or a hub id (owner/name)", got="nothing there", fix="check the path"
            )
        else:
            options["revision"] = self.revision
        try:
            if path.is_dir() and (path / "dataset_dict.json").exists():
                split_rows: Any = {key: rows.to_iterable_dataset() for key, rows in datasets.load_from_disk(name).items()}
            elif path.is_dir() and (path / "state.json").exists():
                split_rows = {"train": datasets.load_from_disk(name).to_iterable_dataset()}
            else:
                split_rows = dict(datasets.load_dataset(name, **options))
        except Exception as error:  # the library, the hub client and the file formats each have their own errors
            raise self._unreadable_error(key, where, config, error) from error
        if split is None:
            return split_rows
        plain, sign, part = split.partition("[")
        if plain not in split_rows:
            fix = did_you_mean(plain, list(split_rows))
            raise DataError(
                f"data.{'split' if key == 'dataset' else 'items_split'}", expected=f"a split of {where}", got=split, fix=fix
            )
        return {plain: _take_slice(split_rows[plain], part, split) if sign else split_rows[plain]}

    @staticmethod
    def _unreadable_error(key: str, where: Path | str, config: str | None, error: Exception) -> DataError:
        reason = excerpt((str(error).strip() or type(error).__name__).splitlines()[0], width=160)
        local = Path(where).expanduser().exists()
        fix = "check data.config" if "BuilderConfig" in reason or "Config name" in reason else "check the folder's files"
        if not local:
            fix = "check the id and the network, or download it where there is one and give its folder"
        expected = "a data set that can be read" if local else "a folder, a file, or a hub data set that can be reached"
        config = f" (config {config})" if config else ""
        return DataError(f"data.{key}", expected=expected, got=f"{where}{config}: {reason}", fix=fix)

    def _table(self, file: str, rows: Any, columns: Mapping[str, str] | None, required: Sequence[str]) -> pl.DataFrame:
        """Reads the columns of a split: those of ``columns`` under their canonical names, or all under their own."""
        pieces = list(_pieces(file, rows, columns))
        if not pieces:
            raise DataError(file, expected="at least one row", got="none (0 rows)", fix="choose another split")
        table = pl.concat(pieces, how="diagonal_relaxed")
        for name in required:
            if name not in table.columns:
                there = _names(rows)
                name = columns[name] if columns else name
                fix = f"{did_you_mean(name, there)}; set data.user_id=, data.item_id=, data.items_key= ..."
                raise DataError(file, expected=f"a column {name!r}", got=f"columns {join_names(there)}", fix=fix)
        return table

    def _choose(self, splits: Mapping[str, Any]) -> dict[str, Any]:
        fix = f"choose one: data.split={next(iter(splits))}"
        raise DataError("data.split", expected="one of the splits", got=f"none of {join_names(list(splits))}", fix=fix)


def _pieces(file: str, rows: Any, columns: Mapping[str, str] | None) -> Iterator[pl.DataFrame]:
    try:
        for batch in rows.with_format("arrow").iter(batch_size=BATCH):
            if columns is not None:
                batch = batch.select([name for name in dict.fromkeys(columns.values()) if name in batch.column_names])
            table = pl.DataFrame(pl.from_arrow(batch))
            if columns is not None:
                table = table.select(pl.col(name).alias(key) for key, name in columns.items() if name in table.columns)
            yield table
    except Exception as error:
        reason = excerpt((str(error).strip() or type(error).__name__).splitlines()[0], width=160)
        raise DataError(file, expected="rows that can be read", got=reason, fix="check the files, or the network") from error


def _names(rows: Any) -> list[str]:
    return list(rows.column_names or next(iter(rows), {}))


def _part(split: str) -> str | None:
    """Returns the part (train, validation, test) that a split of this name is, or None."""
    return next((part for part, words in WORDS.items() if split.lower() in words), None)


def _take_slice(rows: Any, part: str, split: str) -> Any:
    """Returns the first rows, as ``[:1000]`` asks.

    Raises:
        DataError: for any other slice, since the number of rows is unknown while they stream.
    """
    match = re.fullmatch(r":(\d+)\]", part)
    if match is None:
        raise DataError("data.split", expected="a split, or its first rows: train[:1000]", got=split, fix="write it that way")
    return rows.take(int(match[1]))
