"""RQ-VAE (TIGER, arXiv 2305.05065): an autoencoder whose bottleneck is quantized residual by residual.

The training loop is ours, the quantizers are those of ``vector-quantize-pytorch``: codebooks follow their items by moving
averages, and what a level subtracts carries no gradient, so every level's commitment reaches the encoder. Reconstruction and
commitment are both MEANS over rows and dimensions: with a sum in one of them all items end up in one code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genrec.errors import DataError
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.residual import checked_vectors, decode, residual_after, residual_encode, squared_distances
from genrec.tokenizers.settings import at_least

MODEL_FILE = "rqvae.safetensors"
_INIT_ROWS = 1 << 15  # k-means start on the residuals of this many items, not of one batch
_REVIVE_UNTIL = 0.9  # of the steps: a code revived later would be encoded with before it was trained
_DEAD_BELOW = 0.2  # moving average of a code's share of its fair share of a batch


class RQVAE:
    """RQ-VAE on z-scored vectors. Encoding is the plain nearest-code chain on the encoder's output, in fp32.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the weight matrices' AdamW.
        commitment: weight of the commitment terms (beta of the paper), summed over levels.
        gradient: past the argmin: ``ste`` straight-through, ``rotation`` the rotation trick (arXiv 2410.06424).
        decay: of the codebooks' moving averages.
        seed: of the start and of the batches.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=True, reconstructs=True)

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1500,
        batch_size: int = 1024,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        gradient: Literal["ste", "rotation"] = "rotation",
        decay: float = 0.99,
        seed: int = 0,
    ) -> None:
        at_least(1, num_levels=num_levels, codebook_size=codebook_size, steps=steps, batch_size=batch_size)
        self.num_levels, self.codebook_size, self.source = num_levels, codebook_size, source
        self.hidden, self.latent_dim, self.steps, self.batch_size = tuple(hidden), latent_dim, steps, batch_size
        self.lr, self.weight_decay, self.commitment = lr, weight_decay, commitment
        self.gradient, self.decay, self.seed = gradient, decay, seed

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        vectors = checked_vectors(inputs, self.source)
        self._center, spread = vectors.mean(0), vectors.std(0, correction=0)
        self._scale = torch.where(spread > 1e-6 * vectors.abs().amax().clamp(min=1e-6), spread, 1.0)
        with torch.random.fork_rng(devices=[]):  # the quantizers draw from the global generator
            torch.manual_seed(self.seed)
            self._train((vectors - self._center) / self._scale)

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        return residual_encode(self._latent(inputs), self.codebooks).numpy()

    def reconstruct(self, codes: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items dim"]:
        """The decoder's output for the sum of the leading levels' codes, in the input's own scale."""
        latent = decode(torch.from_numpy(np.asarray(codes, np.int64)), self.codebooks)
        with torch.no_grad():
            return (self._decoder(latent) * self._scale + self._center).numpy()

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Squared distance, in the bottleneck, of what ``prefix`` leaves of each item to each code of the next level."""
        codes = torch.from_numpy(np.asarray(prefix, np.int64))
        residual = residual_after(self._latent(inputs), codes, self.codebooks)
        return squared_distances(residual, self.codebooks[codes.shape[1]]).numpy()

    def save(self, folder: Path) -> None:
        state = {"center": self._center, "scale": self._scale}
        state |= {f"codebooks.{level}": codebook for level, codebook in enumerate(self.codebooks)}
        state |= {f"encoder.{name}": value for name, value in self._encoder.state_dict().items()}
        state |= {f"decoder.{name}": value for name, value in self._decoder.state_dict().items()}
        save_file({name: value.contiguous() for name, value in state.items()}, folder / MODEL_FILE)

    def restore(self, folder: Path) -> None:
        state = load_file(folder / MODEL_FILE)
        self._center, self._scale = state["center"], state["scale"]
        self.codebooks = [state[f"codebooks.{level}"] for level in range(self.num_levels)]
        self._build(len(self._center))
        for name, network in (("encoder.", self._encoder), ("decoder.", self._decoder)):
            network.load_state_dict({key.removeprefix(name): value for key, value in state.items() if key.startswith(name)})

    def _build(self, dim: int) -> None:
        self._encoder = _mlp((dim, *self.hidden, self.latent_dim))
        self._decoder = _mlp((self.latent_dim, *reversed(self.hidden), dim))

    def _latent(self, inputs: TokenizerInputs) -> Tensor:
        with torch.no_grad():
            return self._encoder((checked_vectors(inputs, self.source) - self._center) / self._scale)

    def _train(self, vectors: Tensor) -> None:
        from vector_quantize_pytorch import ResidualVQ

        self._build(vectors.shape[1])
        fair_share = min(self.batch_size, len(vectors)) / self.codebook_size
        quantizer = ResidualVQ(
            dim=self.latent_dim,
            num_quantizers=self.num_levels,
            codebook_size=self.codebook_size,
            kmeans_init=True,
            kmeans_iters=25,
            decay=self.decay,
            commitment_weight=self.commitment,
            threshold_ema_dead_code=_DEAD_BELOW * fair_share,
            rotation_trick=self.gradient == "rotation",
        )
        sample = vectors[torch.randperm(len(vectors))[:_INIT_ROWS]]
        with torch.no_grad():
            quantizer(self._encoder(sample))  # the first pass sets the codebooks

        parameters = [*self._encoder.parameters(), *self._decoder.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
        warm_up = max(self.steps // 20, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm_up, (self.steps - step) / self.steps)
        )
        console = Console(stderr=True)
        batches = track(
            _batches(len(vectors), self.batch_size, self.steps),
            description="rqvae",
            total=self.steps,
            console=console,
            disable=not console.is_terminal,
        )
        for step, rows in enumerate(batches):
            if step == int(_REVIVE_UNTIL * self.steps):
                for layer in quantizer.layers:
                    layer._codebook.has_dead_code_replacement = False
            batch = vectors[rows]
            quantized, _, commitments = quantizer(self._encoder(batch))
            loss = nn.functional.mse_loss(self._decoder(quantized), batch) + commitments.sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
        if not torch.isfinite(loss):
            raise DataError("tokenizer", expected="a finite loss", got=float(loss), fix="lower tokenizer.lr")
        self.codebooks = [codebook.detach().clone() for codebook in quantizer.codebooks]


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _batches(num_rows: int, batch_size: int, steps: int) -> Iterator[Tensor]:
    """Rows of each step: a fresh permutation whenever all rows were used."""
    done = 0
    while done < steps:
        for rows in torch.randperm(num_rows).split(batch_size)[: steps - done]:
            yield rows
            done += 1
