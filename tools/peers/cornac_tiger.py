"""cornac's TIGER on a dataset that genrec prepared: trains it, decodes it, writes our recommendations table.

python tools/peers/cornac_tiger.py runs/NAME/dataset OUT.parquet --vectors runs/NAME/encoder/vectors/item.safetensors --epochs 2
"""

from __future__ import annotations

import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cornac
import numpy as np
import polars as pl
import torch
from cornac.data import FeatureModality, SequentialDataset
from cornac.models import TIGER
from cornac.models.tiger import GRID_CONFIG, PAISCHER_CONFIG
from safetensors.numpy import load_file
from table import Prepared, best, command_line, recommendations, within, write

RECIPES: dict[str, dict[str, Any]] = {"constructor": {}, "grid": GRID_CONFIG, "paischer": PAISCHER_CONFIG}
LISTED = -1e9  # cornac gives items that no beam reached a score of -1e10
LOSS_USERS, LOSS_BATCH = 2000, 256


def sessions(data: Prepared, users: np.ndarray, ends: np.ndarray) -> SequentialDataset:
    """One session a user. The item map is given, so that cornac's items are ours and all of them are known."""
    rows = list(zip(*(column.tolist() for column in data.events(users, ends)), strict=True))
    return SequentialDataset.build(rows, fmt="SIT", global_iid_map=OrderedDict((item, item) for item in range(data.num_items)))


def validation_loss(model: TIGER, data: Prepared) -> float:
    """Mean -log p of validation targets under teacher forcing, in nats an item: the training loss, without dropout."""
    users = data.users("validation", LOSS_USERS)
    targets = data.item_idx[data.train_ends[users]]
    histories = np.full((len(users), model.max_len), model.pad_idx)
    for row, user in enumerate(users):
        recent = data.history(user, "validation")[-model.max_len :]
        histories[row, model.max_len - len(recent) :] = recent
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(users), LOSS_BATCH):
            chunk = slice(start, start + LOSS_BATCH)
            tokens = torch.from_numpy(model.enc_token_table[histories[chunk]].reshape(len(histories[chunk]), -1))
            labels = torch.from_numpy(model.sid_table[targets[chunk]])
            total += model.model(tokens, (tokens != 0).float(), labels).item() * len(labels)
    return total / len(users)


def decode(model: TIGER, data: Prepared, split: str, users: np.ndarray, *, k: int, exclude_seen: bool) -> pl.DataFrame:
    """Beam search, one user at a time (cornac's only way), with beams enough for k items beside all seen ones."""
    lists = []
    for user in users:
        history = data.history(user, split)
        seen = np.unique(history) if exclude_seen else None
        model.n_beams = min(k + (0 if seen is None else len(seen)), data.num_items)
        scores = model.score(0, history.tolist())
        items, scores = best(np.where(scores > LISTED, scores, -np.inf), k, seen)
        lists.append((np.full(len(items), user), items, scores))
    return recommendations(data, split, *(np.concatenate(column) for column in zip(*lists, strict=True)))


def main() -> None:
    """Trains, decodes and writes."""
    parser = command_line(__doc__ or "")
    parser.add_argument(
        "--vectors", type=Path, required=True, help="item vectors of a genrec `encoder` artifact: vectors/item.safetensors"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="grid", help="one of the configurations that cornac ships")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--epochs", type=int, help="instead of the recipe's own number")
    budget.add_argument("--max-targets", type=int, help="whole epochs within so many targets, or one epoch of fewer users")
    args = parser.parse_args()

    data = Prepared.load(args.dataset)
    vectors = load_file(args.vectors)["vectors"]
    if len(vectors) != data.num_items:
        raise SystemExit(
            f"{args.vectors}: expected {data.num_items} vectors, got {len(vectors)}; give those of the same dataset"
        )
    targets = np.maximum(data.train_lengths - 1, 0)
    trained = np.flatnonzero(targets)
    settings = {**RECIPES[args.recipe], "seed": args.seed}
    if args.epochs is not None:
        settings["n_epochs"] = args.epochs
    elif args.max_targets is not None:
        settings["n_epochs"], trained = within(targets, args.max_targets, args.seed)
        if not len(trained):
            raise SystemExit(f"--max-targets: expected at least the targets of one user, got {args.max_targets}")
    model = TIGER(**settings, verbose=True)

    train = sessions(data, trained, data.train_ends)
    train.add_modalities(item_feature=FeatureModality(features=vectors))
    choosing = model.model_selection == "best" and model.n_epochs > 1  # one epoch leaves nothing to choose from
    start = time.perf_counter()
    model.fit(train, sessions(data, data.users("validation"), data.train_ends + 1) if choosing else None)
    minutes = (time.perf_counter() - start) / 60
    loss = validation_loss(model, data)

    tables, count = [], 0
    start = time.perf_counter()
    for split in args.splits:
        users = data.users(split, args.users)
        tables.append(decode(model, data, split, users, k=args.k, exclude_seen=args.exclude_seen))
        count += len(users)
    facts = {
        "library": "cornac",
        "version": cornac.__version__,
        "model": "TIGER",
        "recipe": args.recipe,
        "settings": {**settings, "n_epochs": model.n_epochs, "vectors": str(args.vectors)},
        "parameters": sum(weights.numel() for weights in model.model.parameters()),
        "dataset": str(args.dataset),
        "users_trained_on": len(trained),
        "targets_seen": int(targets[trained].sum()) * model.n_epochs,
        "minutes": round(minutes, 2),
        "validation_loss": round(loss, 4),
        "splits": args.splits,
        "k": args.k,
        "exclude_seen": args.exclude_seen,
        "users": count,
        "users_per_second": round(count / (time.perf_counter() - start), 1),
        "threads": torch.get_num_threads(),
        "seed": args.seed,
    }
    write(tables, facts, args.out)


if __name__ == "__main__":
    main()
