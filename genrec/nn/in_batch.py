"""The softmax over a sample of items whose negatives are the other targets of the batch (docs/methods/sampled_softmax.md)."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.protocols import LooksUpItems
from genrec.types import PAD


@runtime_checkable
class Rows(Protocol):
    """The vectors of items by item_idx: a table, or what looks them up."""

    def __getitem__(self, items: Any, /) -> Tensor: ...


class LookedUp:
    """The vectors of items that a generator makes when they are asked for.

    Args:
        generator: whose.
    """

    def __init__(self, generator: LooksUpItems) -> None:
        self.generator = generator

    def __getitem__(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        return self.generator.lookup(items)


def rows_of(generator: Any) -> Rows:
    """Returns the vectors of a generator's items: looked up where it can do that, else all of them."""
    return LookedUp(generator) if isinstance(generator, LooksUpItems) else generator.item_table()


def log_frequencies(train_counts: np.ndarray) -> Float[Tensor, " items"]:
    """Logs of the items' shares of the training events."""
    counts = np.asarray(train_counts, dtype=np.float64)
    # An item that no training event has comes never; a batch is made of training events.
    return torch.from_numpy(np.log(np.maximum(counts, 1) / max(counts.sum(), 1))).float()


def users_of_targets(targets: Int64[Tensor, "batch states"]) -> Int64[Tensor, " targets"]:
    """The row of each target, in the order of ``TargetLogits``."""
    return (targets != PAD).nonzero()[:, 0]


def related_targets(targets: Int64[Tensor, "batch states"]) -> Bool[Tensor, "targets targets"]:
    """Which targets are no negatives of which: those of the same user, and the same items; each is related to itself."""
    user, items = users_of_targets(targets), targets[targets != PAD]
    return (user == user.unsqueeze(1)) | (items == items.unsqueeze(1))


def in_batch_cross_entropy(
    queries: Float[Tensor, "targets dim"],
    table: Rows,
    targets: Int64[Tensor, "batch states"],
    log_frequency: Float[Tensor, " items"] | None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of a batch's targets against the targets of the other users.

    Args:
        queries: of the targets, in the order of ``TargetLogits``.
        table: vectors of all items.
        targets: item_idx, ``PAD`` where none is.
        log_frequency: corrects for how often items come (logQ); None for a plain contrastive loss.
    """
    items, user = targets[targets != PAD], users_of_targets(targets)
    log_expected: Tensor = torch.zeros(1, len(items), device=items.device)
    if log_frequency is not None:
        num_others = (user != user.unsqueeze(1)).sum(1, keepdim=True).clamp(min=1)
        log_expected = log_frequency[items] + num_others.log()
    return corrected_cross_entropy(queries, table, items, items, log_expected, related_targets(targets))


def corrected_cross_entropy(
    queries: Float[Tensor, "targets dim"],
    table: Rows,
    items: Int64[Tensor, " targets"],
    negatives: Int64[Tensor, " sample"],
    log_expected: Float[Tensor, "#targets sample"],
    masked: Bool[Tensor, "targets sample"],
    weights: Float[Tensor, " targets"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of ``items`` against negatives that were drawn with known frequencies.

    Args:
        queries: of the targets.
        table: vectors of all items.
        items: item_idx of the targets.
        negatives: item_idx, shared by the targets; repetitions count.
        log_expected: log of how often each negative is expected among those of a target.
        masked: which negatives are none for which target.
        weights: of the targets, with a mean of 1; None: all alike.
    """
    positive = (queries * table[items]).sum(-1, keepdim=True).float()
    negative = (queries @ table[negatives].T).float() - log_expected
    logits = torch.cat([positive, negative.masked_fill(masked, float("-inf"))], dim=1)
    if weights is None:
        return F.cross_entropy(logits, torch.zeros_like(items))
    return weighted_mean(F.cross_entropy(logits, torch.zeros_like(items), reduction="none"), weights)


def weighted_mean(losses: Float[Tensor, " targets"], weights: Float[Tensor, " targets"] | None) -> Float[Tensor, ""]:
    """Mean of the targets' losses, each times its weight; weights have a mean of 1 over the data, not over the batch."""
    return losses.mean() if weights is None else (losses * weights).mean()
