"""Examines the data that a source read, in one pass, and lists problems with the settings that solve them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from genrec.data.lib.events import EXACT_TIME, MIN_EVENTS, ROW
from genrec.data.lib.ids import count_alike, find_alike
from genrec.errors import excerpt
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID

DAY = 86_400.0
MOSTLY = 0.9  # a time is too coarse where more than this share of events is tied
LARGE = 0.1  # a history with more than this share of all events is reported
_HTML = (
    r"(?i)</?(?:p|br|b|i|u|li|ul|ol|div|span|a|img|strong|em|h[1-6]|table|tr|td|font|script|style)\b[^>]*>"
    r"|&(?:amp|lt|gt|quot|nbsp|#\d+);"
)
_NO_BLANKS = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f]"
_SEPARATED = r"[|;,\s]"


@dataclass(frozen=True)
class Problem:
    """A property of the data that needs a decision.

    Args:
        what: description of the problem.
        count: how often it occurs.
        settings: configuration key -> value that solves it, written into the yaml.
        advice: what else can be done, or what to check.
    """

    what: str
    count: int
    settings: dict[str, Any] = field(default_factory=dict)
    advice: str = ""


@dataclass
class Findings:
    """The result of an examination.

    Args:
        facts: lines about the data.
        problems: what needs a decision.
    """

    facts: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of all problems together."""
        answers: dict[str, Any] = {}
        for problem in self.problems:
            answers |= problem.settings
        return answers


def examine(raw: RawData, text: Sequence[str] = ()) -> Findings:
    """Examines canonical data whose ids may be missing.

    Args:
        raw: from ``canonical(..., allow_missing=True)``.
        text: columns of the items that say what an item is.
    """
    findings = Findings()
    table = raw.interactions
    names = {name: raw.columns.get(name, name) for name in table.columns}
    for column in (USER_ID, ITEM_ID, TIMESTAMP):
        if column in table.columns and (count := table[column].null_count()):
            what = f"interactions without a value in {names[column]} ({column})"
            findings.problems.append(Problem(what, count, {"filters.missing": "drop"}))
    ids = [USER_ID, ITEM_ID, *([TIMESTAMP] if TIMESTAMP in table.columns else [])]
    whole = table.drop_nulls(ids)
    _look_at_times(table, findings)
    _look_at_kinds(table, names, findings)
    distinct = _look_at_repeats(whole, findings)
    _look_at_ids(whole, names, findings)
    if raw.items is not None:
        distinct = _look_at_items(distinct, raw, names, text, findings)
    _look_at_users(distinct, whole, findings)
    return findings


def _look_at_times(table: pl.DataFrame, findings: Findings) -> None:
    if TIMESTAMP not in table.columns:
        return
    times = table[TIMESTAMP].drop_nulls()
    if times.is_empty():
        return
    low, high = float(times.min()), float(times.max())  # type: ignore[arg-type]
    scale = next((s for s in (1, 10**3, 10**6, 10**9) if 1e8 * s <= high < 5e9 * s), None)
    if scale is None:
        findings.facts.append(
            f"times: from {low:.17g} to {high:.17g} (numbers that are no times since 1970; gaps are in their unit)"
        )
        return
    first, last = (pl.Series([int(moment / scale)]).cast(pl.Int64) * 1_000_000 for moment in (low, high))
    written = [str(moment.cast(pl.Datetime("us"))[0]) for moment in (first, last)]
    unit = {1: "", 10**3: ", in milliseconds", 10**6: ", in microseconds", 10**9: ", in nanoseconds"}[scale]
    findings.facts.append(f"times: from {written[0]} to {written[1]} (UTC{unit})")
    exact = EXACT_TIME if EXACT_TIME in table.columns else TIMESTAMP
    tied = int(table.select(USER_ID, exact).drop_nulls().is_duplicated().sum())
    if tied > MOSTLY * table.height:
        advice = "their order is that of the file; is there a finer time (--timestamp COLUMN)?"
        findings.problems.append(Problem("events that share their time with another one of the same user", tied, {}, advice))
    if low < 1e8 * scale <= high:
        odd = int((times < 1e8 * scale).sum())
        advice = "add its text to data.missing_values where it stands for a missing time"
        findings.problems.append(Problem(f"times before 1973, such as {written[0]}", odd, {}, advice))


def _look_at_kinds(table: pl.DataFrame, names: dict[str, str], findings: Findings) -> None:
    if EVENT_TYPE not in table.columns:
        return
    kinds = table[EVENT_TYPE].value_counts(sort=True).rows()
    counts = ", ".join(f"{excerpt(kind) if kind is None else kind} {count:,}" for kind, count in kinds[:12])
    findings.facts.append(f"kinds of events ({names[EVENT_TYPE]}): {counts}" + (" ..." if len(kinds) > 12 else ""))
    if len(kinds) > 1:
        example = [str(kind) for kind, _ in kinds if kind is not None][-1:]
        written = _setting_of_kinds(example)
        advice = f"all kinds count alike; to keep some: {written}"
        findings.problems.append(Problem("kinds of events that are learned from as one", len(kinds), {}, advice))


def _setting_of_kinds(kinds: Sequence[str]) -> str:
    value = ",".join(kind if re.fullmatch(r"\w+", kind, re.ASCII) else f'"{kind}"' for kind in kinds)
    setting = f"filters.event_types=[{value}]"
    return setting if re.fullmatch(r"[\w.=\[\],]+", setting, re.ASCII) else f"'{setting}'"


