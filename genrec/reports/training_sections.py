"""What a run took: seconds per stage, and on which machine.

How training went: loss and validation by targets seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genrec.engine.artifacts import Artifact
from genrec.reports.charts import curve_chart
from genrec.reports.page import Markup, plain_table, section, tag

NOT_TOLD = "not recorded"


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
    known = artifact.manifest["environment"]
    threads = f"{known['threads']} threads" if known.get("threads") else f"{known.get('cpus', '?')} CPUs"
    return ", ".join(str(part) for part in (known.get("device"), known.get("processor"), threads) if part)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOT_TOLD
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
