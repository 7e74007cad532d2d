"""Messages of metrics, baselines and the evaluate stage."""

from __future__ import annotations

from typing import Any

import polars as pl
from small_evaluation import evaluated, recommended, walks

from error_cases import Case, Scene
from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.transitions import Transitions
from genrec.errors import ConfigError, DataError
from genrec.evaluation.evaluated_lists import read_lists
from genrec.evaluation.evaluation_spec import check_event_types, weighted_targets
from genrec.metrics.lib.tables import find_hits
from genrec.stages.evaluate import Evaluator

TARGETS = pl.DataFrame({"user_id": ["ann"], "item_id": ["a"]})


def hits(*rows: tuple[Any, ...]) -> Any:
    columns = ["user_id", "item_id", "rank", "tie_start", "tie_size"][: len(rows[0])]
    return lambda scene: find_hits(pl.DataFrame(rows, schema=columns, orient="row"), TARGETS)


def evaluation(split: str = "test", **settings: Any) -> Any:
    def trigger(scene: Scene) -> Any:
        dataset = walks(users=5)
        return evaluated(scene.path, dataset, recommended(dataset).filter(pl.col("split") == split), **settings)

    return trigger


EVENTS = pl.DataFrame(
    {"user_id": ["ann", "ann"], "item_id": ["a", "b"], "event_type": ["click", "view"], "weight": [-1.5, None]}
)


def outside(exclude_seen: bool = True, *, drop: str = "", **columns: Any) -> Any:
    """A table for the ring of ``walks``: user u0, whose history holds i0 and whose test target is i6, unless told otherwise."""

    def trigger(scene: Scene) -> Any:
        file = scene.path / "lists.parquet"
        rows = {"user_id": ["u0"], "item_id": ["i29"], "rank": [1], "split": ["test"]} | columns
        pl.DataFrame({name: values for name, values in rows.items() if name != drop}).write_parquet(file)
        return read_lists(file, walks(users=5), exclude_seen=exclude_seen, log=lambda line: None)

    return trigger


CASES = [
    Case("no order", DataError, "split, user_id, item_id", outside(drop="rank")),
    Case(
        "an empty rank",
        DataError,
        "got None",
        outside(user_id=["u0", "u1"], item_id=["i0", "i1"], rank=[None, 1], split=["test"] * 2),
    ),
    Case("an unknown split", DataError, "got val", outside(split=["val"])),
    Case(
        "a rank twice",
        DataError,
        "rank 1 twice",
        outside(user_id=["u0"] * 2, item_id=["i1", "i2"], rank=[1, 1], split=["test"] * 2),
    ),
    Case("nobody known", DataError, "'stranger'", outside(user_id=["stranger"])),
    Case("a seen item", DataError, "item i", outside(item_id=[walks(users=5).item_ids[int(walks(users=5).train[0][0])]])),
    Case("no event types", ConfigError, "user_id, item_id", lambda scene: weighted_targets(TARGETS, {"click": 1.0})),
    Case("an event type without weight", ConfigError, "none for view", lambda scene: weighted_targets(EVENTS, {"click": 1.0})),
    Case("a negative weight of an event", DataError, "weight -1.5", lambda scene: weighted_targets(EVENTS, "weight")),
    Case("a weight of nothing", ConfigError, "got clik", lambda scene: check_event_types({"clik": 1.0}, EVENTS)),
    Case("a negative weight", ConfigError, "got -1.0", lambda scene: Evaluator(baselines={}, target_weights={"click": -1.0})),
    Case("a baseline called model", ConfigError, "got model", lambda scene: Evaluator(baselines={"model": Transitions()})),
    Case("an unknown category", ConfigError, "got genre", evaluation(category="genre")),
    Case("an unknown slice", ConfigError, "got colour", evaluation(slice_columns=["colour"])),
    Case("missing column", DataError, "['user_id', 'item_id']", hits(("ann", "a"))),
    Case("rank outside its group", DataError, "'rank': 4", hits(("ann", "a", 4, 1, 2))),
    Case("an item twice", DataError, "item a twice", hits(("ann", "a", 1, 1, 1), ("ann", "a", 2, 2, 1))),
    Case("no neighbours", ConfigError, "got 0", lambda scene: ItemKNN(neighbours=0)),
    Case("knn decay", ConfigError, "1.5", lambda scene: ItemKNN(decay=1.5)),
    Case("negative shrinkage", ConfigError, "-2.0", lambda scene: ItemKNN(shrinkage=-2.0)),
    Case("no last items", ConfigError, "got 0", lambda scene: Transitions(last=0)),
    Case("no window", ConfigError, "got 0", lambda scene: Transitions(window=0)),
    Case("no decay", ConfigError, "got 0.0", lambda scene: Transitions(gap_decay=0.0)),
    Case("a k of nothing", ConfigError, "(5, 0)", lambda scene: Evaluator(baselines={}, ks=(5, 0))),
    Case("no draws", ConfigError, "got 0", lambda scene: Evaluator(baselines={}, draws=0)),
    Case(
        "published key", ConfigError, "ndcg10", lambda scene: Evaluator(baselines={}, published={"TIGER": {"ndcg10": 0.0384}})
    ),
    Case("lists shorter than every k", ConfigError, "[20, 50]", evaluation(ks=[50, 20])),
    Case("nobody to evaluate", DataError, "leave_one_out", evaluation(split="nothing")),
]
