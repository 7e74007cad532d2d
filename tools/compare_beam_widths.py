"""What a beam search loses against exact search, for the trained generator of a run: a table and a curve over beams.

    python tools/compare_beam_widths.py runs/NAME [--beams 10,20,50,100,200] [--check 4000] [--split test] [--out FOLDER]

``best_first`` gives the exact ten best items of every user of the split, once it has given the same as ``exhaustive`` (the
likelihood of the whole catalogue) on --check users drawn by a seed. Each beam width is compared with it: NDCG@10, Recall@10,
users whose ten items are the exact ones, users a second; by the run's own seen-item rule.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.core.dataset import Dataset, users_with_targets
from genrec.decoding.best_first import BestFirst
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.lib.batch_decoding import recommend_users, with_ids
from genrec.decoding.trie_beam import TrieBeam
from genrec.engine.logs import user_progress
from genrec.engine.runs import Run
from genrec.evaluation.measure import ACCURACY, accuracy
from genrec.metrics.lib.tables import targets_of
from genrec.model.trained import Model
from genrec.protocols import DecodingStrategy
from genrec.reports.charts import curve_chart
from genrec.reports.page import join, render, section
from genrec.reports.standings import Kind
from genrec.types import RANK, SCORE, USER_ID, USER_IDX

K, ROUNDING = 10, 1e-5


class Judge:
    """Decodes the users of one split of a run, or so many of them drawn by a seed, by any strategy."""

    def __init__(self, run: Run, split: Any, batch_size: int, num_users: int | None = None) -> None:
        self.dataset = Dataset.load(run.artifact("dataset").path)
        model = Model.open({kind: run.artifact(kind).path for kind in ("generator", "sids", "encoder") if kind in run.kinds})
        self.generator, self.trie = model.generator, model.trie
        self.exclude_seen = run.config["recommend"]["exclude_seen"]
        self.split, self.batch_size = split, batch_size
        users = users_with_targets(self.dataset, split)
        self.users = users if num_users is None else np.sort(np.random.default_rng(0).permutation(users)[:num_users])
        ids = self.dataset.user_ids.gather(self.users)
        self.targets = targets_of(self.dataset, split).filter(pl.col(USER_ID).is_in(ids.implode()))

    def lists(self, name: str, strategy: DecodingStrategy, users: np.ndarray) -> tuple[pl.DataFrame, float]:
        """Their ten best items, and users a second."""
        start = time.perf_counter()
        with user_progress(name, len(users), True) as advance:
            table = recommend_users(
                self.generator,
                strategy,
                self.trie,
                self.dataset.histories(self.split),
                users,
                k=K,
                exclude_seen=self.exclude_seen,
                batch_size=self.batch_size,
                on_batch=lambda done, _: advance(len(done)),
            )
        return table, len(users) / (time.perf_counter() - start)

    def accuracy(self, table: pl.DataFrame) -> dict[str, float]:
        metrics = {name: ACCURACY[name] for name in ("ndcg", "recall")}
        scored = accuracy(with_ids(table, self.dataset), self.targets, [K], metrics)
        return {name: float(scored[f"{name}@{K}"].mean()) for name in ("ndcg", "recall")}  # type: ignore[arg-type]


def same_users(one: pl.DataFrame, other: pl.DataFrame) -> float:
    """The share of users with the same list: equal scores rank by rank, so the same items but for ties."""
    both = one.join(other, on=[USER_IDX, RANK], how="full", suffix="_other")
    close = (pl.col(SCORE) - pl.col(f"{SCORE}_other")).abs() <= ROUNDING * (1 + pl.col(SCORE).abs())
    same = (
        both.with_columns(same=close.fill_null(False))
        .group_by(pl.coalesce(USER_IDX, f"{USER_IDX}_other"))
        .agg(pl.col("same").all())
    )
    return float(same["same"].mean())  # type: ignore[arg-type]


def main() -> None:
    """Prints a row each; the last line is what 50 beams lose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--beams", default="10,20,50,100,200")
    parser.add_argument("--check", type=int, default=4000, help="users on whom best_first must equal exhaustive")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for beams.html")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    judge = Judge(Run(options.run), options.split, options.batch)

    drawn = np.sort(np.random.default_rng(0).permutation(judge.users)[: options.check])
    oracle, _ = judge.lists("exhaustive", Exhaustive(), drawn)
    exact, speed = judge.lists("best_first", BestFirst(), judge.users)
    agreed = same_users(exact.filter(pl.col(USER_IDX).is_in(drawn.tolist())), oracle)
    if agreed < 1:
        raise SystemExit(f"best_first gives the lists of exhaustive to {agreed:.4%} of {len(drawn):,} users only")
    print(f"best_first = exhaustive on all of {len(drawn):,} users", flush=True)

    accuracies = {"exact": judge.accuracy(exact)}
    print(f"{'beams':>10} {'NDCG@10':>9} {'Recall@10':>9} {'loss':>8} {'same ten':>9} {'users/s':>8}")
    print(
        f"{'exact':>10} {accuracies['exact']['ndcg']:9.5f} {accuracies['exact']['recall']:9.5f} {'':>8} {'':>9} {speed:8.0f}",
        flush=True,
    )
    for beams in (int(word) for word in options.beams.split(",")):
        table, speed = judge.lists(f"{beams} beams", TrieBeam(num_beams=beams), judge.users)
        accuracy = accuracies[str(beams)] = judge.accuracy(table)
        loss, same = 1 - accuracy["ndcg"] / accuracies["exact"]["ndcg"], same_users(table, exact)
        print(f"{beams:>10} {accuracy['ndcg']:9.5f} {accuracy['recall']:9.5f} {loss:8.2%} {same:9.2%} {speed:8.0f}", flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "beams.html").write_text(page(options.run.name, len(judge.users), accuracies), encoding="utf-8")
    if "50" in accuracies:
        print(f"50 beams lose {1 - accuracies['50']['ndcg'] / accuracies['exact']['ndcg']:.2%} of NDCG@10")


def page(name: str, users: int, accuracies: dict[str, dict[str, float]]) -> str:
    """NDCG@10 and Recall@10 over beams, as a self-contained page."""
    exact, sections = accuracies["exact"], []
    for metric, title in (("ndcg", "NDCG@10"), ("recall", "Recall@10")):
        points = {float(beams): accuracy[metric] for beams, accuracy in accuracies.items() if beams != "exact"}
        lines: dict[str, tuple[Kind, dict[float, float]]] = {"trie_beam": ("model", points)}
        lines["exact"] = ("baseline", dict.fromkeys(points, exact[metric]))
        curve = curve_chart(f"{title} over beams, {users:,} users", lines, from_zero=False)
        sections.append(section(title, curve))
    return render(f"{name}: beams", lead="What a beam search loses against exact search.", body=join(*sections))


if __name__ == "__main__":
    main()
