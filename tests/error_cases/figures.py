"""Messages of baselines and of the evaluation that chooses their settings."""

from __future__ import annotations

from typing import Any

import polars as pl
from small_evaluation import BASELINES, evaluated, walks
from small_world import ring

from error_cases import Case, Scene
from genrec.baselines.ease import EASE
from genrec.baselines.linear_text import LinearText
from genrec.baselines.pair_counts import PairCounts
from genrec.baselines.text_search import TextSearch
from genrec.errors import ConfigError
from genrec.stages.evaluate import Evaluator


def in_the_models_place(model: str, baselines: dict[str, Any] = BASELINES) -> Any:
    def trigger(scene: Scene) -> Any:
        return evaluated(scene.path, walks(users=5), pl.DataFrame({"split": []}), baselines=baselines, model=model)

    return trigger


LARGE = {"ease": {"_target_": "genrec.baselines.ease.EASE", "max_items": 3}}

CASES = [
    Case("no pairs", ConfigError, "window: expected 1 or more, got 0", lambda scene: PairCounts(window=0)),
    Case("backward", ConfigError, "got 1.2", lambda scene: PairCounts(backward=1.2)),
    Case(
        "a negative power", ConfigError, "history_power: expected 0 or more, got -1", lambda scene: PairCounts(history_power=-1)
    ),
    Case("no power", ConfigError, "row_power: expected 0 or more, got nan", lambda scene: PairCounts(row_power=float("nan"))),
    Case("no ridge", ConfigError, "ridge: expected more than 0, got 0", lambda scene: EASE(ridge=0)),
    Case("ease decay", ConfigError, "got 1.5", lambda scene: EASE(decay=1.5)),
    Case("ease of nothing", ConfigError, "max_items: expected 1 or more, got 0", lambda scene: EASE(max_items=0)),
    Case("search in no column", ConfigError, "got cover", lambda scene: TextSearch(columns=["cover"]).fit(ring())),
    Case("text ridge", ConfigError, "got -3", lambda scene: LinearText(ridge=-3)),
    Case("text decay", ConfigError, "got 0", lambda scene: LinearText(decay=0)),
    Case("text of nothing", ConfigError, "last: expected 1 or more, got 0", lambda scene: LinearText(last=0)),
    Case(
        "no texts", ConfigError, "text_vectors: expected vectors of the items, got none", lambda scene: LinearText().fit(ring())
    ),
    Case(
        "search",
        ConfigError,
        "search_users: expected 0 or more, got -1",
        lambda scene: Evaluator(baselines={}, search_users=-1),
    ),
    Case("not a baseline", ConfigError, "got transition; did you mean transitions?", in_the_models_place("transition")),
    Case(
        "too large for it",
        ConfigError,
        "evaluate.model: expected a baseline that can be",
        in_the_models_place("ease", BASELINES | LARGE),
    ),
    Case("none fits", ConfigError, "got none", in_the_models_place("best", LARGE)),
]
