"""How well a trained recommender takes in items that come later: removes some, trains without them, adds them back, measures.

python tools/measure_new_items.py --items ITEMS --interactions EVENTS --count 500 experiment=best
python tools/measure_new_items.py --items ITEMS --interactions EVENTS --count 50 experiment=best train.epochs=2    a first look

The items are drawn by --seed and removed with their events; encoder, tokenizer and generator are fitted on the rest, then a run
extends that one with the whole tables (docs/new_items.md). Once with the codebook-wide share of the loss and once without. The
same command again goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import genrec
from genrec.baselines.lib.item_to_item import recency_weights
from genrec.baselines.lib.ranking import ranked_tables, scores_of
from genrec.core.dataset import Dataset, Sequences
from genrec.engine.runs import Run
from genrec.evaluation.list_settings import TABLE_FILE
from genrec.evaluation.measure import ACCURACY, accuracy
from genrec.metrics.lib.tables import targets_of
from genrec.model.item_vectors import read_vectors
from genrec.types import ITEM_ID, RANK, SHORT_SPLIT, SPLIT, SPLITS, USER_ID, Split

K_NEW, K_OLD = 50, 10


class ContentNeighbours:
    """The baseline: items whose vectors are nearest to those of a history, recent items weighing more.

    Args:
        vectors: [items, dim] of anything that needs no events of the item.
        last: how many of the most recent items count.
        decay: weight of an item relative to the next more recent one.
    """

    def __init__(self, vectors: np.ndarray, *, last: int = 10, decay: float = 0.8) -> None:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self.vectors, self.last, self.decay = vectors / np.maximum(lengths, 1e-12), last, decay

    def fit(self, dataset: Dataset) -> None: ...

    def score(self, histories: Sequences) -> np.ndarray:
        recent = recency_weights(histories, len(self.vectors), last=self.last, decay=self.decay)
        return np.asarray((recent @ self.vectors) @ self.vectors.T)


def remove(items: Path, interactions: Path, folder: Path, *, count: int, seed: int) -> pl.Series:
    """Writes both tables without ``count`` items that have events; returns these items."""
    catalogue, events = pl.read_parquet(items, glob=False), pl.read_parquet(interactions, glob=False)
    removed = events[ITEM_ID].unique().sort().sample(count, seed=seed, shuffle=True)
    folder.mkdir(parents=True, exist_ok=True)
    for table, name in ((catalogue, "items"), (events, "interactions")):
        table.filter(~pl.col(ITEM_ID).is_in(removed.implode())).write_parquet(folder / f"{name}.parquet")
    return removed


def figures(old: Run, new: Run, removed: pl.Series) -> dict[str, Any]:
    """What the added items cost and gain."""
    before, after = (Dataset.load(run.artifact("dataset").path) for run in (old, new))
    lists = [pl.read_parquet(run.artifact("recommendations").path / TABLE_FILE, glob=False) for run in (old, new)]
    row: dict[str, Any] = {"IDs moved": _moved(old, new)}
    for split in (split for split in SPLITS if split in set(lists[0][SPLIT])):
        shown = [table.filter(pl.col(SPLIT) == split) for table in lists]
        targets, key = targets_of(after, split), SHORT_SPLIT[split]
        is_new = pl.col(ITEM_ID).is_in(removed.implode())
        new_targets = targets.filter(is_new)
        row[f"{key} users with a new target"] = new_targets.height
        row[f"{key}/recall@{K_NEW} of them"] = _mean(shown[1], new_targets, "recall", K_NEW)
        row[f"{key} share of the {K_NEW} shown that is new"] = shown[1].select(is_new.mean()).item()
        for name, vectors in _content(new, removed).items():
            nearest = _neighbours(after, split, vectors)
            row[f"{key}/recall@{K_NEW}, neighbours by {name}"] = _mean(nearest, new_targets, "recall", K_NEW)
            row[f"{key} share of these {K_NEW} that is new"] = nearest.select(is_new.mean()).item()
        same = targets.filter(~is_new).join(targets_of(before, split), on=[USER_ID, ITEM_ID], how="semi")
        row[f"{key} users with the same old target"] = same.height
        scores = [_mean(table, same, "ndcg", K_OLD) for table in shown]
        row[f"{key}/ndcg@{K_OLD} before"], row[f"{key}/ndcg@{K_OLD} after"] = scores
        row[f"{key}/ndcg@{K_OLD} change"] = f"{scores[1] / scores[0] - 1:+.2%}" if scores[0] else "-"
        first = shown[1].filter(pl.col(RANK) <= K_OLD)
        short = _mean(_short_lists(shown[1], is_new), same, "ndcg", K_OLD)
        row[f"{key}/ndcg@{K_OLD} change, lists of {K_OLD}"] = f"{short / scores[0] - 1:+.2%}" if scores[0] else "-"
        row[f"{key} share of the first {K_OLD} shown that is new"] = first.select(is_new.mean()).item()
        row[f"{key} share of the targets that is new"] = targets.select(is_new.mean()).item()
    return row


def _short_lists(lists: pl.DataFrame, is_new: pl.Expr) -> pl.DataFrame:
    """What lists of ``K_OLD`` would hold: the last place goes to a new item where one fits and none stands before it."""
    has_new = (is_new & (pl.col(RANK) < K_OLD)).any().over(USER_ID)
    fits = is_new.any().over(USER_ID)  # a longer list has places for all that fit, up to a share of it
    return lists.filter((pl.col(RANK) < K_OLD) | ((pl.col(RANK) == K_OLD) & (has_new | ~fits)))


def _moved(old: Run, new: Run) -> int:
    tables = [pl.read_parquet(run.artifact("sids").path / "sids.parquet", glob=False) for run in (old, new)]
    both = tables[0].join(tables[1], on=ITEM_ID, suffix="_after")
    return tables[0].height - both.filter(pl.col("codes") == pl.col("codes_after")).height


def _content(run: Run, removed: pl.Series) -> dict[str, np.ndarray]:
    """The vectors that new items have, whatever their events: the joint ones, and each source's that knows them."""
    rows = Dataset.load(run.artifact("dataset").path).item_ids.is_in(removed.implode()).to_numpy()
    return {name: vectors for name, vectors in read_vectors(run.artifact("encoder").path).items() if vectors[rows].any()}


