"""What evaluate counts: at which k, which targets, and what is known of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from genrec.core.dataset import INTERACTIONS_FILE, PART, Dataset
from genrec.core.item_labels import category_column
from genrec.core.sids import SIDTable
from genrec.engine.stage import StageRun
from genrec.errors import ConfigError
from genrec.evaluation.beyond import ItemFacts
from genrec.evaluation.evaluated_lists import EvaluatedLists
from genrec.evaluation.target_weights import check_event_types, weighted_targets
from genrec.metrics.lib.hits import targets_of
from genrec.model.item_vectors import JOINT, read_vectors
from genrec.types import SPLITS, Split


def known_ks(ks: Sequence[int], lists: EvaluatedLists, say: Callable[[str], None]) -> list[int]:
    """Those of ``ks`` that the lists are long enough for.

    Raises:
        ConfigError: when none is.
    """
    known = [k for k in ks if k <= lists.length]
    if not known:
        length = f"{lists.length} ({'recommend.k' if lists.source == 'run' else 'the longest list'})"
        raise ConfigError("evaluate.ks", expected=f"a k of at most {length}", got=list(ks), fix="ask for longer lists")
    if len(known) < len(ks):
        left_out = ", ".join(str(k) for k in ks if k > lists.length)
        say(f"lists hold {lists.length} items, so there is nothing at k = {left_out}")
    return known


def headline_k(ks: Sequence[int]) -> int:
    """The k of the sentence that says whether the model beats the floors: 10, or the nearest smaller one, or the smallest."""
    return max((k for k in ks if k <= 10), default=min(ks))


def held_out(run: StageRun, dataset: Dataset, weights: Mapping[str, float] | str | None) -> dict[Split, pl.DataFrame]:
    """The (``user_id``, ``item_id``) pairs to predict, with a ``weight`` where they are not worth the same.

    Raises:
        ConfigError, DataError: when the events do not have such weights (see ``weighted_targets``).
    """
    if weights is None:
        return {split: targets_of(dataset, split) for split in SPLITS}
    events = pl.read_parquet(run.inputs["dataset"].path / INTERACTIONS_FILE, glob=False)
    found = {split: weighted_targets(events.filter(pl.col(PART).cast(pl.String) == split), weights) for split in SPLITS}
    if isinstance(weights, Mapping):
        check_event_types(weights, events)
    for split, pairs in found.items():
        if left_out := targets_of(dataset, split).height - pairs.height:
            run.say(f"{split}: {pairs.height:,} targets; {left_out:,} more held-out items weigh 0 and are none")
    return found


def item_facts(run: StageRun, dataset: Dataset, category: str | None) -> tuple[ItemFacts, dict[str, str]]:
    """What figures beyond accuracy need, and figure -> why it is left out, for those that lack it."""
    column = category_column(dataset.items, category)
    vectors = read_vectors(run.parts["encoder"])[JOINT] if "encoder" in run.inputs else None
    codes = None
    if "sids" in run.inputs:
        sids = SIDTable.load(run.inputs["sids"].path)
        codes = sids.content.codes
        if sids.content is sids and sids.collision_level is not None:
            codes = np.delete(codes, sids.collision_level, axis=1)
    facts = ItemFacts(dataset, column, vectors, codes)
    lacking = {
        "diversity": "the run makes no item vectors" if vectors is None else None,
        "prefix_diversity": "the run makes no semantic IDs" if codes is None else None,
        "miscalibration": "the items have no categories that tell them apart" if facts.shares is None else None,
    }
    return facts, {figure: why for figure, why in lacking.items() if why}
