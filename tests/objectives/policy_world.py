"""A tiny catalogue and generators for the objectives that learn from what the generator recommends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_world import OPTIONS, all_targets, random_histories, ring, scrambled, sids_of

from genrec.core.batch import Batch
from genrec.core.dataset import Sequences
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import item_log_probs
from genrec.protocols import Objective
from genrec.training.fit import Fitted, fit
from genrec.training.settings import TrainSettings

NUM_ITEMS = 12
SIDS = sids_of(NUM_ITEMS, (3, 3, 3))
TRIE = PrefixTrie.build(SIDS)
BATCH = all_targets(random_histories(NUM_ITEMS, [0, 2, 4]), NUM_ITEMS)
ENCDEC = next(option for option in OPTIONS if option.id == "encdec")
WORLD = ring(num_items=NUM_ITEMS, num_users=40, max_len=8)


def generator(*, seed: int, sids: SIDTable = SIDS, **changes: Any) -> Any:
    """A small encdec with opinions."""
    return scrambled(ENCDEC.build(sids, seed=seed, **changes), seed=seed)


class ByTable:
    """A baseline that scores item i for a history by a table: row of the last item, or the last row for an empty one."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def fit(self, dataset: Any) -> None:
        """Nothing to fit."""

    def score(self, histories: Sequences) -> np.ndarray:
        """The rows of the last items."""
        rows = (histories[user] for user in range(len(histories)))
        last = [int(row[-1]) if len(row) else -1 for row in rows]
        return self.table[last]


def standardized(values: list[float]) -> list[float]:
    """(v - mean) / (std + 1e-4)."""
    return [float(z) for z in (np.array(values) - np.mean(values)) / (np.std(values) + 1e-4)]


def log_prob(policy: Any, batch: Batch, row: int, item: int) -> float:
    """Of one item for one history, by the decoder's exact likelihood."""
    one = Batch(batch.history[[row]], batch.lengths[[row]])
    return float(item_log_probs(policy, TRIE, one, torch.tensor([[item]])))


def trained(policy: Any, objective: Objective, work: Path, *, epochs: int, lr: float, validations: int = 1) -> Fitted:
    """Trains in place on a world where item i is always followed by item i + 1."""
    settings = TrainSettings(
        epochs=epochs, lr=lr, warmup_steps=3, batch_states=60, num_validations=validations, validation_users=5, weight_decay=0.0
    )
    work.mkdir(exist_ok=True)
    cpu = torch.device("cpu")
    return fit(policy, objective, WORLD, TRIE, settings, work=work, device=cpu, progress=False, log=lambda line: None)
