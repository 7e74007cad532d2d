"""Lets objectives see what the generator would recommend: the decoders, behind ``protocols.Sampler``."""

from __future__ import annotations

from jaxtyping import Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.trie_beam import TrieBeam
from genrec.decoding.trie_sampling import TrieSampling
from genrec.nn.blocks import without_dropout
from genrec.protocols import AutoregressiveGenerator, DecodingRequest, DecodingStrategy


class Rollouts:
    """A ``Sampler`` over the whole catalogue, items of the history included: what the generator was trained to predict.

    Args:
        trie: of the catalogue.
    """

    def __init__(self, trie: PrefixTrie) -> None:
        self.trie = trie
        self.seed = 0  # of the draws; training sets it at every step

    def best(self, generator: AutoregressiveGenerator, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """The ``k`` most probable items that ``k`` beams find, best first; ``PAD`` where there are fewer."""
        return self._decoded(TrieBeam(num_beams=k), generator, batch, k)

    def drawn(self, generator: AutoregressiveGenerator, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """``k`` distinct items drawn from the generator's distribution, in the order of the draw."""
        return self._decoded(TrieSampling(seed=self.seed), generator, batch, k)

    def _decoded(
        self, strategy: DecodingStrategy, generator: AutoregressiveGenerator, batch: Batch, k: int
    ) -> Int64[Tensor, "batch k"]:
        if self.trie.device != batch.history.device:
            self.trie = self.trie.to(batch.history.device)
        with without_dropout(generator):  # type: ignore[arg-type]
            decoded = strategy.decode(generator, self.trie, DecodingRequest(batch, k))
        return decoded.items[:, :k].clone()  # decoders run in inference mode, whose tensors no gradient may pass
