"""The autoencoder under the learned tokenizers: z-scored vectors, two mirrored MLPs, their training, and the codes in between.

Departures that all of them share (see docs/methods/rqvae.md): what a level subtracts carries no gradient, so every
level's commitment reaches the encoder and each codebook learns from its own residuals alone; codebooks start as k-means
centroids of the residuals; a code that hardly anything chooses is put on a random residual. Every term of every loss is a MEAN
over rows and dimensions: with a sum in one of them all items end up in one code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from genrec.errors import DataError
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.kmeans import kmeans
from genrec.tokenizers.lib.residual import (
    at_least,
    checked_vectors,
    decode,
    nearest,
    residual_after,
    residual_encode,
    squared_distances,
)

LEAST_LENGTH = 1e-6  # length below which a vector has no direction
MOST_STRETCH = 2.0  # factor by which the rotation trick may stretch a gradient
MODEL_FILE = "autoencoder.safetensors"
_SAMPLE = 1 << 13  # items that k-means starts on, not one batch, and that are asked which codes they use
_ITERATIONS = 10  # of that k-means: training moves the codes on
_REFRESH_UNTIL = 0.9  # of the steps: a code revived later would be encoded with before it was trained
_REFRESH_EVERY = 50  # steps
_DEAD_BELOW = 0.3  # of its fair share of the items


class Chain(NamedTuple):
    """A batch, quantized level by level.

    Args:
        vectors: [rows, dim], sum of the chosen codes; its gradient reaches the codebooks only.
        codes: [rows, levels].
        terms: [levels], codebook pull plus weighted commitment of each level.
    """

    vectors: Tensor
    codes: Tensor
    terms: Tensor


class Autoencoder(ABC):
    """Encoding is the nearest-code chain on the encoder's output, in fp32, whatever noise or balancing the training used.

    A subclass says how a batch is quantized in training (``_quantize``), and may give the codebooks another start or form.

    Args:
        sizes: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms (beta of the papers).
        seed: of the start and of the batches.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: Traits = Traits(inductive=True, ordered=True, reconstructs=True, scale_free=True)

    def __init__(
        self,
        *,
        sizes: tuple[int, ...],
        source: str,
        hidden: Sequence[int],
        latent_dim: int,
        steps: int,
        batch_size: int,
        lr: float,
        weight_decay: float,
        commitment: float,
        seed: int,
    ) -> None:
        at_least(1, num_levels=len(sizes), codebook_size=min(sizes, default=1), latent_dim=latent_dim)
        at_least(1, steps=steps, batch_size=batch_size)
        self.num_levels, self.codebook_size = len(sizes), sizes[0]
        self.sizes, self.source, self.hidden, self.latent_dim = sizes, source, tuple(hidden), latent_dim
        self.steps, self.batch_size, self.lr, self.weight_decay = steps, batch_size, lr, weight_decay
        self.commitment, self.seed = commitment, seed

    def fit(self, inputs: TokenizerInputs) -> None:
        """Trains; the global random state is left as it was.

        Raises:
            DataError: when a vector is not finite, or the loss is not.
        """
        vectors = self._input(inputs)
        self._center, self._scale = standardization(vectors)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._train((vectors - self._center) / self._scale)

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        return residual_encode(self._latent_of(inputs), self.codebooks).numpy()

    def reconstruct(self, codes: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items dim"]:
        """The decoder's output for the sum of the leading levels' codes, in the input's own scale."""
        latent = decode(torch.from_numpy(np.asarray(codes, np.int64)), self.codebooks)
        with torch.no_grad():
            return (self._decoder(latent) * self._scale + self._center).numpy()

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Squared distance, in the bottleneck, of what ``prefix`` leaves of each item to each code of the next level."""
        codes = torch.from_numpy(np.asarray(prefix, np.int64))
        residual = residual_after(self._latent_of(inputs), codes, self.codebooks)
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
        self.codebooks = [state[f"codebooks.{level}"] for level in range(len(self.sizes))]
        self._build(len(self._center))
        for name, network in (("encoder.", self._encoder), ("decoder.", self._decoder)):
            network.load_state_dict({key.removeprefix(name): value for key, value in state.items() if key.startswith(name)})

    # --- what a subclass may do otherwise ------------------------------------------------------------------------------

    def _input(self, inputs: TokenizerInputs) -> Float[Tensor, "items dim"]:
        """Returns the encoder's input, not yet z-scored."""
        return checked_vectors(inputs, self.source)

    @abstractmethod
    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what the decoder gets for a batch (items ``rows``), and the loss beside the reconstruction's."""

    def _mismatch(self, decoded: Tensor, vectors: Tensor, rows: Tensor) -> Tensor:
        """The loss of the reconstruction of a batch (items ``rows``, z-scored ``vectors``)."""
        return mse_loss(decoded, vectors)

    def _bound(self, latent: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """The encoder's output as it is quantized."""
        return latent

    def _start(self, latent: Float[Tensor, "rows dim"]) -> list[nn.Parameter]:
        """Makes ``codebooks`` from the bottleneck of a sample; returns what is trained beside the networks."""
        trained = [nn.Parameter(centroids) for centroids in self._centroids(latent)]
        self.codebooks = [*trained]
        return trained

    def _without_decay(self, trained: list[nn.Parameter]) -> list[dict[str, Any]]:
        """The optimizer's groups of what ``_start`` returned."""
        return [{"params": trained, "weight_decay": 0.0}]

    def _training_codebooks(self) -> list[Tensor]:
        """Returns the codebooks that codes are chosen from in training."""
        return self.codebooks

    def _choose(self, residual: Tensor, codebook: Tensor, level: int) -> Int64[Tensor, " rows"]:
        """Returns codes of a batch in training, where it does not matter which of equally near ones is taken."""
        return torch.addmm(codebook.square().sum(1), residual, codebook.T, alpha=-2).argmin(1)

    def _refresh(self, latent: Float[Tensor, "rows dim"], done: float) -> None:
        """Revives codes that hardly anything chooses; called every few steps, when the share ``done`` of them is over."""
        residual = latent
        for codebook in self.codebooks:
            residual = revive_codes(residual, codebook)

    # --- training ------------------------------------------------------------------------------------------------------

    def _train(self, vectors: Float[Tensor, "items dim"]) -> None:
        self._build(vectors.shape[1])
        sample = vectors[torch.randperm(len(vectors))[:_SAMPLE]]
        codebooks = self._start(self._encode_latent(sample))
        networks = [*self._encoder.parameters(), *self._decoder.parameters()]
        groups = [{"params": networks, "weight_decay": self.weight_decay}, *self._without_decay(codebooks)]
        optimizer = torch.optim.AdamW(groups, lr=self.lr)
        warm_up = max(self.steps // 20, 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm_up, (self.steps - step) / self.steps)
        )
        for step, rows in enumerate(self._with_progress(row_batches(len(vectors), self.batch_size, self.steps))):
            if step % _REFRESH_EVERY == 0 and 0 < step < _REFRESH_UNTIL * self.steps:
                with torch.no_grad():
                    self._refresh(self._encode_latent(sample), step / self.steps)
            latent = self._bound(self._encoder(vectors[rows]))
            quantized, loss = self._quantize(latent, rows)
            loss = loss + self._mismatch(self._decoder(quantized), vectors[rows], rows)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_([*networks, *codebooks], 1.0)
            optimizer.step()
            schedule.step()
        if not torch.isfinite(loss):
            raise DataError("tokenizer", expected="a finite loss", got=float(loss.detach()), fix="lower tokenizer.lr")
        self.codebooks = [codebook.detach().clone() for codebook in self._training_codebooks()]

    def _chain(self, latent: Float[Tensor, "rows dim"]) -> Chain:
        residual, chosen, codes, terms = latent, [], [], []
        for level, codebook in enumerate(self._training_codebooks()):
            codes.append(self._choose(residual.detach(), codebook.detach(), level))
            chosen.append(codebook[codes[-1]])
            pull, commitment = mse_loss(chosen[-1], residual.detach()), mse_loss(residual, chosen[-1].detach())
            terms.append(pull + self.commitment * commitment)
            residual = residual - chosen[-1].detach()
        return Chain(torch.stack(chosen).sum(0), torch.stack(codes, dim=1), torch.stack(terms))

    def _centroids(self, latent: Float[Tensor, "rows dim"]) -> list[Tensor]:
        """K-means of the residuals, level by level."""
        generator, residual, codebooks = torch.Generator().manual_seed(self.seed), latent, []
        for size in self.sizes:
            codebooks.append(kmeans(residual, size, generator=generator, iterations=_ITERATIONS, starts=1))
            residual = residual - codebooks[-1][nearest(residual, codebooks[-1])[0]]
        return codebooks

    def _encode_latent(self, standardized: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        with torch.no_grad():
            return self._bound(self._encoder(standardized))

    def _latent_of(self, inputs: TokenizerInputs) -> Float[Tensor, "items dim"]:
        return self._encode_latent((self._input(inputs) - self._center) / self._scale)

    def _build(self, dim: int) -> None:
        self._encoder: nn.Module = mlp((dim, *self.hidden, self.latent_dim))
        self._decoder = mlp((self.latent_dim, *reversed(self.hidden), dim))

    def _with_progress(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yields the batches; a terminal shows the progress and the time left."""
        console = Console(stderr=True)
        name = type(self).__name__
        yield from track(batches, description=name, total=self.steps, console=console, disable=not console.is_terminal)


def revive_codes(residual: Float[Tensor, "rows dim"], codebook: Float[Tensor, "size dim"]) -> Float[Tensor, "rows dim"]:
    """Moves codes that hardly any row chooses to random rows, in place; returns the residual of the codebook as it was."""
    codes, _ = nearest(residual, codebook)
    fair = len(residual) / len(codebook)
    dead = torch.nonzero(torch.bincount(codes, minlength=len(codebook)) < _DEAD_BELOW * fair).squeeze(1)
    remainder = residual - codebook[codes]
    rows = torch.randperm(len(residual))[: len(dead)]
    codebook[dead[: len(rows)]] = residual[rows]
    return remainder


def straight_through(latent: Float[Tensor, "rows dim"], quantized: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """``quantized`` forward; backward, the gradient passes to ``latent`` as it is."""
    return latent + (quantized - latent).detach()


def standardization(vectors: Float[Tensor, "rows dim"]) -> tuple[Float[Tensor, " dim"], Float[Tensor, " dim"]]:
    """Mean and standard deviation per dimension; 1 for a dimension in which nothing but rounding differs."""
    spread = vectors.std(0, correction=0)
    return vectors.mean(0), torch.where(spread > 1e-6 * vectors.abs().amax().clamp(min=1e-6), spread, 1.0)


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from width to width, with a ReLU between two."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def row_batches(num_rows: int, batch_size: int, steps: int) -> Iterator[Tensor]:
    """Rows of each step: a fresh permutation whenever all rows were used."""
    done = 0
    while done < steps:
        for rows in torch.randperm(num_rows).split(batch_size)[: steps - done]:
            yield rows
            done += 1


def rotation_trick(latent: Float[Tensor, "rows dim"], quantized: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """``quantized`` forward; backward, the gradient is turned and stretched as ``latent`` was to become it.

    Opposite or zero vectors have no rotation: there the gradient passes nearly as it is.
    """
    before, after = latent.detach(), quantized.detach()
    long, short = before.norm(dim=1, keepdim=True).clamp(min=LEAST_LENGTH), after.norm(dim=1, keepdim=True)
    start, end = before / long, after / short.clamp(min=LEAST_LENGTH)
    middle = start + end
    middle = middle / middle.norm(dim=1, keepdim=True).clamp(min=LEAST_LENGTH)
    turned = latent - 2 * middle * (latent * middle).sum(1, keepdim=True) + 2 * end * (latent * start).sum(1, keepdim=True)
    turned = turned * (short / long).clamp(max=MOST_STRETCH)
    return turned + (quantized - turned).detach()
