"""The format of a text table: separator, header, encoding, decimal mark and quoting, set or detected in its first lines."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from genrec.data.lib.text_lines import AUTO, kind_of, text_chunks
from genrec.errors import ConfigError, DataError

BLANK = "blank"  # the separator "any run of white space", which many files of pairs have
SEPARATORS = (",", "\t", ";", "|", "::", BLANK)
NAMED = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": BLANK, "\\t": "\t", " ": BLANK}
USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t"}  # the usual separator of a suffix; the lines may show another one
SAMPLE_LINES = 200
QUOTE = '"'

Quoting = Literal["auto", "double", "none"]


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """The format of a text table; ``detect_format`` replaces ``auto``.

    Args:
        separator: ``auto``, one or more characters, ``tab``, or ``blank`` (any run of white space).
        header: whether the first line names the columns.
        names: the columns' names: instead of the header's, or of a file without one. None: the header's, else ``column_1`` ...
        encoding: ``auto`` (UTF-8; UTF-16 by its mark) or a codec of Python.
        decimal: the mark before a number's decimals; with ``,`` a dot groups thousands.
        quote: ``double``: fields may stand in quotation marks, which are doubled inside; ``none``: such a mark is a character
            like any other; ``auto``: none where tabs separate, unless the whole header is quoted, or a column in every line.
        settings: prefix of these keys in the configuration, for messages; empty where there are none.
    """

    separator: str = AUTO
    header: bool = True
    names: Sequence[str] | None = None
    encoding: str = AUTO
    decimal: Literal[".", ","] = "."
    quote: Quoting = "auto"
    settings: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "separator", NAMED.get(self.separator, self.separator))
        if not self.separator or "\n" in self.separator or QUOTE in self.separator:
            fix = "use tab, blank, or the characters themselves"
            raise ConfigError(f"{self.settings}separator", expected="a separator", got=repr(self.separator), fix=fix)
        if self.names is not None and len(set(self.names)) < len(self.names):
            twice = next(name for i, name in enumerate(self.names) if name in self.names[:i])
            key = f"{self.settings}columns"
            raise ConfigError(key, expected="each name once", got=twice, fix="give the columns different names")

    @property
    def remedy(self) -> str:
        """The advice to switch quoting off; empty where there is no such setting."""
        return ", or set data.quote=none if such marks are plain characters in this file" if self.settings else ""


def detect_format(path: Path, form: TextFormat) -> TextFormat:
    """Fills in separator and quoting from the file's first lines.

    Raises:
        DataError: when the file cannot be read as text.
    """
    if form.separator != AUTO and form.quote != AUTO:
        return form
    lines = sample_lines(path, form.encoding, form.settings)
    stated = stated_separator(lines[0]) if lines else None
    separator = form.separator if form.separator != AUTO else stated or guess_separator(lines, USUAL.get(kind_of(path)))
    quote = form.quote
    if quote == AUTO:
        quote = "none" if separator in ("\t", BLANK, "::") and not _has_quoting(lines, separator) else "double"
    return replace(form, separator=separator, quote=quote)


def _has_quoting(lines: Sequence[str], separator: str) -> bool:
    """Whether all fields of the first line, or those of one column in all other lines, are in quotation marks."""
    cut = [[field.strip() for field in (line.split() if separator == BLANK else line.split(separator))] for line in lines]
    quoted = [[len(field) > 1 and field[0] == field[-1] == QUOTE for field in fields] for fields in cut]
    return bool(quoted) and (all(quoted[0]) or (len(quoted) > 1 and any(map(all, zip(*quoted[1:], strict=False)))))


def sample_lines(path: Path, encoding: str = AUTO, settings: str = "") -> list[str]:
    """Returns the first lines that are not empty.

    Raises:
        DataError: as ``text_chunks``.
    """
    for _, text in text_chunks(path, encoding, settings=settings, block_bytes=1 << 20):
        lines = [line for line in text.split("\n", SAMPLE_LINES * 2)[: SAMPLE_LINES * 2] if line.strip()][:SAMPLE_LINES]
        if lines:
            return lines
    raise DataError(path, expected="at least one row", got="only empty lines", fix="check the file")


def stated_separator(line: str) -> str | None:
    """Returns the separator of a line ``sep=;``, which spreadsheets write before the header, or None."""
    return line.strip()[4:5] or None if line.strip().lower().startswith("sep=") and len(line.strip()) <= 5 else None


def guess_separator(lines: Sequence[str], usual: str | None = None) -> str:
    """The separator that cuts all lines into as many fields as the first, more than one; ``own`` is what the name says.

    Where several do, or none: ``own``, else the first of ``SEPARATORS``.
    """
    candidates = dict.fromkeys([usual or ",", *SEPARATORS])
    best, best_share = usual or ",", 0.0
    for separator in candidates:
        counts = [len(cut_line(line, separator)) for line in lines]
        if counts[0] < 2 or (separator == BLANK and usual is not None):
            continue
        share = sum(count == counts[0] for count in counts) / len(counts)
        if share > best_share + (0.05 if best_share else 0.0):  # a later candidate must be clearly better
            best, best_share = separator, share
    return best


def cut_line(line: str, separator: str) -> list[str]:
    """Splits one line into fields; quotation marks count where the separator is one character."""
    if separator == BLANK:
        return line.split()
    if len(separator) > 1 or separator == "\t" or QUOTE not in line:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator))
