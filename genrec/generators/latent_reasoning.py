"""latent_reasoning: an item scorer that thinks before it answers (ReaRec, arXiv 2503.22675; docs/methods/rearec.md).

A causal encoder reads the history; then each state is fed back as a new token, with an embedding of the step it is at, a fixed
number of times. Every training position has a chain of its own, and all chains of a user attend to the same cached history.
What makes the steps differ from each other is the learning rule: ``objective=progressive_reasoning`` reads the last step,
``objective=ensemble_reasoning`` the mean of all. With ``stop_kl`` a chain ends when its distribution no longer changes
(ManCAR's adaptive stop, arXiv 2602.20093).

Departures from the papers: the blocks, distance biases and start state of ``sasrec``; a thought has the distances to the
history that its state has, so its position collides with no item's; every position is trained, not only the last; scores are
inner products without a temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.errors import ConfigError
from genrec.nn.attention import CodeCache, DistanceBias
from genrec.nn.blocks import Dropout, HistoryBlock
from genrec.nn.conditions import Conditions
from genrec.protocols import TargetLogits
from genrec.types import PAD


@dataclass(frozen=True)
class Thought:
    """The state of the chains of a batch; ``chains`` of each user share its history.

    Args:
        states: [batch, chains, dim] after the last step.
        history: per block, keys and values [batch, heads, states, dim / heads].
        bias: of each chain towards the history, to be broadcast to [batch, heads, chains, states]; -inf where it may not look.
        written: per block, keys and values of the thoughts so far.
        step: the next step.
    """

    states: Tensor
    history: tuple[tuple[Tensor, Tensor], ...]
    bias: Tensor
    written: tuple[CodeCache, ...]
    step: int = 0


class LatentReasoning(nn.Module):
    """SASRec with steps of thought between reading and answering.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_layers: causal blocks; the history and the thoughts go through the same ones.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        num_steps: thoughts after the history's state, at least 1.
        readout: what answers: the "last" state of a chain, or the "mean" of all its states.
        stop_kl: a chain ends at the first step that moved its distribution over items by less than this KL divergence, in nats;
            None: all steps are taken. A batch goes on until its last chain has ended.
        max_history_len: longest history, in items.

    Raises:
        ConfigError: for fewer than one step.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    blocks: Sequence[HistoryBlock]  # an nn.ModuleList

    def __init__(
        self,
        *,
        num_items: int,
        dim: int = 128,
        num_heads: int = 2,
        num_layers: int = 2,
        feedforward_mult: int = 2,
        dropout: float = 0.4,
        num_steps: int = 2,
        readout: Literal["last", "mean"] = "last",
        stop_kl: float | None = None,
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        if num_steps < 1:
            raise ConfigError("generator.num_steps", expected="at least 1", got=num_steps, fix="or use generator=sasrec")
        self.max_history_len, self.num_steps, self.readout, self.stop_kl = max_history_len, num_steps, readout, stop_kl
        self.items = nn.Embedding(num_items, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.start = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.steps = nn.Parameter(torch.randn(num_steps, dim) * dim**-0.5)
        self.input_dropout = Dropout(dropout)
        self.input_norm, self.output_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=max_history_len)
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            HistoryBlock(dim=dim, num_heads=num_heads, feedforward_mult=feedforward_mult, dropout=dropout)
            for _ in range(num_layers)
        )
        self.conditions = Conditions(schema=schema, dim=dim)

    # --- thinking -----------------------------------------------------------------------------------------------------

    def _read(self, batch: Batch) -> Thought:
        """Chain ``t`` of a user starts from the state that has seen the start and the first ``t`` items."""
        start = self.conditions.add_user(self.start, batch).unsqueeze(1)
        x = torch.cat([start, self.conditions.add_columns(self.items(batch.history.clamp(min=0)), batch)], dim=1)
        x, history = self.input_dropout(self.input_norm(x)), []
        position = torch.arange(x.shape[1], device=x.device)
        bias = self.distance_bias(position, position)
        for block in self.blocks:
            x, keys_values = block.read(x, bias)
            history.append(keys_values)
        states = self.conditions.add_request(self.output_norm(x), batch)
        return Thought(states, tuple(history), bias, tuple(CodeCache() for _ in self.blocks))

    def _next(self, thought: Thought, noise: float = 0.0) -> Thought:
        """One step of every chain; ``noise`` is the standard deviation of what is added to the states that are fed back."""
        x = thought.states + self.steps[thought.step]
        x = x + noise * torch.randn_like(x) if noise else x
        x, written = self.input_dropout(self.input_norm(x)), []
        for block, history, cache in zip(self.blocks, thought.history, thought.written, strict=True):
            x, cache = block.branch(x, history, thought.bias, cache)
            written.append(cache)
        return replace(thought, states=self.output_norm(x), written=tuple(written), step=thought.step + 1)

    def _answers(self, thought: Thought) -> Float[Tensor, "batch chains dim"]:
        """The query of each chain: after all steps, or where it stops."""
        answers = total = thought.states
        going = torch.ones(answers.shape[:2], dtype=torch.bool, device=answers.device)
        while thought.step < self.num_steps and going.any():
            before, thought = thought.states, self._next(thought)
            total = total + thought.states
            reading = thought.states if self.readout == "last" else total / (thought.step + 1)
            answers = torch.where(going.unsqueeze(-1), reading, answers)
            if self.stop_kl is not None:
                going = going & ~self._has_converged(before, thought.states, self.stop_kl)
        return answers

    def _has_converged(
        self, before: Float[Tensor, "batch chains dim"], after: Float[Tensor, "batch chains dim"], limit: float
    ) -> Bool[Tensor, "batch chains"]:
        """Returns whether KL(before || after) of the two distributions over items is below ``limit``."""
        old, new = ((states @ self.items.weight.T).log_softmax(dim=-1) for states in (before, after))
        return (old.exp() * (old - new)).sum(-1) < limit

    # --- training -----------------------------------------------------------------------------------------------------

    def chains(self, batch: Batch, noises: tuple[float, ...] = (0.0,)) -> Float[Tensor, "chains targets states dim"]:
        """Returns all states of the chains at every target of the batch; one reading of the histories for all ``noises``."""
        if batch.targets is None:
            raise ValueError("chains needs a batch with targets")
        read, has_target, states_by_noise = self._read(batch), batch.targets != PAD, []
        for noise in noises:
            thoughts = [read]
            for _ in range(self.num_steps):
                thoughts.append(self._next(thoughts[-1], noise))
            states_by_noise.append(torch.stack([thought.states[has_target] for thought in thoughts], dim=1))
        return torch.stack(states_by_noise)

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns logits over all items at every target of the batch: what the chains answer."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        has_target = batch.targets != PAD
        return TargetLogits(batch.targets[has_target], item_queries=self._answers(self._read(batch))[has_target])

    # --- use ----------------------------------------------------------------------------------------------------------

    def item_table(self) -> Float[Tensor, "items dim"]:
        """The tied embedding table."""
        return self.items.weight

    def lookup(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Some rows of ``item_table``."""
        return self.items(items)

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Scores of all items for the next position of each history, by one chain a user."""
        read = self._read(batch)
        row = torch.arange(len(batch), device=read.states.device)
        states, bias = read.states[row, batch.lengths].unsqueeze(1), read.bias[:, batch.lengths].transpose(0, 1).unsqueeze(2)
        return self._answers(replace(read, states=states, bias=bias)).squeeze(1) @ self.items.weight.T
