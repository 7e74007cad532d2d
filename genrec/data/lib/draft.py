"""Drafts a data yaml for a file: the text format, the roles of the columns, and the table of items."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.lib.columns import NAMES, Roles, columns_by_name, find_roles, infer_type
from genrec.data.lib.doctor import Problem
from genrec.data.lib.events import names_parts
from genrec.data.lib.files import is_delimited, read_table, require_columns
from genrec.data.lib.shapes import Shape, holds_lists
from genrec.data.lib.text_lines import NAMED, TextFormat, cut_line, detect_format, encoding_of, open_bytes, sample_lines
from genrec.data.lib.times import read_times
from genrec.engine.components import TARGET, instantiate
from genrec.engine.overrides import setting, shell_line
from genrec.errors import DataError, join_names
from genrec.references import expand_path
from genrec.types import ITEM_ID, POSITION, TIMESTAMP, USER_ID

TABLES = "genrec.data.tables.Tables"
_NUMBER = r"[+-]?\d+(?:[.,]\d+)?"


@dataclass
class Draft:
    """The content of the yaml, and the lines printed about it.

    Args:
        source: the interactions' file.
        node: the data source: its target and arguments.
        settings: keys of other groups.
        lines: lines printed before the findings.
        problems: problems of reading the file.
        roles: the roles of the columns; None where the source finds them itself.
        columns: the columns of the table.
    """

    source: Path
    node: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    roles: Roles | None = None
    columns: list[str] = field(default_factory=list)


def source_of(node: Mapping[str, Any]) -> Any:
    """The data source of a node."""
    return instantiate(node, "data")


def draft_of_shape(source: Path, shape: Shape, items: str | None) -> Draft:
    """Drafts the yaml for a file that holds something else than rows of events."""
    node = {TARGET: shape.target, "interactions": str(source), **shape.settings}
    if items:
        node["items"] = str(expand_path(items))
        key = _items_key(read_table(expand_path(items)), node.get("item_id", ITEM_ID), None)
        node["items_key"] = key or ITEM_ID
    return Draft(source, node, lines=[f"read as {shape.why} (data={shape.option})"])


def draft_of_table(source: Path, data: Mapping[str, Any], user_columns: Mapping[str, str], items: str | None) -> Draft:
    """Drafts the yaml for a table of events.

    Args:
        source: the file.
        data: settings of the data source, as the user gives them.
        user_columns: canonical column -> the table's column, as the user sets it.
        items: a table of items.

    Raises:
        DataError: when a file cannot be read, its first line is data, no column is the user or the item, or times can be read
            in two ways.
    """
    draft = Draft(source, {TARGET: TABLES, "interactions": str(source), **data})
    notes: list[tuple[str, int]] = []
    form = source_of(draft.node).form
    if source.is_file() and is_delimited(source, form):
        form = _sniff_format(source, form, draft, "")
    missing = source_of(draft.node).missing
    table = read_table(source, form=form, missing=missing, notes=notes)
    table = _read_decimals(table, draft, "decimal", form)
    draft.columns = table.columns
    require_columns(list(user_columns.values()), table.columns, str(source))
    date_format = str(data.get("date_format", "auto"))
    named = {key: str(data[key]) for key in NAMES if data.get(key)}
    roles = draft.roles = find_roles(table, {**named, **user_columns}, date_format)
    for key in (USER_ID, ITEM_ID):
        if key not in roles.mapping and key in table.columns:
            roles.mapping[key] = key  # its values cannot be ids; the reader reports why
        if key not in roles.mapping:
            fix = f"say which with --{key.removesuffix('_id')} COLUMN"
            got = f"columns {join_names(table.columns)}"
            raise DataError(source, expected=f"a column that looks like {key}", got=got, fix=fix)
    draft.node |= roles.mapping
    if POSITION in user_columns and TIMESTAMP in roles.mapping:
        draft.settings["order.by"] = "position"
    draft.lines += [f"{what}: {count:,}" for what, count in notes]
    draft.lines += [*roles.notes, *_other_meanings(table, roles.mapping)]
    _look_at_unreadable_times(table, draft, date_format)
    if items:
        _add_items(draft, expand_path(items), table[roles.mapping[ITEM_ID]], form)
    return draft


def _other_meanings(table: pl.DataFrame, mapping: Mapping[str, str]) -> list[str]:
    """Lists unused columns that suggest another reading: rows that are samples, or parts of a published split."""
    lines = []
    for name in [name for name in table.columns if name not in mapping.values()]:
        if holds_lists(table[name]):
            samples = ["data=samples", setting("data.history", name), setting("data.target", mapping[ITEM_ID])]
            lines.append(
                f"{name} holds lists: if a row is a history and the item that came next, it is read with {shell_line(samples)}"
            )
        elif names_parts(table[name]):
            parts = [setting("data.split", name), "split=column"]
            lines.append(f"{name} names the parts of a split, which is honoured with {shell_line(parts)}")
    return lines


def _sniff_format(source: Path, form: TextFormat, draft: Draft, prefix: str) -> TextFormat:
    """Detects the format of a text file, and writes it into the draft where it is not the usual one."""
    with open_bytes(source) as file:
        encoding = encoding_of(file.read(4096)) if form.encoding == "auto" else form.encoding
    detected = detect_format(source, form)
    if prefix == "" and form.header and form.names is None:
        _refuse_headerless(source, detected)
    usual = {".csv": ",", ".tsv": "\t"}.get(source.suffix.lower())
    inherited = draft.node.get("separator") if prefix else None
    if detected.separator != (NAMED.get(inherited, inherited) if inherited else usual):
        draft.node[f"{prefix}separator"] = {"\t": "tab"}.get(detected.separator, detected.separator)
    sign = {"\t": "a tab", " ": "a blank", "blank": "white space"}.get(detected.separator, f"'{detected.separator}'")
    draft.lines.append(f"{source.name}: separator {sign}, encoding {encoding.removesuffix('-sig')}")
    return detected


def _refuse_headerless(source: Path, form: TextFormat) -> None:
    """Refuses a file whose first line is data like the others; says how to name the columns.

    Raises:
        DataError: with the command to type.
    """
    lines = sample_lines(source, form.encoding, form.settings)
    first = [field.strip().strip('"') for field in cut_line(lines[0], form.separator)]
    rest = [cut_line(line, form.separator) for line in lines[1:50]]
    columns = [
        pl.Series([row[i].strip().strip('"') for row in rest if i < len(row)], dtype=pl.String) for i in range(len(first))
    ]
    if any(columns_by_name([name], role) for name in first for role in NAMES):
        return
    is_data = [_looks_alike(value, column) for value, column in zip(first, columns, strict=True)]
    if not any(is_data):
        return
    names = []
    for i, value in enumerate(first):
        is_time = _is_date(value) or (
            value.isdigit() and 9 <= len(value) <= 19 and 6.3e8 <= int(value) / 10 ** max(0, len(value) - 10) <= 2e9
        )
        names.append("timestamp" if is_time and "timestamp" not in names else f"column_{i + 1}")
    for role in (USER_ID, ITEM_ID):
        index = next((i for i, name in enumerate(names) if name.startswith("column_")), None)
        if index is not None:
            names[index] = role
    command = shell_line(["genrec", "init", str(source), "data.header=false", setting("data.columns", names)])
    raise DataError(
        f"{source}, line 1",
        expected="the names of the columns",
        got=f"data: {join_names(first)}",
        fix=f"name all columns in their order, as in: {command}",
    )


def _looks_alike(value: str, column: pl.Series) -> bool:
    """Whether a value is a number or a date, as the others of its column are."""
    if re.fullmatch(_NUMBER, value):
        return bool(column.str.contains(rf"^{_NUMBER}$").any())
    return _is_date(value)


def _is_date(value: str) -> bool:
    try:
        return read_times(pl.Series([value]), "{row}", "day_first").is_clock and not value.isdigit()
    except DataError:
        return False


def _read_decimals(table: pl.DataFrame, draft: Draft, key: str, form: TextFormat) -> pl.DataFrame:
    """Casts columns of numbers with a decimal comma, and writes the setting into the draft."""
    if form.separator == "," or form.decimal == ",":
        return table
    for name in table.columns:
        if table[name].dtype == pl.String and (numbers := infer_type(table[name], ",")).dtype == pl.Float64:
            draft.node[key] = ","
            draft.lines.append(f"numbers with a decimal comma in {name}: read as numbers")
            table = table.with_columns(numbers)
    return table


def _look_at_unreadable_times(table: pl.DataFrame, draft: Draft, date_format: str) -> None:
    """Counts a few values that are no times as missing ones; refuses what can be read in two ways.

    Raises:
        DataError: for times that cannot be read.
    """
    assert draft.roles is not None
    name = draft.roles.mapping.get(TIMESTAMP)
    if name is None:
        return
    where = f"{draft.source}{{row}}, column {name}"
    column = table[name]
    odd: list[str] = []
    while True:
        try:
            read_times(column, where, date_format, settings=True)
            break
        except DataError as error:
            bad = re.search(r", row (\d+),", error.where)
            value = column[int(bad[1]) - 1] if bad and "a time:" in error.expected else None
            if column.dtype != pl.String or value is None or len(odd) == 5:
                raise
            odd.append(value)
            column = column.replace(value, None)
    if odd:
        count = int(table[name].is_in(odd).sum())
        marks = source_of(draft.node).missing
        draft.node["missing_values"] = [*marks, *odd]
        what = f"values of {name} that are no times: {join_names(odd)}"
        draft.problems.append(Problem(what, count, {"filters.missing": "drop"}, "they count as missing (data.missing_values)"))


def _add_items(draft: Draft, path: Path, ids: pl.Series, form: TextFormat) -> None:
    node = draft.node
    items_form = replace(form, separator="auto", quote="auto", header=True, names=None, decimal=".", settings="data.items_")
    source = source_of(node)
    if source.items_encoding or source.items_separator or source.items_columns:
        items_form = source.items_form
    if path.is_file() and is_delimited(path, items_form):
        items_form = _sniff_format(path, items_form, draft, "items_")
    table = read_table(path, form=items_form, missing=source.missing)
    _read_decimals(table, draft, "items_decimal", items_form)
    if node.get("decimal") == "," and "items_decimal" not in node:
        node["items_decimal"] = "."
    key = source.items_key or _items_key(table, node[ITEM_ID], ids)
    if key is None:
        expected = f"a column with the ids of {node[ITEM_ID]!r}"
        got = f"columns {join_names(table.columns)}"
        fix = "name it: " + shell_line(["genrec", "init", str(draft.source), "--items", str(path), "data.items_key=COLUMN"])
        raise DataError(path, expected=expected, got=got, fix=fix)
    node |= {"items": str(path), "items_key": key}


def _items_key(items: pl.DataFrame, item_id: str, ids: pl.Series | None) -> str | None:
    """Returns the column that holds the interactions' ids: one with a usual name, or one that contains clearly more of them."""
    named = [*([item_id] if item_id in items.columns else []), *columns_by_name(items.columns, ITEM_ID)]
    named += [name for name in items.columns if name.lower() in ("id", "key", "code") and name not in named]
    if ids is None:
        return next(iter(named), None)
    event_ids = _comparison_keys(ids).unique()
    shares: dict[str, float] = {}
    for name, dtype in items.schema.items():
        if dtype == pl.String or dtype.is_numeric():
            there = event_ids.is_in(_comparison_keys(items[name]).implode())
            shares[name] = int(there.sum()) / max(len(event_ids), 1)
    best = max(shares, key=lambda name: shares[name], default=None)
    first = next(iter(named), None)
    if first is not None and shares.get(first, 0.0) >= 0.5 * (shares[best] if best else 0.0):
        return first
    return best if best is not None and shares[best] > 0.2 else first


def _comparison_keys(ids: pl.Series) -> pl.Series:
    """Normalizes ids for comparison: without blanks, case, leading zeros and a final ``.0``."""
    text = ids.drop_nulls().cast(pl.String).str.strip_chars().str.to_lowercase()
    return text.str.replace(r"\.0$", "").str.replace(r"^0+(\d)", "${1}")
