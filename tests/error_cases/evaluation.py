"""Messages of metrics, floors and the evaluate stage."""

from __future__ import annotations

from typing import Any

import polars as pl
from small_evaluation import evaluated, recommended, walks

from error_cases import Case, Scene
from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.transitions import Transitions
from genrec.errors import ConfigError, DataError
from genrec.metrics.hits import find_hits
from genrec.stages.evaluate import Evaluator

ROOMS = ["metrics", "baselines", "pages", "stages/evaluate.py"]

TARGETS = pl.DataFrame({"user_id": ["ann"], "item_id": ["a"]})


def hits(*rows: tuple[Any, ...]) -> Any:
    columns = ["user_id", "item_id", "rank", "tie_start", "tie_size"][: len(rows[0])]
    return lambda scene: find_hits(pl.DataFrame(rows, schema=columns, orient="row"), TARGETS)


def evaluation(split: str = "test", **settings: Any) -> Any:
    def trigger(scene: Scene) -> Any:
        dataset = walks(users=5)
        return evaluated(scene.path, dataset, recommended(dataset).filter(pl.col("split") == split), **settings)

    return trigger


CASES = [
    Case("missing column", DataError, "['user_id', 'item_id']", hits(("ann", "a"))),
    Case("rank outside its group", DataError, "'rank': 4", hits(("ann", "a", 4, 1, 2))),
    Case("an item twice", DataError, "item a twice", hits(("ann", "a", 1, 1, 1), ("ann", "a", 2, 2, 1))),
    Case("no neighbours", ConfigError, "got 0", lambda scene: ItemKNN(neighbours=0)),
    Case("knn decay", ConfigError, "1.5", lambda scene: ItemKNN(decay=1.5)),
    Case("negative shrinkage", ConfigError, "-2.0", lambda scene: ItemKNN(shrinkage=-2.0)),
    Case("no window", ConfigError, "got 0", lambda scene: Transitions(window=0)),
    Case("no decay", ConfigError, "got 0.0", lambda scene: Transitions(gap_decay=0.0)),
    Case("a k of nothing", ConfigError, "(5, 0)", lambda scene: Evaluator(floors={}, ks=(5, 0))),
    Case("no draws", ConfigError, "got 0", lambda scene: Evaluator(floors={}, draws=0)),
    Case("lists shorter than every k", ConfigError, "[20, 50]", evaluation(ks=[50, 20])),
    Case("nobody to evaluate", DataError, "leave_one_out", evaluation(split="nothing")),
]
