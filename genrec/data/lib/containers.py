"""Reads tables that lie in several files of a folder (Spark, Dask) or in a zip, and refuses formats that are not read."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from genrec.data.lib.events import refuse_parts
from genrec.data.lib.text_lines import kind_of
from genrec.errors import DataError, excerpt, join_names

Reader = Callable[[Path, Sequence[str] | None], pl.DataFrame]  # (file, columns or None for all) -> table
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_BESIDE = (".txt", ".md", ".pdf", ".html", ".crc", ".yml", ".yaml", ".license")  # files that accompany the data in archives
# What to do with each kind of file that is not read.
_AS_CSV = "save the sheet as csv and give that"
_PICKLE = "write it again without pickle, which can run code: DataFrame.to_parquet('{stem}.parquet')"
_ARRAY = "write a table with ids: DataFrame(...).to_parquet('{stem}.parquet')"
_EXPORT = "export the table as csv or parquet"
_UNPACK = "unpack it ({command}) and give the file inside"
REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), _AS_CSV),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), _PICKLE),
    **dict.fromkeys((".npy", ".npz", ".mat", ".h5", ".hdf5", ".safetensors"), _ARRAY),
    **dict.fromkeys(
        (".db", ".sqlite", ".sqlite3", ".orc", ".avro", ".dta", ".sav", ".sas7bdat", ".rds", ".rda", ".rdata"), _EXPORT
    ),
    **dict.fromkeys(
        (".tfrecord", ".tfrecords"), "write its features as parquet, one row per event (or user, with lists: data=sequences)"
    ),
    **dict.fromkeys((".tar", ".tgz"), _UNPACK.format(command="tar xf {name}")),
    ".7z": _UNPACK.format(command="7z x {name}"),
    ".rar": _UNPACK.format(command="unrar x {name}"),
    ".zst": _UNPACK.format(command="zstd -d {name}"),
    ".lz4": _UNPACK.format(command="lz4 -d {name}"),
    ".z": _UNPACK.format(command="uncompress {name}"),
}


def read_folder(folder: Path, readable: Callable[[Path], bool], read: Reader, columns: Sequence[str] | None) -> pl.DataFrame:
    """Reads all parts of a folder, in order of name, as one table; hidden files (``.``, ``_``) are no parts.

    Folders called ``column=value`` inside it are partitions: the value becomes a column. Parts without a row are skipped.

    Args:
        folder: which.
        readable: whether a file is a table by its name.
        read: reads one.
        columns: only these, or None: all.

    Raises:
        DataError: when there is no part, the parts are of different kinds, have different columns or are those of a
            split by their names, or one cannot be read.
    """
    parts = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path, folder)]
    parts = [path for path in parts if path.stat().st_size]
    for path in parts:
        refuse_foreign(path)
    odd = [path for path in parts if not readable(path)]
    parts = [path for path in parts if readable(path)]
    if not parts:
        got = f"none ({join_names([path.name for path in odd[:5]])})" if odd else "an empty folder"
        raise DataError(folder, expected="parts of a table (part-*.parquet, *.csv ...)", got=got, fix="give the file itself")
    kinds = sorted({kind_of(path) for path in parts})
    if len(kinds) > 1:
        raise DataError(
            folder,
            expected="parts of one kind",
            got=f"{' and '.join(kinds)} files",
            fix="give the file, or a folder of one kind",
        )
    refuse_parts(folder, parts)
    tables: list[pl.DataFrame] = []
    of_first: list[str] = []
    first = parts[0]
    for path in parts:
        values = _partition(path, folder)
        table = _rows(path, read, None if columns is None else [name for name in columns if name not in values])
        if table is None:
            continue
        if tables and columns is None and kinds != [".parquet"] and set(table.columns) != set(of_first):
            raise DataError(
                path,
                expected=f"the columns of {first.name} ({join_names(of_first)})",
                got=join_names(table.columns),
                fix="set data.header=false and data.columns=[...] if the parts have no header, or give the file itself",
            )
        of_first = of_first or table.columns
        partition = {name: value for name, value in values.items() if columns is None or name in columns}
        tables.append(table.with_columns(pl.lit(value, pl.String).alias(name) for name, value in partition.items()))
    if not tables:
        raise DataError(folder, expected="at least one row", got=f"none in {len(parts):,} parts", fix="check the folder")
    try:
        return pl.concat(tables, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        got = excerpt(str(error).splitlines()[0])
        raise DataError(folder, expected="parts with columns of the same types", got=got, fix="convert them") from error


def _rows(path: Path, read: Reader, columns: Sequence[str] | None) -> pl.DataFrame | None:
    try:
        return read(path, columns)
    except DataError as error:
        if error.got == "none (0 rows)":
            return None
        raise


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def _partition(path: Path, folder: Path) -> dict[str, str | None]:
    """Column -> value of the partition that a file lies in.

    Raises:
        DataError: when it lies in a folder of another name.
    """
    values: dict[str, str | None] = {}
    for part in path.relative_to(folder).parts[:-1]:
        name, sign, value = part.partition("=")
        if not sign or not name:
            got = f"a folder {excerpt(part)} that holds {path.name}"
            raise DataError(
                folder, expected="parts, or folders called column=value", got=got, fix="give that folder, or merge them"
            )
        values[name] = None if value == NULL_PARTITION else unquote(value)
    return values


def zip_of(path: Path) -> tuple[Path, str | None] | None:
    """Splits ``A.zip`` or ``A.zip/member.csv`` into archive and member; returns None for any other path."""
    if path.suffix.lower() == ".zip" and path.is_file():
        return path, None
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


def read_zip(archive: Path, member: str | None, readable: Callable[[Path], bool], read: Callable[[Path], Any]) -> Any:
    """Applies ``read`` to the only table in a zip, or to the member that is named.

    Raises:
        DataError: when it is damaged or encrypted, has no such member, or several tables and none is named.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            name = _choose_member(archive, zipped, member, readable)
            with tempfile.TemporaryDirectory(prefix="genrec-") as folder:
                target = Path(folder) / Path(name).name
                with zipped.open(name) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
                try:
                    return read(target)
                except DataError as error:
                    where, fix = (text.replace(str(target), f"{archive}/{name}") for text in (error.where, error.fix))
                    raise DataError(where, expected=error.expected, got=error.got, fix=fix) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        got = str(error) or type(error).__name__
        raise DataError(
            archive, expected="a whole zip without a password", got=got, fix="unpack it and give the file inside"
        ) from error


