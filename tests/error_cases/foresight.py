"""What is told before the first stage, and once the data are there."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from small_world import ring

from error_cases import Case, Scene
from genrec.engine.config import compose
from genrec.engine.early_checks import check_dataset
from genrec.engine.pipeline import execute, needed_stages, plan
from genrec.errors import ConfigError, DataError
from genrec.generators.sasrec import SASRec
from genrec.testing.worlds import SCHEMA

RING = ring(num_items=60, num_users=9)
ALL = {"train_ends": RING.events.offsets[1:], "validation_ends": RING.events.offsets[1:]}
DATA = ["data=tables", "data.interactions=events.csv", "threads=1", "filters=none"]


class Deaf(SASRec):
    """A generator that reads item ids alone."""

    def __init__(
        self,
        *,
        num_items: int,
        dim: int,
        num_heads: int,
        num_layers: int,
        feedforward_mult: int,
        dropout: float,
        time_gaps: bool,
        max_history_len: int,
    ) -> None:
        super().__init__(num_items=num_items)


def planned(scene: Scene, given: str, until: str = "evaluate") -> Any:
    return plan(compose(given.split()), until=until)


def run(scene: Scene, given: str) -> Any:
    lines = [f"u{user},i{(user + step) % 5}" for user in range(3) for step in range(4)]
    head = "user_id,item_id"
    (scene.path / "events.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    return execute(compose([*DATA, *given.split()]), log=lambda line: None)


def prepared(scene: Scene, given: str = "generator=sasrec", **changes: Any) -> Any:
    replace(RING, **changes).save(scene.path)
    config = compose(given.split())
    check_dataset(config, needed_stages(config.tree, "evaluate"), SimpleNamespace(path=scene.path))  # type: ignore[arg-type]


def without_onnx(scene: Scene) -> Any:
    scene.monkeypatch.setattr("genrec.engine.early_checks.find_spec", lambda name: None)
    return planned(scene, "export.runtime=onnx", "export")


CODED = "events.user_codes=true"
DEAF = "plugins=[error_cases] generator=sasrec generator._target_=error_cases.foresight.Deaf"
WORDS = "events.text=query encoder=tfidf_svd"
CASES = [
    Case("no texts", ConfigError, "got null", lambda scene: planned(scene, "generator=encdec", "condition")),
    Case(
        "no reader", ConfigError, "got Collaborative", lambda scene: planned(scene, "events.text=query encoder=collaborative")
    ),
    Case("no hearer", ConfigError, "got Deaf", lambda scene: planned(scene, f"{WORDS} {DEAF}")),
    Case("words for all", ConfigError, "got shoes", lambda scene: planned(scene, f"{WORDS} recommend.request={{text:shoes}}")),
    Case("codes without codes", ConfigError, "got false", lambda scene: planned(scene, "generator=encdec", "user_tokenize")),
    Case("codes of no vectors", ConfigError, "got Sequential", lambda scene: planned(scene, f"{CODED} tokenizer=sequential")),
    Case("codes unheard", ConfigError, "got Deaf", lambda scene: planned(scene, f"{CODED} {DEAF}")),
    Case("ks", ConfigError, "got 70", lambda scene: planned(scene, "evaluate.ks=[10,70]")),
    Case("no graph", ConfigError, "got Tiger", lambda scene: planned(scene, "generator=tiger export.runtime=onnx", "export")),
    Case("no pieces", ConfigError, "got SASRec", lambda scene: planned(scene, "generator=sasrec export.pieces=99", "export")),
    Case("no package", ConfigError, "the package onnx, got no such package", without_onnx),
    Case(
        "graphs",
        ConfigError,
        "got time_gaps=true",
        lambda scene: planned(scene, "generator.time_gaps=true export.runtime=onnx", "export"),
    ),
    Case("no model", ConfigError, "./x/y", lambda scene: planned(scene, "generator=lc_rec generator.model=./x/y")),
    Case("no targets", DataError, "AllTraining", lambda scene: planned(scene, "split=all")),
    Case("no column", ConfigError, "got brand", lambda scene: run(scene, "evaluate.slice_columns=[brand] generator=sasrec")),
    Case("no label", ConfigError, "got brand", lambda scene: run(scene, "generator=human_priors generator.prior=brand")),
    Case(
        "no such column",
        ConfigError,
        "generator.prior: expected one of popularity, event_type, timestamp, got rating; choose what",
        lambda scene: prepared(scene, "generator=human_priors generator.prior=rating", schema=SCHEMA),
    ),
    Case(
        "no actions",
        ConfigError,
        "generator.actions: expected a category or a number of events.columns (event_type, rating), got timestamp.gap",
        lambda scene: prepared(scene, "generator=hstu generator.actions=timestamp.gap", schema=SCHEMA),
    ),
    Case("no times", ConfigError, "got true", lambda scene: run(scene, "generator=hstu generator.time_gaps=true")),
    Case("no training", DataError, "got 0", lambda scene: prepared(scene, train_ends=RING.events.offsets[:-1])),
    Case("none held out", DataError, "no validation or test targets among 9 users", lambda scene: prepared(scene, **ALL)),
]
