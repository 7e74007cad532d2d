"""The errors that a user of genrec can cause, each with a message of one line.

Every message has the same shape, so that it can be read, searched and tested:

    <key or path>: expected <what>, got <value>; <what to do>

The command line prints that line and exits with code 2. Anything that is not a ``GenRecError`` is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from genrec.references import mask_secrets

EXCERPT_WIDTH = 60  # characters of a value that a message repeats
MAX_NAMES = 20  # names of a list that a message repeats
_JOINERS = "\u200c\u200d"  # parts of words in some scripts, and of emoji


class GenRecError(Exception):
    """An error with the key or path it is about, what was expected, the offending value and a remedy.

    Args:
        where: the configuration key, file or column the error is about.
        expected: what would have been accepted there.
        got: the value found there (shown with ``repr`` unless it is a string or a path).
        fix: what the user can do about it.
    """

    def __init__(self, where: object, *, expected: str, got: object, fix: str) -> None:
        self.where, self.expected, self.got, self.fix = str(where), expected, got, fix
        value = str(got) if isinstance(got, str | PurePath) else repr(got)
        line = f"{where}: expected {expected}, got {value}; {fix}"
        super().__init__(mask_secrets(escape_control_characters(" ".join(line.split()))))


class ConfigError(GenRecError):
    """A setting that cannot be used: unknown, of the wrong kind, out of range, or at odds with another."""


class DataError(GenRecError):
    """Input data that cannot be used; names the file and the row or column."""


class ArtifactError(GenRecError):
    """An artifact that is missing, damaged, or was made from other inputs."""


def escape_control_characters(line: str) -> str:
    """Returns a line with control characters and invisible ones written as their escapes."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() or sign in _JOINERS else ascii(sign)[1:-1] for sign in line)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Returns ``"did you mean <nearest>?"``, or the list of what is known when nothing is near."""
    names = sorted(map(str, names))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(names)}" if names else "nothing is known here"


def missing_file(error: FileNotFoundError) -> str:
    """Returns the path of the file that is not there; polars says it only in the text of its error."""
    return str(error.filename or str(error).rpartition(": ")[2])


def excerpt(value: object, *, at: int = 0, width: int = EXCERPT_WIDTH) -> str:
    r"""Returns a value as Python would write it (``\t``, ``\ufeff``), cut to ``width`` characters around position ``at``."""
    text = value if isinstance(value, str) else repr(value)
    start = min(max(0, at - width // 2), max(0, len(text) - width))
    piece = text[start : start + width]
    piece = repr(piece) if isinstance(value, str) else piece
    return ("..." if start else "") + piece + ("..." if start + width < len(text) else "")


def join_names(names: Sequence[str]) -> str:
    """Joins names with commas; a name with odd characters (a final blank, a byte order mark) is quoted, a long list is cut."""
    if not names:
        return "(none)"
    words = [
        name if name and name == name.strip() and name.isprintable() and len(name) <= EXCERPT_WIDTH else excerpt(name)
        for name in names
    ]
    more = f", ... ({len(names):,} in all)" if len(names) > MAX_NAMES else ""
    return ", ".join(words[:MAX_NAMES]) + more
