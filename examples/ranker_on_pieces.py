"""A ranker of one's own on features of semantic IDs: item ids, codes, n-grams or pieces, on popular, rare and new items.

    genrec export ... export.pieces=4096
    python examples/ranker_on_pieces.py runs/shop/bundle events.parquet --features ids codes pieces ids+pieces

The ranker is small: an item's vector is the sum of the rows of its feature, a user's the mean over the last ten items, and two
layers say how likely the user takes the item. It learns from each event but a user's last one, beside four items drawn evenly
from the catalogue. The last event is ranked among 100 such items: AUC is the share of them below it.

It needs no genrec: of the bundle it reads ``pieces/pieces.parquet`` alone. Events are a table (parquet or csv) with ids of
users and items, oldest first within a user. docs/methods/id_pieces.md shows figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEEN, DRAWN, RANKED = 10, 4, 100  # items of a history, drawn beside an event in training, and in the test
BANDS = (("all", 0, np.inf), ("6 events or more", 6, np.inf), ("1 to 5", 1, 5), ("new", 0, 0))


def read_feature(table: pl.DataFrame, names: str, num_rows: int) -> Tensor:
    """Rows [items, n] of each item in one table for all of the features, such as ``ids+pieces``; 0 is no row."""
    parts, offset = [], 1
    for name in names.split("+"):
        values = [[row % num_rows] for row in range(table.height)] if name == "ids" else table[name].to_list()
        width, top = max(map(len, values)), max(max(row) for row in values)
        parts.append([[offset + v for v in row] + [0] * (width - len(row)) for row in values])
        offset += top + 1
    return torch.cat([torch.tensor(part) for part in parts], dim=1)


class Ranker(nn.Module):
    """Logit that a user with some history takes an item."""

    def __init__(self, feature: Tensor, dim: int) -> None:
        super().__init__()
        self.feature = torch.cat([torch.zeros_like(feature[:1]), feature])  # item 0: none
        self.rows = nn.EmbeddingBag(int(feature.max()) + 1, dim, mode="sum", padding_idx=0)
        self.score = nn.Sequential(nn.Linear(3 * dim, 64), nn.ReLU(), nn.Linear(64, 1))
        nn.init.normal_(self.rows.weight, std=0.1)
        self.rows.weight.data[0] = 0.0

    def forward(self, history: Tensor, items: Tensor) -> Tensor:
        used, at = torch.cat([history.flatten(), items.flatten()]).unique(return_inverse=True)
        vectors = self.rows(self.feature[used])[at]
        past, item = vectors.split([history.numel(), items.numel()])
        user = past.unflatten(0, history.shape).sum(1) / (history > 0).sum(1, keepdim=True).clamp(min=1)
        item = item.unflatten(0, items.shape)
        user = user.unsqueeze(1).expand_as(item)
        return self.score(torch.cat([user, item, user * item], dim=-1)).squeeze(-1)


def run(
    table: pl.DataFrame, events: pl.DataFrame, feature: str, num_rows: int, *, epochs: int, dim: int, seed: int
) -> np.ndarray:
    """Returns the AUC of each user's last event."""
    torch.manual_seed(seed)
    histories, items, last = examples(table, events)
    ranker = Ranker(read_feature(table, feature, num_rows), dim)
    optimizer = torch.optim.Adam(ranker.parameters(), lr=0.003)
    training = torch.nonzero(~last).flatten()
    for _ in range(epochs):
        for batch in training[torch.randperm(len(training))].split(256):
            candidates = torch.cat([items[batch, None], torch.randint(1, table.height + 1, (len(batch), DRAWN))], dim=1)
            labels = F.one_hot(torch.zeros(len(batch), dtype=torch.long), DRAWN + 1).float()
            loss = F.binary_cross_entropy_with_logits(ranker(histories[batch], candidates), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    aucs = []
    with torch.no_grad():
        for batch in torch.nonzero(last).flatten().split(256):
            drawn = torch.randint(1, table.height + 1, (len(batch), RANKED))
            scores = ranker(histories[batch], torch.cat([items[batch, None], drawn], dim=1))
            target, rest = scores[:, :1], scores[:, 1:]
            aucs.append(((target > rest).float() + 0.5 * (target == rest).float()).mean(1))
    return torch.cat(aucs).numpy()


def examples(table: pl.DataFrame, events: pl.DataFrame) -> tuple[Tensor, Tensor, Tensor]:
    """The last items before each event (0: none), its item, counted from 1, and whether it is its user's last event."""
    numbered = table.select("item_id").with_row_index("item", offset=1)
    rows = events.join(numbered, on="item_id", maintain_order="left").with_columns(pl.col("item").cast(pl.Int64))
    past = [pl.col("item").shift(back).over("user_id").fill_null(0).alias(str(back)) for back in range(1, SEEN + 1)]
    last = pl.int_range(pl.len()).over("user_id") == pl.len().over("user_id") - 1
    rows = rows.select(*past, "item", last.alias("last"))
    return (
        torch.from_numpy(rows.select(pl.exclude("item", "last")).to_numpy().copy()),
        torch.from_numpy(rows["item"].to_numpy().copy()),
        torch.from_numpy(rows["last"].to_numpy().copy()),
    )


def main(arguments: list[str] | None = None) -> None:
    """Prints a line for each feature."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("events", type=Path)
    parser.add_argument("--features", nargs="+", default=["ids", "codes", "bigrams", "prefixes", "pieces", "ids+pieces"])
    parser.add_argument("--user", default="user_id", help="column of the events")
    parser.add_argument("--item", default="item_id", help="column of the events")
    parser.add_argument("--rows", type=int, default=10**9, help="rows that item ids are hashed to")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    read = pl.read_csv if options.events.suffix == ".csv" else pl.read_parquet
    events = read(options.events).select(pl.col(options.user).alias("user_id"), pl.col(options.item).alias("item_id"))
    events = events.with_columns(pl.all().cast(pl.String))
    table = pl.read_parquet(options.bundle / "pieces" / "pieces.parquet")
    _, items, last = (part.numpy() for part in examples(table, events))
    taken = np.bincount(items[~last], minlength=table.height + 1)[items[last]]
    inside = [(taken >= low) & (taken <= high) for _, low, high in BANDS]
    print("feature", *(f"{band[0]} ({within.sum()})" for band, within in zip(BANDS, inside, strict=True)), sep="  |  ")
    for feature in options.features:
        settings = {"epochs": options.epochs, "dim": options.dim}
        aucs = np.mean(
            [run(table, events, feature, options.rows, seed=seed, **settings) for seed in range(options.seeds)], axis=0
        )
        cells = []
        for within in inside:
            if within.any():
                half = 1.96 * aucs[within].std() / np.sqrt(within.sum())
                cells.append(f"{aucs[within].mean():.4f} ± {half:.4f}")
            else:
                cells.append("-")
        print(feature, *cells, sep="  |  ", flush=True)


if __name__ == "__main__":
    main()
