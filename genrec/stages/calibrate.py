"""calibrate: fits an ensemble's scorers on the training part and its weights on validation targets -> ``calibration``.

Settings of scorers that are null are chosen on the same validation targets, each scorer by its own ranking.

calibration.json holds weights, smoothings and the scorers' settings; beside it lies each scorer's fitted state. The facts are
about a seeded sample of the users with a validation target, and each one's FIRST target (the very next item), asked for as
``recommend.request`` says:

    weights         scorer -> weight >= 0 of its log-probabilities
    settings        scorer -> what was chosen, on how many users, of how many combinations
    smoothings      scorer -> what is added to its scores (see ``Smoothed``)
    log_likelihood  of the targets among their candidates, mean over the users it was fitted on
    users           how many were drawn; excluded: their target is in their history, where the rule forbids it
    missed          users whose target no scorer proposed; they do not influence the weights, and count 0 in the figures
    candidates      mean number of candidates of a user
    alone           scorer -> figures of its own ranking of the candidates: recall@10, ndcg@10
    fused           the same of the weighted ranking, on the users that the few weights were fitted on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.baselines.lib.setting_search import ValidationSample, choose, most_tries
from genrec.core.dataset import Dataset, users_with_targets
from genrec.decoding.fusion import Fusion
from genrec.decoding.lib.batch_decoding import request_of
from genrec.engine.components import complete_settings, component_class, instantiate
from genrec.engine.logs import step_progress, user_progress
from genrec.engine.machine import resolve_device
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ConfigError, DataError
from genrec.evaluation.list_settings import RecommendSettings
from genrec.model.event_texts import asking_histories, with_texts
from genrec.model.item_vectors import JOINT, read_vectors
from genrec.model.trained import Model, model_inputs
from genrec.model.user_codes import with_user_codes
from genrec.protocols import FittedStrategy, NeedsArtifacts, SavableBaseline
from genrec.statistics.ensemble_weights import fit_experts
from genrec.types import PAD

K = 10  # of the figures


@dataclass(frozen=True, kw_only=True)
class CalibrateSettings:
    """On whom weights are fitted: the ``calibrate`` group.

    Args:
        num_users: sampled among those with a validation target, at least 1.
        seed: of the draw.
    """

    num_users: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_users < 1:
            raise ConfigError("calibrate.num_users", expected="at least 1", got=self.num_users, fix="raise it")


def inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The generator with what it needs, and what the scorers need.

    Raises:
        ConfigError: when the decoding strategy has nothing to fit.
    """
    strategy = component_class(config["decoding"], "decoding")
    if not (isinstance(strategy, FittedStrategy) and "calibration" in strategy.needs):
        fix = "choose decoding=fusion"
        raise ConfigError("decoding", expected="a strategy with weights to fit", got=strategy.__name__, fix=fix)
    node = complete_settings(config["decoding"])
    scorers = [component_class(scorer) for name, scorer in (node["scorers"] or {}).items() if name in node["members"]]
    needed = {kind for scorer in scorers if isinstance(scorer, NeedsArtifacts) for kind in scorer.needs}
    return tuple(dict.fromkeys((*model_inputs(config), "generator", *sorted(needed))))


def build(context: StageContext) -> dict[str, Any]:
    """Writes calibration.json and the scorers' fitted state."""
    settings: CalibrateSettings = instantiate(context.config["calibrate"], "calibrate")
    rule: RecommendSettings = instantiate(context.config["recommend"], "recommend")
    dataset = with_user_codes(with_texts(Dataset.load(context.inputs["dataset"].path), context.parts), context.parts)
    vectors = {"item_vectors": read_vectors(context.parts["encoder"])[JOINT]} if "encoder" in context.inputs else {}
    strategy: Fusion = instantiate(context.config["decoding"], "decoding", **vectors)
    model = Model.open(context.parts).to(resolve_device(context.runtime.device))
    generator, trie = model.generator, model.trie

    settings_of: dict[str, Any] = {}
    on = ValidationSample.draw(dataset, exclude_seen=rule.exclude_seen, num_users=settings.num_users, seed=settings.seed)

    def with_chosen_settings(name: str, baseline: SavableBaseline) -> SavableBaseline:
        with step_progress(f"settings of {name}", most_tries(baseline), context.runtime.progress) as advance:
            choice = choose(baseline, dataset, on, advance=advance)
        settings_of[name] = choice.facts
        if choice.chosen:
            context.log(f"{name}: {choice.line}, {choice.seconds:.1f} s")
        return choice.baseline

    strategy.fit(generator, dataset, with_chosen_settings)
    for name in (name for name in strategy.members if name not in strategy.active):
        context.log(f"{name}: {type(generator).__name__} was trained without one, left out")
    users, targets, excluded = sample(dataset, settings, exclude_seen=rule.exclude_seen)
    chunks = np.split(np.arange(len(users)), range(rule.batch_size, len(users), rule.batch_size))
    k = min(rule.k, dataset.num_items)
    histories = asking_histories(dataset, "validation", rule.request)
    requests = [request_of(generator, histories, users[chunk], k=k, exclude_seen=rule.exclude_seen) for chunk in chunks]
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    scores: dict[int, list[np.ndarray]] = {strategy.active.index(name): [] for name in strategy.scorers}
    with user_progress("users", len(users), context.runtime.progress) as advance:
        for request in requests:
            proposals = strategy.candidates(generator, trie, request)
            parts.append((proposals.items.cpu().numpy(), proposals.log_probs.cpu().numpy()))
            for index, rows in scores.items():
                table = strategy.scorers[strategy.active[index]].scores(request.batch)
                rows.append(table.gather(1, proposals.items.clamp(min=0)).cpu().numpy())
            advance(len(request.batch))
    items = _stacked([part[0] for part in parts], PAD)
    log_probs = _stacked([part[1] for part in parts], -np.inf)

    proposed, target_index = targets_among(items, targets)
    log_probs = log_probs[proposed]
    fitted = fit_experts(
        log_probs, target_index, {scorer_index: _stacked(rows, 0.0)[proposed] for scorer_index, rows in scores.items()}
    )
    strategy.weights = dict(zip(strategy.active, fitted.weights.tolist(), strict=True))
    for scorer_index, smoothing in fitted.smoothings.items():
        strategy.scorers[strategy.active[scorer_index]].smoothing = smoothing
    strategy.save(context.folder)

    of_user = len(users) + excluded  # who cannot be hit counts, too
    empty = np.isneginf(log_probs).any(axis=2)
    fused = np.where(empty, -np.inf, np.where(empty[..., None], 0.0, fitted.log_probs) @ fitted.weights)
    facts = {
        "weights": strategy.weights,
        "settings": settings_of,
        "smoothings": {name: scorer.smoothing for name, scorer in strategy.scorers.items()},
        "log_likelihood": fitted.log_likelihood,
        "users": of_user,
        "excluded": excluded,
        "missed": int((~proposed).sum()),
        "candidates": float((items != PAD).sum(axis=1).mean()),
        "alone": {name: _figures(fitted.log_probs[..., m], target_index, of_user) for m, name in enumerate(strategy.active)},
        "fused": _figures(fused, target_index, of_user),
    }
    for line in _summary_lines(facts):
        context.log(line)
    return facts


