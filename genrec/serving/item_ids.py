"""What may be an item's id: one rule for every way in, and no rule for taking an item down."""

from __future__ import annotations

from typing import Any

LONGEST_ID = 1_000  # characters of a new item's id; whatever a catalogue has already can be named and taken down


def is_item_id(value: Any) -> bool:
    """Whether an item may come with this id: a string of 1 to ``LONGEST_ID`` whole characters."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character, which no file and no answer can carry
        return False
    return True


def shown_id(value: Any) -> str:
    """An id as a message shows it: of a long one the beginning and its length, half characters escaped."""
    text = (
        ascii(value) if isinstance(value, str) and not value.isascii() and not is_item_id(value[:LONGEST_ID]) else repr(value)
    )
    return text if len(text) <= 100 else f"{text[:80]}... ({len(value) if isinstance(value, str) else len(text):,} characters)"
