"""Recommendations for more users than fit into memory: shard by shard, each written whole or not at all.

    plan.json                  the bundle, the histories, the settings and the number of shards of the lists
    .rows/00000/00007.parquet  the rows of a shard's users, by chunk of the input; removed when the shard is done
    part-00000.parquet         user_id, rank, item_id, score; a file of this name is whole
    manifest.json              written last: users, files and their hashes

The rows of a user may be anywhere in the input. They are first brought together by a hash of the user, which reads and writes
the input once, a chunk at a time. A Parquet input stays on disk; other tables are read whole.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from genrec import __version__
from genrec.data.lib.canonical import as_numbers
from genrec.data.lib.files import is_table, read_table, require_columns
from genrec.engine.artifacts import MANIFEST, sync
from genrec.engine.fingerprints import ContentHashes, sha256_file
from genrec.engine.store_files import Lock, holder
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.requests import EACH, OLD_NAMES, RecommendRequest, whole_number
from genrec.types import ITEM_ID, POSITION, TIMESTAMP, USER_ID

_OPTIONS = {USER_ID: "--user", ITEM_ID: "--item", POSITION: "--position", TIMESTAMP: "--timestamp"}
_ROW = "row of the file"


@dataclass(frozen=True, kw_only=True)
class HistoryColumns:
    """The names of the columns of a file of events.

    Args:
        user: of the user.
        item: of the item; a row without one names a user whose history may be empty.
        position: of the order; None: ``position``, where there is such a column.
        timestamp: of the time; None: ``timestamp``, where there is such a column.
        drop_missing: leave out rows without a user, position or time; otherwise they are refused.
    """

    user: str = USER_ID
    item: str = ITEM_ID
    position: str | None = None
    timestamp: str | None = None
    drop_missing: bool = False

    @property
    def names(self) -> dict[str, str]:
        """The names here -> the names in the file."""
        return {
            USER_ID: self.user,
            ITEM_ID: self.item,
            POSITION: self.position or POSITION,
            TIMESTAMP: self.timestamp or TIMESTAMP,
        }


def scan_histories(path: Path, columns: HistoryColumns, more: Sequence[str] = ()) -> pl.LazyFrame:
    """Returns the events of a file, or of a folder of parts.

    Args:
        path: parquet, or what ``genrec init`` reads as a table: csv with any separator, tsv, json lines ...
        columns: what its columns are called.
        more: columns of events that are taken along where they are there.

    Raises:
        DataError: when it cannot be read, or lacks a column or a value that must be there.
    """
    if not path.exists():
        raise DataError(path, expected="a table of events, or a folder of parts", got="nothing there", fix="check the path")
    table = _parquet(path) if _is_parquet(path) else read_table(path, columns=[*columns.names.values(), *more]).lazy()
    columns_there = table.collect_schema().names()
    is_required = {USER_ID: True, ITEM_ID: True, POSITION: columns.position, TIMESTAMP: columns.timestamp}
    for name, column in columns.names.items():
        if is_required[name] and column not in columns_there:
            all_names = columns_there if _is_parquet(path) else read_table(path).columns
            require_columns([column], all_names, str(path), f" ({_OPTIONS[name]} COLUMN)")
    columns_in_file = {**{name: name for name in more}, **columns.names}
    table = table.select(pl.col(column).alias(name) for name, column in columns_in_file.items() if column in columns_there)
    names = table.collect_schema().names()
    needed = [USER_ID, *[name for name in (POSITION, TIMESTAMP) if name in names][:1]]
    if columns.drop_missing:
        table = table.drop_nulls(needed)
    for name in needed:
        _refuse_missing(table, name, columns.names[name], path)
    if not _is_parquet(path) and TIMESTAMP in names:  # as a whole: a part may not show which way dates are written
        frame = table.collect()
        column = columns.names[TIMESTAMP]
        table = frame.with_columns(as_numbers(frame[TIMESTAMP], pl.Float64(), str(path), column)).lazy()
    return table


def _refuse_missing(table: pl.LazyFrame, name: str, column: str, path: Path) -> None:
    """Refuses the first row without a user, or without what gives the order of an item."""
    lacking = pl.col(name).is_null() if name == USER_ID else pl.col(name).is_null() & pl.col(ITEM_ID).is_not_null()
    rows = table.with_row_index(_ROW).filter(lacking).select(pl.col(_ROW).first(), pl.len().alias("count")).collect()
    if count := rows["count"][0]:
        got = "none" if count == 1 else f"none (and {count - 1:,} more such rows)"
        fix = "give --drop-missing to leave such rows out, or fill them"
        raise DataError(f"{path}, row {rows[_ROW][0] + 1}, column {column}", expected="a value in every row", got=got, fix=fix)


def _is_parquet(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob("**/*.parquet")) or not any(is_table(part) for part in path.rglob("*"))
    return path.suffix == ".parquet" or not is_table(path)


def _parquet(path: Path) -> pl.LazyFrame:
    try:
        table = pl.scan_parquet(sorted(path.glob("**/*.parquet")) if path.is_dir() else path, glob=False)
        table.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        got = str(error).splitlines()[0].removeprefix("parquet: ")
        raise DataError(path, expected="a parquet file", got=got, fix="write it again, or name it as what it is") from error
    return table


PLAN, ROWS, LOCK, HASHES = "plan.json", ".rows", ".lock", ".hashes.json"
_CHUNK = 2_000_000  # rows of the input read at once
_SHARD = "shard of its user"
_COLUMNS = HistoryColumns()
EMPTY_REQUEST = RecommendRequest(histories=[[]])
SHARD_ROWS = 500_000
_SUMMARY_KEY = "genrec"  # key of a part's parquet metadata: the numbers that the manifest sums up


def recommend_shards(
    catalogue: Catalogue,
    histories: Path,
    out: Path,
    request: RecommendRequest = EMPTY_REQUEST,
    *,
    shard_rows: int = SHARD_ROWS,
    bundle: str,
    columns: HistoryColumns = _COLUMNS,
    anew: bool = False,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Writes the lists of all users of a table. Shards that an earlier call finished are not computed again.

    Args:
        catalogue: recommends.
        histories: a table in long form (see ``read_table``): a file, or a folder of them. Parquet stays on disk, others are
            read whole.
        out: a folder for these lists alone.
        request: the settings of every list; the table's histories replace those of the request.
        shard_rows: rows of the input that make a shard, 1 or more: what a crash can lose, and what memory grows with.
        bundle: hash of the bundle that the catalogue was opened from.
        columns: what the columns of ``histories`` are called.
        anew: throw away lists that were made by another plan.
        log: gets a line for every shard.

    Returns:
        The content of manifest.json.

    Raises:
        DataError: when the table cannot be read, naming column or row.
        ConfigError: for shards of no rows, and when ``out`` has lists of something else.
        ArtifactError: when another process is writing there.
    """
    shard_rows = whole_number("shard_rows", shard_rows)
    out.mkdir(parents=True, exist_ok=True)
    with _lock_folder(out):
        table = scan_histories(histories, columns, catalogue.schema.names)
        catalogue.recommend(replace(request, histories=[[]], times=[[]]))  # refuses what cannot be met before anything is begun
        rows = int(table.select(pl.len()).collect().item())
        content = ContentHashes(out / HASHES).of(histories)
        plan = {"genrec": __version__, "bundle": bundle, "histories": content, "columns": asdict(columns)}
        later = (*EACH, "wish", "wish_strength", "guidance")  # plans of before they came have none of them
        settings = {name: value for name, value in request.settings.items() if value not in (None, {}) or name not in later}
        plan |= settings | {"shard_rows": shard_rows}
        _check_plan(out, plan, anew=anew)
        if (manifest := _read_finished(out)) is not None:
            log(f"{out}: up to date")
            return manifest
        num_shards = max(1, -(-rows // shard_rows))
        parts = [out / f"part-{shard:05d}.parquet" for shard in range(num_shards)]
        missing = [shard for shard, part in enumerate(parts) if not _is_whole(part)]
        if not all(_rows_of(out, shard).is_dir() for shard in missing):
            log(f"{rows:,} rows to {num_shards:,} shards")
            _gather(table, rows, num_shards, out)
        if len(missing) < num_shards:
            log(f"{num_shards - len(missing):,} of {num_shards:,} shards are done already")
        start, users = time.perf_counter(), 0
        for num_done, shard in enumerate(missing):
            summary = _recommend(catalogue, _rows_of(out, shard), parts[shard], request)
            shutil.rmtree(_rows_of(out, shard))
            seconds, users = time.perf_counter() - start, users + summary["users"]
            left = seconds / (num_done + 1) * (len(missing) - num_done - 1)
            log(f"shard {shard + 1:,} of {num_shards:,}: {users / seconds:,.0f} users/s, {_duration(left)} left")
        manifest = plan | _total(parts)
        _write_text(out / MANIFEST, json.dumps(manifest, indent=2))
        shutil.rmtree(out / ROWS, ignore_errors=True)
        if manifest["unknown"]:
            log(f"{manifest['unknown']:,} events of items that the catalogue does not have were left out")
        return manifest


def _check_plan(out: Path, plan: Mapping[str, Any], *, anew: bool) -> None:
    """Compares the plan with the one that was begun in this folder, and writes it where there is none."""
    earlier_plan = _read(out / PLAN)
    if earlier_plan is not None:
        earlier_plan = {OLD_NAMES.get(key, key): value for key, value in earlier_plan.items()}
    if earlier_plan != plan and anew:
        for file in (out / MANIFEST, out / PLAN, *out.glob("part-*.parquet")):
            file.unlink(missing_ok=True)
        shutil.rmtree(out / ROWS, ignore_errors=True)
        earlier_plan = None
    if earlier_plan is None:
        if strange := next((file.name for file in sorted(out.iterdir()) if not file.name.startswith(".")), None):
            raise ConfigError(out, expected="an empty folder", got=strange, fix="give another")
        _write_text(out / PLAN, json.dumps(plan, indent=2))
        return
    for key in dict.fromkeys([*plan, *earlier_plan]):
        if earlier_plan.get(key) != plan.get(key):
            fix = "give another folder, or --anew to throw them away"
            raise ConfigError(
                out, expected=f"lists by {key} {earlier_plan.get(key)!r}, as begun there", got=repr(plan.get(key)), fix=fix
            )


def _read_finished(out: Path) -> dict[str, Any] | None:
    """Returns the manifest if all files that it lists are there in full size."""
    if not (manifest := _read(out / MANIFEST)):
        return None
    files = manifest["files"].items()
    is_there = all((out / name).is_file() and (out / name).stat().st_size == facts["bytes"] for name, facts in files)
    return manifest if is_there else None


def _read(path: Path) -> dict[str, Any] | None:
    """Returns the content of a json file: empty if it is damaged, None if there is no such file."""
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return {}


def _is_whole(part: Path) -> bool:
    try:
        return _SUMMARY_KEY in pl.read_parquet_metadata(part)
    except (OSError, pl.exceptions.PolarsError):  # not there yet, or cut since
        return False


def _gather(table: pl.LazyFrame, rows: int, num_shards: int, out: Path) -> None:
    """Brings the rows of each user together, into a folder of files for each shard."""
    draft = out / f"{ROWS}.tmp"
    shutil.rmtree(draft, ignore_errors=True)
    for shard in range(num_shards):
        (draft / f"{shard:05d}").mkdir(parents=True)
    for number, start in enumerate(range(0, max(rows, 1), _CHUNK)):
        chunk = table.slice(start, _CHUNK).collect()
        shards = chunk.with_columns((pl.col(USER_ID).cast(pl.String).hash(seed=0) % num_shards).alias(_SHARD))
        parts = shards.partition_by(_SHARD, as_dict=True, include_key=False, maintain_order=True)
        for shard in range(num_shards):
            part = parts.get((shard,), chunk.clear())
            if part.height or number == 0:  # a shard without users has a table, too
                part.write_parquet(draft / f"{shard:05d}" / f"{number:05d}.parquet", compression="lz4")
    shutil.rmtree(out / ROWS, ignore_errors=True)
    draft.rename(out / ROWS)


def _rows_of(out: Path, shard: int) -> Path:
    return out / ROWS / f"{shard:05d}"


def _recommend(catalogue: Catalogue, rows: Path, part: Path, request: RecommendRequest) -> dict[str, int]:
    """Writes one shard, and returns the numbers of it that the manifest sums up."""
    files = sorted(rows.glob("*.parquet"))
    table = pl.concat([pl.read_parquet(file, glob=False) for file in files])
    lists, read = catalogue.recommend(replace(request, histories=table, times=None))
    assert read.users is not None
    summary = {"users": len(read.users), "unknown": sum(map(len, read.unknown))}
    draft = part.with_name(f".{part.name}")
    lists.write_parquet(draft, metadata={_SUMMARY_KEY: json.dumps(summary)})
    _move_into_place(draft, part)
    return summary


def _total(parts: list[Path]) -> dict[str, Any]:
    summaries = [json.loads(pl.read_parquet_metadata(part)[_SUMMARY_KEY]) for part in parts]
    files = {part.name: {"bytes": part.stat().st_size, "sha256": sha256_file(part)} for part in parts}
    return {
        "users": sum(summary["users"] for summary in summaries),
        "unknown": sum(summary["unknown"] for summary in summaries),
        "files": files,
    }


def _write_text(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    _move_into_place(draft, path)


def _move_into_place(draft: Path, path: Path) -> None:
    """Gives a finished file its name, and returns when both are on disk."""
    sync(draft)
    os.replace(draft, path)
    sync(path.parent)


@contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    """Keeps other processes out of a folder. The system releases the lock when this process dies."""
    lock = Lock(out / LOCK)
    if not lock.take():
        fix = f"wait for {holder(out / LOCK)}, or give another folder"
        raise ArtifactError(out, expected="a folder of its own", got="one that another process writes to", fix=fix)
    try:
        yield
    finally:
        lock.free()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
