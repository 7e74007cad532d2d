"""The lists that evaluate counts: those of the run's own model, or of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from genrec.core.dataset import Dataset
from genrec.engine.components import instantiate
from genrec.engine.stage import StageContext
from genrec.errors import DataError
from genrec.evaluation.candidate_lists import CandidateLists
from genrec.evaluation.external_recommendations import read_lists
from genrec.evaluation.list_settings import MEMBERS, TABLE_FILE, RecommendSettings
from genrec.metrics.lib.ties import cut_ties
from genrec.references import expand_path
from genrec.types import RANK, SPLIT, SPLITS, USER_ID, Split


@dataclass(frozen=True)
class EvaluatedLists:
    """A recommendations table and the rules that it was made by.

    Args:
        table: split, user_id, item_id, rank, tie_start, tie_size and perhaps more.
        length: of the longest list.
        exclude_seen: never an item of the user's history.
        source: "run", "file" or "baseline".
        doubts: what was odd about the file.
        guessed_ties: whether its tie groups were made from equal scores.
        members: name -> the table that each scorer of an ensemble would have made alone.
        baseline: the one whose lists these are, or None.
    """

    table: pl.DataFrame
    length: int
    exclude_seen: bool
    source: Literal["run", "file", "baseline"]
    doubts: list[str] = field(default_factory=list)
    guessed_ties: bool = False
    members: dict[str, Path] = field(default_factory=dict)
    baseline: str | None = None

    def of(self, split: Split) -> pl.DataFrame:
        """The lists of one split."""
        return self.table.filter(pl.col(SPLIT) == split)

    def listed_splits(
        self, targets: Mapping[Split, pl.DataFrame], rule: Any, *, only_listed: bool = False
    ) -> dict[Split, pl.DataFrame]:
        """The targets of the splits that there are lists for.

        Args:
            targets: of every split.
            rule: how the dataset was split.
            only_listed: leave out users without a list.

        Raises:
            DataError: when there are none.
        """
        there = set(self.table[SPLIT].unique())
        listed = {split: targets[split] for split in SPLITS if split in there}
        if only_listed:
            listed = {split: pairs.join(self.of(split), on=USER_ID, how="semi") for split, pairs in listed.items()}
        listed = {split: pairs for split, pairs in listed.items() if pairs.height}
        if not listed:
            raise DataError(
                "recommendations",
                expected="lists for users with validation or test targets",
                got=f"none ({self.table.height:,} rows; split {rule})",
                fix="evaluate a run with a split that holds events out, such as split=leave_one_out",
            )
        return listed

    def warnings(self, targets: Mapping[Split, pl.DataFrame], ks: Iterable[int]) -> Iterator[str]:
        """What a reader of the figures has to know about the lists."""
        ks = sorted(ks)
        yield from self.doubts
        for split, pairs in targets.items():
            users, table = pairs.select(USER_ID).unique(), self.of(split)
            counted = users.join(table.group_by(USER_ID).len(), on=USER_ID, how="left")["len"].fill_null(0)
            if short := int((counted < ks[-1]).sum()):
                yield f"{short:,} of {users.height:,} {split} users have a list shorter than {ks[-1]} items"
            if self.guessed_ties and (cuts := cut_ties(table.join(users, on=USER_ID, how="semi"), ks)):
                by_rank = ", ".join(f"{lists:,} at rank {cut}" for cut, lists in cuts.items())
                yield (
                    f"lists are cut between equal scores, of {users.height:,} {split} users: {by_rank}; such items count by "
                    f"expected rank, and any beyond the end of a list not at all"
                )


def lists_of_run(context: StageContext, dataset: Dataset, candidates: CandidateLists | None = None) -> EvaluatedLists:
    """What ``run`` is to evaluate.

    Raises:
        DataError: see ``read_lists``.
    """
    file = context.config.get("recommendations")
    if file is None:
        recommendations = context.inputs["recommendations"]
        table = pl.read_parquet(recommendations.path / TABLE_FILE, glob=False)
        members = {
            name: recommendations.path / MEMBERS / f"{name}.parquet" for name in recommendations.facts.get("members", ())
        }
        return EvaluatedLists(
            table, int(recommendations.facts["k"]), bool(recommendations.facts["exclude_seen"]), "run", members=members
        )
    settings: RecommendSettings = instantiate(context.config["recommend"], "recommend")
    path = expand_path(file)
    table, guessed_ties, doubts = read_lists(path, dataset, exclude_seen=settings.exclude_seen, log=context.log)
    if candidates is not None:
        candidates.check(table, dataset, str(path))
    length = int(table[RANK].max() or 0)  # type: ignore[arg-type]
    return EvaluatedLists(table, length, settings.exclude_seen, "file", doubts, guessed_ties)
