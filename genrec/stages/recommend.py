"""recommend: decodes the best items for every user with something to predict -> ``recommendations``.

A fusion leaves a table of the same form for each of its members alone: ``members/<name>.parquet``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.components import component_class, instantiate
from genrec.dataset import Dataset
from genrec.decoding.newcomers import Newcomers, content_of, content_sources
from genrec.decoding.reach import SAFE_REACH, learned_reach
from genrec.decoding.users import Lists, recommend_users, users_with_targets, with_ids
from genrec.devices import resolve_device
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingStrategy, FittedStrategy, HasBeams
from genrec.sids import SIDTable
from genrec.stages import train
from genrec.stages.candidate_lists import read_candidates
from genrec.stages.embed import JOINT, read_vectors
from genrec.stages.progress import user_progress
from genrec.stages.stage import Stage, StageRun
from genrec.stages.tokenize import encoder_if_needed
from genrec.trie import PrefixTrie
from genrec.types import ITEM_ID, SPLIT, USER_ID

TABLE_FILE = "recommendations.parquet"
MEMBERS = "members"  # folder


@dataclass(frozen=True, kw_only=True)
class RecommendSettings:
    """What to recommend: the ``recommend`` group.

    Args:
        k: items per user.
        exclude_seen: never recommend an item of the user's own history. One rule for the whole table, and for the floors that
            stand beside it.
        splits: whose targets to predict.
        new_share: of each list that items which came after training have at most, by their content, in a run that extends
            another and in service: the last places go to those that fit (see ``Newcomers``). 0: only what the strategy lists
            by itself.
        new_reach: share of the catalogue that may be more like such an item than a history that it fits; null: learned from
            what users took in the validation part.
        batch_size: users per batch.
        candidates: a table of user_id, item_id and split: rank only these items, also by the baselines. None: all items.
    """

    k: int = 50
    exclude_seen: bool = True
    splits: tuple[Literal["validation", "test"], ...] = ("validation", "test")
    batch_size: int = 128
    new_share: float = 0.1
    new_reach: float | None = None
    candidates: Path | None = None

    def __post_init__(self) -> None:
        for key in ("k", "batch_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"recommend.{key}", expected="at least 1", got=getattr(self, key), fix="raise it")
        if not 0 <= self.new_share <= 1:
            raise ConfigError(
                "recommend.new_share", expected="a share of the list, 0 to 1", got=self.new_share, fix="change it"
            )
        if self.new_reach is not None and not 0 <= self.new_reach <= 1:
            raise ConfigError(
                "recommend.new_reach", expected="a share of the catalogue, 0 to 1, or null", got=self.new_reach, fix="change it"
            )
        if not self.splits or len(set(self.splits)) < len(self.splits):
            raise ConfigError(
                "recommend.splits", expected="validation, test or both", got=list(self.splits), fix="name each split once"
            )


def inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What the generator was trained on, the generator, and what was fitted of the decoding strategy."""
    decoding = component_class(config["decoding"], "decoding")
    fitted = decoding.needs if isinstance(decoding, FittedStrategy) else ()
    content = encoder_if_needed(config) if config.get("extends") and "sids" in train.inputs(config) else ()
    return tuple(dict.fromkeys((*train.inputs(config), "generator", *content, *sorted(fitted))))


