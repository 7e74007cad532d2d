"""Recommends in a catalogue that a model was never trained on: its items get IDs from the bundle's own encoder and tokenizer.

    genrec export ... name=one
    python tools/recommend_elsewhere.py runs/one/bundle ITEMS EVENTS lists.parquet
    genrec evaluate data.interactions=EVENTS data.items=ITEMS recommendations=lists.parquet

The bundle's own items are removed, the other catalogue's are added, and nothing is trained (the claim of RecGPT, see
docs/methods/recgpt.md). Each user's last event is the test target, the one before the validation target. Tables are parquet.
What moves across: the encoder as it was fitted, the tokenizer with its codebooks, and the weights of the generator. An encoder
that no bundle carries is named by ``--external encoder.model=FOLDER``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

import genrec
from genrec.types import ITEM_ID, RANK, SPLIT, USER_ID

HELD_OUT = {"validation": 2, "test": 1}  # events at the end of each sequence that a split does not see


def lists_elsewhere(
    bundle: Path,
    items: pl.DataFrame,
    events: pl.DataFrame,
    *,
    k: int,
    splits: Sequence[str] = tuple(HELD_OUT),
    external: Mapping[str, str | Path] | None = None,
) -> pl.DataFrame:
    """Returns the lists of some splits.

    Args:
        bundle: with its encoder and tokenizer.
        items: of the other catalogue; columns that the bundle's items do not have are left out.
        events: user and item ids, oldest first within a user.
        k: length of the lists.
        splits: "validation", "test".
        external: what no bundle carries, by its key: ``encoder.model`` and the folder.
    """
    recommender = genrec.load(bundle, external=external)
    columns = [column for column in recommender.items.columns if column in items.columns]
    before = recommender.items[ITEM_ID].to_list()
    recommender.add_items(items.select(columns))
    recommender.remove_items([item for item in before if item not in set(items[ITEM_ID])])
    sequences = events.group_by(USER_ID, maintain_order=True).agg(ITEM_ID)
    tables = []
    for split in splits:
        held_out = HELD_OUT[split]
        rows = sequences.filter(pl.col(ITEM_ID).list.len() >= max(HELD_OUT.values()) + 1)
        histories = rows.select(pl.col(ITEM_ID).list.head(pl.col(ITEM_ID).list.len() - held_out))[ITEM_ID].to_list()
        lists = recommender.recommend(histories, k)
        users = pl.DataFrame({"history": range(rows.height), USER_ID: rows[USER_ID]}, schema_overrides={"history": pl.Int64})
        lists = lists.with_columns(pl.col("history").cast(pl.Int64)).join(users, on="history", maintain_order="left")
        tables.append(lists.select(USER_ID, ITEM_ID, RANK, "score", pl.lit(split).alias(SPLIT)))
    return pl.concat(tables)


def main() -> None:
    """Writes the lists."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("items", type=Path)
    parser.add_argument("events", type=Path)
    parser.add_argument("lists", type=Path)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--splits", nargs="+", choices=HELD_OUT, default=list(HELD_OUT))
    parser.add_argument("--external", nargs="*", default=[], metavar="KEY=FOLDER")
    options = parser.parse_args()
    external = dict(entry.split("=", 1) for entry in options.external)
    items, events = (pl.read_parquet(file, glob=False) for file in (options.items, options.events))
    lists = lists_elsewhere(options.bundle, items, events, k=options.k, splits=options.splits, external=external)
    lists.write_parquet(options.lists)


if __name__ == "__main__":
    main()
