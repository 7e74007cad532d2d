"""Rounds are compared by the rule on seen items that the run's lists are made by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from small_world import OPTIONS, ring, sequences_of, sids_of

from genrec.core.dataset import Dataset
from genrec.core.trie import PrefixTrie
from genrec.decoding.full_ranking import FullRanking
from genrec.engine.config import compose
from genrec.engine.pipeline import plan
from genrec.errors import DataError
from genrec.training.checkpointing import METRIC, RoundKeeper, Validator
from genrec.training.fit import Fitted, fit
from genrec.training.settings import TrainSettings

NUM_ITEMS = 30
OPTION = next(option for option in OPTIONS if option.id == "sasrec")
SETTINGS = TrainSettings(
    epochs=8, lr=1e-2, warmup_steps=5, batch_states=250, num_validations=8, precision="fp32", validation_users=200
)


def cycles(*, num_users: int = 80, length: int = 10, fresh: int = 0) -> Dataset:
    """Every user takes three favourites in turn; ``fresh`` of them end with two items that are new to them."""
    random = np.random.default_rng(0)
    rows = [np.tile(random.permutation(NUM_ITEMS)[:3], length)[:length].tolist() for _ in range(num_users)]
    for row in rows[:fresh]:
        row[-2:] = [item for item in range(NUM_ITEMS) if item not in row][:2]
    events = sequences_of(rows)
    return Dataset(
        items=pl.DataFrame({"item_id": [f"i{item}" for item in range(NUM_ITEMS)]}),
        users=pl.DataFrame({"user_id": [f"u{user}" for user in range(num_users)]}),
        events=events,
        train_ends=events.offsets[1:] - 2,
        validation_ends=events.offsets[1:] - 1,
    )


def fitted(work: Path, world: Dataset, settings: TrainSettings, **more: Any) -> tuple[Fitted, list[str]]:
    lines: list[str] = []
    sids = sids_of(NUM_ITEMS, (4, 5, 6))
    trie = PrefixTrie.build(sids)
    generator = OPTION.build(sids, train_counts=world.train_counts, dim=32)
    objective, device = OPTION.objective(trie, generator), torch.device("cpu")
    made = fit(generator, objective, world, trie, settings, work=work, device=device, progress=False, log=lines.append, **more)
    return made, lines


def test_repeats_are_learned_and_the_best_round_is_kept(tmp_path: Path) -> None:
    made, lines = fitted(tmp_path, cycles(), SETTINGS, exclude_seen=False)
    scores = [row[METRIC] for row in made.history]
    assert made.best["round"] == int(np.argmax(scores)) >= 4, "a late round is the best"
    assert scores[made.best["round"]] > 1.3 * scores[0] > 0
    assert "validation on 80 users, seen items kept" in lines[0]


def test_targets_that_are_all_forbidden_are_refused_before_a_step(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got 80 of 80 in their users' histories; use recommend\.exclude_seen=false"):
        fitted(tmp_path, cycles(), SETTINGS)
    assert list(tmp_path.iterdir()) == []
    made, lines = fitted(tmp_path, cycles(fresh=1), replace(SETTINGS, epochs=1, num_validations=1))
    assert len(made.history) == 1, "one open target is enough"
    assert "seen items excluded" in lines[0]


def test_the_figures_follow_the_rule() -> None:
    """A scorer that always thinks most of the user's last item: by one rule it is listed first, by the other never."""
    world = cycles(length=9)
    same = replace(world, events=sequences_of([[row[0]] * 9 for row in map(world.events.__getitem__, range(80))]))

    def last_item(batch: Any) -> torch.Tensor:
        last = batch.history.gather(1, batch.lengths.unsqueeze(1) - 1)
        return torch.nn.functional.one_hot(last.squeeze(1), NUM_ITEMS).float()

    generator = OPTION.build(sids_of(NUM_ITEMS, (4, 5, 6)))
    generator.score = last_item
    kept = Validator(same, FullRanking(), None, 50, exclude_seen=False).measure(generator)
    assert kept == {"val/recall@10": 1.0, "val/ndcg@10": 1.0}
    mixed = replace(same, events=replace(same.events, item_idx=np.where(np.arange(720) == 7, 29, same.events.item_idx)))
    assert Validator(mixed, FullRanking(), None, 80).measure(generator)["val/ndcg@10"] < 0.02


ROUNDS: list[tuple[list[float | None], int, bool]] = [  # the metric round by round, which is kept, whether it tells nothing
    ([0.1, 0.2, 0.3], 2, False),
    ([0.1, 0.3, 0.2], 1, False),
    ([0.1, 0.3, 0.3], 1, False),
    ([0.2, 0.2, 0.2], 2, True),
    ([0.0, 0.0, 0.0, 0.0], 3, True),
    ([0.0, 0.0, 0.1, 0.1], 2, False),
    ([0.2, 0.2, 0.1], 1, False),
    ([0.2, 0.2, 0.1, 0.2], 1, False),
    ([0.4], 0, False),
    ([None, None, None], 2, False),
]


@pytest.mark.parametrize(("scores", "kept", "tells_nothing"), ROUNDS, ids=str)
def test_which_round_is_kept(scores: list[float | None], kept: int, tells_nothing: bool, tmp_path: Path) -> None:
    keeper = RoundKeeper(None, tmp_path, None, print, print)  # type: ignore[arg-type]
    written = None
    for number, score in enumerate(scores):  # as training goes: the weights of a round are written when it is the best
        keeper.history.append({"round": number} | ({} if score is None else {METRIC: score}))
        written = number if keeper.best is keeper.history[-1] else written
    assert keeper.best is not None
    assert keeper.best["round"] == written == kept
    assert keeper.is_undecided is tells_nothing


def test_equal_rounds_are_warned_about(tmp_path: Path) -> None:
    still = replace(SETTINGS, lr=0.0, epochs=3, num_validations=3)
    made, lines = fitted(tmp_path, ring(num_items=NUM_ITEMS), still)
    assert made.best == made.history[-1]
    assert f"in all {len(made.history)} rounds, so the last is kept" in lines[-1]


def test_only_the_rule_enters_the_fingerprint(tmp_path: Path) -> None:
    """Another rule trains anew, other lists by the same rule do not."""

    def fingerprints(*overrides: str) -> dict[str, str]:
        config = compose([f"paths.runs={tmp_path}", *overrides])
        return {step.stage.name: step.fingerprint for step in plan(config)}

    usual = fingerprints()
    assert fingerprints("recommend.k=20")["train"] == usual["train"]
    assert fingerprints("recommend.k=20")["recommend"] != usual["recommend"]
    assert fingerprints("recommend.batch_size=7", "recommend.new_item_share=0.5")["train"] == usual["train"]
    assert fingerprints("recommend.exclude_seen=false")["train"] != usual["train"]
    assert fingerprints("recommend.exclude_seen=false")["assign"] == usual["assign"]