def _neighbours(dataset: Dataset, split: Split, vectors: np.ndarray) -> pl.DataFrame:
    score = scores_of(ContentNeighbours(vectors))
    return pl.concat(ranked_tables(score, dataset, split, k=K_NEW, exclude_seen=True))


def _mean(table: pl.DataFrame, targets: pl.DataFrame, metric: str, k: int) -> float:
    of_them = table.join(targets, on=USER_ID, how="semi")
    return float(accuracy(of_them, targets, [k], {metric: ACCURACY[metric]})[f"{metric}@{k}"].mean() or 0.0)  # type: ignore[arg-type]


def main(words: Sequence[str] | None = None) -> None:
    """Runs everything and prints a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="group=option | key=value", help="as for genrec run")
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--interactions", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500, help="items to remove")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of items")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.0], help="values of objective.codebook_share")
    parser.add_argument("--folder", type=Path, default=Path("runs_new_items"), help="for the smaller tables and all runs")
    options = parser.parse_intermixed_args(words)
    removed = remove(options.items, options.interactions, options.folder, count=options.count, seed=options.seed)

    tables = [f"data.{name}={options.folder.resolve()}/{name}.parquet" for name in ("items", "interactions")]
    tables += ["data=tables", "split.short_users=train", f"paths.runs={options.folder.resolve()}/runs"]
    whole = [f"data.items={options.items.resolve()}", f"data.interactions={options.interactions.resolve()}"]
    columns = {}
    for share in options.shares:
        settings = [*options.overrides, *tables, f"objective.codebook_share={share}", f"name=without_{share}"]
        old = genrec.run(until="recommend", overrides=settings)
        new = genrec.run(until="recommend", extends=old.path, overrides=[*whole, f"name=with_{share}"])
        columns[f"share {share}"] = figures(old, new, removed)
    print(f"\n{options.count} items removed and added{'':32}" + "".join(f"{name:>14}" for name in columns))
    for key in next(iter(columns.values())):
        values = [figures[key] for figures in columns.values()]
        print(f"{key:<54}" + "".join(f"{value:14.4f}" if isinstance(value, float) else f"{value:>14}" for value in values))


if __name__ == "__main__":
    main()
