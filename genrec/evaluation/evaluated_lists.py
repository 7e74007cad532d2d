"""The lists that evaluate counts: those of the run's own model, or a table that any program wrote.

Such a table is read, cast and checked against the dataset that it is measured on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset
from genrec.data.lib.canonical import as_numbers, text_ids
from genrec.data.lib.files import read_table
from genrec.engine.components import instantiate
from genrec.engine.stage import StageContext
from genrec.errors import DataError, did_you_mean
from genrec.evaluation.candidate_lists import CandidateLists
from genrec.evaluation.list_settings import MEMBERS, TABLE_FILE, RecommendSettings
from genrec.metrics.lib.tables import cut_ties, has_ties, with_ties
from genrec.references import expand_path
from genrec.types import ITEM_ID, ITEM_IDX, RANK, SCORE, SPLIT, SPLITS, TIE_SIZE, TIE_START, USER_ID, USER_IDX, Split


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
        """Warnings about the lists for readers of the figures."""
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
    """Returns the lists of ``run`` that are evaluated.

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


NUMBERS = {RANK: pl.Int64(), SCORE: pl.Float64(), TIE_START: pl.Int64(), TIE_SIZE: pl.Int64()}
_BY_CHANCE = 5.0  # hits that as long lists of random items would have; fewer, and none at all says nothing
COLUMNS = (SPLIT, USER_ID, ITEM_ID, *NUMBERS)


def read_lists(
    file: Path, dataset: Dataset, *, exclude_seen: bool, log: Callable[[str], None]
) -> tuple[pl.DataFrame, bool, list[str]]:
    """The table as metrics take it, and what is doubtful about it.

    Args:
        file: parquet, csv, tsv or json lines with ``user_id``, ``item_id`` and ``rank`` (from 1) or ``score``; optional
            ``split`` (without it, all lists are for the test part), ``tie_start`` and ``tie_size``. Ids are those of the
            interactions, as text or integers. Other columns are not read.
        dataset: whose users and items.
        exclude_seen: whether the lists were made without the items of the user's history.
        log: prints a line.

    Returns:
        split, user_id, item_id, rank, score where there is one, tie_start, tie_size; whether ties were taken from equal scores;
        warnings. Rows of unknown items stay: they take a rank in their list and count as misses.

    Raises:
        DataError: when columns are missing, values are none, a list holds an item or a rank twice, no user or item of the table
            is known, or lists hold seen items although they are said to be excluded.
    """
    table = _cast(read_table(file, columns=COLUMNS, required=(USER_ID, ITEM_ID)), file)
    log(f"read {table.height:,} recommendations for {table[USER_ID].n_unique():,} users from {file}")
    if SPLIT not in table.columns:
        log("no column split: all lists are taken to be for the test part")
        table = table.with_columns(pl.lit("test").alias(SPLIT))
    for split in table[SPLIT].unique().to_list():
        if split not in SPLITS:
            where, fix = f"{file}, column {SPLIT}", did_you_mean(str(split), SPLITS)
            raise DataError(where, expected="validation or test", got=split, fix=fix)
    for column, what in ((ITEM_ID, "items"), (RANK, "ranks")):
        _check_once(table, column, what, file)
    guessed_ties = SCORE in table.columns and not has_ties(table)
    table = with_ties(table)
    numbered = table.join(
        pl.DataFrame({USER_ID: dataset.user_ids}).with_row_index(USER_IDX), on=USER_ID, how="left", maintain_order="left"
    ).join(pl.DataFrame({ITEM_ID: dataset.item_ids}).with_row_index(ITEM_IDX), on=ITEM_ID, how="left", maintain_order="left")
    warnings = [*_unknown(numbered, file), *_seen(numbered, dataset, exclude_seen, file), *_missed(numbered, dataset)]
    return table.select(column for column in COLUMNS if column in table.columns), guessed_ties, warnings