def _look_at_repeats(whole: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    columns = [name for name in whole.columns if name != ROW]
    distinct = whole.unique(subset=columns, keep="first", maintain_order=True)
    count = whole.height - distinct.height
    if not count:
        return whole
    fine = TIMESTAMP in whole.columns and whole.height > 0 and bool((whole[TIMESTAMP] % DAY != 0).any())
    if fine or EXACT_TIME in whole.columns:
        findings.problems.append(Problem("interactions that repeat another one exactly", count, {"filters.duplicates": "drop"}))
        return distinct
    why = (
        "the same item on one day may be two events" if TIMESTAMP in whole.columns else "without times they may be real repeats"
    )
    advice = f"kept, since {why}; filters.duplicates=drop leaves them out"
    findings.problems.append(Problem("interactions that repeat another one exactly", count, {}, advice))
    return whole


def _look_at_ids(whole: pl.DataFrame, names: dict[str, str], findings: Findings) -> None:
    for column in (USER_ID, ITEM_ID):
        ids = whole[column]
        doubtful = ids.filter(
            ids.str.to_lowercase().is_in(
                ["-", "--", "?", "unknown", "undefined", "missing", "(none)", "(not set)", "n.a.", "nil", "-1"]
            )
        )
        if len(doubtful):
            value = str(doubtful.value_counts(sort=True)[column][0])
            advice = "if it stands for a missing value, set data.missing_values and filters.missing=drop"
            findings.problems.append(
                Problem(f"ids in {names[column]} that look missing, such as {excerpt(value)}", len(doubtful), {}, advice)
            )
    values = whole[ITEM_ID].unique()
    several = values.filter(values.str.contains(_SEPARATED))
    if len(values) > 4 and len(several) > 0.5 * len(values):
        pieces = several.str.extract_all(r"[^|;,\s]+").explode()
        if pieces.n_unique() < 0.5 * len(pieces):
            advice = "each is taken as ONE item; if they are histories, read the file with data=sequences"
            findings.problems.append(
                Problem(f"items such as {excerpt(str(several[0]))} that look like lists of items", len(several), {}, advice)
            )
    if whole.height and (sizes := whole[USER_ID].value_counts(sort=True)).height:
        user, size = sizes.row(0)
        findings.facts.append(
            f"largest history: {size:,} events of {names[USER_ID]} {excerpt(user)}, {size / whole.height:.1%} of all"
        )
        if size > LARGE * whole.height and sizes.height > 20:
            advice = "a robot, a shared account or a mark of a missing value: look at it"
            findings.problems.append(
                Problem(f"events of one user, {excerpt(user)}: {size / whole.height:.0%} of all", size, {}, advice)
            )


def _look_at_items(
    table: pl.DataFrame, raw: RawData, names: dict[str, str], text: Sequence[str], findings: Findings
) -> pl.DataFrame:
    assert raw.items is not None
    items = raw.items
    unknown = table.filter(~pl.col(ITEM_ID).is_in(items[ITEM_ID].implode()))
    if unknown.height:
        alike = find_alike(unknown[ITEM_ID], items[ITEM_ID])
        counts = count_alike(unknown[ITEM_ID], items[ITEM_ID])
        rule = max(counts, key=lambda name: counts[name])
        kinds = unknown[ITEM_ID].n_unique()
        if alike is not None and counts[rule] >= 0.5 * kinds:
            what = f"items written differently in the two files: {excerpt(alike[0])} and {excerpt(alike[1])}"
            findings.problems.append(Problem(what, kinds, {"data.ids": rule}))
            return table
        what = f"interactions with items ({kinds:,}) that the table of items lacks, such as {excerpt(unknown[ITEM_ID][0])}"
        if unknown.height == table.height:
            advice = "no item is known: is the right column of each file named (--item COLUMN, data.items_key=COLUMN)?"
            findings.problems.append(Problem(what, unknown.height, {}, advice))
            return table
        findings.problems.append(Problem(what, unknown.height, {"filters.unknown_items": "drop"}))
        table = table.join(unknown.select(ROW), on=ROW, how="anti", maintain_order="left")
    findings.facts.append(f"text of the items: {', '.join(text) if text else 'no column with a usual name'}")
    for name in text:
        column = items[name].cast(pl.String, strict=False) if not items[name].dtype.is_nested() else None
        if column is None:
            continue
        empty, filled = items[name].null_count(), column.drop_nulls()
        if empty:
            findings.facts.append(f"  {name}: empty for {empty:,} of {items.height:,} items")
        if marked := int(filled.str.contains(_HTML).sum()):
            findings.facts.append(f"  {name}: HTML in {marked:,} values, which is taken out of the text")
        if foreign := int(filled.str.contains(_NO_BLANKS).sum()):
            findings.facts.append(
                f"  {name}: {foreign:,} values in a script without blanks between words (Chinese, Japanese, Thai ...)"
            )
    return table


def _look_at_users(table: pl.DataFrame, whole: pl.DataFrame, findings: Findings) -> None:
    sizes = table[USER_ID].value_counts()["count"]
    short = int((sizes < MIN_EVENTS).sum())
    if not short:
        return
    what = f"users with fewer than {MIN_EVENTS} events, whom leave-one-out cannot split"
    if short == len(sizes):
        advice = "these are ALL users: name the column of the users (--user COLUMN), not of orders or visits"
        findings.problems.append(Problem(what, short, {}, advice))
        return
    advice = "split.short_users=train keeps them to learn from"
    findings.problems.append(Problem(what, short, {"split.short_users": "drop"}, advice))