def sample(dataset: Dataset, settings: CalibrateSettings, *, exclude_seen: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Users by length of their histories, so that little is padded; their next items; how many the rule forbids to hit."""
    users = users_with_targets(dataset, "validation")
    users = np.random.default_rng(settings.seed).permutation(users)[: settings.num_users]
    histories, targets = dataset.histories("validation"), dataset.targets("validation")
    following = targets.item_idx[targets.offsets[users]].astype(np.int64)
    seen = np.array([item in histories[int(user)] for user, item in zip(users, following, strict=True)], dtype=bool)
    is_open = ~seen if exclude_seen else np.ones(len(users), dtype=bool)
    if not is_open.any():
        raise DataError(
            "calibrate",
            expected="users with a validation target that may be recommended",
            got=f"none ({len(users):,} drawn; split {dataset.facts.get('split')})",
            fix="prepare with a split that holds events out, such as split=leave_one_out",
        )
    users, following = users[is_open], following[is_open]
    order = np.argsort(histories.lengths[users], kind="stable")
    return users[order], following[order], int((~is_open).sum())


def targets_among(items: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which users' targets are among their candidates, and at which place there.

    Raises:
        DataError: when nobody's is.
    """
    is_target = items == targets[:, None]
    proposed = is_target.any(axis=1)
    if not proposed.any():
        fix = "raise decoding.num_candidates"
        raise DataError("calibrate", expected="a target among the candidates", got=f"none of {len(items):,} users", fix=fix)
    return proposed, is_target[proposed].argmax(axis=1)


def _stacked(parts: list[np.ndarray], empty: float) -> np.ndarray:
    """Tables of different width, one below the other."""
    width = max(part.shape[1] for part in parts)
    pads = [[(0, 0), (0, width - part.shape[1]), *[(0, 0)] * (part.ndim - 2)] for part in parts]
    return np.concatenate([np.pad(part, pad, constant_values=empty) for part, pad in zip(parts, pads, strict=True)])


def _figures(keys: np.ndarray, target: np.ndarray, num_users: int) -> dict[str, float]:
    """Recall and NDCG of the targets' ranks by these keys; in a tie group the mean over its ranks."""
    of_target = keys[np.arange(len(keys)), target][:, None]
    start, size = (keys > of_target).sum(axis=1), (keys == of_target).sum(axis=1)
    figures = {}
    for metric, gains in (("recall", np.ones(K)), ("ndcg", 1 / np.log2(np.arange(K) + 2))):
        gained = np.concatenate([[0.0], np.cumsum(gains)])  # by all ranks up to this one
        total = gained[np.minimum(start + size, K)] - gained[np.minimum(start, K)]
        figures[f"{metric}@{K}"] = float((total / size).sum() / num_users)
    return figures


def _summary_lines(facts: Mapping[str, Any]) -> list[str]:
    rows = [*facts["alone"].items(), ("fused", facts["fused"])]
    lines = [
        f"{name}: "
        + (f"weight {facts['weights'][name]:.3f}, " if name in facts["weights"] else "")
        + ", ".join(f"{metric} {value:.4f}" for metric, value in figures.items())
        for name, figures in rows
    ]
    users, missed = facts["users"], facts["missed"]
    return [f"validation, {users:,} users; nobody proposed the target of {missed:,} ({missed / users:.0%})", *lines]


STAGE = Stage(
    name="calibrate", kind="calibration", version=1, reads=("decoding", "recommend", "calibrate"), inputs=inputs, build=build
)
