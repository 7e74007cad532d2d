"""continuous: the next item as a vector that a small diffusion network makes from noise (ContRec, arXiv 2504.12007).

Items are continuous tokens, their whitened vectors, in the history as in the answer: no codes and no row per item. A causal
transformer reads a history; a denoiser that knows the state turns noise into the vector of the next item in a few steps, and
items are ranked by their cosine with it. Later items are ranked as well as any.

Departures: no language model, and whitening in place of the sigma-VAE; the start of the noise is the same for all users, so
that a score is a function of the history; DDIM steps instead of 200 random ones. All of them: docs/methods/contrec.md.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.nn.components import principal_axes
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.protocols import Denoised, TargetLogits
from genrec.types import PAD

NOISE_TIMES = 50  # levels of noise that the denoiser learns
LEAST_NOISE, MOST_NOISE = 0.1, 10.0  # of the schedule
STATELESS = 10  # one target in so many is denoised without its state, for the guidance
START_SEED = 0


class Continuous(nn.Module):
    """An item scorer that generates a vector.

    Args:
        item_vectors: [items, any], what the encoder says of each item.
        head: "diffusion", or "regression": one layer from the state to the vector, as the control.
        vector_dim: of the whitened vectors, at most.
        num_steps: of the sampler, at least 1; more than the 50 levels of noise add nothing.
        num_samples: vectors whose mean is the answer.
        guidance: how far an answer goes beyond that without a state, 0 or more.
        temperature: what cosines are divided by, above 0; the order of items does not depend on it.
        dim: model width.
        num_heads: attention heads.
        num_layers: causal blocks.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        max_history_len: longest history, in items.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    item_vectors: Tensor  # [items, any]
    mean: Tensor  # [any]
    axes: Tensor  # [any, width]
    signal: Tensor  # [times], share of the variance that is signal
    starts: Tensor  # [samples, width]

    def __init__(
        self,
        *,
        item_vectors: np.ndarray,
        head: Literal["diffusion", "regression"] = "diffusion",
        vector_dim: int = 64,
        num_steps: int = 10,
        num_samples: int = 4,
        guidance: float = 1.0,
        temperature: float = 0.1,
        dim: int = 128,
        num_heads: int = 2,
        num_layers: int = 2,
        feedforward_mult: int = 2,
        dropout: float = 0.2,
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.max_history_len, self.temperature = max_history_len, temperature
        self.num_steps, self.guidance = num_steps, guidance
        # The vectors are facts of the catalogue and follow it; how they are whitened stays as it was in training.
        self.register_buffer("item_vectors", torch.from_numpy(np.array(item_vectors, dtype=np.float32)), persistent=False)
        mean, axes = principal_axes(item_vectors, vector_dim, whiten=True)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("axes", torch.from_numpy(axes))
        width = axes.shape[1]
        self.projection = nn.Linear(width, dim, bias=False)
        self.history = HistoryEncoder(
            dim=dim,
            num_heads=num_heads,
            num_layers=num_layers,
            feedforward_mult=feedforward_mult,
            dropout=dropout,
            max_history_len=max_history_len,
        )
        self.denoiser: Denoiser | None = None
        if head == "diffusion":
            self.denoiser = Denoiser(width=width, dim=dim)
            self.register_buffer("signal", signal_shares(), persistent=False)
            starts = torch.randn(num_samples, width, generator=torch.Generator().manual_seed(START_SEED))
            self.register_buffer("starts", starts, persistent=False)
        else:
            self.regression = nn.Linear(dim, width)
        self.conditions = Conditions(schema=schema, dim=dim)

    # --- items and states -----------------------------------------------------------------------------------------------

    def item_table(self) -> Float[Tensor, "items width"]:
        """The unit vectors of all items."""
        return F.normalize(self._vectors_of(slice(None)), dim=-1)

    def _vectors_of(self, items: Any) -> Float[Tensor, "*items width"]:
        return (self.item_vectors[items] - self.mean) @ self.axes

    def _states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        items = self.projection(self._vectors_of(batch.history.clamp(min=0)))
        items = self.conditions.add_columns(items, batch)
        states = self.history(items.unsqueeze(2), self.conditions.add_user(self.history.start, batch)).squeeze(2)
        return self.conditions.add_request(states, batch)

    # --- training -------------------------------------------------------------------------------------------------------

    def denoised(self, batch: Batch) -> Denoised:
        """What the head makes of each target's vector at a random level of noise, given its state (or, of some, nothing)."""
        assert batch.targets is not None
        has_target = batch.targets != PAD
        states, clean = self._states(batch)[has_target], self._vectors_of(batch.targets[has_target])
        if self.denoiser is None:
            return Denoised(self.regression(states), clean)
        time = torch.randint(NOISE_TIMES, (len(clean),), device=clean.device)
        signal = self.signal[time].unsqueeze(1)
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * torch.randn_like(clean)
        stateless = torch.arange(len(clean), device=clean.device) % STATELESS == 0
        states = torch.where(stateless.unsqueeze(1), self.denoiser.nothing, states)
        hidden = self.denoiser.hidden(noisy, states, time)
        return Denoised(self.denoiser.out(hidden), clean, hidden)

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns logits over all items at every target of the batch."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        has_target = batch.targets != PAD
        return TargetLogits(batch.targets[has_target], item_queries=self._queries(self._states(batch)[has_target]))

    # --- ranking --------------------------------------------------------------------------------------------------------

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Scores of all items for the next position of each history."""
        states = self._states(batch)
        last = states[torch.arange(len(batch), device=states.device), batch.lengths]
        return self._queries(last) @ self.item_table().T

    def _queries(self, states: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows width"]:
        vectors = self.regression(states) if self.denoiser is None else self._generate(self.denoiser, states)
        return F.normalize(vectors, dim=-1) / self.temperature

    def _generate(self, denoiser: Denoiser, states: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows width"]:
        """The mean over some starts of what is left of their noise after all steps (DDIM, without new noise)."""
        num_samples = len(self.starts)
        repeated = states.repeat_interleave(num_samples, dim=0)
        x = self.starts.repeat(len(states), 1)
        times = torch.linspace(NOISE_TIMES - 1, 0, self.num_steps, device=states.device).round().long()
        clean = x
        for step, time in enumerate(times):
            at = time.expand(len(x))
            clean = denoiser(x, repeated, at)
            if self.guidance:
                clean = torch.lerp(denoiser(x, denoiser.nothing.expand_as(repeated), at), clean, 1 + self.guidance)
            if step + 1 < len(times):
                now, then = self.signal[time], self.signal[times[step + 1]]
                noise = (x - now.sqrt() * clean) / (1 - now).sqrt()
                x = then.sqrt() * clean + (1 - then).sqrt() * noise
        return clean.unflatten(0, (-1, num_samples)).mean(1)


class Denoiser(nn.Module):
    """Predicts the clean vector from a noisy one, the level of noise and a state.

    Args:
        width: of the vectors.
        dim: of the states.
    """

    def __init__(self, *, width: int, dim: int) -> None:
        super().__init__()
        inner = 2 * dim
        self.of_vector, self.of_state = nn.Linear(width, inner), nn.Linear(dim, inner, bias=False)
        self.of_time = nn.Embedding(NOISE_TIMES, inner)
        self.deep, self.last = nn.Linear(inner, inner), nn.Linear(inner, width)
        self.nothing = nn.Parameter(torch.randn(dim) * dim**-0.5)  # stands for the state where there is none

    def hidden(
        self, noisy: Float[Tensor, "rows width"], states: Float[Tensor, "rows dim"], time: Int64[Tensor, " rows"]
    ) -> Float[Tensor, "rows inner"]:
        x = F.silu(self.of_vector(noisy) + self.of_state(states) + self.of_time(time))
        return x + F.silu(self.deep(x))

    def out(self, hidden: Float[Tensor, "rows inner"]) -> Float[Tensor, "rows width"]:
        return self.last(hidden)

    def forward(
        self, noisy: Float[Tensor, "rows width"], states: Float[Tensor, "rows dim"], time: Int64[Tensor, " rows"]
    ) -> Float[Tensor, "rows width"]:
        return self.out(self.hidden(noisy, states, time))


def signal_shares() -> Float[Tensor, " times"]:
    """The share of signal in the variance of each level, from nearly all to nearly none."""
    steps = 2 * torch.arange(NOISE_TIMES, dtype=torch.float64) + 1
    rates = LEAST_NOISE / NOISE_TIMES + steps * (MOST_NOISE - LEAST_NOISE) / (2 * NOISE_TIMES**2)
    return (-rates.cumsum(0)).exp().float()