def _cast(table: pl.DataFrame, file: Path) -> pl.DataFrame:
    if RANK not in table.columns and SCORE not in table.columns:
        got = f"columns {', '.join(table.columns)}"
        raise DataError(file, expected="a column 'rank' or 'score'", got=got, fix="write the place of each item in its list")
    columns = [text_ids(table[USER_ID], str(file)), text_ids(table[ITEM_ID], str(file))]
    for name, dtype in NUMBERS.items():
        if name in table.columns:
            column = as_numbers(table[name], dtype, str(file))
            if column.null_count():
                where = f"{file}, row {(column.is_null().arg_max() or 0) + 1}, column {name}"
                raise DataError(where, expected="a number", got=None, fix="fill it, or leave the column out")
            columns.append(column)
    if SPLIT in table.columns:
        columns.append(table[SPLIT].cast(pl.String))
    return pl.DataFrame(columns)


def _check_once(table: pl.DataFrame, column: str, what: str, file: Path) -> None:
    if column in table.columns:
        twice = table.filter(table.select(SPLIT, USER_ID, column).is_duplicated())
        if twice.height:
            raise DataError(
                f"{file}, user {twice[USER_ID][0]}",
                expected=f"different {what} in a list",
                got=f"{column} {twice[column][0]} twice ({twice[SPLIT][0]})",
                fix="list each once, or name the two lists' splits in a column split",
            )


def _unknown(numbered: pl.DataFrame, file: Path) -> Iterator[str]:
    for idx, id_, effect in (
        (USER_IDX, USER_ID, "they have no targets and count nowhere"),
        (ITEM_IDX, ITEM_ID, "they keep their places and count as misses"),
    ):
        strangers = numbered.filter(pl.col(idx).is_null())[id_]
        if not len(strangers):
            continue
        what, first = id_.removesuffix("_id") + "s", strangers[0]
        if len(strangers) == numbered.height:
            fix = "write the ids of the interactions file"
            raise DataError(
                f"{file}, column {id_}", expected=f"{what} of the dataset", got=f"{first!r} and no known one", fix=fix
            )
        total = numbered[id_].n_unique()
        yield f"{strangers.n_unique():,} of {total:,} {what} of the table are not in the dataset ({first}, ...): {effect}"


def _seen(numbered: pl.DataFrame, dataset: Dataset, exclude_seen: bool, file: Path) -> Iterator[str]:
    matched = numbered.filter(pl.col(USER_IDX).is_not_null() & pl.col(ITEM_IDX).is_not_null())
    listed = 0
    for split in SPLITS:
        rows, histories = matched.filter(pl.col(SPLIT) == split), dataset.histories(split)
        keys = rows[USER_IDX].to_numpy().astype(np.int64) * dataset.num_items + rows[ITEM_IDX].to_numpy()
        seen = rows.filter(pl.Series(np.isin(keys, histories.user_idx * dataset.num_items + histories.item_idx)))
        listed += seen.height
        if seen.height and exclude_seen:
            user, item = seen.select(USER_ID, ITEM_ID).row(0)
            raise DataError(
                f"{file}, user {user}",
                expected="no items of the user's history, because recommend.exclude_seen=true",
                got=f"item {item} ({seen.height:,} such {split} rows)",
                fix="give recommend.exclude_seen=false if that is how the lists were made; baselines follow the same rule",
            )
    if not listed and not exclude_seen:
        yield (
            "no list holds an item of its user's history: if they were left out, give recommend.exclude_seen=true, so that the "
            "baselines leave them out too"
        )


def _missed(numbered: pl.DataFrame, dataset: Dataset) -> Iterator[str]:
    """Lists without a single target, where chance alone would have put some into them."""
    matched = numbered.filter(pl.col(USER_IDX).is_not_null() & pl.col(ITEM_IDX).is_not_null())
    for split in SPLITS:
        rows, targets = matched.filter(pl.col(SPLIT) == split), dataset.targets(split)
        listed = rows[USER_IDX].to_numpy().astype(np.int64) * dataset.num_items + rows[ITEM_IDX].to_numpy()
        chance = targets.lengths[rows[USER_IDX].to_numpy()].sum() / dataset.num_items
        if chance >= _BY_CHANCE and not np.isin(targets.user_idx * dataset.num_items + targets.item_idx, listed).any():
            yield (
                f"no list of the {split} part holds a target, where random items would hit {chance:.0f}: lists made from whole "
                f"histories leave the targets out as seen; make them from histories without the {split} events"
            )
