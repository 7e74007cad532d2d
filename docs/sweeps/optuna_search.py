"""Searches learning rate, weight decay and dropout with Optuna, on validation.

    pip install optuna
    python docs/sweeps/optuna_search.py experiment=demo --trials 30

A trial trains and is judged by its best validation round; the test split is never touched. The sampler is seeded, so a search
that was stopped, or gets more ``--trials``, goes through the same trials again and finds those that were finished in the store.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import genrec

METRIC = "val/ndcg@10"


def suggest(trial: Any) -> dict[str, float]:
    """The search space: what to try, by the key that sets it."""
    return {
        "train.lr": trial.suggest_float("train.lr", 3e-4, 6e-3, log=True),
        "train.weight_decay": trial.suggest_categorical("train.weight_decay", [0.0, 0.05, 0.2]),
        "generator.dropout": trial.suggest_float("generator.dropout", 0.0, 0.5, step=0.05),
    }


def objective(trial: Any, name: str, overrides: list[str]) -> float:
    """Trains with the suggested settings; returns the best validation score."""
    tried = [f"{key}={value}" for key, value in suggest(trial).items()]
    run = genrec.run(overrides=[*overrides, *tried, f"name='{name},trial={trial.number}'"], until="train", quiet=True)
    return float(run.artifact("generator").facts["best"][METRIC])


def main() -> None:
    """Searches, and prints the command that tests the best settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="group=option | key=value", help="what all trials share")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--name", default="search", help="of the runs: <name>,trial=0, ...")
    options = parser.parse_intermixed_args()
    try:
        import optuna
    except ImportError:
        sys.exit("optuna: expected the package, got none; pip install optuna")
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(lambda trial: objective(trial, options.name, options.overrides), n_trials=options.trials)
    best = " ".join(f"{key}={value}" for key, value in study.best_params.items())
    print(f"best {METRIC} {study.best_value:.4f}; now test it, once, with several seeds:")
    print("  genrec run -m " + " ".join([*options.overrides, best, "seed=0,1,2", "name=chosen"]))


if __name__ == "__main__":
    main()
