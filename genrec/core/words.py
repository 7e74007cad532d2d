"""The words of a text in any language.

Scripts without blanks between words yield characters or pairs of letters as words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from itertools import pairwise

# Scripts without blanks, as ranges of a character class. A character of the first kind means about as much as a short word; one
# of the second kind is a letter, and a pair of letters with their marks is the smallest unit that distinguishes words.
_IDEOGRAPHIC: Mapping[str, str] = {
    "Han": "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "kana": "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f",
}
_ALPHABETIC: Mapping[str, str] = {
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "Lao": "\u0e81-\u0ecd\u0edc-\u0edf",
    "Burmese": "\u1000-\u103f\u1050-\u108f",
    "Khmer": "\u1780-\u17d3",
    "Javanese": "\ua980-\ua9c0",
}
_SINGLE, _RUN = "".join(_IDEOGRAPHIC.values()), "".join(_ALPHABETIC.values())


def _marks() -> str:
    """Returns the marks that combine with a letter, as ranges of a character class; ``re`` counts no mark as part of a word."""
    codes = [code for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M"]
    starts = [code for code in codes if unicodedata.category(chr(code - 1))[0] != "M"]
    ends = [code for code in codes if unicodedata.category(chr(code + 1))[0] != "M"]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


_MARK = _marks()
_PLAIN = re.compile(r"\w+")  # one-character words count: shades, sizes and model numbers distinguish products
_TOKEN = re.compile(rf"[{_SINGLE}]|([{_RUN}]+)|(?:(?![{_SINGLE}{_RUN}])\w)(?:(?![{_SINGLE}{_RUN}])[\w{_MARK}])*")
_LETTER = re.compile(rf"[^{_MARK}][{_MARK}]*|[{_MARK}]+")
SCRIPTS = {name: re.compile(f"[{ranges}]") for name, ranges in (*_IDEOGRAPHIC.items(), *_ALPHABETIC.items())}


def words(text: str) -> list[str]:
    """Returns the words of a text in order; each Han or kana character and each two neighbouring letters of Thai are one word.

    >>> words("red lipstick no. 5")
    ['red', 'lipstick', 'no', '5']
    >>> words("口红 No5")
    ['口', '红', 'No5']
    """
    if text.isascii():
        return _PLAIN.findall(text)
    pieces: list[str] = []
    for match in _TOKEN.finditer(text):
        if match[1] is None:
            pieces.append(match[0])
        else:
            letters = _LETTER.findall(match[1])
            pieces += map("".join, pairwise(letters)) if len(letters) > 1 else letters
    return pieces
