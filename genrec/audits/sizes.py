"""How much data there is: what a figure can resolve, and how many targets nobody could have learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrec.core.dataset import Dataset
from genrec.data.lib.targets import target_facts


def size_facts(dataset: Dataset) -> dict[str, Any]:
    """Users, items, events, density, lengths; per split the targets and those whose item never occurs in training."""
    lengths = dataset.events.lengths
    return {
        "users": dataset.num_users,
        "items": dataset.num_items,
        "events": len(dataset.events.item_idx),
        "train_events": len(dataset.train.item_idx),
        "density": len(dataset.events.item_idx) / (dataset.num_users * dataset.num_items),
        "median_events": float(np.median(lengths)),
        "max_events": int(lengths.max()),
        "median_item_count": float(np.median(dataset.train_counts)),
        "untrained_items": int((dataset.train_counts == 0).sum()),
        "targets": target_facts(dataset),
    }
