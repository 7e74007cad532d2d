"""One residual quantizer per source of vectors: an item has an ID in each (MSCGRec, arXiv 2602.03713).

Sources and departures: docs/methods/mscgrec.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from genrec.core.sids import Stream
from genrec.errors import ConfigError
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.residual import checked_vectors
from genrec.tokenizers.lib.residual_kmeans import ResidualKMeans
from genrec.types import PAD


class MultiStream:
    """Residual k-means on each source by itself, so that none speaks louder than the others; only one ID is generated.

    The others are read: a ``multi_stream`` generator sees every stream of the items of a history. An item of which a further
    source knows nothing (a vector of zeros) has no codes there.

    Departures from the paper: residual k-means for every source, images too (a concat encoder's source of that name), and the
    generated ID is that of the joint vectors, which an item in no training history has as well. The paper generates that of
    collaborative vectors (``source=collaborative``), where all such items are the same.

    Args:
        num_levels: codes per item and stream.
        codebook_size: codes per level.
        source: the vectors of the ID that is generated; ``"item"`` is the encoder's joint vector.
        streams: the vectors of the further streams, by the names of a ``concat`` encoder's sources.
        seed: of the k-means.

    Raises:
        ConfigError: when a stream is named twice, or none is.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=True, reconstructs=True, scale_free=True)

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        streams: Sequence[str] = ("text", "collaborative"),
        seed: int = 0,
    ) -> None:
        if not streams or len({source, *streams}) <= len(streams):
            fix = "name at least one, each once, and not the source"
            raise ConfigError("tokenizer.streams", expected=f"sources beside {source}", got=list(streams), fix=fix)
        self.source, self.streams, self.seed = source, tuple(streams), seed
        self.num_levels, self.codebook_size = num_levels, codebook_size
        self._quantizers = {
            name: ResidualKMeans(num_levels=num_levels, codebook_size=codebook_size, source=name, seed=seed)
            for name in (source, *streams)
        }

    @property
    def sizes(self) -> tuple[int, ...]:
        return self._main_quantizer.sizes

    @property
    def _main_quantizer(self) -> ResidualKMeans:
        return self._quantizers[self.source]

    def fit(self, inputs: TokenizerInputs) -> None:
        """Fits every quantizer, each on the items that its source knows.

        Raises:
            ConfigError: when the encoder made no vectors of a name.
            DataError: when a vector is not finite.
        """
        for name, quantizer in self._quantizers.items():
            has_vector = self._has_vector(inputs, name)
            quantizer.fit(inputs.of(np.flatnonzero(has_vector)) if has_vector.any() else inputs)

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        """The codes of the stream that is generated."""
        return self._main_quantizer.encode(inputs)

    def encode_streams(self, inputs: TokenizerInputs) -> Mapping[str, Stream]:
        """The codes of the others."""
        codes_by_stream = {}
        for name in self.streams:
            quantizer = self._quantizers[name]
            codes = np.where(self._has_vector(inputs, name)[:, None], quantizer.encode(inputs), PAD)
            codes_by_stream[name] = Stream(codes, quantizer.sizes)
        return codes_by_stream

    def reconstruct(self, codes: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items dim"]:
        """The vectors of ``source`` that the leading levels stand for."""
        return self._main_quantizer.reconstruct(codes)

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Squared distance of what ``prefix`` leaves of each item's vector of ``source`` to each code of the next level."""
        return self._main_quantizer.level_costs(inputs, prefix)

    def save(self, folder: Path) -> None:
        for name, quantizer in self._quantizers.items():
            (folder / name).mkdir()
            quantizer.save(folder / name)

    def restore(self, folder: Path) -> None:
        for name, quantizer in self._quantizers.items():
            quantizer.restore(folder / name)

    def _has_vector(self, inputs: TokenizerInputs, name: str) -> np.ndarray:
        return checked_vectors(inputs, name, key="streams" if name in self.streams else "source").any(1).numpy()
