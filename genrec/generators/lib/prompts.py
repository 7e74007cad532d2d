"""Prompts: templates of words with places that differ from row to row, as tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from genrec.errors import ConfigError
from genrec.types import PAD

PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """Token ids and the names of places in turn: ``tokens[0] places[0] tokens[1] ...``."""

    tokens: tuple[tuple[int, ...], ...]
    places: tuple[str, ...]

    @property
    def before(self) -> tuple[int, ...]:
        """What stands before the first place."""
        return self.tokens[0]

    @property
    def num_tokens(self) -> int:
        """How many tokens do not differ."""
        return sum(map(len, self.tokens))

    @classmethod
    def of(cls, template: str, words: Callable[[str], tuple[int, ...]], start: int | None) -> Prompt:
        """Reads a template.

        Args:
            template: words with places in braces.
            words: the tokens of a piece of text.
            start: the token that begins a text, or None.
        """
        literals, places = PLACE.split(template)[::2], tuple(PLACE.findall(template))
        # The space before a word belongs to the word in most vocabularies: what stands in a place is read with one.
        pieces = [words(text.rstrip() if number < len(places) else text) for number, text in enumerate(literals)]
        first = () if start is None else (start,)
        return cls(((*first, *pieces[0]), *pieces[1:]), places)

    def rows(self, values: Mapping[str, Int64[Tensor, "rows _"]]) -> list[Int64[Tensor, "rows _"]]:
        """The parts of a question for each row, one after another; ``PAD`` inside them is nothing.

        Args:
            values: place -> what stands there.
        """
        one = next(iter(values.values()))
        fixed = [torch.tensor(part, dtype=torch.long, device=one.device).expand(len(one), -1) for part in self.tokens]
        parts = [fixed[0]]
        for place, after in zip(self.places, fixed[1:], strict=True):
            parts += [values[place], after]
        return parts


def check_places(key: str, template: str, places: Sequence[str], *, at_end: bool = False) -> None:
    """Raises ConfigError for a template without its places.

    Args:
        key: of the setting.
        template: given.
        places: each of which stands there once, and no other.
        at_end: the last one ends the template.
    """
    wrong = sorted(PLACE.findall(template)) != sorted(places)
    if wrong or (at_end and not template.rstrip().endswith(f"{{{places[-1]}}}")):
        where = " and ".join(f"{{{place}}}" for place in places) + (" once, at the end" if at_end else " once")
        raise ConfigError(key, expected=f"prompts with {where}", got=template, fix="correct it")


def padded(rows: Sequence[Sequence[int]]) -> Int64[Tensor, "rows width"]:
    """Rows of tokens, ``PAD`` behind each."""
    width = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows], dtype=torch.long).view(len(rows), width)
