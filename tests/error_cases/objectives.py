"""Messages of the objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from small_world import OPTIONS, ArbitraryLogits, batch_of, ring, sids_of

from error_cases import Case, Scene
from genrec.core.trie import PrefixTrie
from genrec.engine.artifacts import Artifact
from genrec.engine.components import instantiate
from genrec.engine.config import compose
from genrec.engine.stage import Runtime, StageContext
from genrec.errors import ConfigError
from genrec.objectives.lib.ensemble_reward import EnsembleReward
from genrec.stages.train import STAGE

SIDS = sids_of(20, (4, 6))
COUNTS = np.ones(20, dtype=np.int64)
HEAD = dict(compose([]).tree["objective"]) | {"item_weight": 0.5}


def objective(option: str, **changes: Any) -> Any:
    node = dict(compose([f"objective={option}"]).tree["objective"]) | changes
    return instantiate(node, "objective", trie=PrefixTrie.build(SIDS), train_counts=COUNTS)


def scorer(option: str) -> Any:
    return objective(option).check(next(option for option in OPTIONS if option.id == "sasrec").build(SIDS))


def writer(option: str, **changes: Any) -> Any:
    return objective(option, **changes).check(ArbitraryLogits(SIDS))


def without_a_start(scene: Scene) -> Any:
    """Fine-tuning of nothing."""
    world, tree = ring(num_items=20), compose(["objective=dpo"]).tree
    for kind in ("dataset", "sids"):
        (scene.path / kind).mkdir()
    world.save(scene.path / "dataset")
    SIDS.save(scene.path / "sids", world.item_ids)
    inputs = {kind: Artifact(scene.path / kind) for kind in STAGE.inputs(tree)}
    return STAGE.build(StageContext(STAGE.settings(tree), inputs, scene.path, scene.path, print, Runtime(progress=False)))


def untrained() -> Any:
    return instantiate(compose(["objective=in_batch_contrastive"]).tree["objective"], "objective", train_counts=0 * COUNTS)


def wrong(name: str, option: str, value: str, **changes: Any) -> Case:
    return Case(name, ConfigError, value, lambda scene: objective(option, **changes))


CASES = [
    Case("no vectors", ConfigError, "got denoising", lambda scene: scorer("denoising")),
    Case("no two branches", ConfigError, "got dual_alignment", lambda scene: scorer("dual_alignment")),
    wrong("negative weight of a reward", "dpo", "score_weight: expected 0 or more, got -1.0", score_weight=-1.0),
    wrong("negative weight of a reward of a group", "ecpo", "score_weight: expected 0 or more, got -1.0", score_weight=-1.0),
    wrong("no baseline as a reward", "dpo", "scorers.a: expected a baseline, got int", scorers={"a": 3}),
    Case(
        "nobody to ask for a reward",
        ConfigError,
        "score_weight above 0, got none",
        lambda scene: EnsembleReward(None)(ArbitraryLogits(SIDS), batch_of([[1]]), torch.tensor([[1]]), torch.tensor([[True]])),
    ),
    wrong("codebook share", "sid_cross_entropy", "codebook_share: expected a share in [0, 1], got 1.5", codebook_share=1.5),
    wrong(
        "share of the head",
        "sid_cross_entropy",
        "distillation_weight: expected a share in [0, 1], got -0.5",
        distillation_weight=-0.5,
    ),
    wrong("teaching without a head", "sid_cross_entropy", "got 0.5 with item_weight: 0.0", distillation_weight=0.5),
    wrong("teaching from a sample", "sid_cross_entropy", "got 64", distillation_weight=0.5, item_weight=1.0, item_negatives=64),
    wrong("label smoothing", "sid_cross_entropy", "label_smoothing: expected a share in [0, 1), got 1.0", label_smoothing=1.0),
    wrong("popular share of no sample", "sid_cross_entropy", "got 0.5 with item_negatives: null", item_popular_share=0.5),
    wrong("head's popular share", "sid_cross_entropy", "item_popular_share", item_negatives=9, item_popular_share=1.0),
    wrong(
        "popular share", "sampled_softmax", "objective.popular_share: expected a share in [0, 1), got -0.1", popular_share=-0.1
    ),
    wrong("no negatives", "sampled_softmax", "got 0", num_negatives=0),
    wrong("prefix weight", "prefix_aware", "got -0.5", prefix_weight=-0.5),
    wrong("no preference", "dpo", "objective.weight: expected above 0, got 0.0", weight=0.0),
    wrong("nobody rejected", "dpo", "num_rejected: expected at least 1, got 0", num_rejected=0),
    wrong("no histories", "grpo", "num_histories: expected at least 1, got 0", num_histories=0),
    wrong("a group of one", "grpo", "group_size: expected at least 2, got 1", group_size=1),
    wrong("divergence", "grpo", "kl_weight: expected 0 or more, got -0.1", kl_weight=-0.1),
    wrong("no policy", "grpo", "objective.weight: expected above 0, got 0.0", weight=0.0),
    wrong("clip", "ecpo", "clip: expected in (0, 1), got 1.0", clip=1.0),
    Case("no head for its weight", ConfigError, "0.5 with item_head: False", lambda scene: writer("dpo", supervised=HEAD)),
    Case("codes of an item scorer", ConfigError, "got prefix_aware", lambda scene: scorer("prefix_aware")),
    Case("items of a writer", ConfigError, "got in_batch_contrastive", lambda scene: writer("in_batch_contrastive")),
    Case("nothing was trained", ConfigError, "got 0", lambda scene: untrained()),
    Case(
        "fine-tuning of nothing", ConfigError, "train.init_from: expected what DPO is to fine-tune, got null", without_a_start
    ),
]
