"""Examine your interactions file: the role of each column and possible problems; write a data yaml for it."""

from __future__ import annotations

import argparse
import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import polars as pl

from genrec.data.filters import Filters
from genrec.data.leave_one_out import LeaveOneOut
from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.columns import NAMES, Roles
from genrec.data.lib.doctor import Findings, examine
from genrec.data.lib.draft import Draft, draft_of_shape, draft_of_table, source_of
from genrec.data.lib.files import require_columns
from genrec.data.lib.shapes import shape_of
from genrec.data.order import Order
from genrec.encoders.lib.item_text import text_columns
from genrec.engine.components import TARGET
from genrec.engine.overrides import parse_overrides, setting, shell_line, text_value
from genrec.errors import ConfigError, GenRecError, join_names
from genrec.references import expand_path
from genrec.types import ITEM_ID, POSITION, TIMESTAMP, USER_ID

_TEXT_KEYS = ("encoder.sources.text.columns", "encoder.columns")  # of the encoders with a text part, and of those that are text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("interactions", help="csv, tsv, jsonl, parquet ... (also compressed, or a folder of them)")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings for the yaml: data.encoding=cp1252")
    parser.add_argument("--items", help="a table of items: its columns feed the item encoder")
    parser.add_argument("--text", nargs="+", metavar="COLUMN", help="the columns of the items that say what an item is")
    parser.add_argument("--out", help="the yaml to write (default: ./<name of the file>.yaml)")
    for key in NAMES:
        parser.add_argument(
            f"--{key.removesuffix('_id').replace('_', '-')}", dest=key, metavar="COLUMN", help=f"which is {key}"
        )


def main(options: argparse.Namespace) -> int:
    """Writes the yaml and prints the findings and the command to use; returns the exit code."""
    source = expand_path(options.interactions)
    name = usable_name(options.interactions)
    out = expand_path(options.out or f"{name}.yaml")
    if out.exists():
        raise ConfigError(out, expected="a new file", got="an existing one", fix="remove it, or give another with --out")
    if not out.parent.is_dir():
        raise ConfigError(out, expected="a folder to write to", got=f"no {out.parent}", fix="make it, or give another --out")
    data, others = _split_settings(options.settings)
    columns = {key: getattr(options, key) for key in NAMES if getattr(options, key)}
    shape = None if columns or data else shape_of(source)
    draft = draft_of_shape(source, shape, options.items) if shape else draft_of_table(source, data, columns, options.items)
    raw = canonicalize(_load(draft.node), allow_missing=True, duplicates=True)
    text = _text_of(raw.items, options.text, draft)
    findings = examine(raw, text)
    for problem in draft.problems:
        findings.problems.append(problem)
    if "data.ids" in findings.settings:  # ids that match by another rule: look again with it
        draft.node["ids"] = findings.settings["data.ids"]
        rules = [problem for problem in findings.problems if "data.ids" in problem.settings]
        raw = canonicalize(_load(draft.node), allow_missing=True, duplicates=True)
        findings = examine(raw, text)
        findings.problems = [*rules, *draft.problems, *findings.problems]
    settings = {key: value for key, value in findings.settings.items() if not key.startswith("data.")}
    settings |= draft.settings | others
    left, failure = _trial(draft.node, settings)

    out.write_text(_yaml(draft.node, settings, source, out.parent), encoding="utf-8")
    _print(draft, raw.interactions, findings, left, out, settings)
    if failure is not None:
        print(f"it cannot be used yet: {failure}")
        return 0
    encoder = [] if text else ["encoder=collaborative"]  # without text there is nothing else to encode
    yaml_path = str(out) if out.is_absolute() else os.path.join(".", out)
    print(f"run it with: {shell_line(['genrec', 'run', setting('data', yaml_path), *encoder, setting('name', name)])}")
    return 0


def usable_name(file: str) -> str:
    r"""Returns a name for a run and a yaml, made from that of a file: plain letters, digits, ``_`` and ``-``.

    >>> usable_name("data/my sales (2024).csv"), usable_name(r"C:\shop\Käufe.csv"), usable_name("007.csv")
    ('my_sales_2024', 'Kaufe', 'data_007')
    """
    last = PureWindowsPath(file).name if "\\" in file else Path(file.rstrip("/")).name
    plain = unicodedata.normalize("NFKD", last.partition(".")[0]).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9-]+", "_", plain).strip("_-")
    if not re.search(r"[A-Za-z]", name) or name.lower() in ("null", "true", "false", "yes", "no", "on", "off", "nan", "inf"):
        name = f"data_{name}".rstrip("_")
    return name


