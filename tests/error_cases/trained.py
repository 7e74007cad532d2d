"""Messages of semantic IDs and their trie, of prepared data, of training and of what a trained model is opened from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from small_world import ring, sids_of

from error_cases import Case, Scene
from genrec.core.dataset import Dataset, check_unseen_targets
from genrec.core.sids import SIDTable, Stream
from genrec.core.trie import PrefixTrie
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.evaluation.list_settings import RecommendSettings
from genrec.generators.sasrec import SASRec
from genrec.model.trained import WEIGHTS_FILE, Model, load_weights
from genrec.objectives.sampled_softmax import SampledSoftmax
from genrec.stages import train
from genrec.templates.objective import Mine
from genrec.training.fit import fit
from genrec.training.settings import TrainSettings

Trigger = Callable[[Scene], Any]
RING = ring(num_items=9, num_users=4)
SIDS = sids_of(20, (4, 5))


def sids(codes: Any, sizes: tuple[int, ...], **more: Any) -> Trigger:
    return lambda scene: SIDTable(np.array(codes), sizes, **more)


def damaged(scene: Scene) -> Any:
    """A table of IDs beside the layout of another."""
    SIDTable(np.array([[0], [1]]), (2,)).save(scene.path, ["a", "b"])
    layout = (scene.path / "layout.json").read_bytes()
    SIDTable(np.array([[1], [0]]), (2,)).save(scene.path, ["a", "b"])
    (scene.path / "layout.json").write_bytes(layout)
    return SIDTable.load(scene.path)


def layout_alone(scene: Scene) -> Any:
    SIDS.save(scene.path, [str(item) for item in range(20)])
    (scene.path / "sids.parquet").unlink()
    return SIDTable.load(scene.path)


def generator(num_items: int = 9) -> SASRec:
    return SASRec(num_items=num_items, dim=8, num_heads=2)


def other_layout(scene: Scene) -> Any:
    """A generator, and IDs that it was not trained on."""
    (scene.path / "sids").mkdir()
    (scene.path / "generator").mkdir()
    SIDS.save(scene.path / "sids", [str(item) for item in range(20)])
    Model(generator=generator()).save(scene.path / "generator", {"sids_layout": "abc", "num_items": 20})
    return Model.open({"sids": scene.path / "sids", "generator": scene.path / "generator"})


def other_sizes(scene: Scene) -> Any:
    Model(generator=generator(9)).save(scene.path, {})
    return load_weights(generator(8), scene.path / WEIGHTS_FILE, where="train.init_from", got=scene.path / "run", fix="x")


def later_items(scene: Scene) -> Any:
    """Extends a run whose generator knows items by weights of their own."""
    RING.save(scene.path)
    context = SimpleNamespace(
        inputs={"dataset": SimpleNamespace(path=scene.path)},
        config={"generator": {"_target_": "genrec.generators.sasrec.SASRec"}},
        extends=SimpleNamespace(path=scene.path, facts={"num_items": 7}),
    )
    return train.extend(context)  # type: ignore[arg-type]


def untrained(scene: Scene) -> Any:
    """Trains on users all of whose events are held out."""
    held_out = replace(RING, train_ends=RING.events.offsets[:-1])
    objective: Any = SampledSoftmax(train_counts=np.ones(9))
    return fit(generator(), objective, held_out, None, TrainSettings(), work=scene.path, device=torch.device("cpu"))


def repeats_only(scene: Scene) -> Any:
    dataset = ring(num_items=3, num_users=4, min_len=12)
    return check_unseen_targets(dataset, np.arange(4))


CASES = [
    # semantic IDs
    Case("levels of no sizes", DataError, "sids: expected codes [items, 2], got (1, 3)", sids([[0, 1, 2]], (4, 4))),
    Case("a code out of range", DataError, "item_idx 1, level 0: expected a code in [0, 4), got 7", sids([[0], [7]], (4,))),
    Case(
        "a stream of fewer items",
        DataError,
        "codes of 2 items, got those of 1",
        sids([[0], [1]], (2,), streams={"x": Stream(np.zeros((1, 1), int), (1,))}),
    ),
    Case("no table of IDs", ArtifactError, "layout.json; run `genrec assign`", lambda scene: SIDTable.load(scene.path)),
    Case("another table of IDs", ArtifactError, f"got {SIDTable(np.array([[1], [0]]), (2,)).table}", damaged),
    Case("IDs of no items", ConfigError, "got 0", lambda scene: PrefixTrie.build(SIDTable(np.zeros((0, 2), int), (4, 4)))),
    Case("no trie", ArtifactError, "expected trie.safetensors, got no such file", lambda scene: PrefixTrie.load(scene.path)),
    Case("no codes beside the layout", ArtifactError, "/sids.parquet; run `genrec assign`", layout_alone),
    # data
    Case(
        "no prepared data", ArtifactError, "items.parquet; run `genrec prepare` again", lambda scene: Dataset.load(scene.path)
    ),
    Case("targets that are all repeats", DataError, "got 4 of 4 in their users' histories", repeats_only),
    # training
    *(
        Case(
            f"train.{key}",
            ConfigError,
            f"train.{key}: expected {words}",
            lambda scene, key=key, value=value: TrainSettings(**{key: value}),
        )  # type: ignore[misc]
        for key, value, words in [
            ("epochs", 0, "at least 1, got 0; raise it"),
            ("lr", -0.1, "0 or more, got -0.1; raise it"),
            ("clip", 0.0, "a number above 0, got 0.0; raise it"),
            ("validation_beams", 5, "at least 10 (ndcg@10 is measured), got 5; raise it"),
            ("accumulate", 0, "at least 1, got 0; raise it"),
            ("checkpoint_minutes", 0.0, "a number above 0, got 0.0; null writes one at each validation only"),
            ("crop_rate", 1.5, "a share in [0, 1], got 1.5; 0 cuts no sequence"),
        ]
    ),
    Case("nothing to train on", ConfigError, "at least one training event, got 0", untrained),
    Case(
        "no weights to start from",
        ArtifactError,
        "train.init_from: expected a folder with model.safetensors, got runs/none; ",
        lambda scene: train.weights_file(Path("runs/none")),
    ),
    Case("later items without IDs", ConfigError, "got 2 items that SASRec has never seen", later_items),
    # trained models
    Case("IDs of another layout", ArtifactError, f"expected sids of layout abc, got {SIDS.layout}", other_layout),
    Case(
        "weights of other sizes", ArtifactError, "expected weights of SASRec in the sizes of its settings, got /", other_sizes
    ),
    # lists
    Case("lists of nothing", ConfigError, "recommend.k: expected at least 1, got 0", lambda scene: RecommendSettings(k=0)),
    Case("a split twice", ConfigError, "got ['test', 'test']", lambda scene: RecommendSettings(splits=("test", "test"))),
    # what `genrec new objective` writes
    Case(
        "a share of all",
        ConfigError,
        "objective.smoothing: expected a share in [0, 1), got 1.0",
        lambda scene: Mine(trie=PrefixTrie.build(SIDS), smoothing=1.0),
    ),
    Case(
        "an objective of codes for a scorer",
        ConfigError,
        "got SASRec, which writes none",
        lambda scene: Mine(trie=PrefixTrie.build(SIDS)).check(generator()),
    ),
]
