"""The autoencoder of the learned tokenizers around a residual quantizer of the package vector-quantize-pytorch.

Networks, input, batches, optimizer and schedule are those of every ``Autoencoder``. How codes are chosen, how gradients pass
them and how codebooks move is the package's. Its traps, and what is done about each: docs/methods/vector_quantize_pytorch.md.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genrec.protocols import TokenizerInputs
from genrec.tokenizers.lib.autoencoder import Autoencoder
from genrec.tokenizers.lib.residual import residual_after, squared_distances

QUANTIZER_FILE = "quantizer.safetensors"
_ROWS = 1 << 12  # of a catalogue that are encoded at once
_EQUAL = 1e-6  # squared distance, as a share of the largest squared norm, below which two codes are one


class ModuleAutoencoder(Autoencoder):
    """An autoencoder whose bottleneck is a module of the package: ``module([1, rows, dim])`` gives vectors, indices and losses.

    Codes of items are the module's indices in evaluation mode, in which nothing in it moves. Its whole state is saved.
    """

    @abstractmethod
    def _make_module(self) -> nn.Module:
        """Returns the quantizer before training; what is random in it comes from torch's global generator."""

    @abstractmethod
    def _training_codebooks(self) -> list[Tensor]:
        """Returns [size, dim] of each level: the vectors that the module adds up."""

    def _level_codes(self, indices: Tensor) -> Int[Tensor, "rows levels"]:
        """Returns the module's indices, level by level."""
        return indices[0]

    def _before_levels(self, latent: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """Returns the bottleneck as the module hands it to its first level."""
        return latent

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        latent = self._latent_of(inputs)
        self._module.eval()
        with torch.no_grad():
            codes = torch.cat([self._level_codes(self._module(rows[None])[1]) for rows in latent.split(_ROWS)]).long()
        chosen = [first_of_equals(codebook)[level] for codebook, level in zip(self.codebooks, codes.T, strict=True)]
        return torch.stack(chosen, dim=1).numpy()

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Squared distance, in the bottleneck, of what ``prefix`` leaves of each item to each code of the next level."""
        codes = torch.from_numpy(np.asarray(prefix, np.int64))
        residual = residual_after(self._before_levels(self._latent_of(inputs)), codes, self.codebooks)
        return squared_distances(residual, self.codebooks[codes.shape[1]]).numpy()

    def save(self, folder: Path) -> None:
        super().save(folder)
        state = self._module.state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, folder / QUANTIZER_FILE)

    def restore(self, folder: Path) -> None:
        super().restore(folder)
        self._module.load_state_dict(load_file(folder / QUANTIZER_FILE))

    def _build(self, dim: int) -> None:
        super()._build(dim)
        self._module: Any = self._make_module()  # the package is without types

    def _start(self, latent: Float[Tensor, "rows dim"]) -> list[nn.Parameter]:
        self._module.train()
        return [*self._module.parameters()]

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        quantized, _, *losses = self._module(latent[None])
        return quantized[0], sum((loss.sum() for loss in losses), latent.new_zeros(()))

    def _refresh(self, latent: Float[Tensor, "rows dim"], done: float) -> None:
        """The module revives codes by itself, or has none that could die."""


def first_of_equals(codebook: Float[Tensor, "size dim"]) -> Int64[Tensor, " size"]:
    """The first code with the same vector, for each code: which of equals is the nearest would be a matter of rounding."""
    equal = squared_distances(codebook, codebook) <= _EQUAL * codebook.square().sum(1).max()
    return equal.view(torch.uint8).argmax(1)