def _split_settings(settings: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits settings into those of the data source (without ``data.``) and those of other groups."""
    data: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for override, text in zip(parse_overrides(settings), settings, strict=True):
        key = text_value(text)[0]
        value = override.value()
        value = list(value) if isinstance(value, list) else value
        if key.startswith("data."):
            data[key.removeprefix("data.")] = value
        elif "." in key:
            others[key] = value
        else:
            fix = "give choices with the command that runs"
            raise ConfigError(key, expected="a key of a group, as data.encoding", got=text, fix=fix)
    return data, others


# --- what is in it ----------------------------------------------------------------------------------------------------------


def _load(node: Mapping[str, Any]) -> Any:
    return source_of(node).load()


def _text_of(items: pl.DataFrame | None, named: Sequence[str] | None, draft: Draft) -> list[str]:
    """Returns the text columns of the items: those that the encoder finds, or the named ones, which go into the yaml."""
    if items is None:
        return []
    if named:
        require_columns(named, items.columns, str(draft.node["items"]))
        draft.settings |= {key: list(named) for key in _TEXT_KEYS}
        return list(named)
    columns = text_columns(items)
    if columns:
        return [name for name in columns if items[name].null_count() < items.height]
    prose = [name for name, dtype in items.schema.items() if name != ITEM_ID and dtype == pl.String and _is_prose(items[name])]
    if prose:
        draft.settings |= dict.fromkeys(_TEXT_KEYS, prose)
        draft.lines.append(f"no text column has a usual name; taken: {', '.join(prose)} (others: --text COLUMN ...)")
    return prose


def _is_prose(column: pl.Series) -> bool:
    values = column.drop_nulls().head(1000)
    long = int((values.str.len_chars() > 3).sum())
    return bool(len(values)) and 2 * long > len(values) and not values.str.contains(r"^https?://").any()


def _trial(node: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, GenRecError | None]:
    """Tries what ``prepare`` will do with these settings; returns a line on what is left, and the error that stops it."""
    options = {group: _group(settings, group) for group in ("filters", "order", "split")}
    try:
        filters, order, splitter = Filters(**options["filters"]), Order(**options["order"]), LeaveOneOut(**options["split"])
        raw = canonicalize(_load(node), allow_missing=filters.missing == "drop", duplicates=filters.duplicates == "drop")
        raw, _ = filters.before_order(raw, order.key(raw.interactions))
        users = raw.interactions.group_by(USER_ID, maintain_order=True).len("num_events")
        users_left = users.filter(pl.Series(splitter.keep(users)))
        table = raw.interactions.join(users_left, on=USER_ID, how="semi")
        if not table.height:
            splitter = LeaveOneOut()
            splitter.keep(users)
    except GenRecError as error:
        return "", error
    items = table[ITEM_ID].n_unique()
    return (
        f"it loads: {table.height:,} interactions of {users_left.height:,} users with {items:,} items; "
        f"{np.median(users_left['num_events'].to_numpy()):g} events per user (median)"
    ), None


def _group(settings: Mapping[str, Any], group: str) -> dict[str, Any]:
    return {key.partition(".")[2]: value for key, value in settings.items() if key.partition(".")[0] == group}


# --- what is said and written -----------------------------------------------------------------------------------------------


def _print(draft: Draft, table: pl.DataFrame, findings: Findings, left: str, out: Path, settings: Mapping[str, Any]) -> None:
    print(f"wrote {out}:")
    roles = draft.roles
    if roles is not None:
        for key, column in roles.mapping.items():
            print(f"  {key:<11} <- {column}")
        unused = [column for column in draft.columns if column not in roles.mapping.values()]
        if unused:
            print(f"  not used:   {join_names(unused)}")
    print(f"read {table.height:,} rows from {draft.source}")
    for line in [*draft.lines, *findings.facts]:
        print(f"  {line}")
    if roles is not None:
        for line in _order_lines(roles):
            print(line)
    if findings.problems:
        width = max(len(f"{problem.count:,}") for problem in findings.problems)
        print("what needs a decision (settings are in the yaml):")
        for problem in findings.problems:
            answers = [setting(key, value) for key, value in problem.settings.items()]
            answer = "; ".join(
                [*([f"set {' '.join(answers)}"] if answers else []), *([problem.advice] if problem.advice else [])]
            )
            print(f"  {problem.count:>{width},} {problem.what}: {answer}")
    if left:
        print(left)


def _order_lines(roles: Roles) -> list[str]:
    lines = []
    if TIMESTAMP not in roles.mapping and POSITION not in roles.mapping:
        line = (
            "WARNING: no column holds times: histories are in the order of the file's rows (--timestamp COLUMN names the time)"
        )
        lines.append(line)
    elif len(roles.times) > 1:
        others = ", ".join(f"{name} ({distinct:,} different)" for name, distinct in roles.times[1:])
        name, distinct = roles.times[0]
        lines.append(f"time: {name} ({distinct:,} different values), the finest; others: {others} (--timestamp COLUMN)")
    if roles.positions and POSITION not in roles.mapping:
        names = ", ".join(roles.positions)
        lines.append(f"order: {names} may be a place in an order; it is not used unless --position COLUMN says so")
    return lines


def _yaml(node: Mapping[str, Any], settings: Mapping[str, Any], source: Path, folder: Path) -> str:
    lines = [f"# {source.name.encode('utf-8', 'replace').decode()}, looked over by genrec init.", f"{TARGET}: {node[TARGET]}"]
    for key, value in node.items():
        if key != TARGET:
            written = _from_folder(str(value), folder) if key in ("interactions", "items", "validation", "test") else value
            lines.append(f"{key}: {json.dumps(written, ensure_ascii=False)}")
    if settings:
        lines.append("settings: # of other groups, where they have such keys; the command line goes before")
        lines += [f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]
    return "\n".join([*lines, ""])


def _from_folder(path: str, folder: Path) -> str:
    """Returns a path relative to the folder of the yaml."""
    if Path(path).is_absolute():
        return path
    try:
        return Path(os.path.relpath(Path(path).absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return str(Path(path).absolute())
