"""How a piece of a file stands in a message: on one line, never long, with what is invisible made visible."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 60  # characters of a value that a message repeats
NAMES = 20  # names of a list that a message repeats


def shown(value: object, *, at: int = 0, width: int = WIDTH) -> str:
    r"""A value as Python would write it (``\t``, ``\ufeff``), cut to ``width`` characters around position ``at``."""
    text = value if isinstance(value, str) else repr(value)
    start = min(max(0, at - width // 2), max(0, len(text) - width))
    piece = text[start : start + width]
    piece = repr(piece) if isinstance(value, str) else piece
    return ("..." if start else "") + piece + ("..." if start + width < len(text) else "")


def shown_names(names: Sequence[str]) -> str:
    """Names with commas; what is odd in one (a blank at its end, a mark of the encoding) is quoted, a long list is cut."""
    if not names:
        return "(none)"
    words = [
        name if name and name == name.strip() and name.isprintable() and len(name) <= WIDTH else shown(name) for name in names
    ]
    more = f", ... ({len(names):,} in all)" if len(names) > NAMES else ""
    return ", ".join(words[:NAMES]) + more
