"""diagnose: where a generator loses the next item, whether its probabilities are honest, what it looks at -> ``diagnosis``.

Everything is about a seeded sample of the users with a target, decoded as ``recommend`` does, with what ``recommend.request``
asks for; of guided decoding it is the mixture that is diagnosed. Figures are about the FIRST
target of each, the very next item, since that is what a generator predicts. diagnosis.json, with null for figures that are no
finite numbers, as a diverged generator leaves them:

    schema        1
    split         the last of recommend.splits with targets; users: how many were drawn; seed
    rules         list_length, exclude_seen, normalization ("trie", "codebook", or null for an item scorer)
    levels        one entry per level, or null for an item scorer
        accuracy        share of users whose next item's code is the most probable one, given the TRUE prefix
        own_accuracy    share whose most probable beam is on the next item's prefix after this level; null without beams
        log_prob        mean log-probability of the true code given the true prefix, in nats
        log_choices     mean log of the number of existing codes there: -log_choices is what guessing gets
        forced          share of users for whom only one code exists there
        mass            mean probability that existing codes get; below 1 only with normalization "codebook"
    beams         null without beams; targets that the seen-item rule forbids are left out
        users           how many targets are counted; excluded: how many are left out
        lost            per level, the share whose prefix leaves the beam there
        kept            the share kept to the end: recall at the number of beams
        lists           per k: listed, search_errors (more probable than the k-th listed, yet not listed: an exact search would
                        list at most these more), model_errors (the model itself thinks k items more probable); shares
    calibration   of the first k recommended items, each a prediction that it is the next one
        k, bins (predicted, observed, low, high, count; 95 % intervals), error (expected calibration error),
        mass (mean predicted probability that the next item is among the k), hit_rate (how often it is), hit_rate_interval
    because_of    one entry per chosen user: user_id, drawn ("random" or "hit"), history_length,
                  history (the last items: item_id, title, first and target: weights of this item for the first recommendation
                  and for the next item, in nats), targets (item_id, title, rank or null), target_probability (of the first),
                  recommended (item_id, title, probability, hit)
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from genrec.core.dataset import Dataset, Sequences, users_with_targets
from genrec.core.item_labels import item_titles
from genrec.decoding.fusion import Fusion
from genrec.decoding.lib.guidance import mixture
from genrec.diagnosis.attribution import history_weights
from genrec.diagnosis.beam_diagnostics import TOP, Decoder, Observed, beam_losses, level_accuracy, observe
from genrec.engine.components import instantiate
from genrec.engine.logs import user_progress
from genrec.engine.machine import resolve_device
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ConfigError, DataError
from genrec.evaluation.list_settings import RecommendSettings
from genrec.model.event_texts import asking_histories, with_texts
from genrec.model.trained import Model, model_inputs
from genrec.model.user_codes import with_user_codes
from genrec.protocols import DecodingStrategy, HasNormalization, device_of
from genrec.statistics.numbers import written
from genrec.statistics.reliability import reliability, wilson_interval
from genrec.types import PAD, Split

DIAGNOSIS_FILE = "diagnosis.json"
SCHEMA = 1
LEFT_OUT = 10  # last history items that are traced


@dataclass(frozen=True, kw_only=True)
class DiagnoseSettings:
    """How closely to look: the ``diagnose`` group.

    Args:
        num_users: sampled among those with a target, at least 1.
        because_of: users whose recommendations are traced to their histories, half of them among those with a hit.
        bins: of predicted probability, at least 1.
        seed: of the draws.
    """

    num_users: int = 1000
    because_of: int = 20
    bins: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for key, least in (("num_users", 1), ("because_of", 0), ("bins", 1)):
            if getattr(self, key) < least:
                raise ConfigError(f"diagnose.{key}", expected=f"at least {least}", got=getattr(self, key), fix="raise it")


def build(context: StageContext) -> dict[str, Any]:
    """Writes diagnosis.json."""
    settings: DiagnoseSettings = instantiate(context.config["diagnose"], "diagnose")
    rule: RecommendSettings = instantiate(context.config["recommend"], "recommend")
    strategy: DecodingStrategy = instantiate(context.config["decoding"], "decoding")
    dataset = with_user_codes(with_texts(Dataset.load(context.inputs["dataset"].path), context.parts), context.parts)
    k = min(rule.k, dataset.num_items)
    model = Model.open(context.parts).to(resolve_device(context.runtime.device))
    generator = model.generator
    if isinstance(strategy, Fusion):
        strategy = strategy.search(generator, max(strategy.num_candidates, k))  # the generator is what is diagnosed
    if rule.request:
        generator, strategy = mixture(generator, strategy)
    trie = model.trie if strategy.kind != "item_scorer" else None
    decoder = Decoder(generator, strategy, trie, k, rule.exclude_seen)

    split = sampled_split(dataset, rule)
    rng = np.random.default_rng(settings.seed)
    users = rng.permutation(users_with_targets(dataset, split))[: settings.num_users]
    histories, targets = asking_histories(dataset, split, rule.request), dataset.targets(split)
    users = users[np.argsort(histories.lengths[users], kind="stable")]  # so that little is padded
    parts = []
    with user_progress("users", len(users), context.runtime.progress) as advance:
        for chunk in np.split(users, range(rule.batch_size, len(users), rule.batch_size)):
            parts.append(observe(decoder, histories, chunk, targets.item_idx[targets.offsets[chunk]].astype(np.int64)))
            advance(len(chunk))
    seen = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    diagnosis: dict[str, Any] = {
        "schema": SCHEMA,
        "split": split,
        "users": len(users),
        "seed": settings.seed,
        "rules": {
            "list_length": decoder.k,
            "exclude_seen": rule.exclude_seen,
            "normalization": generator.normalization if trie and isinstance(generator, HasNormalization) else None,
        },
        "levels": level_accuracy(seen),
        "beams": beam_losses(seen, decoder.k),
        "calibration": _calibration(seen, min(TOP, decoder.k), settings.bins),
        "because_of": _because_of(decoder, dataset, split, histories, seen, settings.because_of, rng),
    }
    diagnosis = without_infinities(diagnosis)
    (context.folder / DIAGNOSIS_FILE).write_text(
        json.dumps(diagnosis, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )
    facts = _facts(diagnosis)
    for line in _summary_lines(facts, diagnosis["calibration"]["k"]):
        context.log(line)
    return facts


def without_infinities(node: Any) -> Any:
    """Nested figures as JSON can hold them: null in place of what is no finite number, as a diverged generator leaves it.

    >>> without_infinities({"a": [1.5, float("nan")], "b": float("-inf")})
    {'a': [1.5, None], 'b': None}
    """
    if isinstance(node, Mapping):
        return {key: without_infinities(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [without_infinities(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def sampled_split(dataset: Dataset, rule: RecommendSettings) -> Split:
    """Test where it is recommended for: whoever keeps test out of sight by ``recommend.splits`` does not see it here either."""
    for split in ("test", "validation"):
        if split in rule.splits and len(users_with_targets(dataset, split)):
            return split
    raise DataError(
        "recommend.splits",
        expected="a split with something to predict",
        got=f"{list(rule.splits)} of a dataset split by {dataset.facts.get('split')}",
        fix="prepare with a split that holds events out, such as split=leave_one_out",
    )


def _calibration(seen: Observed, k: int, bins: int) -> dict[str, Any]:
    listed = seen["items"][:, :k] != PAD
    probabilities = np.where(listed, np.exp(seen["log_probs"][:, :k].astype(np.float64)), 0.0)
    hit = listed & (seen["items"][:, :k] == seen["target"][:, None])
    calibration = reliability(probabilities[listed], hit[listed], bins=bins)
    low, high = wilson_interval(calibration.observed, calibration.count)
    columns = {"predicted": calibration.predicted, "observed": calibration.observed, "low": low, "high": high}
    rate = hit.any(axis=1).mean(keepdims=True)
    return {
        "k": k,
        "bins": [
            {name: float(values[i]) for name, values in columns.items()} | {"count": int(count)}
            for i, count in enumerate(calibration.count)
        ],
        "error": calibration.error,
        "mass": float(probabilities.sum(axis=1).mean()),
        "hit_rate": float(rate[0]),
        "hit_rate_interval": [float(end[0]) for end in wilson_interval(rate, np.array([len(hit)]))],
    }


# --- chosen users ------------------------------------------------------------------------------------------------------------


def _because_of(
    decoder: Decoder,
    dataset: Dataset,
    split: Split,
    histories: Sequences,
    seen: Observed,
    number: int,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Half of the users at random, half (or as many as there are) among those with a hit in the first ten."""
    targets, titles = dataset.targets(split), item_titles(dataset)
    ranked = [[int(item) for item in row if item != PAD] for row in seen["items"]]
    hits = [not set(row[:TOP]).isdisjoint(targets[user].tolist()) for user, row in zip(seen["users"], ranked, strict=True)]
    anyone = rng.permutation(np.flatnonzero([bool(row) for row in ranked]))[: (number + 1) // 2]
    lucky = rng.permutation(np.setdiff1d(np.flatnonzero(hits), anyone))[: number - len(anyone)]
    chosen = [*anyone, *lucky]
    if not chosen:
        return []
    read = histories.of(seen["users"][chosen], last=decoder.generator.max_history_len)
    traced = torch.tensor([[ranked[row][0], seen["target"][row]] for row in chosen]).to(device_of(decoder.generator))
    weights = history_weights(decoder.generator, decoder.trie, read, traced, last=LEFT_OUT)

    def item_card(item: int) -> dict[str, Any]:
        return {"item_id": dataset.item_ids[item], "title": titles[item]}

    def card(i: int, row: int) -> dict[str, Any]:
        user, probability = int(seen["users"][row]), np.exp(seen["log_probs"][row].astype(np.float64))
        items, next_items = ranked[row], targets[user].tolist()
        traced_items = read[i][len(read[i]) - len(weights[i]) :].tolist()
        return {
            "user_id": dataset.user_ids[user],
            "drawn": "random" if i < len(anyone) else "hit",
            "history_length": len(histories[user]),
            "history": [
                item_card(item) | {"first": first, "target": target}
                for item, (first, target) in zip(traced_items, weights[i].tolist(), strict=True)
            ],
            "targets": [item_card(item) | {"rank": items.index(item) + 1 if item in items else None} for item in next_items],
            "target_probability": float(np.exp(seen["log_prob"][row])),
            "recommended": [
                item_card(item) | {"probability": float(probability[slot]), "hit": item in next_items}
                for slot, item in enumerate(items[:TOP])
            ],
        }

    return [card(i, int(row)) for i, row in enumerate(chosen)]


# --- the summary -------------------------------------------------------------------------------------------------------------


def _facts(diagnosis: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that the manifest carries."""
    levels, beams, calibration = diagnosis["levels"], diagnosis["beams"], diagnosis["calibration"]
    facts: dict[str, Any] = {"split": diagnosis["split"], "users": diagnosis["users"]}
    if levels:
        facts["accuracy"] = [level["accuracy"] for level in levels]
    if beams:
        facts["own_accuracy"] = [level["own_accuracy"] for level in levels]
        facts |= {"lost": beams["lost"], "kept": beams["kept"], "search_errors": beams["lists"][0]["search_errors"]}
    return facts | {"calibration_error": calibration["error"], "mass": calibration["mass"], "hit_rate": calibration["hit_rate"]}


def _summary_lines(facts: Mapping[str, Any], k: int) -> list[str]:
    def shares(values: Sequence[float | None]) -> str:
        return " / ".join(written(value, ".1%") for value in values)

    lines = [f"{facts['users']:,} {facts['split']} users"]
    if "accuracy" in facts:
        lines.append(f"right code given the true prefix, level by level: {shares(facts['accuracy'])}")
    if "lost" in facts:
        lost, survived = shares(facts["lost"]), written(facts["kept"], ".1%")
        lines.append(f"next item lost by the beam, level by level: {lost}; kept to the end {survived}")
    promised, came = written(facts["mass"], ".1%"), written(facts["hit_rate"], ".1%")
    lines.append(f"hits promised in the first {k}: {promised}; come true: {came}")
    return lines


STAGE = Stage(
    name="diagnose",
    kind="diagnosis",
    version=1,
    reads=("decoding", "recommend", "diagnose"),
    inputs=lambda config: (*model_inputs(config), "generator"),
    build=build,
    beside="recommendations",
)
