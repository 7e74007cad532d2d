"""Targets a second of cornac's TIGER in training; run by tools/benchmarks/training.py in the peers' environment.

    .venv-cornac/bin/python tools/peers/cornac_training.py SEQUENCES.npz ITEMS THREADS equal|grid

One epoch of its own loop (``fit`` after the tokenizer) over the given sequences and random item vectors. "grid" is its shipped
GRID configuration, "equal" has the width and depth of the benchmark's other ways. Validation is left out.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import OrderedDict

import numpy as np
import torch
from cornac.data import FeatureModality, SequentialDataset
from cornac.models import TIGER
from cornac.models.tiger import GRID_CONFIG

EQUAL = {"d_model": 128, "d_ff": 512, "num_heads": 4, "d_kv": 32, "num_enc_layers": 3, "num_dec_layers": 2}


class Timed(TIGER):
    """Notes how long the loop over batches takes, without the tokenizer before it."""

    def _fit_seq2seq(self, torch_module, val_set) -> None:
        start = time.perf_counter()
        super()._fit_seq2seq(torch_module, val_set)
        self.seconds = time.perf_counter() - start


def main(path: str, num_items: int, threads: int, recipe: str) -> None:
    """Prints one JSON object."""
    torch.set_num_threads(threads)
    data = np.load(path)
    item_idx, offsets = data["item_idx"], data["offsets"]
    lengths = np.diff(offsets)
    user = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(item_idx)) - np.repeat(offsets[:-1], lengths)
    rows = list(zip(user.tolist(), item_idx.tolist(), place.tolist(), strict=True))
    sessions = SequentialDataset.build(rows, fmt="SIT", global_iid_map=OrderedDict((item, item) for item in range(num_items)))
    vectors = np.random.default_rng(0).standard_normal((num_items, 64)).astype(np.float32)
    sessions.add_modalities(item_feature=FeatureModality(features=vectors))
    keys = {**GRID_CONFIG, "n_epochs": 1, "seed": 0, "model_selection": "last", **(EQUAL if recipe == "equal" else {})}
    model = Timed(**keys, verbose=False)
    model.fit(sessions)
    print(
        json.dumps(
            {
                "targets_per_second": float((lengths - 1).sum() / model.seconds),
                "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                "weights": sum(w.numel() for w in model.model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
