"""Strategies for longer lists than they were set up for: their beams widen to the list, and nothing else changes.

Decodes many users, batch by batch, into the recommendations table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from genrec.core.batch import Batch, padded_rows
from genrec.core.dataset import Dataset, Sequences
from genrec.core.deadlines import stop_if_abandoned
from genrec.core.trie import PrefixTrie
from genrec.engine.machine import is_out_of_memory
from genrec.protocols import Decoded, DecodingRequest, DecodingStrategy, HasBeams, WrapsStrategy, device_of
from genrec.types import ITEM_ID, ITEM_IDX, PAD, RANK, SCORE, TIE_SIZE, TIE_START, USER_ID, USER_IDX


def widened(strategy: DecodingStrategy, k: int) -> DecodingStrategy:
    """The strategy itself where it keeps enough beams for ``k`` items, else a copy with ``k`` of them.

    A strategy around another (its attribute ``strategy``) is copied with a widened one inside. What a strategy keeps between
    calls in an object of its own, such as a graph, the copies share.
    """
    if isinstance(strategy, WrapsStrategy):
        wider = widened(strategy.strategy, k)
        if wider is strategy.strategy:
            return strategy
        around = copy(strategy)
        around.strategy = wider
        return around
    if not isinstance(strategy, HasBeams) or strategy.num_beams >= k:
        return strategy
    wide = copy(strategy)
    wide.num_beams = k
    return wide


LOGGER = logging.getLogger(__name__)
_TYPES: dict[str, Any] = {SCORE: np.float32}


def recommend_users(
    generator: Any,
    strategy: DecodingStrategy,
    trie: PrefixTrie | None,
    histories: Sequences,
    users: np.ndarray,
    *,
    k: int,
    exclude_seen: bool,
    batch_size: int,
    allowed: Bool[Tensor, " items"] | None = None,
    candidates: Callable[[np.ndarray], np.ndarray] | None = None,
    bias: Float[Tensor, " items"] | None = None,
    on_batch: Callable[[np.ndarray, Decoded], None] = lambda users, decoded: None,
) -> pl.DataFrame:
    """Recommends ``k`` items to each of ``users`` (rows of ``histories``).

    Users are taken in order of history length, so that little is padded; the result is ordered by user and rank. Where memory
    has no room for a batch, it is halved, once, and so are those that come after it.

    Args:
        generator: a ``Generator``, in eval mode, on the device to use.
        strategy: how to decode.
        trie: on the same device, or None for item scorers.
        histories: whole histories; the model reads their last ``max_history_len`` items, the seen-item rule all of them.
        users: int64 [n] rows.
        k: items per user.
        exclude_seen: never recommend an item of the user's own history.
        batch_size: users per batch.
        allowed: a filter for all of them.
        candidates: users -> bool [users, items]: a filter for each, instead of ``allowed``.
        bias: what to add to the items' log-probabilities for all of them.
        on_batch: called with the users of each batch and what was decoded for them.

    Returns:
        user_idx, item_idx, rank, score, tie_start, tie_size.
    """
    users = np.asarray(users)[np.argsort(histories.lengths[users], kind="stable")]
    lists, size, start = Lists(), min(batch_size, max(len(users), 1)), 0
    smallest = -(-size // 2)
    while start < len(users):
        stop_if_abandoned()
        chunk = users[start : start + size]
        try:
            allowed = allowed if candidates is None else torch.from_numpy(candidates(chunk))
            request = request_of(generator, histories, chunk, k=k, exclude_seen=exclude_seen, allowed=allowed, bias=bias)
            decoded = strategy.decode(generator, trie, request)
        except (RuntimeError, MemoryError) as error:
            if size == smallest or not is_out_of_memory(error):
                raise
            LOGGER.warning("out of memory with %d users at once: going on with %d", size, smallest)
            size = smallest
            continue
        lists.add(chunk, decoded)
        on_batch(chunk, decoded)
        start += len(chunk)
    return lists.table()


class Lists:
    """Decoded lists of many users, batch after batch."""

    def __init__(self) -> None:
        self._columns: dict[str, list[np.ndarray]] = {
            name: [np.empty(0, _TYPES.get(name, np.int64))] for name in (USER_IDX, ITEM_IDX, RANK, SCORE, TIE_START, TIE_SIZE)
        }

    def add(self, users: np.ndarray, decoded: Decoded) -> None:
        """Adds the lists of ``users``."""
        items = decoded.items.cpu().numpy()
        row, slot = np.nonzero(items != PAD)
        self._columns[USER_IDX].append(users[row])
        self._columns[ITEM_IDX].append(items[row, slot])
        self._columns[RANK].append(slot + 1)
        self._columns[SCORE].append(decoded.scores.cpu().numpy()[row, slot])
        self._columns[TIE_START].append(decoded.tie_start.cpu().numpy()[row, slot])
        self._columns[TIE_SIZE].append(decoded.tie_size.cpu().numpy()[row, slot])

    def table(self) -> pl.DataFrame:
        """user_idx, item_idx, rank, score, tie_start, tie_size; by user and rank."""
        data = {name: np.concatenate(parts).astype(_TYPES.get(name, np.int64)) for name, parts in self._columns.items()}
        return pl.DataFrame(data).sort(USER_IDX, RANK)


def request_of(
    generator: Any,
    histories: Sequences,
    users: np.ndarray,
    *,
    k: int,
    exclude_seen: bool,
    allowed: Bool[Tensor, " items"] | Bool[Tensor, "batch items"] | None = None,
    bias: Float[Tensor, " items"] | None = None,
) -> DecodingRequest:
    """Returns what to decode for some users, on the generator's device.

    Args:
        generator: reads the last ``max_history_len`` items.
        histories: whole histories.
        users: int64 [batch] rows.
        k: items per user.
        exclude_seen: never recommend an item of the user's own history, however long ago.
        allowed: a filter for all of them, or one for each.
        bias: what to add to the items' log-probabilities for all of them.
    """
    device = device_of(generator)
    batch = Batch.of_histories(histories, users, generator.max_history_len).to(device)
    seen = None
    if exclude_seen:
        rows = padded_rows(histories.item_idx, histories.offsets[:-1][users], histories.lengths[users])
        seen = torch.from_numpy(rows).to(device)
    allowed = None if allowed is None else allowed.to(device)
    bias = None if bias is None else bias.to(device)
    return DecodingRequest(batch, k, seen, allowed, bias)


def with_ids(table: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The table with ``user_id`` and ``item_id`` in place of dense rows."""
    users, items = dataset.user_ids.gather(table[USER_IDX]), dataset.item_ids.gather(table[ITEM_IDX])
    return table.select(users.alias(USER_ID), items.alias(ITEM_ID), RANK, SCORE, TIE_START, TIE_SIZE)
