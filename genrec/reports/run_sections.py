"""Sections about a run itself: what it was made from, the curves and the cost of its training, and its semantic IDs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from genrec.core.dataset import Dataset
from genrec.engine.artifacts import Artifact
from genrec.engine.config import option_name
from genrec.engine.overrides import flat_settings
from genrec.engine.runs import Run
from genrec.reports.charts import Kind, curve_chart, grouped_bars
from genrec.reports.page import Markup, plain_table, section, tag
from genrec.statistics.numbers import ratio


def about_run(run: Run, artifacts: Mapping[str, Artifact]) -> dict[str, object]:
    """Returns the head of the report: what was trained on what, when, by which code, and the command."""
    record, config, settings = run.record, run.config, dict[str, Any]()
    for artifact in artifacts.values():
        settings |= dict(flat_settings(artifact.config))
    about: dict[str, object] = {}
    if "data" in config:
        dataset = Dataset.load(artifacts["dataset"].path)
        source = config["data"].get("interactions") or config["data"].get("path") or ""
        events = f"{dataset.num_users:,} users, {dataset.num_items:,} items"
        about["data"] = " · ".join(str(part) for part in (option_name("data", settings), source, events) if part)
    for group in ("encoder", "tokenizer", "collision", "generator", "decoding"):
        if (option := option_name(group, settings)) != "-":
            about[group] = option
    if "seed" in config:
        about["seed"] = config["seed"]
    last = artifacts["evaluation"].manifest
    about["made"] = str(last["created"]).replace("T", " ").replace("+00:00", " UTC")
    commits = dict.fromkeys(_commit(artifact.manifest["environment"]) for artifact in artifacts.values())
    about["genrec"] = ", ".join([last["genrec"], *(commit for commit in commits if commit)])
    if "overrides" in record:
        about["command"] = tag("code", shlex.join(["genrec", "run", *record["overrides"]]))
    return about


def _commit(environment: Mapping[str, Any]) -> str:
    commit = environment.get("commit")
    return "" if not commit else f"commit {commit[:7]}" + (" with uncommitted changes" if environment.get("dirty") else "")


NOT_RECORDED = "not recorded"


def cost_section(artifacts: Mapping[str, Artifact]) -> Markup:
    """A row per artifact, in the order in which they were made.

    Args:
        artifacts: kind -> artifact.
    """
    columns = ("stage", "time", "size", "made (UTC)", "on", "speed")
    rows = [
        (
            artifact.stage,
            _duration(artifact.manifest.get("seconds")),
            _size(sum(file["bytes"] for file in artifact.manifest["files"].values())),
            artifact.manifest["created"].removesuffix("+00:00").replace("T", " "),
            machine_of(artifact),
            _speed(artifact),
        )
        for artifact in artifacts.values()
    ]
    return section(
        "Run time and hardware",
        plain_table("Run time", columns, rows),
        note="Wall-clock time of the process that finished the stage; of one that was interrupted, the last part only. "
        "Artifacts found in the store were made by an earlier run.",
    )


def machine_of(artifact: Artifact) -> str:
    """Device, processor and threads that an artifact was made with."""
    environment = artifact.manifest["environment"]
    threads = f"{environment['threads']} threads" if environment.get("threads") else f"{environment.get('cpus', '?')} CPUs"
    return ", ".join(str(part) for part in (environment.get("device"), environment.get("processor"), threads) if part)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOT_RECORDED
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def _speed(artifact: Artifact) -> str:
    splits = artifact.facts.get("splits", {}) if artifact.kind == "recommendations" else {}
    return "; ".join(f"{split} {facts['users_per_second']:,.0f} users/s" for split, facts in splits.items())


LOSS, SCORE = "train/loss", "val/ndcg@10"


def curves_section(history: Sequence[Mapping[str, float]], best: Mapping[str, float]) -> Markup | None:
    """Two curves, or None when training was validated only once.

    Args:
        history: a row per validation round (history.json of a generator).
        best: the round whose weights were kept.
    """
    if len(history) < 2:
        return None
    charts = [
        curve_chart(
            title,
            {key: ("model", {row["targets"]: row[key] for row in history if key in row})},
            logarithmic=False,
            from_zero=key == SCORE,
        )
        for title, key in (("NDCG@10 on the validation sample", SCORE), ("Training loss per target", LOSS))
        if any(key in row for row in history)
    ]
    rising = history[-1] is not best and history[-1]["round"] == best["round"]
    sentence = f"The weights of round {best['round'] + 1:.0f} of {len(history)} were kept"
    sentence += ", the last: a longer schedule might still gain." if rising else "."
    rule = history[0].get("exclude_seen")
    seen = "" if rule is None else f" Validation lists hold {'no' if rule else 'also'} items of the history."
    return section("Training", tag("div", *charts, class_="charts"), note=f"By training targets seen.{seen} {sentence}")


BARS: tuple[tuple[str, Kind, Callable[[Mapping[str, Any]], float | None]], ...] = (
    ("codes in use", "bound", lambda level: level["usage"]),
    ("perplexity / codes", "model", lambda level: ratio(level["perplexity"], level["size"])),
    ("Gini", "baseline", lambda level: level.get("gini")),
)
# heading, key, how it is written; an artifact of an earlier version knows fewer of them
LEVEL_COLUMNS = (
    ("perplexity", "perplexity", "{:.1f}"),
    ("bits added", "conditional_entropy", "{:.1f}"),
)
PREFIX_COLUMNS = (
    ("own ID", "unique_rate", "{:.1%}"),
    ("largest group", "largest_group", "{:,}"),
    ("error left", "relative_error", "{:.3f}"),
    ("category left", "category_entropy", "{:.2f}"),
    ("brand left", "brand_entropy", "{:.2f}"),
    ("next item", "next_item_rate", "{:.2%}"),
)
HOW_CODEBOOKS = (
    "Perplexity is the number of codes that would be as hard to guess if all were equally frequent; Gini is 0 when all hold "
    "equally many items and near 1 when few hold all. A level adds as many bits as it tells beyond the levels before it. From "
    "there on a row is about the first levels together: items with an ID of their own, squared error left of the vectors' "
    "variance, bits by which an item's category and brand are still uncertain, and how often a user's next item in training "
    "stays within the prefix."
)


def codebooks_section(
    health: Mapping[str, Any],
    resolved: Mapping[str, Any] | None = None,
    *,
    title: str = "Semantic IDs",
    note: str = HOW_CODEBOOKS,
) -> Markup:
    """Usage per level, and what leading levels tell.

    Args:
        health: health.json of a tokenizer.
        resolved: facts of the table that a collision policy made of its codes.
        title: of the section.
        note: how to read it.
    """
    levels, prefixes = health["levels"], health["prefixes"]
    series = [(name, kind, values) for name, kind, of in BARS if None not in (values := [of(level) for level in levels])]
    usage = {f"level {i}, {level['size']:,} codes": [bar[2][i] for bar in series] for i, level in enumerate(levels)}
    of_level = [column for column in LEVEL_COLUMNS if levels and column[1] in levels[0]]
    of_prefix = [column for column in PREFIX_COLUMNS if prefixes and column[1] in prefixes[0]]
    rows = [
        [str(i), *(_cell(level, *column[1:]) for column in of_level), *(_cell(prefix, *column[1:]) for column in of_prefix)]
        for i, (level, prefix) in enumerate(zip(levels, prefixes, strict=True))
    ]
    return section(
        title,
        grouped_bars("How evenly codes are used", usage, {name: kind for name, kind, _ in series}),
        plain_table("Figures of each level", ["level", *(column[0] for column in (*of_level, *of_prefix))], rows),
        *(tag("p", line) for line in _sentences(health, resolved)),
        note=note,
    )


def _cell(figures: Mapping[str, Any], key: str, form: str) -> Markup | str:
    value_text = form.format(figures[key])
    if f"{key}_chance" not in figures:
        return value_text
    return Markup(value_text + tag("small", "chance " + form.format(figures[f"{key}_chance"])))


def _sentences(health: Mapping[str, Any], resolved: Mapping[str, Any] | None) -> Iterator[str]:
    if preservation := health.get("neighbourhood"):
        yield (
            f"Of an item's {preservation['k']} nearest by the encoder, {preservation['rate']:.1%} are among its nearest by ID "
            f"(chance: {preservation['chance']:.2%})."
        )
    if "collisions" in health:
        items, groups, largest = (health["collisions"][key] for key in ("items", "groups", "largest"))
        yield (
            f"{items:,} of {health['num_items']:,} share all codes with another, in {groups:,} groups of up to {largest:,}."
            if groups
            else "No two items share all codes."
        )
    if resolved:
        rate, before, moved = (resolved[key] for key in ("unique_rate", "unique_rate_before", "moved_rate"))
        changed = f"; {moved:.1%} moved to other codes." if moved else "."
        yield f"After collisions were resolved {rate:.1%} of the items have an ID of their own, {before:.1%} before{changed}"
