"""Golden trajectories: the first steps of training of every generator on a small fixed world.

    python tests/golden/regenerate.py [GENERATOR ...]

rewrites tests/golden/<generator>.json, of these or of all. Do it only when a change is MEANT to change training, and say so in
the changelog.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from small_world import OPTIONS, Option, ring, sids_of  # noqa: E402

from genrec.core.trie import PrefixTrie  # noqa: E402
from genrec.training.fit import fit  # noqa: E402
from genrec.training.settings import TrainSettings  # noqa: E402

NUM_STEPS = 20


def trajectory(option: Option) -> list[float]:
    """The loss of each of the first steps: one step a round, so that validation and checkpoints are part of it."""
    world, sids = ring(num_items=40, num_users=50), sids_of(40, (4, 5, 6))
    trie = PrefixTrie.build(sids)
    generator = option.build(sids, train_counts=world.train_counts, dropout=0.1)
    settings = TrainSettings(
        epochs=20,
        max_targets=1400,
        lr=5e-3,
        warmup_steps=5,
        batch_states=70,
        num_validations=100,
        validation_users=5,
        precision="fp32",  # whatever the machine's own would be
    )
    with tempfile.TemporaryDirectory() as work:
        fitted = fit(
            generator,
            option.objective(trie, generator),
            world,
            trie,
            settings,
            work=Path(work),
            device=torch.device("cpu"),
            progress=False,
            log=lambda line: None,
        )
    assert [row["step"] for row in fitted.history] == list(range(1, len(fitted.history) + 1))
    return [round(row["train/loss"], 5) for row in fitted.history[:NUM_STEPS]]


def file_of(option: Option) -> Path:
    return HERE / f"{option.id}.json"


if __name__ == "__main__":
    wanted = sys.argv[1:] or [option.id for option in OPTIONS]
    for option in (option for option in OPTIONS if option.id in wanted):
        losses = trajectory(option)
        file_of(option).write_text(json.dumps({"train/loss": losses}, indent=2) + "\n", encoding="utf-8")
        print(f"{option.id}: {losses[0]:.3f} -> {losses[-1]:.3f}")
