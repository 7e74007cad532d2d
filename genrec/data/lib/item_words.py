"""Words of the items that events lead to, drawn as what was asked for: preferences and queries where nobody wrote any."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import polars as pl

from genrec.core.words import words
from genrec.errors import ConfigError, DataError

WHERE = "events.text.columns"
DRAWS = 50  # for a text of the right part, until the item counts as having none


@dataclass(frozen=True, kw_only=True)
class ItemWords:
    """Draws for each event some words of its own item: a text that the item answers, as a preference or a query would.

    It is made of the item that follows, so a figure for lists that get the words of their target says what such words are
    worth, not what a shop's users will type. Few words are drawn, anew for each event, and none that is rare, so that a text
    describes many items and does not name one.

    Args:
        columns: of the items, whose words are drawn.
        without: columns of the items whose words are never drawn, such as the brand.
        num_words: at most for an event; the number is drawn from 1 to this.
        least_items: words of fewer items are left out, because they would name an item.
        largest_share: words of a larger share of the items are left out, because they say nothing.
        asked_share: share of the events with a text; where texts are held out, of the training part's.
        held_out_share: share of all texts that only events after the training part draw, and all of those have such a text
            where their item has one: then no text of a validation or test target was there in training. A hash of the text
            says which they are. 0: all draw from the same.
        seed: of the draws.
    """

    columns: Sequence[str]
    without: Sequence[str] = ()
    num_words: int = 3
    least_items: int = 5
    largest_share: float = 0.1
    asked_share: float = 1.0
    held_out_share: float = 0.0
    seed: int = 0

    def of_items(self, items: pl.DataFrame) -> list[list[str]]:
        """Returns the words of each item that can be drawn, each once, in the order of the text.

        Raises:
            ConfigError: when no column is named.
            DataError: when a column is missing, or no word is neither too rare nor too frequent.
        """
        if not self.columns:
            fix = f"name the columns with the items' words: '{WHERE}=[title, categories]'"
            raise ConfigError(WHERE, expected="at least one column of the items", got="[]", fix=fix)
        texts, others = _words(items, self.columns, WHERE), _words(items, self.without, "events.text.without")
        texts = [[word for word in text if word not in other] for text, other in zip(texts, map(set, others), strict=True)]
        counts = Counter(word for text in texts for word in text)
        usable = {word for word, count in counts.items() if self.least_items <= count <= self.largest_share * len(texts)}
        if not usable:
            expected = f"words of {self.least_items:,} items or more, and of at most {self.largest_share:.0%} of all"
            fix = "lower events.text.least_items, raise events.text.largest_share, or choose other columns"
            raise DataError(WHERE, expected=expected, got="none", fix=fix)
        return [[word for word in text if word in usable] for text in texts]

    def drawn(self, items: pl.DataFrame, item_idx: np.ndarray, in_train: np.ndarray | None = None) -> pl.Series:
        """Returns a text for each event, null where there is none.

        Args:
            items: the catalogue.
            item_idx: int [events], the item of each.
            in_train: bool [events], which are of the training part; None: all.
        """
        of_items, chance = self.of_items(items), random.Random(self.seed)
        if not self.held_out_share:
            texts = [self._text(of_items[item], chance) for item in item_idx.tolist()]
        else:
            is_train = np.ones(len(item_idx), bool) if in_train is None else in_train
            events = zip(item_idx.tolist(), is_train.tolist(), strict=True)
            texts = [self._text_of_part(of_items[item], chance, part) for item, part in events]
        return pl.Series(texts, dtype=pl.String)

    def is_held_out(self, text: str) -> bool:
        """Whether only events after the training part draw a text."""
        return crc32(text.encode()) < self.held_out_share * 2**32

    def _text(self, words_of_item: list[str], chance: random.Random) -> str | None:
        if chance.random() >= self.asked_share or not words_of_item:
            return None
        return self._some(words_of_item, chance)

    def _text_of_part(self, words_of_item: list[str], chance: random.Random, in_train: bool) -> str | None:
        if not words_of_item or (in_train and chance.random() >= self.asked_share):
            return None
        tried = (self._some(words_of_item, chance) for _ in range(DRAWS))
        return next((text for text in tried if self.is_held_out(text) != in_train), None)

    def _some(self, words_of_item: list[str], chance: random.Random) -> str:
        count = min(chance.randint(1, self.num_words), len(words_of_item))
        return " ".join(sorted(chance.sample(words_of_item, count)))  # sorted: what is the same is encoded once


def _words(items: pl.DataFrame, columns: Sequence[str], where: str) -> list[list[str]]:
    for name in columns:
        if name not in items.columns:
            expected = f"columns of the items ({', '.join(items.columns[:20])})"
            raise DataError(where, expected=expected, got=name, fix="correct the name, or leave it out")
    if not columns:
        return [[] for _ in range(items.height)]
    parts = [_as_text(items[name]).fill_null("") for name in columns]
    return [list(dict.fromkeys(words(" ".join(text).lower()))) for text in zip(*parts, strict=True)]


def _as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
    return column.cast(pl.String)
