"""Check a published table: rows of figures that cannot be true when every user has one target."""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from genrec.errors import DataError

if TYPE_CHECKING:
    from genrec.statistics.possible_figures import Figure

METRICS = {  # as papers and libraries spell them
    "recall": "recall", "r": "recall", "ndcg": "ndcg", "n": "ndcg", "mrr": "mrr", "map": "map",
    "hit": "hit", "hits": "hit", "hr": "hit", "h": "hit", "hitrate": "hit", "hitratio": "hit",
}  # fmt: skip
_HEADING = re.compile(
    r"^(?P<before>.*?)(?<![a-z])(?P<metric>recall|hit[ _]?rate|hit[ _]?ratio|hits?|hr|ndcg|mrr|map|r|h|n)"
    r"\s*@\s*(?P<k>[1-9]\d*)(?!\d)(?P<after>.*)$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NOTHING = {"", "-", "--", "–", "—", "n/a", "na", "nan", "none", "null", "x", "?"}
_DECORATION = " \t*_`"

_ABOUT = """\
A table has one row per model and a column per metric and cutoff: R@10, Recall@10, HR@10, Hit@10, N@10, NDCG@10, MRR@10, MAP@10,
in any case, also with what they belong to: test/recall@10, Beauty R@10. Other columns name the row. Give csv, tsv or a markdown
table; copy figures as they are printed, for the last digit says how far each was rounded. "0.0648 ± 0.0003" counts as 0.0648.

Checked, within rounding: for every two cutoffs a < b, NDCG@b - NDCG@a lies between (R@b - R@a) / log2(b + 1) and
(R@b - R@a) / log2(a + 2), likewise for MRR; figures grow with k; NDCG@k <= R@k; NDCG@1 = R@1; R@k / k <= MRR@k <= NDCG@k.
This holds for one target per user (leave-one-out) and for averages over seeds; not for several targets per user.

exit code: 0 nothing impossible found, 2 impossible rows found (or a table that cannot be read)
"""


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Args:
        number: of its line in the file, from 1.
        name: the text of its other columns.
        cells: column -> text.
    """

    number: int
    name: str
    cells: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("table", type=Path, metavar="FILE", help="csv, tsv, or markdown")


def epilog() -> str:
    """Explains the table formats and the checks."""
    return _ABOUT


def main(options: argparse.Namespace) -> int:
    """Prints the impossible rows; returns the exit code."""
    from genrec.statistics.possible_figures import impossible

    headings, lines = read(options.table)
    percent = _in_percent(headings, lines, options.table)
    scale = "percent" if percent else "shares of 1"
    print(f"{options.table}: {len(lines)} rows, {len(headings)} columns of figures, read as {scale}")
    bad = 0
    for line in lines:
        broken = []
        for group in dict.fromkeys(group for group, _, _ in headings.values()):
            row = {
                (metric, k): figure
                for column, (column_group, metric, k) in headings.items()
                if column_group == group and (figure := _figure(line, column, percent, options.table))
            }
            broken += [f"{group}: {text}" if group else text for text in impossible(row, scale=100 if percent else 1)]
        bad += bool(broken)
        for text in broken:
            print(f"line {line.number}, {line.name}: {text}")
    print(f"{bad} of {len(lines)} rows cannot be true" if bad else "no row is impossible; which does not make them true")
    return 2 if bad else 0


def read(file: Path) -> tuple[dict[str, tuple[str, str, int]], list[Line]]:
    """Reads a table: its columns of figures (heading -> the rest of the heading, metric, k) and its rows.

    Raises:
        DataError: when there is no such table, or a row is longer than the heading.
    """
    if not file.is_file():
        raise DataError(file, expected="a table", got="no file", fix="check the path")
    rows = list(_rows(file.read_text(encoding="utf-8-sig", errors="replace")))
    columns = [cell.strip(_DECORATION) for cell in rows[0][1]] if rows else []
    headings = {column: heading for column in columns if (heading := _heading(column))}
    if len(headings) < 2:
        got = f"columns {', '.join(columns)}" if columns else "no rows"
        raise DataError(
            file, expected="two or more columns such as R@10, NDCG@10", got=got, fix="see genrec check-table --help"
        )
    if twice := next((column for column in headings if columns.count(column) > 1), None):
        raise DataError(file, expected="different columns", got=f"{twice} twice", fix="rename one, say 'Beauty R@10'")
    lines: list[Line] = []
    for number, row in rows[1:]:
        if len(row) > len(columns):
            where, got = f"{file}, line {number}", f"{len(row)} cells"
            raise DataError(where, expected=f"at most {len(columns)} cells", got=got, fix="quote cells that hold the separator")
        cells = {column: cell.strip(_DECORATION) for column, cell in zip(columns, row, strict=False)}
        name = " ".join(cell for column, cell in cells.items() if cell and "@" not in column)
        lines.append(Line(number, name or f"row {len(lines) + 1}", cells))
    return headings, lines


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows that are not empty with their line numbers; of markdown, those of the first table."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if any(line.lstrip().startswith("|") for _, line in lines):
        started = False
        for number, line in lines:
            if line.lstrip().startswith("|"):
                started = True
                if not re.fullmatch(r"[\s|:-]+", line):
                    yield number, line.strip().removeprefix("|").removesuffix("|").split("|")
            elif started:
                return
    elif lines:
        separator = next((mark for mark in "\t;" if mark in lines[0][1]), ",")
        for number, line in lines:
            yield number, next(csv.reader([line], delimiter=separator))


def _heading(column: str) -> tuple[str, str, int] | None:
    """``test/recall@10`` -> ("test", "recall", 10)."""
    match = _HEADING.match(column)
    if not match:
        return None
    words = re.findall(r"[^\W_]+", f"{match['before']} {match['after']}".replace("%", " "))
    return " ".join(words), METRICS[re.sub(r"[ _]", "", match["metric"].lower())], int(match["k"])


def _in_percent(headings: Iterable[str], lines: Sequence[Line], file: Path) -> bool:
    """Whether the table is in percent: a heading or a cell has the sign, or a figure is above 1."""
    if any("%" in column for column in headings):
        return True
    for line in lines:
        for column in headings:
            figure = _figure(line, column, False, file)
            if "%" in line.cells.get(column, "") or (figure and figure.value > 1):
                return True
    return False


def _figure(line: Line, column: str, percent: bool, file: Path) -> Figure | None:
    """Returns the first number of a cell; None for an empty one.

    Raises:
        DataError: when it holds something else.
    """
    from genrec.statistics.possible_figures import Figure

    cell = line.cells.get(column, "")
    if cell.lower() in _NOTHING:
        return None
    number = _NUMBER.match(cell.lstrip("†‡§^ "))
    if not number or re.match(r"\d+,\d", cell):
        where = f"{file}, line {line.number}, column {column}"
        raise DataError(where, expected="a number with a decimal point", got=repr(cell), fix="write it so, or leave it empty")
    exact = Decimal(number[0])
    exponent = exact.as_tuple().exponent
    assert isinstance(exponent, int)  # the pattern lets no infinity through
    unit = 0.01 if percent else 1.0
    return Figure(float(exact) * unit, 0.5 * 10.0**exponent * unit)