def _choose_member(archive: Path, zipped: zipfile.ZipFile, member: str | None, readable: Callable[[Path], bool]) -> str:
    names = [entry.filename for entry in zipped.infolist() if not entry.is_dir() and entry.file_size]
    names = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in Path(name).parts)]
    if member is not None:
        if member not in names:
            fix = "name one of them after the archive"
            raise DataError(f"{archive}/{member}", expected="a file of the zip", got=f"files {join_names(names)}", fix=fix)
        return member
    tables = [name for name in names if readable(Path(name)) and Path(name).suffix.lower() not in _BESIDE]
    tables = tables or [name for name in names if readable(Path(name))]
    if len(tables) == 1:
        return tables[0]
    if not tables:
        foreign = next((Path(name) for name in names if kind_of(Path(name)) in REMEDIES), None)
        if foreign is not None:
            refuse_foreign(archive / foreign)
        got = f"files {join_names(names)}"
        raise DataError(archive, expected="a zip of a table", got=got, fix="unpack it and give the file inside")
    fix = f"name one of them: {archive}/{tables[0]}"
    raise DataError(archive, expected="a zip of one table", got=f"{len(tables)}: {join_names(tables)}", fix=fix)


def refuse_foreign(path: Path) -> None:
    """Raises DataError, with a remedy, for a kind of file that is recognized and not supported."""
    kind = path.suffix.lower() if path.suffix.lower() in (".zst", ".lz4", ".z") else kind_of(path)
    remedy = REMEDIES.get(kind)
    if remedy is not None:
        raise DataError(
            path,
            expected="a table (.parquet, .csv, .tsv, .jsonl, .json, .feather, or a .zip of one)",
            got=f"a {kind} file",
            fix=remedy.format(name=path.name, stem=path.name.partition(".")[0]),
        )