def build(run: StageRun) -> dict[str, Any]:
    """Writes the tables: split, user_id, item_id, rank, score, tie_start, tie_size."""
    settings: RecommendSettings = instantiate(run.config["recommend"], "recommend")
    strategy: DecodingStrategy = instantiate(run.config["decoding"], "decoding")
    if isinstance(strategy, FittedStrategy) and "calibration" in run.inputs:
        strategy.restore(run.inputs["calibration"].path)
    dataset = Dataset.load(run.inputs["dataset"].path)
    k = min(settings.k, dataset.num_items)
    strategy.check(k)
    candidates = read_candidates(settings.candidates, dataset, settings.splits, run.say)
    beams = strategy.num_beams if isinstance(strategy, HasBeams) else None
    if candidates and beams and candidates.facts["largest"] > beams:
        largest = candidates.facts["largest"]
        run.say(f"note: {beams} beams may miss some of up to {largest:,} candidates; decoding.num_beams={largest} finds all")
    device = resolve_device(run.runtime.device)
    sids = SIDTable.load(run.inputs["sids"].path) if "sids" in run.inputs else None
    trie = PrefixTrie.build(sids) if sids else None
    generator = train.open_generator(run.inputs["generator"].path, sids, trie, run.inputs.get("encoder")).to(device)
    trained = train.num_trained(run.inputs["generator"].facts)
    if "encoder" in run.inputs:
        vectors = read_vectors(run.inputs["encoder"])
        reaches = {} if trained >= dataset.num_items else reaches_of(vectors, trained, dataset, settings.new_reach)
        strategy = with_newcomers(strategy, vectors, trained, settings.new_share, reaches)
    trie = trie.to(device) if trie else None

    tables, splits = [], {}
    alone: dict[str, list[pl.DataFrame]] = {}
    for split in settings.splits:
        users = users_with_targets(dataset, split)
        members: dict[str, Lists] = {}
        start = time.perf_counter()
        with user_progress(f"{split}", len(users), run.runtime.progress) as advance:
            table = recommend_users(
                generator,
                strategy,
                trie,
                dataset.histories(split),
                users,
                k=k,
                exclude_seen=settings.exclude_seen,
                batch_size=settings.batch_size,
                candidates=candidates.mask(split) if candidates else None,
                on_batch=_keeping(members, advance),
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
        run.say(
            f"{split}: {len(users):,} users at {speed:,.0f} users/s; {legal:,} of {table.height:,} items are in the catalogue"
        )
        tables.append(table)
        for name, lists in members.items():
            of_split = with_ids(lists.table(), dataset).select(pl.lit(split).alias(SPLIT), pl.all())
            alone.setdefault(name, []).append(of_split)
    pl.concat(tables).write_parquet(run.folder / TABLE_FILE)
    for name, of_splits in alone.items():
        (run.folder / MEMBERS).mkdir(exist_ok=True)
        pl.concat(of_splits).write_parquet(run.folder / MEMBERS / f"{name}.parquet")
    told = {"k": k, "exclude_seen": settings.exclude_seen, "new_share": settings.new_share, "splits": splits}
    if isinstance(strategy, Newcomers):
        exposure = exposure_of(pl.concat(tables), dataset.item_ids[trained:])
        told["new_items"] = {"reach": strategy.reach, **exposure}
        run.say(told_exposure(exposure))
    return told | ({"members": list(alone)} if alone else {})


def reaches_of(vectors: Mapping[str, np.ndarray], trained: int, dataset: Dataset, given: float | None) -> dict[str, float]:
    """How near a history must be to an item that came after training, by each source of content that may know it.

    Args:
        vectors: of the items by source.
        trained: items that the generator was trained with, the first ones.
        dataset: whose validation part it is learned from.
        given: a setting in its place.
    """
    sources = content_sources(vectors, JOINT, trained)
    if given is not None:
        return dict.fromkeys(sources, given)
    histories, targets = dataset.histories("validation"), dataset.targets("validation")
    found = {name: learned_reach(vectors[name], trained, histories, targets) for name in sources}
    return {name: reach for name, reach in found.items() if reach is not None}


def with_newcomers(
    strategy: DecodingStrategy, vectors: Mapping[str, np.ndarray], trained: int, share: float, reaches: Mapping[str, float]
) -> DecodingStrategy:
    """The strategy with places for the items after the first ``trained``, where there are such.

    Args:
        strategy: does the search.
        vectors: of the items by source.
        trained: items that the generator was trained with, the first ones.
        share: of a list that the others have at most.
        reaches: source -> how near a history must be to one of them; a careful one where nothing was learned.
    """
    if share <= 0 or trained >= len(vectors[JOINT]):
        return strategy
    reach = max(reaches.get(name, SAFE_REACH) for name in content_sources(vectors, JOINT, trained))
    content = content_of(vectors, JOINT, trained)
    return Newcomers(strategy, vectors=content, num_trained=trained, share=share, reach=reach)


def exposure_of(lists: pl.DataFrame, new: pl.Series) -> dict[str, Any]:
    """What new items get of lists (user_id, item_id): share of places, of lists that have one, and of lists for the most shown.

    Args:
        lists: a row for each place.
        new: ids of the new items.
    """
    key = [name for name in (SPLIT, USER_ID) if name in lists.columns]
    users, places = max(lists.select(key).n_unique(), 1), max(lists.height, 1)
    shown = lists.filter(lists[ITEM_ID].is_in(new.implode()))
    most = shown[ITEM_ID].value_counts()["count"].to_list()  # an item stands in a list once
    return {
        "new": len(new),
        "shown": len(most),
        "share_of_places": shown.height / places,
        "share_of_lists": shown.select(key).n_unique() / users,
        "most_shown": max(most, default=0) / users,
    }


def told_exposure(figures: Mapping[str, Any]) -> str:
    """The same in a line."""
    return (
        f"new items: {figures['shown']:,} of {figures['new']:,} are listed, on {figures['share_of_places']:.1%} of the places "
        f"and in {figures['share_of_lists']:.1%} of the lists; the one shown most is in {figures['most_shown']:.1%}"
    )


def _keeping(members: dict[str, Lists], advance: Callable[[int], None]) -> Callable[[np.ndarray, Decoded], None]:
    """Puts aside what each member of a fusion would list."""

    def keep(users: np.ndarray, decoded: Decoded) -> None:
        for name, own in decoded.members.items():
            members.setdefault(name, Lists()).add(users, own)
        advance(len(users))

    return keep


STAGE = Stage(name="recommend", kind="recommendations", version=4, reads=("decoding", "recommend"), inputs=inputs, build=build)
