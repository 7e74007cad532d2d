"""Baselines of an evaluation: their open settings chosen on validation, fitted on the training part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from genrec.baselines.lib.ranking import Score, ranked_tables, scores_of
from genrec.baselines.lib.setting_search import Choice, ValidationSample, choose, most_tries
from genrec.core.dataset import Dataset
from genrec.engine.logs import step_progress
from genrec.engine.stage import StageContext
from genrec.errors import ConfigError
from genrec.evaluation.candidate_lists import CandidateLists
from genrec.evaluation.evaluated_lists import EvaluatedLists
from genrec.evaluation.list_settings import RecommendSettings
from genrec.model.event_texts import asks_for_texts, texts_after
from genrec.model.item_vectors import read_vectors, text_of
from genrec.protocols import Baseline, HasObstacle, SearchesTexts
from genrec.types import SPLIT, SPLITS, USER_ID, Split

BEST = "best"  # of the baselines on validation


def text_vectors(context: StageContext) -> dict[str, Any]:
    """The runtime argument of baselines that read texts; empty where the run makes no vectors."""
    if "encoder" not in context.inputs:
        return {}
    return {"text_vectors": text_of(read_vectors(context.parts["encoder"]))}


def chosen_baselines(
    context: StageContext,
    baselines: Mapping[str, Baseline],
    dataset: Dataset,
    *,
    exclude_seen: bool,
    num_users: int,
    seed: int,
    request: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Choice[Baseline]], dict[str, str]]:
    """Fits each baseline with the settings that ranked a sample of the validation targets best.

    Args:
        run: says what was chosen.
        baselines: name -> baseline.
        dataset: to fit on.
        exclude_seen: the table's rule for seen items, also while choosing.
        num_users: in the sample, at most; 0: open settings stay at the first value of their grid.
        seed: of the sample.
        request: what the lists ask for.

    Returns:
        The baselines by name, and name -> why, of those that cannot be fitted here.
    """
    sample = ValidationSample.draw(dataset, exclude_seen=exclude_seen, num_users=num_users, seed=seed)
    choices, left_out = {}, {}
    for name, baseline in baselines.items():
        why = baseline.obstacle(dataset) if isinstance(baseline, HasObstacle) else None
        if isinstance(baseline, SearchesTexts) and not asks_for_texts(dataset, request or {}):
            why = "the lists do not ask for a text"
        if why:
            left_out[name] = why
            context.log(f"{name}: left out, {why}")
            continue
        with step_progress(f"settings of {name}", most_tries(baseline), context.runtime.progress) as advance:
            choices[name] = choice = choose(baseline, dataset, sample, advance=advance)
        if choice.settings:
            context.log(f"{name}: {choice.line}, {choice.seconds:.1f} s")
    return choices, left_out


def baseline_lists(
    choices: Mapping[str, Choice[Baseline]],
    name: str,
    dataset: Dataset,
    settings: RecommendSettings,
    candidates: CandidateLists | None = None,
) -> EvaluatedLists:
    """The lists of one baseline, to be measured as a model's are.

    Args:
        choices: fitted baselines.
        name: which; "best": the one with the best NDCG@10 on validation.
        dataset: whose users.
        settings: length, splits and the seen-item rule of the lists.
        candidates: what each list may hold; None: all items.

    Raises:
        ConfigError: when that baseline could not be fitted.
    """
    if name != BEST and name not in choices:
        fix = f"choose another: {', '.join(choices)}" if choices else "add one to evaluate.baselines"
        raise ConfigError("evaluate.model", expected="a baseline that can be fitted here", got=name, fix=fix)
    if name == BEST:
        if not choices:
            raise ConfigError("evaluate.baselines", expected="a baseline", got="none", fix="leave evaluate.baselines out")
        sample = ValidationSample.draw(dataset, exclude_seen=settings.exclude_seen, num_users=dataset.num_users, seed=0)
        name = max(choices, key=lambda each: sample.ndcg(choices[each].baseline))
    tables = [
        table
        for split in SPLITS
        if split in settings.splits
        for table in ranked_tables(
            scores_after(choices[name].baseline, dataset, split, settings.request),
            dataset,
            split,
            k=settings.k,
            exclude_seen=settings.exclude_seen,
            allowed=candidates.mask(split) if candidates else None,
        )
    ]
    table = pl.concat(tables) if tables else pl.DataFrame(schema={SPLIT: pl.String, USER_ID: pl.String})  # nothing held out
    return EvaluatedLists(table, settings.k, settings.exclude_seen, "baseline", baseline=name)


def scores_after(baseline: Baseline, dataset: Dataset, split: Split, request: Mapping[str, Any]) -> Score:
    """A baseline's scores of what comes next in a split: by the text before it, where lists ask for that and it searches."""
    if not (isinstance(baseline, SearchesTexts) and asks_for_texts(dataset, request)):
        return scores_of(baseline)
    texts = texts_after(dataset, split)
    return lambda histories, users: baseline.search([texts[user] for user in users])


BASELINES_FILE = "per_user_baselines.parquet"  # of an evaluation
