"""Reads tables of separated text without losing a row: every line is counted, whichever columns are read.

Lines without a quotation mark are cut at the separator, all at once; a line with one is read by Python's csv module, together
with the following lines that its quoted field spans. Finally the numbers of rows and lines are compared.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from genrec.data.lib.text_lines import BLANK, QUOTE, TextFormat, cut_line, detect_format, stated_separator, text_chunks
from genrec.errors import DataError, excerpt, join_names

csv.field_size_limit((1 << 31) - 1)  # descriptions are longer than the module expects
LONGEST_FIELD = 5_000  # lines that a quoted field may span: an unclosed mark would otherwise swallow the whole file
_LINE, _TEXT, _FIELDS = "line", "text", "fields"
_END = "\x00end\x00"  # a line that no file has, to see whether a field is still open
_INVISIBLE = "\ufeff\u200b\u2060\xa0"  # marks of the encoding and blanks that stand around names
_AROUND = " \t\r\n" + _INVISIBLE


@dataclass
class Tally:
    """Counts of one reading of a file.

    Args:
        lines: of the file.
        blank: lines without any character but blanks.
        head: lines of the header, and those before it.
        rows: records.
        spanning: (first line, lines) of records whose quoted field runs over several lines.
        escaped: line numbers of records whose quotation marks are escaped by a backslash.
    """

    lines: int = 0
    blank: int = 0
    head: int = 0
    rows: int = 0
    spanning: list[tuple[int, int]] = field(default_factory=list)
    escaped: list[int] = field(default_factory=list)

    def notes(self) -> list[tuple[str, int]]:
        """Returns the lines of output about the reading, with counts."""
        notes = []
        if self.spanning:
            notes.append(
                (
                    f"rows whose quoted text runs over several lines (the first in line {self.spanning[0][0]})",
                    len(self.spanning),
                )
            )
        if self.escaped:
            notes.append(
                (f"rows with quotation marks escaped by a backslash (the first in line {self.escaped[0]})", len(self.escaped))
            )
        return notes


def column_names(path: Path, form: TextFormat) -> list[str]:
    """The columns of a file.

    Raises:
        DataError: as ``read_delimited``.
    """
    reading = _Reading(path, detect_format(path, form), None)
    for _ in reading.tables():
        break
    return reading.names


def read_delimited(
    path: Path, form: TextFormat, columns: Sequence[str] | None = None, notes: list[tuple[str, int]] | None = None
) -> pl.DataFrame:
    """Reads the columns of a table as text, without blanks around values; empty fields are null.

    Args:
        path: the file.
        form: how it is written.
        columns: read only these, as far as they exist. None: all.
        notes: gains what is worth a line of output.

    Raises:
        DataError: naming the line of a record with more or fewer fields than columns, or of a quotation mark that is never
            closed; for a column that occurs twice; and when rows and lines differ in number.
    """
    reading = _Reading(path, detect_format(path, form), columns)
    tables = list(reading.tables())
    tally = reading.tally
    spanned = sum(lines - 1 for _, lines in tally.spanning)
    if tally.rows + tally.head + tally.blank + spanned != tally.lines:
        got = f"{tally.rows:,} rows, {tally.head} of the header, {tally.blank:,} empty and {spanned:,} inside quoted text"
        raise DataError(path, expected=f"all {tally.lines:,} lines to be read", got=got, fix="convert the file to parquet")
    if notes is not None:
        notes.extend(tally.notes())
    return pl.concat(tables) if tables else pl.DataFrame(schema=dict.fromkeys(reading.chosen, pl.String))


class _Reading:
    """One pass over a file."""

    def __init__(self, path: Path, form: TextFormat, columns: Sequence[str] | None) -> None:
        self.path, self.form, self.columns, self.tally = path, form, columns, Tally()
        self.names: list[str] = []
        self.chosen: list[str] = []

    def tables(self) -> Iterator[pl.DataFrame]:
        """The rows, piece by piece."""
        rest: list[str] = []
        begun = False
        for first, text in text_chunks(self.path, self.form.encoding, settings=self.form.settings):
            if begun and not rest and (table := self._read_at_once(text)) is not None:
                yield table
                continue
            lines = text.split("\n")
            if lines[-1] == "":
                lines.pop()
            self.tally.lines += len(lines)
            first, lines, rest = first - len(rest), rest + lines, []
            if not begun:
                skipped = self._start(first, lines)
                first, lines, begun = first + skipped, lines[skipped:], bool(self.names)
            if not begun:
                continue
            table = None if rest else self._read_at_once("\n".join(lines) + "\n", len(lines))
            if table is None:
                table, rest = self._table(first, lines, last=False)
            yield table
        if rest:
            yield self._table(self.tally.lines - len(rest) + 1, rest, last=True)[0]

    def _start(self, first: int, lines: list[str]) -> int:
        """Reads the names; returns how many lines that took."""
        at = 0
        while at < len(lines) and (not lines[at].strip() or self._is_preamble(lines, at)):
            self.tally.blank += not lines[at].strip()
            self.tally.head += bool(lines[at].strip())
            at += 1
        if at == len(lines):
            return at
        fields, used = self._record(first, lines, at, None, True)
        if self.form.header:
            self.tally.head += used
            names = [name.strip().strip(_INVISIBLE).strip() for name in fields]
            at += used
        else:
            names = [f"column_{i + 1}" for i in range(len(fields))]
        if self.form.names is not None:
            if len(self.form.names) != len(names):
                raise DataError(
                    f"{self.path}, line {first + at}",
                    expected=f"{len(self.form.names)} fields, as {self.form.settings}columns names",
                    got=f"{len(names)}: {excerpt(lines[at - used if self.form.header else at])}",
                    fix=f"name each in {self.form.settings}columns",
                )
            names = list(self.form.names)
        elif self.form.header and len(names) > 1 and self._ends_with_separator(lines[at:], len(names)):
            names.append("")
        self.names = names
        required_once = [name for name in names if name] if self.columns is None else self.columns
        twice = next((name for name in required_once if names.count(name) > 1), None)
        if twice is not None:
            got = f"{excerpt(twice)} in columns {' and '.join(str(i + 1) for i, name in enumerate(names) if name == twice)}"
            raise DataError(self.path, expected="each column once", got=got, fix="rename one of them in the file's header")
        self.chosen = list(names) if self.columns is None else [name for name in dict.fromkeys(self.columns) if name in names]
        if self.columns is None and names.count("") > 1:
            self.chosen = [name for name in names if name]
        return at

    def _is_preamble(self, lines: list[str], at: int) -> bool:
        """Whether a line is not yet the header: ``sep=;``, or a comment with another number of fields than the next line."""
        if stated_separator(lines[at]):
            return True
        if not lines[at].lstrip().startswith(("#", "%")) or at + 1 == len(lines):
            return False
        return len(cut_line(lines[at], self.form.separator)) != len(cut_line(lines[at + 1], self.form.separator))

    def _ends_with_separator(self, lines: list[str], names: int) -> bool:
        """Whether every row has a separator at its end that the header lacks."""
        rows = [cut_line(line, self.form.separator) for line in lines[:100] if line.strip()]
        return bool(rows) and all(len(fields) == names + 1 and not fields[-1].strip() for fields in rows)

    def _read_at_once(self, text: str, num_lines: int | None = None) -> pl.DataFrame | None:
        """Reads the records of a piece of text at once, or returns None where some line needs separate treatment.

        Without quotation marks polars cuts the lines: it refuses lines with too many fields, and the number of separators shows
        that none has too few. With them Python's csv module reads strictly.
        """
        separator, width = self.form.separator, len(self.names)
        if len(separator) > 1 or not text:
            return None
        if self.form.quote != "none" and QUOTE in text:
            return self._read_quoted(text, num_lines)
        lines = text.count("\n") + (not text.endswith("\n"))
        if width < 2 or text.count(separator) != lines * (width - 1):
            return None
        try:
            # All columns: with a choice of them polars takes lines of any number of fields.
            table = pl.read_csv(text.encode(), has_header=False, separator=separator, quote_char=None, infer_schema=False)
        except pl.exceptions.PolarsError:
            return None
        if table.shape != (lines, width):
            return None
        self.tally.rows += lines
        self.tally.lines += lines if num_lines is None else 0
        return self._clean(table.select(table.to_series(self.names.index(name)).alias(name) for name in self.chosen))

    def _read_quoted(self, text: str, num_lines: int | None) -> pl.DataFrame | None:
        if '\\"' in text:
            return None
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        reader = csv.reader(lines, delimiter=self.form.separator, strict=True)
        try:
            rows = list(reader)
        except csv.Error:
            return None
        width = len(self.names)
        if len(rows) != len(lines) or any(len(row) != width for row in rows):
            return None
        self.tally.rows += len(rows)
        self.tally.lines += len(lines) if num_lines is None else 0
        places = {name: self.names.index(name) for name in self.chosen}
        return self._clean(pl.DataFrame({name: [row[at] for row in rows] for name, at in places.items()}))

    def _clean(self, table: pl.DataFrame) -> pl.DataFrame:
        """Strips blanks around text and turns empty text into null."""
        return table.select(pl.col(name).str.strip_chars(_AROUND).replace("", None) for name in self.chosen)

    def _table(self, first: int, lines: list[str], *, last: bool) -> tuple[pl.DataFrame, list[str]]:
        """The records of some lines, and the lines of a record that goes on in the next piece."""
        special: list[tuple[int, list[str]]] = []
        inside: set[int] = set()  # lines that are no record of their own
        end, passed = len(lines), 0
        if self.form.quote != "none":
            for at, line in enumerate(lines):
                if QUOTE not in line or at < passed:
                    continue
                fields, used = self._record(first, lines, at, len(self.names), last)
                if not used:
                    end = at
                    break
                if used > 1:
                    self.tally.spanning.append((first + at, used))
                special.append((at, fields))
                inside.update(range(at, at + used))
                passed = at + used
        places = [at for at in range(end) if at not in inside] if inside else range(end)
        text = pl.DataFrame({_TEXT: [lines[at] for at in places] if inside else lines[:end]}, schema={_TEXT: pl.String})
        text = text.with_columns(pl.Series(_LINE, list(places) if inside else range(end), dtype=pl.Int64))
        plain = text.filter(
            pl.col(_TEXT).str.strip_chars(" ") != "" if self.form.separator == "\t" else pl.col(_TEXT).str.strip_chars() != ""
        )
        self.tally.blank += text.height - plain.height
        self.tally.rows += plain.height + len(special)
        table = self._cut(first, plain)
        if special:
            rows = {name: [fields[self.names.index(name)] for _, fields in special] for name in self.chosen}
            quoted = pl.DataFrame(rows | {_LINE: [at for at, _ in special]}, schema=table.schema)
            table = pl.concat([table, quoted]).sort(_LINE)
        return self._clean(table), lines[end:]

    def _cut(self, first: int, plain: pl.DataFrame) -> pl.DataFrame:
        """The chosen columns of lines without quotation marks, and the lines' places."""
        separator = self.form.separator
        words = pl.col(_TEXT).str.extract_all(r"\S+")
        fields = words if separator == BLANK else pl.col(_TEXT).str.split(separator)
        cut = plain.with_columns(fields.alias(_FIELDS))
        odd = cut.filter(pl.col(_FIELDS).list.len() != len(self.names))
        if odd.height:
            self._refuse_ragged(first + odd[_LINE][0], odd[_TEXT][0], len(odd[_FIELDS][0]))
        places = {name: self.names.index(name) for name in self.chosen}
        return cut.select(*(pl.col(_FIELDS).list.get(place).alias(name) for name, place in places.items()), _LINE)

    def _record(self, first: int, lines: list[str], at: int, width: int | None, last: bool) -> tuple[list[str], int]:
        """The fields of the record that begins in a line, and how many lines it has; 0: it may go on after these lines."""
        line, separator = lines[at], self.form.separator
        if self.form.quote == "none" or len(separator) > 1 or QUOTE not in line:
            return cut_line(line, separator) if len(separator) > 1 else line.split(separator), 1
        fields, _ = _read_record([line], separator)
        if fields is not None and width in (None, len(fields)):
            return fields, 1
        for sign, dialect in (('\\"', {"escapechar": "\\"}), (f'{separator} "', {"skipinitialspace": True})):
            if sign in line:
                again, _ = _read_record([line], separator, **dialect)
                if again is not None and width in (None, len(again)):
                    if "escapechar" in dialect:
                        self.tally.escaped.append(first + at)
                    return again, 1
        if fields is None:
            lenient = next(csv.reader([line, _END], delimiter=separator))
            if _END in lenient[-1]:
                return self._record_over_lines(first, lines, at, width, last)
            fields = lenient
        if width is not None and len(fields) != width:
            self._refuse_ragged(first + at, line, len(fields))
        return fields, 1

    def _record_over_lines(self, first: int, lines: list[str], at: int, width: int | None, last: bool) -> tuple[list[str], int]:
        """A record with a quoted field that goes on in the next lines."""
        limit = min(len(lines), at + LONGEST_FIELD)
        for end in range(at + 1, limit):
            if QUOTE not in lines[end]:
                continue
            piece = [line + "\n" for line in lines[at : end + 1]]
            fields, is_open = _read_record(piece, self.form.separator)
            escaped = fields is None and any('\\"' in line for line in piece)
            if escaped:
                fields, is_open = _read_record(piece, self.form.separator, escapechar="\\")
            if fields is None and is_open:
                continue
            if fields is None or self._are_records(lines[at + 1 : end + 1], width):
                limit = 0  # a stray mark that the next mark seems to close
                break
            fields[-1] = fields[-1].removesuffix("\n")
            if width is not None and len(fields) != width:
                self._refuse_ragged(first + at, lines[at], len(fields), f" from here to line {first + end}")
            if escaped:
                self.tally.escaped.append(first + at)
            return fields, end - at + 1
        if limit == len(lines) and not last:
            return [], 0
        raise DataError(
            f"{self.path}, line {first + at}",
            expected="a quotation mark that opens a field to be closed by one at its end",
            got=excerpt(lines[at], at=_position_of_open_quote(lines[at], self.form.separator)),
            fix=f"write it twice inside quotation marks{self.form.remedy}",
        )

    def _are_records(self, lines: Sequence[str], width: int | None) -> bool:
        """Whether lines inside quoted text look like whole records themselves."""
        inner = [line for line in lines if line.strip()]
        cut = [cut_line(line, self.form.separator) for line in inner]
        return width is not None and width > 2 and all(len(fields) == width for fields in cut)

    def _refuse_ragged(self, number: int, line: str, fields: int, extent: str = "") -> None:
        names, separator = len(self.names), self.form.separator
        cut = cut_line(line, separator)
        at = len(line) if fields < names else len(separator.join(cut[:names])) if separator != BLANK else 0
        if fields > names and self.form.quote != "none":
            remedy = self.form.remedy if QUOTE in line else ""
            fix = f"put the field that holds {excerpt(separator)} in quotation marks{remedy}"
        elif self.form.settings:
            fix = f"repair the line, or set {self.form.settings}separator if {excerpt(separator)} is not what separates"
        else:
            fix = "repair the line"
        raise DataError(
            f"{self.path}, line {number}",
            expected=f"{names} fields separated by {excerpt(separator)} ({join_names(self.names)})",
            got=f"{fields}{extent}: {excerpt(line, at=at)}",
            fix=fix,
        )


def _read_record(lines: Sequence[str], separator: str, **dialect: object) -> tuple[list[str] | None, bool]:
    """The fields of exactly these lines (None where they are no record), and whether a field is still open at their end."""
    reader = csv.reader(iter(lines), delimiter=separator, strict=True, **dialect)  # type: ignore[arg-type]
    try:
        fields = next(reader)
    except csv.Error as error:
        return None, "end of data" in str(error)
    return (fields, False) if reader.line_num == len(lines) else (None, False)


def _position_of_open_quote(line: str, separator: str) -> int:
    """Returns the position of the quotation mark that opens a field and is not closed."""
    return max(line.rfind(separator + QUOTE), 0)
