"""What objectives share that learn from the generator's own recommendations."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from genrec.batch import Batch
from genrec.protocols import LossTerms, Objective
from genrec.types import PAD


def frozen(generator: nn.Module) -> nn.Module:
    """A copy that does not learn, in eval mode."""
    return copy.deepcopy(generator).eval().requires_grad_(False)


def draw_examples(batch: Batch, number: int) -> tuple[Batch, Int64[Tensor, " examples"]]:
    """Up to ``number`` of a batch's targets, drawn at random, each with a row of its own: the history that its state has seen.

    Args:
        batch: with targets.
        number: how many; fewer when the batch has fewer.

    Returns:
        The histories, without targets, and their next items.
    """
    assert batch.targets is not None
    row, state = (batch.targets != PAD).nonzero(as_tuple=True)
    drawn = torch.randperm(len(row)).to(row.device)[:number]
    row, state = row[drawn], state[drawn]
    examples = batch.rows(row)
    later = torch.arange(batch.history.shape[1], device=row.device) >= state.unsqueeze(1)
    times = None if examples.times is None else examples.times.masked_fill(later, PAD)
    return Batch(examples.history.masked_fill(later, PAD), state, times=times), batch.targets[row, state]


def beside(supervised: Objective | None, generator: Any, batch: Batch, terms: LossTerms) -> LossTerms:
    """The terms with those of a supervised objective, if there is one: it keeps the generator where the data are."""
    if supervised is None:
        return terms
    anchor = supervised.loss(generator, batch)
    return LossTerms(anchor.total + terms.total, {**anchor.parts, **terms.parts})
