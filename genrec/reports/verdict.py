"""What a report concludes from the figures: a verdict in one sentence, and the changes that are worth a try."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genrec.diagnosis.id_health import fitting_codebook, uneven_levels
from genrec.encoders.lib.item_text import text_columns
from genrec.engine.artifacts import MANIFEST, Artifact
from genrec.engine.components import TARGET, component_class
from genrec.engine.registry import fits_class
from genrec.engine.runs import Run
from genrec.protocols import AutoregressiveGenerator, ItemScorer
from genrec.reports.page import Markup, section, tag
from genrec.reports.standings import metric_label
from genrec.statistics.numbers import ratio, written


def verdict(name: str, metrics: Mapping[str, Any]) -> str:
    """The closing sentences of an evaluation.

    Args:
        name: of the run.
        metrics: the content of metrics.json.
    """
    split = "test" if "test" in metrics["users"] else "validation"
    short = "test" if split == "test" else "val"
    key = f"{short}/ndcg@{metrics['rules']['headline_k']}"
    label, value = f"{split} {metric_label(key)}", metrics["model"][key]
    if measured := metrics.get("measured"):
        name = f"{name} ({measured})"
    sentences = [_against_baseline(name, label, value, metrics["best_baseline"].get(short), metrics["baselines"])]
    if best := metrics.get("best_member", {}).get(short):
        sentences.append(_against_member(best, metrics["members"][best["name"]][best["metric"]]))
    if bayes := metrics["bounds"].get("bayes"):
        reached = written(ratio(value, bayes[key]), ".0%")
        best = "the best any model can do here"
        if everything := metrics["bounds"].get("bayes with all"):
            more = written(ratio(value, everything[key]), ".0%")
            best = f"the best without columns of events and users, and {more} of that with all of them ({everything[key]:.4f})"
        sentences.append(f"It reaches {reached} of the Bayes bound ({bayes[key]:.4f}), {best}.")
    return " ".join(sentences)


def _against_member(best: Mapping[str, Any], alone: float) -> str:
    low, high = best["interval"]
    what = "is better than" if low > 0 else "is worse than" if high < 0 else "is not significantly different from"
    return (
        f"The ensemble {what} its best scorer, {best['name']}, alone ({alone:.4f}; 95 % interval of the "
        f"difference: {low:+.4f} to {high:+.4f})."
    )


def member_label(name: str) -> str:
    """Returns the name of an ensemble's member, which differs from that of a baseline."""
    return f"{name} (member alone)"


def in_sample(metrics: Mapping[str, Any]) -> str:
    """A warning about validation figures of an ensemble; empty where there are none."""
    if not metrics.get("members") or "validation" not in metrics["users"]:
        return ""
    return "Validation figures of the ensemble are in-sample: its weights were fitted on those users. "


def chosen_metrics(metrics: Mapping[str, Any], *, at_every_k: bool) -> list[str]:
    """The metrics that ``evaluate.metrics`` chose, either those counted at every k or those at the headline k alone.

    Args:
        metrics: the content of metrics.json.
        at_every_k: which of the two; with one k alone all count as these.
    """
    keys, ks = {key.partition("/")[2] for key in metrics["model"]}, metrics["rules"]["ks"]
    chosen = [name for name in metrics.get("labels", {}) if f"{name}@{metrics['rules']['headline_k']}" in keys]
    return [name for name in chosen if all(f"{name}@{k}" in keys for k in ks) == at_every_k]


def _against_baseline(name: str, label: str, value: float, best: Mapping[str, Any] | None, baselines: Mapping[str, Any]) -> str:
    if best is None:
        return f"{name}: {label} {value:.4f}; no baseline was measured."
    baseline, (low, high) = baselines[best["name"]][best["metric"]], best["interval"]
    share = f", {written(ratio(best['lead'], baseline), '+.0%')}" if baseline else ""
    figures = (
        f"on {label}: {value:.4f} against {baseline:.4f}{share} (95 % interval of the difference: {low:+.4f} to {high:+.4f})."
    )
    if low > 0:
        return f"{name} beats the best baseline, {best['name']}, {figures}"
    if high < 0:
        return f"{name} does not beat the best baseline, {best['name']}, {figures}"
    return f"{name} is not significantly different from the best baseline, {best['name']}, {figures}"


SEARCH_ERRORS = 0.03  # share of better items that the beams miss, from which more beams are advised
FUSION = "genrec.decoding.fusion.Fusion"
COLLABORATIVE = "genrec.encoders.collaborative.Collaborative"


@dataclass(frozen=True)
class Advice:
    """Something to try.

    Args:
        reason: why it might help, as a sentence.
        command: what to type.
    """

    reason: str
    command: str


def loses(metrics: Mapping[str, Any]) -> bool:
    """Whether a model of the run is not clearly above the best baseline, on test or, where that is all there is, validation."""
    if metrics.get("measured") or metrics["rules"].get("source", "run") != "run":
        return False
    best = metrics["best_baseline"].get("test" if "test" in metrics["users"] else "val")
    return best is not None and best["interval"][0] <= 0


