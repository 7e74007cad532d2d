"""recommend: decodes the best items for every user with something to predict -> ``recommendations``.

An ensemble leaves a table of the same form for each of its scorers alone: ``members/<name>.parquet``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset, users_with_targets
from genrec.decoding.lib.batch_decoding import Lists, recommend_users, with_ids
from genrec.decoding.new_item_quota import NewItemQuota
from genrec.engine.components import instantiate
from genrec.engine.logs import user_progress
from genrec.engine.machine import resolve_device
from genrec.engine.stage import Stage, StageContext
from genrec.evaluation.candidate_lists import read_candidates
from genrec.evaluation.list_settings import MEMBERS, TABLE_FILE, RecommendSettings, list_inputs
from genrec.model.event_texts import asking_histories, with_texts
from genrec.model.trained import Model, learn_reaches, open_strategy
from genrec.model.user_codes import with_user_codes
from genrec.protocols import Decoded, HasBeams
from genrec.types import ITEM_ID, SPLIT, USER_ID


def build(context: StageContext) -> dict[str, Any]:
    """Writes the tables: split, user_id, item_id, rank, score, tie_start, tie_size."""
    settings: RecommendSettings = instantiate(context.config["recommend"], "recommend")
    strategy = open_strategy(context.config["decoding"], context.parts.get("calibration"))
    dataset = with_user_codes(with_texts(Dataset.load(context.inputs["dataset"].path), context.parts), context.parts)
    k = min(settings.k, dataset.num_items)
    strategy.check(k)
    candidates = read_candidates(settings.candidates, dataset, settings.splits, context.log)
    beams = strategy.num_beams if isinstance(strategy, HasBeams) else None
    if candidates and beams and candidates.facts["largest"] > beams:
        largest = candidates.facts["largest"]
        fix = f"decoding.num_beams={largest} finds all"
        context.log(f"note: {beams} beams may miss some of up to {largest:,} candidates; {fix}")
    model = Model.open(context.parts, strategy=strategy).to(resolve_device(context.runtime.device))
    trained = model.num_trained
    assert trained is not None
    if model.vectors:
        reaches = (
            {} if trained >= dataset.num_items else learn_reaches(model.vectors, trained, dataset, settings.new_item_reach)
        )
        model = model.with_slots(settings.new_item_share, reaches)
        assert model.strategy is not None
        strategy = model.strategy

    tables, splits = [], {}
    of_scorers: dict[str, list[pl.DataFrame]] = {}
    for split in settings.splits:
        users = users_with_targets(dataset, split)
        members: dict[str, Lists] = {}
        start = time.perf_counter()
        with user_progress(f"{split}", len(users), context.runtime.progress) as advance:
            table = recommend_users(
                model.generator,
                strategy,
                model.trie,
                asking_histories(dataset, split, settings.request),
                users,
                k=k,
                exclude_seen=settings.exclude_seen,
                batch_size=settings.batch_size,
                candidates=candidates.mask(split) if candidates else None,
                on_batch=_collector(members, advance),
            )
        seconds = time.perf_counter() - start
        table = with_ids(table, dataset).select(pl.lit(split).alias(SPLIT), pl.all())
        legal = table[ITEM_ID].is_in(dataset.item_ids.implode()).sum()
        splits[split] = {
            "users": len(users),
            "items": table.height,
            "legal": int(legal),
            "distinct": int(table.select(USER_ID, ITEM_ID).n_unique()),
            "users_per_second": round(len(users) / max(seconds, 1e-9), 1),
        }
        speed = splits[split]["users_per_second"]
        context.log(
            f"{split}: {len(users):,} users at {speed:,.0f} users/s; {legal:,} of {table.height:,} items are in the catalogue"
        )
        tables.append(table)
        for name, lists in members.items():
            of_split = with_ids(lists.table(), dataset).select(pl.lit(split).alias(SPLIT), pl.all())
            of_scorers.setdefault(name, []).append(of_split)
    pl.concat(tables).write_parquet(context.folder / TABLE_FILE)
    for name, of_splits in of_scorers.items():
        (context.folder / MEMBERS).mkdir(exist_ok=True)
        pl.concat(of_splits).write_parquet(context.folder / MEMBERS / f"{name}.parquet")
    facts = {"k": k, "exclude_seen": settings.exclude_seen, "new_item_share": settings.new_item_share, "splits": splits}
    if isinstance(strategy, NewItemQuota):
        exposure = exposure_of(pl.concat(tables), dataset.item_ids[trained:])
        facts["new_items"] = {"reach": strategy.reach, **exposure}
        context.log(exposure_line(exposure))
    facts |= {"request": dict(settings.request)} if settings.request else {}
    return facts | ({"members": list(of_scorers)} if of_scorers else {})


def exposure_of(lists: pl.DataFrame, new: pl.Series) -> dict[str, Any]:
    """What new items get of lists (user_id, item_id): share of places, of lists that have one, and of lists for the most shown.

    Args:
        lists: a row for each place.
        new: ids of the new items.
    """
    key = [name for name in (SPLIT, USER_ID) if name in lists.columns]
    users, rows = max(lists.select(key).n_unique(), 1), max(lists.height, 1)
    shown = lists.filter(lists[ITEM_ID].is_in(new.implode()))
    most = shown[ITEM_ID].value_counts()["count"].to_list()  # an item is in a list once
    return {
        "new": len(new),
        "shown": len(most),
        "share_of_places": shown.height / rows,
        "share_of_lists": shown.select(key).n_unique() / users,
        "most_shown": max(most, default=0) / users,
    }


def exposure_line(figures: Mapping[str, Any]) -> str:
    """Writes the figures of ``exposure_of`` in a line."""
    return (
        f"new items: {figures['shown']:,} of {figures['new']:,} are listed, on {figures['share_of_places']:.1%} of the places "
        f"and in {figures['share_of_lists']:.1%} of the lists; the one shown most is in {figures['most_shown']:.1%}"
    )


def _collector(members: dict[str, Lists], advance: Callable[[int], None]) -> Callable[[np.ndarray, Decoded], None]:
    """Returns an observer that collects what each scorer of an ensemble would list."""

    def collect(users: np.ndarray, decoded: Decoded) -> None:
        for name, listed in decoded.members.items():
            members.setdefault(name, Lists()).add(users, listed)
        advance(len(users))

    return collect


STAGE = Stage(
    name="recommend", kind="recommendations", version=4, reads=("decoding", "recommend"), inputs=list_inputs, build=build
)
