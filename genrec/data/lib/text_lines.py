"""Files of text: opened, decoded and cut into whole lines, and the format of the tables in them.

Files may be plain or compressed; lines come with their numbers. Separator, header, encoding, decimal mark and quoting are set,
or detected in the first lines.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal, cast

from genrec.errors import ConfigError, DataError

CHUNK_BYTES = 64 << 20  # text is read in pieces of whole lines, so that a file larger than memory yields its few columns
AUTO = "auto"
COMPRESSED = (".gz", ".bz2", ".xz")

# Byte order marks and their encodings; the longer ones first, since they begin like the shorter ones.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ONE_BYTE = ("latin", "iso-8859", "iso8859", "cp125", "windows-125", "ascii")
_READINGS = ("cp1252", "gb18030", "shift_jis", "cp1251")  # frequent encodings of files that are not UTF-8


def require_file(path: Path | str, fix: str = "check the path") -> Path:
    """Returns the path after checking that it is a file and not empty.

    Raises:
        DataError: when it is missing, a folder, or empty.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(path, expected="a file", got="nothing there", fix=fix)
    if path.is_dir():
        raise DataError(path, expected="a file", got="a folder", fix="give the file itself")
    if path.stat().st_size == 0:
        raise DataError(path, expected="data", got="an empty file (0 bytes)", fix="write or download it again")
    return path


def kind_of(path: Path) -> str:
    """Returns the suffix of a file in lower case, without that of a compression: ``.csv`` for ``A.CSV.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] in COMPRESSED else "".join(suffixes[-1:])


def open_bytes(path: Path) -> BinaryIO:
    """Opens the bytes of a file, decompressed (gzip also where the suffix is another one)."""
    with path.open("rb") as file:
        magic = file.read(6)
    suffix = path.suffix.lower()
    if suffix == ".gz" or magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    if suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    return path.open("rb")


def encoding_of(head: bytes) -> str:
    """Detects the encoding from a file's first bytes: by the byte order mark, by the zeros of UTF-16, else UTF-8."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[:4096]
    if len(sample) > 8 and sample.count(0) > len(sample) // 4:
        return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"
    return "utf-8"


def _choose_encoding(block: bytes, setting: str) -> str:
    """Returns the encoding to read with; bytes that are valid UTF-8 are read as such even where a one-byte codec is set."""
    if setting == AUTO or block.startswith(codecs.BOM_UTF8):
        return encoding_of(block)
    if setting.lower().replace("_", "-").startswith(_ONE_BYTE) and not block.isascii():
        try:
            codecs.getincrementaldecoder("utf-8")().decode(block)
        except UnicodeDecodeError:
            return setting
        return "utf-8"
    return setting


def text_chunks(
    path: Path | str, encoding: str = AUTO, *, settings: str = "", block_bytes: int | None = None
) -> Iterator[tuple[int, str]]:
    r"""Yields pieces of a text file that end where a line ends; every line end (``\n``, ``\r\n``, ``\r``) is ``\n``.

    Args:
        path: the file.
        encoding: ``auto`` (UTF-8, and UTF-16 and UTF-32 by their marks), or a codec of Python.
        settings: prefix of the key that sets the encoding, for messages; empty where no key does.
        block_bytes: how much is read at a time; None: ``CHUNK_BYTES``.

    Yields:
        The number of the first line (1-based) and the text.

    Raises:
        DataError: when the file is missing, empty, damaged, or not in this encoding; naming the line.
    """
    path = require_file(path)
    number, rest = 1, ""
    decoder: io.IncrementalNewlineDecoder | None = None
    with open_bytes(path) as file:
        while True:
            try:
                block = file.read(block_bytes or CHUNK_BYTES)
            except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                last, kind = number + rest.count("\n"), path.suffix.lstrip(".").replace("gz", "gzip")
                got = f"{error} (after line {last})"
                raise DataError(path, expected=f"a whole {kind} file", got=got, fix="download or write it again") from error
            if decoder is None:
                encoding = _choose_encoding(block, encoding)
                decoder = io.IncrementalNewlineDecoder(_decoder(encoding, settings), translate=True)
            try:
                text = rest + decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise decoding_error(path, number + rest.count("\n"), error, settings) from error
            whole, newline, rest = text.rpartition("\n")
            if newline:
                yield number, whole + newline
                number += whole.count("\n") + 1
            if not block:
                break
    if rest:
        yield number, rest


def text_lines(path: Path | str, encoding: str = AUTO) -> Iterator[tuple[int, list[str]]]:
    """Yields pieces of a text file: the number of the first line (1-based) and the lines, without their ends.

    Raises:
        DataError: as ``text_chunks``.
    """
    for first, text in text_chunks(path, encoding):
        lines = text.split("\n")
        yield first, lines[:-1] if lines[-1] == "" else lines


def decoding_error(path: Path | str, first: int, error: UnicodeDecodeError, settings: str = "") -> DataError:
    """Returns the error for bytes that are invalid in their encoding; ``first`` is the line where the error's bytes begin."""
    data = bytes(error.object)
    line = first + data.count(b"\n", 0, error.start)
    start = max(data.rfind(b"\n", 0, error.start) + 1, error.start - 20)
    end = data.find(b"\n", error.start)
    piece = data[start : min(end if end >= 0 else len(data), error.start + 20)].strip()
    readings = [(name, text) for name in _READINGS if (text := _try_encoding(piece, name)) is not None]
    got = f"byte 0x{data[error.start]:02x} in '{piece.decode('ascii', 'backslashreplace')}'"
    fix = "convert the file to UTF-8"
    if readings:
        got += f" (it would read {' or '.join(f'{text!r} as {name}' for name, text in readings[:3])})"
        if settings:
            fix = f"set {settings}encoding={readings[0][0]}, or whichever reads right, or convert the file to UTF-8"
    return DataError(f"{path}, line {line}", expected=f"{error.encoding} text", got=got, fix=fix)


def _try_encoding(piece: bytes, encoding: str) -> str | None:
    try:
        text = piece.decode(encoding)
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _decoder(encoding: str, settings: str) -> codecs.IncrementalDecoder:
    try:
        return codecs.getincrementaldecoder(encoding)("strict")
    except LookupError as error:
        fix = "use utf-8, utf-16, latin-1, cp1252, gb18030, shift_jis or another codec of Python"
        raise DataError(f"{settings}encoding", expected="the name of an encoding", got=encoding, fix=fix) from error


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
