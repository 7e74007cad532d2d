"""A list from a text that the generator writes: the items with the nearest texts (BIGRec; see docs/methods/bigrec.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.plain_strategies import ScoreRanking
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest, WritesTexts

WITHOUT_TEXT = -2.0  # the score of an item without a text; the others have -1 to 0


class GroundedText(ScoreRanking):
    """Ranks items by the distance of their texts to the one that the generator writes for the next item.

    A text is the state of its last token. Distances are scaled to [0, 1] for each user: D. Popularity C in [0, 1] pulls items
    forward: an item's score is -D / (1 + C)^gamma. Items without a text come last. The vectors of the catalogue are kept until
    the weights change. Departure from the paper: the text is written greedily, word by word.

    Args:
        gamma: weight of popularity, 0 or more; one for all k, chosen on validation.
        batch_size: texts that are read at once.

    Raises:
        ConfigError: for a negative gamma, or no texts at once.
    """

    kind: ClassVar[Literal["text"]] = "text"  # type: ignore[assignment]

    def __init__(self, *, gamma: float = 0.0, batch_size: int = 256) -> None:
        if gamma < 0:
            raise ConfigError("decoding.gamma", expected="0 or more", got=gamma, fix="raise it")
        if batch_size < 1:
            raise ConfigError("decoding.batch_size", expected="at least 1", got=batch_size, fix="raise it")
        self.gamma, self.batch_size = gamma, batch_size
        self._tables: list[_Table] = []  # at most one

    @torch.inference_mode()
    def decode(self, generator: Any, trie: PrefixTrie | None, request: DecodingRequest) -> Decoded:
        """Ranks all items for every history and returns the first ``request.k``."""
        return self.ranked(self._scores(generator, request.batch), request)

    def _scores(self, generator: WritesTexts, batch: Batch) -> Float[Tensor, "batch items"]:
        """The negative distance of each item to the text that is written, corrected by popularity."""
        counts, described, states = generator.item_counts, generator.described(), self._states(generator)
        scores = torch.full((len(batch), len(counts)), WITHOUT_TEXT, device=counts.device)
        if not len(described):
            return scores
        away = torch.cdist(generator.text_states(generator.write_texts(batch)), states)
        least, most = away.amin(1, keepdim=True), away.amax(1, keepdim=True)
        distance = (away - least) / (most - least).clamp(min=1e-9)
        popularity = (counts - counts.min()) / (counts.max() - counts.min()).clamp(min=1)
        scores[:, described] = -distance / (1 + popularity[described]) ** self.gamma
        return scores

    def _states(self, generator: WritesTexts) -> Float[Tensor, "described dim"]:
        weights = tuple((id(weight), weight._version) for weight in generator.parameters())  # type: ignore[attr-defined]
        if not (self._tables and self._tables[0].generator is generator and self._tables[0].weights == weights):
            parts = generator.described().split(self.batch_size)
            states = [generator.text_states(generator.item_texts(items)) for items in parts]
            self._tables[:] = [_Table(generator, weights, torch.cat(states) if states else torch.empty(0, 1))]
        return self._tables[0].states


@dataclass(frozen=True)
class _Table:
    generator: WritesTexts
    weights: tuple[tuple[int, int], ...]
    states: Float[Tensor, "described dim"]
