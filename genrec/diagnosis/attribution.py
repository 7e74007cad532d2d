"""Attribution by occlusion: how much each item of a history adds to a recommendation, by leaving it out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.dataset import Sequences
from genrec.core.deadlines import stop_if_abandoned
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import item_log_probs
from genrec.protocols import device_of


def history_weights(
    generator: Any,
    trie: PrefixTrie | None,
    histories: Sequences,
    items: Int64[Tensor, "users candidates"],
    *,
    last: int,
    batch_size: int = 128,
) -> list[Float[np.ndarray, "left_out candidates"]]:
    """How much less probable each candidate becomes without each of the last items of a history, in nats.

    Zero: the item has no influence. Above zero: the history item makes the candidate more probable. The rest
    of the history closes the gap; weights need not add up to anything.

    Args:
        generator: autoregressive or an item scorer, in eval mode, on the device to use.
        trie: on the same device, or None for an item scorer.
        histories: of each user as the generator reads them.
        items: the candidates of each user, no ``PAD``.
        last: how many items are left out, one at a time; fewer where the history is shorter.
        batch_size: shortened histories at a time.

    Returns:
        A matrix per user; row ``i`` belongs to the ``i``-th of the items that were left out, oldest first.
    """
    counts = np.minimum(histories.lengths, last) + 1
    rows: list[np.ndarray] = []  # events
    for start, end, count in zip(histories.offsets, histories.offsets[1:], counts, strict=False):
        whole = np.arange(start, end)
        rows += [*(np.delete(whole, position) for position in range(len(whole) - count + 1, len(whole))), whole]
    lengths, flat = np.array([len(row) for row in rows], dtype=np.int64), np.concatenate([*rows, np.zeros(0, np.int64)])
    owners = np.repeat(np.arange(len(counts)), counts)
    left = histories.events(flat, np.concatenate([[0], np.cumsum(lengths)])).owned_by(owners)
    batch = Batch.of_histories(left, np.arange(len(owners)), int(lengths.max(initial=0))).to(device_of(generator))
    candidates = items.repeat_interleave(torch.from_numpy(counts).to(items.device), dim=0)
    parts = []
    for shortened, scored in zip(batch.split(batch_size), candidates.split(batch_size), strict=True):
        stop_if_abandoned()
        parts.append(item_log_probs(generator, trie, shortened, scored))
    log_probs = torch.cat(parts).cpu().numpy()
    return [whole[-1] - whole[:-1] for whole in np.split(log_probs, np.cumsum(counts)[:-1])]
