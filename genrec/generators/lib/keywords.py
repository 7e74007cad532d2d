"""Keywords of texts, for questions that nobody has to write: what a user may search for, and what a history is about."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]{3,}")
MIN_ITEMS, MAX_SHARE = 2, 0.3  # a word of one item alone is its name; one of every third item says nothing


def keywords_of(texts: Sequence[str], most: int) -> tuple[list[str], list[list[int]], list[float]]:
    """Finds the words that tell some texts from others.

    Args:
        texts: one of each item, or empty.
        most: keywords of a text, at most.

    Returns:
        The words, each text's keywords as places among them (best first by TF-IDF, then by the alphabet), and each word's idf.
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    frequency = Counter(word for count in counts for word in count)
    limit = max(MIN_ITEMS, MAX_SHARE * len(texts))
    words = sorted(word for word, number in frequency.items() if MIN_ITEMS <= number <= limit)
    idf = [math.log(len(texts) / frequency[word]) for word in words]
    place_of = {word: place for place, word in enumerate(words)}
    rows = []
    for count in counts:
        best = sorted((-number * idf[place_of[word]], place_of[word]) for word, number in count.items() if word in place_of)
        rows.append([place for _, place in best[:most]])
    return words, rows, idf
