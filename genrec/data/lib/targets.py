"""Counts the targets of a dataset, the repeats among them, and those whose item is never in training."""

from __future__ import annotations

import numpy as np

from genrec.core.dataset import Dataset
from genrec.types import SPLITS


def target_facts(dataset: Dataset) -> dict[str, dict[str, float]]:
    """Counts for each split: ``targets``, ``users`` with targets, ``repeats`` (targets that occur in their history),
    ``unseen_items`` (targets whose item never occurs in the training part) and ``repeat_rate`` in [0, 1].
    """
    item, user, starts = dataset.events.item_idx, dataset.events.user_idx, dataset.events.offsets[:-1]
    pair, first = np.unique(user * dataset.num_items + item, return_index=True)
    seen = dataset.train_counts > 0
    facts: dict[str, dict[str, float]] = {}
    for split in SPLITS:
        history_ends = starts + dataset.histories(split).lengths
        targets = dataset.targets(split)
        first_seen = first[np.searchsorted(pair, targets.user_idx * dataset.num_items + targets.item_idx)]
        repeats = int((first_seen < history_ends[targets.user_idx]).sum())
        facts[split] = {
            "targets": len(targets.item_idx),
            "users": int((targets.lengths > 0).sum()),
            "repeats": repeats,
            "repeat_rate": repeats / max(len(targets.item_idx), 1),
            "unseen_items": int((~seen[targets.item_idx]).sum()),
        }
    return facts
