"""Whom an item that nobody took yet concerns, by its content: how near a history must be, learned from what was taken.

Own design: see docs/methods/new_item_slots.md.

A similarity alone says little: a cosine of 0.4 is near for one item and far for another. So nearness is counted: between a
history and an item stand the items of the catalogue that are more like that item than the history is. A history is within
reach of an item when they are at most a share of the catalogue (``reach``). Under a reach of 2 % an item is nobody's who has
taken nothing like it, however few new items there are.

The reach is learned by treating known items as new ones, each in turn. Of the users whose next item it was, how many were
within reach, and of all users? It is as wide as those whom it adds are ``LIFT`` times as likely to take the item as anybody is.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.dataset import Sequences

LIFT = 5.0  # how many times as likely as anybody the last users within reach must be to take the item
SAFE_REACH = 0.01  # where none was learned
WIDEST = 0.05
LAST, DECAY = 10, 0.8  # items of a history that count, and the weight of each relative to the next more recent one
_CATALOGUE, _USERS, _PAIRED, _ITEMS = 20_000, 5_000, 1_000, 500  # samples: of the catalogue, of users, of pairs of both
_ROUNDING = 1e-5


def tastes(
    history: Int64[Tensor, "batch time"],
    lengths: Int64[Tensor, " batch"],
    unit: Float[Tensor, "items dim"],
    *,
    last: int = LAST,
    decay: float = DECAY,
) -> Float[Tensor, "batch dim"]:
    """The direction of each history's last items; zeros for an empty one, and one of items without content.

    Args:
        history: item_idx, padded behind.
        lengths: of the histories.
        unit: content of all items, scaled to length one.
        last: how many of the most recent items count.
        decay: weight of an item relative to the next more recent one.
    """
    age = lengths.unsqueeze(1) - 1 - torch.arange(history.shape[1], device=history.device)
    weight = torch.where((age >= 0) & (age < last), decay ** age.clamp(min=0).float(), 0.0)
    return torch.nn.functional.normalize((weight.unsqueeze(-1) * unit[history.clamp(min=0)]).sum(dim=1), dim=1)


def thresholds(new: Float[Tensor, "new dim"], vectors: Float[Tensor, "known dim"], reach: float) -> Float[Tensor, " new"]:
    """Returns the cosine from which on a history is within reach of each new item; above 1 for items that are like nothing.

    Args:
        new: content of the new items, scaled to length one.
        vectors: of the items that they are compared with.
        reach: share of the known items that may be more like the new one than a history is.
    """
    rows = _spread(vectors)
    if not len(rows) or reach <= 0:
        return new.new_full((len(new),), 2.0)
    limits = []
    for some in new.split(256):
        nearest = (some @ rows.T).sort(dim=1, descending=True).values
        limit = nearest[:, min(int(reach * len(rows)), len(rows) - 1)]
        ordinary = nearest[:, len(rows) // 2]  # as near as half of the catalogue is not near
        limits.append(torch.where(limit > ordinary + _ROUNDING, limit - _ROUNDING, 2.0).masked_fill(~some.any(dim=1), 2.0))
    return torch.cat(limits) if limits else new.new_zeros(0)


def learned_reach(
    content: Float[np.ndarray, "items dim"], num_trained: int, histories: Sequences, targets: Sequences
) -> float | None:
    """The reach at which the hits it brings, less ``LIFT`` times the exposure it costs, are most; both as shares of all.

    Args:
        content: of all items.
        num_trained: the items that the generator was trained with, the first ones: each is a new one in turn.
        histories: of users.
        targets: what each of them took next, as far as there is something; the first is used.

    Returns:
        0 to ``WIDEST``; None where nobody took anything.
    """
    users, next_items = _next_items(histories, targets, num_trained)
    if not len(users):
        return None
    unit = torch.nn.functional.normalize(torch.from_numpy(np.array(content, dtype=np.float32)), dim=1)
    batch = Batch.of_histories(histories, users, LAST)
    taste, catalogue = tastes(batch.history, batch.lengths, unit), _spread(unit[:num_trained])
    itself = int(len(catalogue) == num_trained)  # every item is among them, and nearer to itself than anybody is

    def nearer(count: Tensor) -> Tensor:
        return (count.float() - itself).clamp(min=0) / len(catalogue)

    hits = []
    for some, items in zip(taste.split(1024), torch.from_numpy(next_items).split(1024), strict=True):
        cosine = (some * unit[items]).sum(dim=1, keepdim=True)
        share = nearer((unit[items] @ catalogue.T > cosine + _ROUNDING).sum(dim=1))
        hits.append(torch.where(some.any(dim=1) & unit[items].any(dim=1), share, 1.0))
    sample = unit[torch.from_numpy(np.random.default_rng(1).permutation(num_trained)[:_ITEMS])]
    order = (sample @ catalogue.T).sort(dim=1).values
    below = torch.searchsorted(order, (sample @ taste[:_PAIRED].T + _ROUNDING).contiguous(), right=True)
    pairs = nearer(len(catalogue) - below)[:, taste[:_PAIRED].any(dim=1)].flatten()
    of_hits, tried = torch.cat(hits), torch.cat([pairs[pairs <= WIDEST], torch.cat(hits)])
    tried = tried[tried <= WIDEST].unique()
    if not len(tried) or not len(pairs):
        return 0.0
    gained = torch.searchsorted(of_hits.sort().values, tried, right=True) / len(of_hits)
    exposure = torch.searchsorted(pairs.sort().values, tried, right=True) / len(pairs)
    gain = gained - LIFT * exposure
    best = int(gain.argmax())
    return float(tried[best]) if gain[best] > 0 else 0.0


def _next_items(histories: Sequences, targets: Sequences, num_trained: int) -> tuple[np.ndarray, np.ndarray]:
    """Users drawn of those who took something trained that was new to them, and what."""
    users = np.flatnonzero((targets.lengths > 0) & (histories.lengths > 0))
    users = np.random.default_rng(0).permutation(users)[:_USERS]
    next_items = np.asarray(targets.item_idx)[np.asarray(targets.offsets)[users]].astype(np.int64)
    is_new = [item < num_trained and item not in histories[int(user)] for user, item in zip(users, next_items, strict=True)]
    chosen = np.array(is_new, dtype=bool)
    return users[chosen], next_items[chosen]


def _spread(vectors: Tensor) -> Tensor:
    """Some of many rows, evenly."""
    return vectors if len(vectors) <= _CATALOGUE else vectors[torch.linspace(0, len(vectors) - 1, _CATALOGUE).long()]
