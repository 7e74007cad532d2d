"""RecTools' SASRec on a dataset that genrec prepared: trains it with early stopping, writes our recommendations table.

python tools/peers/rectools_sasrec.py runs/NAME/dataset OUT.parquet --epochs 30
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from table import Prepared, command_line, recommendations, write

VALIDATION_USERS = 3000  # whose loss decides when to stop


def interactions(data: Prepared, users: np.ndarray, ends: np.ndarray) -> pd.DataFrame:
    """RecTools' table of events; the position within the user stands in for the time, which only orders them."""
    user, item, position = data.events(users, ends)
    return pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: position})


def held_out(table: pd.DataFrame, train_lengths: np.ndarray) -> np.ndarray:
    """Tells what comes after the training part, by the positions that ``interactions`` wrote: bool [events]."""
    return table[Columns.Datetime].to_numpy().astype(np.int64) >= train_lengths[table[Columns.User].to_numpy().astype(np.int64)]


def fit(
    model_class: Callable[..., Any], data: Prepared, settings: dict[str, Any], *, epochs: int, patience: int, folder: str
) -> Any:
    """Trains on the training part and goes back to the epoch with the lowest loss on held-out validation targets."""
    sampled = data.users("validation", VALIDATION_USERS)
    ends = data.train_ends.copy()
    ends[sampled] += 1  # the loss takes one target a user

    def trainer() -> lightning.Trainer:
        monitor = model_class.val_loss_name
        return lightning.Trainer(
            max_epochs=epochs,
            callbacks=[EarlyStopping(monitor, patience=patience), ModelCheckpoint(folder, monitor=monitor)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = model_class(
        **settings,
        get_val_mask_func=lambda table: held_out(table, data.train_lengths),
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(interactions(data, np.arange(len(data.user_ids)), ends)))
    model.load_weights_from_checkpoint(model.fit_trainer.checkpoint_callback.best_model_path)
    return model


def rank(model: Any, data: Prepared, split: str, users: np.ndarray, *, k: int, exclude_seen: bool) -> pl.DataFrame:
    """The k best of all items that the model was trained on."""
    history = Dataset.construct(interactions(data, users, data.ends(split)))
    recommended = model.recommend(users, history, k=k, filter_viewed=exclude_seen, on_unsupported_targets="warn")
    columns = (recommended[name].to_numpy() for name in (Columns.User, Columns.Item, Columns.Score))
    return recommendations(data, split, *columns)


def main(model_class: Callable[..., Any], targets_of: Callable[[np.ndarray, Any], float], description: str) -> None:
    """Trains and ranks.

    Args:
        model_class: of RecTools' transformers.
        targets_of: ([users] events of the training part, model) -> targets of an epoch.
        description: of the command.
    """
    parser = command_line(description)
    parser.add_argument("--epochs", type=int, default=100, help="at most (RecTools' own default is 3, exactly)")
    parser.add_argument("--patience", type=int, default=5, help="epochs without a lower validation loss before it stops")
    parser.add_argument("--max-history", type=int, default=100, help="events of a user that the model reads, in training too")
    args = parser.parse_args()

    data = Prepared.load(args.dataset)
    settings = {"session_max_len": args.max_history}
    lightning.seed_everything(args.seed)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = fit(model_class, data, settings, epochs=args.epochs, patience=args.patience, folder=folder)
    minutes = (time.perf_counter() - start) / 60

    tables, count = [], 0
    start = time.perf_counter()
    for split in args.splits:
        users = data.users(split, args.users)
        tables.append(rank(model, data, split, users, k=args.k, exclude_seen=args.exclude_seen))
        count += len(users)
    trainer = model.fit_trainer
    names = ("n_blocks", "n_heads", "n_factors", "dropout_rate", "session_max_len", "loss", "lr", "batch_size", "mask_prob")
    facts = {
        "library": "RecTools",
        "version": version("rectools"),
        "model": model_class.__name__,
        "settings": {name: getattr(model, name) for name in names if hasattr(model, name)}
        | {"max_epochs": args.epochs, "patience": args.patience, "validation_users": VALIDATION_USERS},
        "parameters": sum(weights.numel() for weights in model.torch_model.parameters()),
        "dataset": str(args.dataset),
        "epochs": trainer.current_epoch,
        "targets_seen": round(targets_of(data.train_lengths, model) * trainer.current_epoch),
        "minutes": round(minutes, 2),
        "validation_loss": round(float(trainer.checkpoint_callback.best_model_score), 4),
        "splits": args.splits,
        "k": args.k,
        "exclude_seen": args.exclude_seen,
        "users": count,
        "users_per_second": round(count / (time.perf_counter() - start), 1),
        "threads": torch.get_num_threads(),
        "seed": args.seed,
    }
    write(tables, facts, args.out)


def shifted_targets(lengths: np.ndarray, model: Any) -> float:
    """Every event but the first is a target, as far as the model reads."""
    return float(np.clip(lengths - 1, 0, model.session_max_len).sum())


if __name__ == "__main__":
    main(SASRecModel, shifted_targets, __doc__ or "")
