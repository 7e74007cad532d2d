"""The report of a run: what was measured beside what it has to beat, how it was made, and what it looks like to users."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genrec.core.dataset import Dataset
from genrec.engine.artifacts import Artifact
from genrec.engine.runs import Run, read_metrics
from genrec.reports.charts import Bars, Kind, bar_chart, curve_chart
from genrec.reports.diagnosis import diagnosis_sections
from genrec.reports.lists_sections import beyond_section, exposure_section, slices_section, users_sections
from genrec.reports.page import Markup, facts_list, join, plain_table, render, scrolling, section, tag
from genrec.reports.run_sections import about_run, codebooks_section, cost_section, curves_section
from genrec.reports.standings import metric_label
from genrec.reports.verdict import Advice, advice_of, advice_section, chosen_metrics, in_sample, member_label, verdict
from genrec.statistics.numbers import ratio, written
from genrec.types import Split

REPORT_FILE = "report.html"


def write_report(run: Run, file: Path | None = None) -> Path:
    """Writes the report of an evaluated run to ``file``, by default ``<run>/report.html``, and says where it is.

    Raises:
        ArtifactError: when the run has no evaluation.
    """
    artifacts = lineage(run, run.artifact("evaluation"))
    file = file or run.path / REPORT_FILE
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    text = report(run.name, artifacts, about=about_run(run, artifacts), advice=advice_of(run))
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, file)
    return file


def lineage(run: Run, last: Artifact) -> dict[str, Artifact]:
    """Kind -> artifact: this one, what it was made from as far as the store still has it, and the generator's diagnosis.

    In the order in which they were made. A run's other artifacts may belong to another configuration of the same name.
    """
    artifacts = {last.kind: last}
    waiting = [last]
    while waiting:
        for kind, fingerprint in waiting.pop().inputs.items():
            if kind not in artifacts and (artifact := run.store.find(kind, fingerprint)):
                artifacts[kind] = artifact.check(hashes=True)
                waiting.append(artifact)
    if "diagnosis" in run.kinds and "generator" in artifacts:
        diagnosis = run.artifact("diagnosis")
        if diagnosis.inputs["generator"] == artifacts["generator"].fingerprint:
            artifacts["diagnosis"] = diagnosis
    return dict(sorted(artifacts.items(), key=lambda pair: pair[1].manifest["created"]))


def report(
    name: str,
    artifacts: Mapping[str, Artifact],
    *,
    about: Mapping[str, object] | None = None,
    advice: Sequence[Advice] = (),
) -> str:
    """A self-contained page.

    Args:
        name: of the run.
        artifacts: kind -> artifact; ``dataset`` and ``evaluation`` at least. Each other one adds a section.
        about: what the run is, at the top.
        advice: what to try next.
    """
    evaluation, dataset = artifacts["evaluation"].path, Dataset.load(artifacts["dataset"].path)
    metrics = read_metrics(evaluation)
    per_user = pl.read_parquet(evaluation / "per_user.parquet", glob=False)
    lists = artifacts.get("recommendations", artifacts["evaluation"])  # another program's lists lie with the evaluation
    table = pl.read_parquet(lists.path / "recommendations.parquet", glob=False)
    split: Split = "test" if "test" in metrics["users"] else "validation"
    short = "test" if split == "test" else "val"
    k = metrics["rules"]["headline_k"]
    body = join(
        facts_list(dict(about)) if about else None,
        _tiles(metrics, short, k),
        *(tag("p", f"Note: {warning}.", class_="warning") for warning in (*_divergence(artifacts), *metrics["warnings"])),
        _figures(name, metrics, k),
        advice_section(advice),
        section(
            "Model, baselines and bounds" if metrics["bounds"] else "Model and baselines",
            tag("div", *_charts(name, metrics, short, k), class_="charts"),
            note="Solid bars: test, with its 95 % interval. Pale bars: validation. Baselines know the training part only.",
        ),
        slices_section(metrics),
        beyond_section(name, metrics, short),
        exposure_section(dataset, split, table, k),
        *_stage_sections(artifacts),
        None if _traced(artifacts) else users_sections(dataset, split, table, per_user, k),
        cost_section(artifacts),
        _rules(metrics, artifacts),
    )
    return render(f"Report of {name}", lead=verdict(name, metrics), body=body)


def _divergence(artifacts: Mapping[str, Artifact]) -> list[str]:
    """Returns the warning that training diverged, with what to try, if it did."""
    message = artifacts["generator"].facts.get("diverged") if "generator" in artifacts else None
    return [message] if message else []


def _traced(artifacts: Mapping[str, Artifact]) -> bool:
    """Whether the diagnosis shows users, with what their recommendations rest on."""
    return "diagnosis" in artifacts and artifacts["diagnosis"].config["diagnose"]["because_of"] > 0


def _stage_sections(artifacts: Mapping[str, Artifact]) -> list[Markup | None]:
    """Returns a section for each stage before evaluation that measured itself."""

    def read(kind: str, file: str) -> Any:
        return json.loads((artifacts[kind].path / file).read_text(encoding="utf-8")) if kind in artifacts else None

    health, history = read("tokenizer", "health.json"), read("generator", "history.json")
    diagnosis = read("diagnosis", "diagnosis.json")
    return [
        codebooks_section(health, artifacts["sids"].facts if "sids" in artifacts else None) if health else None,
        curves_section(history, artifacts["generator"].facts["best"]) if history else None,
        diagnosis_sections(diagnosis) if diagnosis else None,
    ]


def _rows(name: str, metrics: Mapping[str, Any]) -> list[tuple[str, Kind, Mapping[str, float], Mapping[str, Any]]]:
    rows: list[tuple[str, Kind, Mapping[str, float], Mapping[str, Any]]] = []
    rows += [
        (baseline, "baseline", row, metrics["baseline_intervals"][baseline]) for baseline, row in metrics["baselines"].items()
    ]
    members = metrics.get("members", {}).items()
    rows += [(member_label(member), "baseline", row, metrics["member_intervals"][member]) for member, row in members]
    rows += [(name, "model", metrics["model"], metrics["intervals"])]
    rows += [(f"{bound} bound", "bound", row, {}) for bound, row in metrics["bounds"].items()]
    return rows


def _published(metrics: Mapping[str, Any]) -> list[tuple[str, Kind, Mapping[str, float], Mapping[str, Any]]]:
    """Figures of others, which stand in the table only: they were not measured here."""
    return [(f"{name} (published)", "baseline", row, {}) for name, row in metrics.get("published", {}).items()]


def _tiles(metrics: Mapping[str, Any], short: str, k: int) -> Markup:
    model, best = metrics["model"], metrics["best_baseline"].get(short)
    split = "test" if short == "test" else "validation"
    tiles = [
        (written(model[f"{short}/{metric}@{k}"], ".4f"), f"{split} {metric_label(f'{metric}@{k}')}", "")
        for metric in ("recall", "ndcg")
    ]
    if best and (baseline := metrics["baselines"][best["name"]][best["metric"]]):
        style = "good" if best["interval"][0] > 0 else "warn" if best["interval"][1] < 0 else ""
        tiles.append(
            (written(ratio(best["lead"], baseline), "+.0%"), f"NDCG@{k} against {best['name']}, the best baseline", style)
        )
    if bayes := metrics["bounds"].get("bayes"):
        reached = ratio(model[f"{short}/ndcg@{k}"], bayes[f"{short}/ndcg@{k}"])
        alone = ", from item ids alone" if "bayes with all" in metrics["bounds"] else ""
        tiles.append((written(reached, ".0%"), f"of the Bayes bound of NDCG@{k}{alone}", ""))
    else:
        tiles.append((f"{metrics['users'][split]:,}", f"{split} users, {metrics['dataset']['num_items']:,} items", ""))
    return tag(
        "ul",
        *(
            tag("li", tag("span", value, class_="value"), tag("span", label, class_="label"), class_=f"tile {style}".strip())
            for value, label, style in tiles
        ),
        class_="tiles",
    )


def _figures(name: str, metrics: Mapping[str, Any], headline: int) -> Markup:
    ks = metrics["rules"]["ks"]
    few = [k for k in (5, headline) if k in ks]
    columns = [f"{metric}@{k}" for k in dict.fromkeys(few) for metric in ("recall", "ndcg")]
    every = [f"{m}@{k}" for m in (chosen_metrics(metrics, at_every_k=True) or ("recall", "ndcg", "mrr")) for k in ks]
    seen = (
        "Items of the history are excluded" if metrics["rules"]["exclude_seen"] else "Items of the history may be recommended"
    )
    users = " and ".join(f"{count:,} {split} users" for split, count in metrics["users"].items())
    candidates = metrics["rules"].get("candidates")
    ranking = f"Ranking among {candidates['mean']:g} candidates a user of" if candidates else "Full ranking over"
    return section(
        "Figures",
        _table(name, metrics, columns, intervals=True),
        tag("details", tag("summary", f"Every metric at k = {', '.join(map(str, ks))}"), _table(name, metrics, every)),
        _chosen(metrics),
        note=f"{ranking} {metrics['dataset']['num_items']:,} items, {users}. {seen}, for every row alike. "
        f"Small figures: 95 % bootstrap intervals over users. {in_sample(metrics)}"
        + (
            "Published figures follow rules of their own; nothing here was compared with them."
            if metrics.get("published")
            else ""
        ),
    )


def _chosen(metrics: Mapping[str, Any]) -> Markup | None:
    """The settings of the baselines, and which of them were chosen on validation."""
    lines = [
        (name, setting, f"{choice['tried']} on {choice['users']:,} validation users" if choice["chosen"] else "as given")
        for name, choice in metrics.get("baseline_settings", {}).items()
        if (setting := ", ".join(f"{key} {_value_text(value)}" for key, value in choice["settings"].items()))
    ]
    if not lines:
        return None
    table = plain_table("Settings of the baselines", ("", "settings", "the best of"), lines)
    return tag("details", tag("summary", "Settings of the baselines"), table)


def _table(name: str, metrics: Mapping[str, Any], columns: list[str], *, intervals: bool = False) -> Markup:
    words = {short: split for short, split in (("test", "test"), ("val", "validation")) if split in metrics["users"]}
    shorts = list(words)
    keys = [f"{short}/{column}" for short in shorts for column in columns]
    apart = [{"class_": "apart"} if key.endswith(f"/{columns[0]}") else {} for key in keys]  # a line between the splits

    def cell(key: str, row: Mapping[str, float], spread: Mapping[str, Any]) -> Markup:
        has_interval = intervals and key.startswith(shorts[0]) and key in spread
        if key not in row:
            return join()
        return join(written(row[key], ".4f"), tag("small", _interval(spread[key])) if has_interval else None)

    splits = [tag("th", words[short], colspan=len(columns), scope="colgroup", class_="apart") for short in shorts]
    heads = [metric_label(key, metrics.get("labels")) for key in keys]
    names = [tag("th", head, scope="col", **line) for head, line in zip(heads, apart, strict=True)]
    rows = [
        tag(
            "tr",
            tag("th", label, scope="row"),
            *(tag("td", cell(key, row, spread), **line) for key, line in zip(keys, apart, strict=True)),
            class_=kind,
        )
        for label, kind, row, spread in (*_rows(name, metrics), *_published(metrics))
    ]
    head = tag("thead", tag("tr", tag("td"), *splits), tag("tr", tag("td"), *names))
    return scrolling("Figures", tag("table", head, tag("tbody", *rows)))


def _interval(ends: Sequence[float | None]) -> str:
    return "–".join(written(end, ".4f") for end in ends)


def _charts(name: str, metrics: Mapping[str, Any], short: str, k: int) -> list[Markup]:
    rows = _rows(name, metrics)
    charts = [
        bar_chart(
            metric_label(f"{metric}@{k}"),
            [
                Bars(label, kind, row.get(f"test/{metric}@{k}"), row.get(f"val/{metric}@{k}"), spread.get(f"test/{metric}@{k}"))
                for label, kind, row, spread in rows
            ],
        )
        for metric in ("ndcg", "recall")
    ]
    if len(ks := metrics["rules"]["ks"]) > 1:
        curves = {label: (kind, {n: row[f"{short}/recall@{n}"] for n in ks}) for label, kind, row, _ in rows}
        charts.append(curve_chart(f"Recall at k, {'test' if short == 'test' else 'validation'}", curves))
    return charts


# --- where it comes from ---------------------------------------------------------------------------------------------------


def _rules(metrics: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> Markup:
    rules, bootstrap = metrics["rules"], metrics["rules"]["bootstrap"]
    counted: dict[str, object] = {
        "ranking": f"full, over {metrics['dataset']['num_items']:,} items; lists of {rules['list_length']}",
        "a hit": "an item of the user's held-out part; equal scores count by expected rank",
        "users": "those with something held out"
        + (" and a list" if rules.get("users") == "listed" else "; a missing list counts 0"),
        "seen items": "excluded, for every row" if rules["exclude_seen"] else "may be recommended, in every row",
        "split": _value_text(rules["split"]),
        "order of events": _value_text(rules["order"]),
        "held out": "; ".join(f"{split}: {_value_text(counts)}" for split, counts in rules["targets"].items()),
        "intervals": f"{bootstrap['level']:.0%}, {bootstrap['draws']:,} bootstrap draws over users, seed {bootstrap['seed']}",
    }
    inputs = (
        tag(
            "details",
            tag("summary", kind),
            facts_list(_flat({"fingerprint": artifact.fingerprint, **artifact.facts, "settings": artifact.config})),
        )
        for kind, artifact in artifacts.items()
        if kind != "evaluation"
    )
    return section("How it was counted, and from what", facts_list(counted), *inputs)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested facts as one level; empty ones are left out."""
    flat: dict[str, object] = {}
    for key, value in facts.items():
        label = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{label} · ")
        elif isinstance(value, list):
            if value:
                flat[label] = ", ".join(_value_text(entry) for entry in value)
        elif value is not None:
            flat[label] = _value_text(value)
    return flat


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_value_text(entry)}" for key, entry in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
