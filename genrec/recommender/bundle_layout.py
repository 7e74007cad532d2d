"""How a bundle's folder is laid out, which schemas of it this version opens, and what one of unknown origin may hold.

``genrec export`` writes the names below, and whoever opens a bundle reads them. The schema says which files there are and what
they mean: a reader opens exactly its own schema. A revision adds something to a schema. An older bundle lacks the addition, and
a rule of ``RULES`` gives the value that it had in effect. A newer bundle is refused, because its answers could differ. A
component upgrades its own files in the same way (``RQKMeans.restore``); an argument that a configuration omits has its default.

A bundle holds plain files of a few kinds. What they become in memory is in proportion to their bytes; ``TensorBudget`` bounds
what is built from them.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError
from torch.utils._python_dispatch import TorchDispatchMode

from genrec.core.sids import SIDTable
from genrec.engine.machine import wrap_os_errors
from genrec.engine.plain_json import read_json
from genrec.errors import ArtifactError
from genrec.types import ITEM_ID

SCHEMA = 1  # of the folder and of bundle.json; a reader opens exactly this one
REVISION = 2  # of the schema, counted up by additions; older bundles are read by ``RULES``
BUNDLE_FILE, ITEMS_FILE, CARD_FILE, SAMPLES_FILE = "bundle.json", "items.parquet", "README.md", "samples.json"
SAMPLE_TIMES_FILE = "sample_times.json"
POPULARITY = "popularity"  # column of the items; a catalogue's own of this name is left as it is
CACHE = "cache"  # parameter: a folder where an encoder keeps vectors; not from a bundle, nor in one
PARTS = ("generator", "sids", "encoder", "tokenizer", "calibration")


def generator_folder(bundle: Path) -> Path:
    """Returns the folder of a bundle's generator: the top one where the bundle is laid out for the hub."""
    return bundle / "generator" if (bundle / "generator").is_dir() else bundle


def part_folders(bundle: Path) -> dict[str, Path]:
    """Returns kind -> folder of the parts that a bundle has."""
    folders = {kind: bundle / kind for kind in PARTS if (bundle / kind).is_dir()}
    return folders | {"generator": generator_folder(bundle)}


def sid_frame(sids: SIDTable, item_ids: pl.Series) -> pl.DataFrame:
    """Returns ``item_id`` and a column ``code_<level>`` for each level, in the order of the catalogue."""
    return pl.DataFrame([item_ids.alias(ITEM_ID), *(pl.Series(f"code_{i}", codes) for i, codes in enumerate(sids.codes.T))])


@dataclass(frozen=True)
class Rule:
    """The values that bundles had in effect before a revision.

    Args:
        revision: the first one whose bundles have the values.
        name: what the rule means.
        lacking: key of bundle.json -> the value where it is absent.
    """

    revision: int
    name: str
    lacking: Mapping[str, Any]


RULES = (
    Rule(1, "no slots of lists were reserved for items that came after training", {"new_share": 0.0}),
    Rule(2, "how near a history must be to a new item was not learned: very near", {"new_reaches": {}}),
)


