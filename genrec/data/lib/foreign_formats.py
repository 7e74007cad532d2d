"""Files that are not read, and what to do with each instead."""

from __future__ import annotations

from pathlib import Path

from genrec.data.lib.text_lines import kind_of
from genrec.errors import DataError

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


def refuse_foreign(path: Path) -> None:
    """Raises DataError for a kind of file that is known and not read."""
    kind = path.suffix.lower() if path.suffix.lower() in (".zst", ".lz4", ".z") else kind_of(path)
    remedy = REMEDIES.get(kind)
    if remedy is not None:
        raise DataError(
            path,
            expected="a table (.parquet, .csv, .tsv, .jsonl, .json, .feather, or a .zip of one)",
            got=f"a {kind} file",
            fix=remedy.format(name=path.name, stem=path.name.partition(".")[0]),
        )
