"""The chain that all residual quantizers share: nearest code, subtract, next level. Float32, whatever the batch size.

Codebooks are a list of [size, dim] tensors, one a level. Everything here treats rows independently, so that encoding a
catalogue at once and item by item gives the same codes.

``at_least`` checks the numbers in the settings of every tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.errors import ConfigError, DataError
from genrec.protocols import TokenizerInputs
from genrec.types import ITEM_ID

_CHUNK = 1 << 21  # distances in memory at once (8 MB: about what a processor's cache holds)
_ROWS = 1 << 12  # of a catalogue in memory at once
# Distances that differ by less than this share of the squared norms are equal: matrix products round differently in
# different batch shapes, and an exact tie (duplicate codes) must still go to the same code, the first.
_TIE = 2e-6
_ROUNDING = 1e-5


def checked_vectors(inputs: TokenizerInputs, source: str, *, key: str = "source") -> Float[Tensor, "items dim"]:
    """The embeddings of ``source``, which the setting ``key`` names, as a float32 tensor.

    Raises:
        ConfigError: when the encoder made no such source.
        DataError: when there are no items or a value is not finite.
    """
    if source not in inputs.embeddings:
        raise ConfigError(
            f"tokenizer.{key}",
            expected=f"one of {', '.join(sorted(inputs.embeddings))}",
            got=source,
            fix="name what embed made",
        )
    vectors = np.ascontiguousarray(inputs.embeddings[source], dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) == 0:
        raise DataError(f"vectors {source}", expected="at least one row [items, dim]", got=vectors.shape, fix="embed again")
    for start in range(0, len(vectors), _ROWS):
        finite = np.isfinite(vectors[start : start + _ROWS])
        if not finite.all():
            row, column = (int(x) for x in np.argwhere(~finite)[0])
            raise DataError(
                f"vectors {source}: item {inputs.items[ITEM_ID][start + row]}, dimension {column}",
                expected="a finite number",
                got=float(vectors[start + row, column]),
                fix="repair the encoder's input and embed again",
            )
    return torch.from_numpy(vectors.copy() if not vectors.flags.writeable else vectors)


def squared_distances(
    vectors: Float[Tensor, "rows dim"], codebook: Float[Tensor, "size dim"], norms: Float[Tensor, " size"] | None = None
) -> Float[Tensor, "rows size"]:
    """``|x - c|^2`` by one matrix product; not negative.

    Args:
        vectors: x.
        codebook: c.
        norms: ``|c|^2``, for those who ask often.
    """
    norms = codebook.square().sum(1) if norms is None else norms
    sums = vectors.square().sum(1, keepdim=True) + norms
    return sums.sub_(vectors @ codebook.T, alpha=2).clamp_(min=0)


def nearest(
    vectors: Float[Tensor, "rows dim"], codebook: Float[Tensor, "size dim"]
) -> tuple[Int64[Tensor, " rows"], Float[Tensor, " rows"]]:
    """The nearest code of each row (the first of equally near ones) and its squared distance."""
    norms = codebook.square().sum(1)
    codes, distances = [], []
    for chunk in vectors.split(max(_CHUNK // len(codebook), 1)):
        row_norms = chunk.square().sum(1, keepdim=True)
        distance = torch.addmm(norms, chunk, codebook.T, alpha=-2)  # but for ``own``, which does not choose
        smallest = distance.amin(1, keepdim=True)
        tied = distance <= smallest + _TIE * (norms.max() + row_norms)
        codes.append(tied.view(torch.uint8).argmax(1))  # argmax of a mask is its first entry
        distances.append((smallest + row_norms).squeeze(1).clamp_(min=0))
    return torch.cat(codes), torch.cat(distances)


def next_residual(
    before: Float[Tensor, "rows dim"], chosen: Float[Tensor, "rows dim"], normalize: bool
) -> Float[Tensor, "rows dim"]:
    """Returns what a level leaves for the next one; ``normalize`` scales it to length one: only its direction counts.

    What is only rounding beside the vector becomes zero: scaled up it would be a random direction.
    """
    residual = before - chosen
    if not normalize:
        return residual
    length, whole = residual.norm(dim=1, keepdim=True), before.norm(dim=1, keepdim=True)
    return torch.where(length > _ROUNDING * whole, residual / length.clamp(min=torch.finfo(length.dtype).tiny), 0.0)


def residual_encode(
    vectors: Float[Tensor, "rows dim"],
    codebooks: Sequence[Tensor],
    *,
    center: Tensor | float = 0.0,
    normalize: bool = False,
) -> Int64[Tensor, "rows levels"]:
    """Greedy codes, level by level; only some of the vectors are looked at at once, so that they may lie on disk."""
    codes = torch.empty(len(vectors), len(codebooks), dtype=torch.int64)
    for start in range(0, len(vectors), _ROWS):
        residual = vectors[start : start + _ROWS] - center
        for level, codebook in enumerate(codebooks):
            code, _ = nearest(residual, codebook)
            codes[start : start + _ROWS, level] = code
            residual = next_residual(residual, codebook[code], normalize)
    return codes


def residual_after(
    vectors: Float[Tensor, "rows dim"],
    prefix: Int64[Tensor, "rows depth"],
    codebooks: Sequence[Tensor],
    *,
    center: Tensor | float = 0.0,
    normalize: bool = False,
) -> Float[Tensor, "rows dim"]:
    """Returns what the next level has to quantize after the given codes."""
    residual = vectors - center
    for codebook, code in zip(codebooks, prefix.T, strict=False):
        residual = next_residual(residual, codebook[code], normalize)
    return residual


def decode(codes: Int64[Tensor, "rows depth"], codebooks: Sequence[Tensor]) -> Float[Tensor, "rows dim"]:
    """Sum of the chosen codes over the leading levels given."""
    chosen = [codebook[code] for codebook, code in zip(codebooks, codes.T, strict=False)]
    return torch.stack(chosen).sum(0) if chosen else codebooks[0].new_zeros(len(codes), codebooks[0].shape[1])


@dataclass(frozen=True)
class Residual:
    """What the levels so far leave of each vector, made when it is looked at: of a million items it is never all there.

    Args:
        vectors: [rows, dim], in memory or mapped from disk.
        codes: [rows, depth], of the levels so far.
        codebooks: at least ``depth`` of them.
        center: what all vectors share; beside a large one, float32 cannot tell their distances apart.
        normalize: as in ``next_residual``.
    """

    vectors: Float[Tensor, "rows dim"]
    codes: Int64[Tensor, "rows depth"]
    codebooks: Sequence[Tensor]
    center: Float[Tensor, " dim"]
    normalize: bool

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice | Int64[Tensor, " some"]) -> Float[Tensor, "some dim"]:
        return residual_after(
            self.vectors[rows], self.codes[rows], self.codebooks, center=self.center, normalize=self.normalize
        )

    def chunks(self) -> Iterator[slice]:
        """Consecutive rows that fit into memory together."""
        return (slice(start, start + _ROWS) for start in range(0, len(self), _ROWS))


def at_least(least: int, **settings: int) -> None:
    """Raises ``ConfigError`` for the first of the settings that is smaller than ``least``."""
    for name, value in settings.items():
        if value < least:
            raise ConfigError(f"tokenizer.{name}", expected=f"at least {least}", got=value, fix="raise it")