def advice_of(run: Run) -> list[Advice]:
    """Returns what to try next with a run that does not beat its best baseline; nothing for any other."""
    if "evaluation" not in run.kinds or not loses(run.metrics):
        return []
    figures_of: dict[str, Mapping[str, Any]] = {}
    for kind, file in (("tokenizer", "health.json"), ("diagnosis", "diagnosis.json")):
        if kind in run.kinds:
            figures_of[kind] = json.loads((run.path / kind / file).read_text(encoding="utf-8"))
    history = run.path / "generator" / "history.json"
    rounds = json.loads(history.read_text(encoding="utf-8")) if history.exists() else []
    facts = Artifact(run.path / "generator").facts if (run.path / "generator" / MANIFEST).exists() else {}
    diverged = facts.get("diverged")
    changes = [
        *(_lower_rate(diverged) if diverged else ()),
        *_ensemble(run.config),
        *(() if diverged else _longer(run.config, rounds, facts.get("best"))),
        *_smaller_codebook(run.config, figures_of.get("tokenizer")),
        *_texts(run.config, run.path / "dataset" / "items.parquet"),
        *_more_beams(run.config, figures_of.get("diagnosis")),
    ]
    return [Advice(reason, command(run, label, change)) for label, reason, change in changes]


def command(run: Run, label: str, changes: Sequence[str]) -> str:
    """The command of a run with some settings changed, under a name of its own.

    Args:
        run: whose command.
        label: to be added to its name.
        changes: overrides; one that chooses another component drops the settings of the one before.
    """
    changed = {override.partition("=")[0] for override in changes} | {"name"}
    unchanged = [
        override
        for override in run.record.get("overrides", [])
        if not {key := override.lstrip("+~").partition("=")[0], key.partition(".")[0]} & changed
    ]
    return shlex.join(["genrec", "run", *unchanged, *changes, f"name={run.name}_{label}"])


Change = tuple[str, str, list[str]]  # a label, why, and the overrides


def _lower_rate(diverged: str) -> Iterator[Change]:
    """Yields the change that the warning of a diverged training advises."""
    reason, _, change = diverged.partition("; try ")
    yield "lr", f"{reason[0].upper()}{reason[1:]}.", [change]


def _ensemble(config: Mapping[str, Any]) -> Iterator[Change]:
    generator = component_class(config["generator"], "generator")
    if config["decoding"][TARGET] != FUSION and (
        fits_class(generator, AutoregressiveGenerator) or fits_class(generator, ItemScorer)
    ):
        why = "The same weights, ranked together with transition counts and content neighbours; nothing is trained again."
        yield "fusion", why, ["decoding=fusion"]


def _longer(config: Mapping[str, Any], rounds: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None) -> Iterator[Change]:
    if not rounds or not best or rounds[-1]["round"] != best.get("round"):
        return
    settings = config["train"]
    key = "max_targets" if settings.get("max_targets") else "epochs"
    why = "The weights of the last round were the best on validation: training had not ended. Twice as long:"
    yield "longer", why, [f"train.{key}={2 * settings[key]}"]


def _smaller_codebook(config: Mapping[str, Any], health: Mapping[str, Any] | None) -> Iterator[Change]:
    size = config["tokenizer"].get("codebook_size")
    if health is None or not isinstance(size, int) or not any(uneven_levels(health)):
        return
    if (fits := fitting_codebook(health["num_items"])) < size:
        why = f"Levels of {size} codes are used unevenly; {fits} fit a catalogue of {health['num_items']:,} items."
        yield f"codes{fits}", why, [f"tokenizer.codebook_size={fits}"]


def _texts(config: Mapping[str, Any], items: Path) -> Iterator[Change]:
    if config["encoder"][TARGET] != COLLABORATIVE or not items.exists():
        return
    if there := text_columns(pl.read_parquet(items, glob=False)):
        why = f"The semantic IDs know nothing of the items' texts ({', '.join(there)})."
        yield "texts", why, ["encoder=tfidf_collaborative"]


def _more_beams(config: Mapping[str, Any], diagnosis: Mapping[str, Any] | None) -> Iterator[Change]:
    beams = config["decoding"].get("num_beams")
    lists = ((diagnosis or {}).get("beams") or {}).get("lists") or []
    if isinstance(beams, int) and lists and (lists[0].get("search_errors") or 0) >= SEARCH_ERRORS:
        lost = lists[0]["search_errors"]
        why = f"{lost:.0%} of the next items are likelier than the last one listed, yet the beams lost them."
        yield f"beams{2 * beams}", why, [f"decoding.num_beams={2 * beams}"]


def advice_section(pieces: Sequence[Advice]) -> Markup | None:
    """The advice as a section of the report; None when there is none."""
    if not pieces:
        return None
    entries = [tag("li", tag("p", piece.reason), tag("p", tag("code", piece.command))) for piece in pieces]
    return section("What to try next", tag("ol", *entries, class_="advice"), note="Each shares what it can with this run.")
