"""What an evaluation says in a few sentences: does the model beat the baselines, and how much of what is possible has it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrec.reports.compared_figures import metric_label
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
        sentences.append(f"It reaches {reached} of the Bayes bound ({bayes[key]:.4f}), the best any model can do here.")
    return " ".join(sentences)


def _against_member(best: Mapping[str, Any], alone: float) -> str:
    low, high = best["interval"]
    what = "is better than" if low > 0 else "is worse than" if high < 0 else "is not significantly different from"
    return (
        f"The ensemble {what} its best scorer, {best['name']}, alone ({alone:.4f}; 95 % interval of the "
        f"difference: {low:+.4f} to {high:+.4f})."
    )


def member_label(name: str) -> str:
    """What a member of an ensemble is called where baselines of the same name may stand beside it."""
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
