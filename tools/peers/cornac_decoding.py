"""Users a second of cornac's TIGER at decoding; run by tools/benchmarks/decoding.py in the peers' environment (``make peers``).

    .venv-cornac/bin/python tools/peers/cornac_decoding.py ITEMS BEAMS THREADS HISTORY

Its shipped GRID configuration, fitted for one epoch on a few sessions over random item vectors: decoding takes as long whatever
it has learned. It decodes one user at a time; there is no batch size to choose.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict

import numpy as np
import torch
from cornac.data import FeatureModality, SequentialDataset
from cornac.models import TIGER
from cornac.models.tiger import GRID_CONFIG

SECONDS, WARM_UP = 20.0, 3


def main(num_items: int, num_beams: int, threads: int, history: int) -> None:
    """Prints one JSON object."""
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    rows = [
        (user, int(item), place) for user in range(64) for place, item in enumerate(random.integers(0, num_items, history + 1))
    ]
    sessions = SequentialDataset.build(rows, fmt="SIT", global_iid_map=OrderedDict((item, item) for item in range(num_items)))
    sessions.add_modalities(item_feature=FeatureModality(features=random.standard_normal((num_items, 64)).astype(np.float32)))
    model = TIGER(**{**GRID_CONFIG, "n_epochs": 1, "n_beams": num_beams, "seed": 0}, verbose=False)
    model.fit(sessions)
    done, start = -WARM_UP, time.perf_counter()
    while time.perf_counter() - start < SECONDS or done < 1:
        if done == 0:
            start = time.perf_counter()
        model.score(0, random.integers(0, num_items, history).tolist())
        done += 1
    rate = done / (time.perf_counter() - start)
    print(json.dumps({"users_per_second": rate, "weights": sum(w.numel() for w in model.model.parameters())}))


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:5]))
