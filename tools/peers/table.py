"""What the programs here share: a prepared dataset read, a recommendations table written. Needs numpy and polars, not genrec.

The dataset is the folder of a genrec ``dataset`` artifact. Users and items are rows of its two tables everywhere below; their
own names appear only in the table that is written.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

SPLITS = ("validation", "test")
SAMPLING_SEED = 0  # of `users`: the same users whatever the seed of the model, so that rows of several seeds are paired


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset. User ``u`` owns the events ``offsets[u] .. offsets[u + 1]``, oldest first.

    Args:
        item_ids: [items], the row number is the item.
        user_ids: [users], the row number is the user.
        item_idx: [events].
        offsets: [users + 1].
        train_ends: [users], where each user's training part ends.
        validation_ends: [users], where the validation part ends and the test part starts.
    """

    item_ids: pl.Series
    user_ids: pl.Series
    item_idx: np.ndarray
    offsets: np.ndarray
    train_ends: np.ndarray
    validation_ends: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> Prepared:
        """Reads the folder of a ``dataset`` artifact."""
        names = ("item_idx", "offsets", "train_ends", "validation_ends")
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in names}
        items, users = (pl.read_parquet(folder / f"{name}.parquet") for name in ("items", "users"))
        return cls(item_ids=items["item_id"], user_ids=users["user_id"], **arrays)

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def train_lengths(self) -> np.ndarray:
        """[users]: events of the training part, all that a model may be fitted on."""
        return self.train_ends - self.offsets[:-1]

    def ends(self, split: str) -> np.ndarray:
        """[users]: where the history ends that ``split``'s targets are predicted from; for test that is after validation."""
        return self.train_ends if split == "validation" else self.validation_ends

    def history(self, user: int, split: str) -> np.ndarray:
        """The items that are known of a user when ``split``'s targets are predicted, oldest first."""
        return self.item_idx[self.offsets[user] : self.ends(split)[user]]

    def users(self, split: str, count: int | None = None) -> np.ndarray:
        """Users with a target in ``split`` and something to predict it from, ascending.

        Args:
            split: validation or test.
            count: a random sample of so many, always the same; a smaller sample is part of a larger one. None is everybody.
        """
        ends = self.ends(split)
        until = self.validation_ends if split == "validation" else self.offsets[1:]
        users = np.flatnonzero((until > ends) & (ends > self.offsets[:-1]))
        if count is None or count >= len(users):
            return users
        return np.sort(np.random.default_rng(SAMPLING_SEED).permutation(users)[:count])

    def events(self, users: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The events of each of ``users`` up to ``ends[user]``, flat: user, item, and position within the user from 0."""
        starts, lengths = self.offsets[:-1][users], (ends - self.offsets[:-1])[users]
        position = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(users, lengths), self.item_idx[np.repeat(starts, lengths) + position].astype(np.int64), position


def within(targets: np.ndarray, limit: int, seed: int) -> tuple[int, np.ndarray]:
    """Turns a number of targets into what a library that counts epochs can do: whole epochs, or one epoch of some users.

    Args:
        targets: [users], targets of an epoch by user.
        limit: targets to see, at most.
        seed: of the choice of users.

    Returns:
        epochs, and the users to train on.
    """
    if limit >= targets.sum():
        return int(limit // targets.sum()), np.flatnonzero(targets)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(targets))
    return 1, np.sort(order[np.cumsum(targets[order]) <= limit])


def best(scores: np.ndarray, k: int, seen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k best items of one user and their scores, best first; equal scores in item order.

    Args:
        scores: [items]; an item at minus infinity is never listed.
        k: items wanted; fewer when there are no more.
        seen: items to leave out.
    """
    scores = scores.astype(np.float64)
    if seen is not None:
        scores[seen] = -np.inf
    items = np.argsort(-scores, kind="stable")[:k]
    items = items[np.isfinite(scores[items])]
    return items, scores[items]


def recommendations(data: Prepared, split: str, users: np.ndarray, items: np.ndarray, scores: np.ndarray) -> pl.DataFrame:
    """The table of one split: ``split``, ``user_id``, ``item_id``, ``rank`` (from 1), ``score``.

    Args:
        data: whose rows ``users`` and ``items`` are.
        split: what the lists predict.
        users: [rows].
        items: [rows], of each user in the order of their rank.
        scores: [rows].
    """
    table = pl.DataFrame({"user": users.astype(np.int64), "item": items.astype(np.int64), "score": scores.astype(np.float32)})
    if table.select("user", "item").is_duplicated().any():
        raise ValueError("a list names an item twice")
    return table.sort("user", maintain_order=True).select(
        pl.lit(split).alias("split"),
        data.user_ids.gather(table["user"].sort()).alias("user_id"),
        pl.col("item")
        .map_batches(lambda column: data.item_ids.gather(column), return_dtype=data.item_ids.dtype)
        .alias("item_id"),
        pl.int_range(1, pl.len() + 1).over("user").alias("rank"),
        "score",
    )


def write(tables: list[pl.DataFrame], facts: Mapping[str, Any], out: Path) -> None:
    """Writes the table of all splits to OUT.parquet and what was done to OUT.json beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    pl.concat(tables).write_parquet(out)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts it in KiB
    text = json.dumps({**facts, "peak_memory_gib": round(memory, 2)}, indent=2)
    out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    print(text)


def command_line(description: str) -> argparse.ArgumentParser:
    """The arguments that all of these programs take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of a genrec `dataset` artifact: runs/NAME/dataset")
    parser.add_argument("out", type=Path, help="the recommendations table to write, a .parquet file")
    parser.add_argument("--k", type=int, default=50, help="items a list")
    parser.add_argument("--users", type=int, help="a fixed random sample of so many users instead of all")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=["test"], help="whose targets to predict")
    parser.add_argument("--seed", type=int, default=0, help="of the model")
    parser.add_argument("--keep-seen", dest="exclude_seen", action="store_false", help="also list items of the user's history")
    parser.add_argument("--exclude-seen", dest="exclude_seen", action="store_true", default=True, help="never list those")
    return parser