def upgrade_bundle(bundle: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Returns the content of a bundle.json with the keys of this version.

    Args:
        bundle: the content as it was read.
        where: the file.

    Raises:
        ArtifactError: for another schema or a newer revision.
    """
    schema, revision = bundle["schema"], bundle.get("revision", 0)
    if schema != SCHEMA or revision > REVISION:
        raise ArtifactError(
            where,
            expected=f"a bundle of schema {SCHEMA}, at most revision {REVISION}",
            got=f"schema {schema}, revision {revision} by genrec {bundle['genrec']}",
            fix="export it again with this version, or open it with that one",
        )
    whole = dict(bundle)
    for rule in RULES:
        if revision < rule.revision:
            whole = {**rule.lacking, **whole}
    return whole


# None of these is code, and nothing is unpickled. The last three belong to a language model's vocabulary.
SUFFIXES = (*(".json", ".jsonl", ".safetensors", ".npy", ".parquet", ".csv", ".md", ".txt", ".onnx"), ".model", ".jinja", "")
FEW_VALUES = 1 << 24  # values of a table, with the entries of lists: so many are allowed in a file of any size
ROWS_PER_BYTE = 64  # rows of a table: item ids alone take a byte or two a row, even compressed
_EXPORT_AGAIN = "take it from where it was exported, or export it again"


def check_files(path: Path) -> None:
    """Checks names, links and kinds of everything in a bundle, and reads nothing.

    Raises:
        ArtifactError: for a link that leads outside, a special file, and a kind of file that no bundle has.
    """
    for entry in _entries(path):
        file, name = Path(entry.path), Path(entry.path).relative_to(path)
        if entry.is_symlink():
            target = file.resolve()
            if not target.is_relative_to(path) or target.is_dir():
                fix = "copy the bundle with what its links point to (cp -rL)"
                raise ArtifactError(file, expected="a file inside the bundle", got=f"a way to {target}", fix=fix)
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ArtifactError(file, expected="a plain file", got=f"a {_kind(mode)}", fix=_EXPORT_AGAIN)
        hidden = any(part.startswith(".") for part in name.parts)  # of a file manager or a repository; nothing opens these
        if stat.S_ISREG(mode) and not hidden and file.suffix.lower() not in SUFFIXES:
            kinds = ", ".join(filter(None, SUFFIXES))
            raise ArtifactError(file, expected=f"only {kinds} files in a bundle", got=file.name, fix=_EXPORT_AGAIN)


def check_listed(path: Path, files: Mapping[str, Any]) -> None:
    """Checks the names in a manifest.

    Raises:
        ArtifactError: for one that does not lie in the bundle.
    """
    for name in files:
        target = (path / name).resolve() if "\0" not in name else path.parent
        odd = PureWindowsPath(name).drive or ".." in PurePosixPath(name.replace("\\", "/")).parts
        if odd or target == path or not target.is_relative_to(path):
            fix = "copy the bundle with what its links point to (cp -rL)"
            raise ArtifactError(path / name, expected="a file inside the bundle", got=f"a way to {target}", fix=fix)


def check_sizes(path: Path) -> None:
    """Checks the headers of the files, so that their size in memory is in proportion to their bytes.

    Raises:
        ArtifactError: for json that is no plain json, arrays of objects, and tables and arrays that promise more than is there.
    """
    for entry in _entries(path):
        file = Path(entry.path)
        check = _CHECKS.get(file.suffix.lower())
        if check is None or not entry.is_file() or any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        try:
            wrong = check(file)
        except (ValueError, OSError, pl.exceptions.PolarsError) as error:
            wrong = f"{type(error).__name__}: {error}"[:200]
        if wrong:
            raise ArtifactError(
                file, expected=f"a {file.suffix} file as `genrec export` writes it", got=wrong, fix=_EXPORT_AGAIN
            )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yields all files, links and folders below a folder, without following links."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return kinds.get(stat.S_IFMT(mode), "special file")


def _json(file: Path) -> str | None:
    read_json(file)
    return None


def _array(file: Path) -> str | None:
    with file.open("rb") as opened:
        version = np.lib.format.read_magic(opened)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(opened)
        rest = file.stat().st_size - opened.tell()
    if dtype.hasobject:
        return "an array of Python objects"
    promised = math.prod(shape) * dtype.itemsize
    return None if promised == rest else f"{rest:,} bytes where its head says {promised:,}"


def _table(file: Path) -> str | None:
    import pyarrow.parquet

    size, groups = file.stat().st_size, pyarrow.parquet.ParquetFile(file).metadata
    places = [(group, column) for group in range(groups.num_row_groups) for column in range(groups.num_columns)]
    values = sum(groups.row_group(group).column(column).num_values for group, column in places)
    if values > max(ROWS_PER_BYTE * size, FEW_VALUES):
        return f"{values:,} values in {size:,} bytes"
    rows = int(pl.scan_parquet(file, glob=False).select(pl.len()).collect().item())
    allowed = ROWS_PER_BYTE * file.stat().st_size
    return None if rows <= allowed else f"{rows:,} rows in {file.stat().st_size:,} bytes"


_CHECKS = {".json": _json, ".npy": _array, ".parquet": _table}


_STUMBLES = (
    *(ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError),
    *(pl.exceptions.PolarsError, SafetensorError),
)


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turns what a reader raises while a bundle is opened into an error of the bundle.

    Args:
        path: of the bundle.

    Raises:
        ArtifactError: with the message of the reader.
        MachineError: if memory, the disk or a permission is the cause, not the file.
    """
    try:
        with wrap_os_errors():
            yield
    except _STUMBLES as error:
        got = f"{type(error).__name__}: {error}"[:300]
        raise ArtifactError(path, expected="files as `genrec export` writes them", got=got, fix="export it again") from error


_SPARE = 1 << 26  # numbers beside the weights: masks, tables of codes, tries
_SPARE_CALLS = 5000
_ANY_SIZE = {"repeat", "repeat_interleave", "constant_pad_nd", "new_empty", "new_zeros", "new_ones", "new_full", "one_hot"}


class TensorBudget(TorchDispatchMode):
    """Refuses operations that would make more numbers than allowed, all together, before they make them.

    Args:
        weights: numbers in the file of weights.
        tensors: tensors in that file.

    Raises:
        ValueError: by the operation that asks for too much.
    """

    def __init__(self, weights: int, tensors: int) -> None:
        super().__init__()
        self._calls = 50 * tensors + _SPARE_CALLS
        self._all = self._left = 8 * weights + _SPARE

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        from_tensors = any(isinstance(argument, torch.Tensor) for argument in args)
        if from_tensors and func.overloadpacket.__name__ not in _ANY_SIZE:
            return func(*args, **(kwargs or {}))  # views, sums, copies: as large as their inputs
        if (size := max((_numbers(argument) for argument in args), default=0)) > self._left:
            raise ValueError(f"{size:,} numbers by {func}, of {self._all:,} that weights of this size call for")
        self._calls -= 1
        result = func(*args, **(kwargs or {}))
        self._left -= result.numel() if isinstance(result, torch.Tensor) else 0
        if self._left < 0 or self._calls < 0:
            raise ValueError(f"more tensors, or more than the {self._all:,} numbers, than weights of this size call for")
        return result


def _numbers(argument: Any) -> int:
    """Returns how many numbers an argument asks for: those of a shape, or an end to count to."""
    if isinstance(argument, list | tuple) and argument and all(type(size) is int for size in argument):
        return math.prod(size for size in argument if size > 0)
    return argument if type(argument) is int else 0
