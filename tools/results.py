"""Keeps measured figures: ``add`` appends a finished run to results/<data>.jsonl, ``page`` writes RESULTS.md from all rows.

README's table of the demo is the last row of results/demo.jsonl.

python tools/results.py add runs/NAME --data amazon14_beauty --label "best, 3 epochs" --note "what it shows"
python tools/results.py page

A row holds the run's configuration, seed, figures and machine, and what made each of its artifacts: genrec's commit at that
time, from the manifests. A run with an artifact that was made from uncommitted changes is refused (``--marked`` adds it, with a
mark). A run that ends with its IDs is a row of their figures. The same configuration under the other rule for seen items
(``recommend.exclude_seen``) is a row of its own, shown on one line. A published figure is a row of ``{"source": "paper, table",
"note": ..., "model": {"test/recall@10": ...}}``. Rows are never edited.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genrec.engine.aliases import current, with_current
from genrec.engine.runs import FORMER_METRICS, Run

ROOT = Path(__file__).resolve().parent.parent
ROWS, PAGE, README = ROOT / "results", ROOT / "RESULTS.md", ROOT / "README.md"
_CLAIMS = json.loads((ROWS / "claims.json").read_text(encoding="utf-8"))
CLAIMS = {current(name): claim for name, claim in _CLAIMS.items()}  # class of a generator -> paper, and what it claims
SPEED = re.compile(r"round \d+/\d+: .* ([\d,]+) targets/s")  # as training prints it
BLOCK = re.compile(r"(<!-- demo: begin -->\n).*?(<!-- demo: end -->)", re.DOTALL)
RUNTIME = ("seed", "device", "threads")  # of the configuration: change no figure, or only as seeds do
OF_SIDS = ("encoder", "tokenizer", "collision")  # read by runs with semantic IDs only
SEVERAL = 3  # tokenizers, or generators, in a file from which they get a table of their own
ID_HEADINGS = ("levels", "perplexity", "in use", "own ID", "category", "next item", "neighbours", "error left", "fit s")
COLUMNS = ("val/recall@10", "val/ndcg@10", "test/recall@10", "test/ndcg@10")
HEADINGS = ("val R@10", "val N@10", "test R@10", "test N@10", "test in R@10", "test in N@10")
OWN_TOKEN = "IDs end in the item's own token: what is told of codes is a softmax over items"
INTRODUCTION = """\
# Results

Made by `python tools/results.py page` from the rows under `results/`. Do not edit: add a row with `results.py add`.

R@10 and N@10 are Recall and NDCG at 10 over the whole catalogue; nothing is sampled. Choices are made on validation; test is
read once. "Seen" says whether items of the user's history may be recommended: one rule for a row and the baselines beside it.
"Test in" is the same configuration with seen items in its lists, where that was measured: the round that is kept is then
chosen by that rule. Several seeds of one configuration share a line: mean ± standard deviation. Targets are training targets
seen until the kept weights, in millions; minutes are those of training, with the machine and threads of the row. Baselines are
fitted on the training part; where their settings stand beside them, these were chosen on validation. Bounds exist where the
data are generated and the true probabilities are known. Published figures follow rules of their own.

Commits are those that made the artifacts, from their manifests: + with uncommitted changes. A commit with ? is of a row from
before manifests had one: the state of the repository when the row was added, which need not be what made its figures.
"""

Row = Mapping[str, Any]


LABELS = "labels.json"  # run -> what was run, in the words of a reader; later rows hold theirs
UNFIGURED = ("diagnosis", "bundle")  # artifacts that no figure of a row comes from


def row_of(
    folder: Path,
    *,
    note: str,
    minutes: float | None,
    label: str | None = None,
    peer: Mapping[str, Any] | None = None,
    log: str = "",
    marked: bool = False,
) -> dict[str, Any]:
    """The row of a finished run.

    Args:
        folder: of the run.
        note: what the row shows.
        label: what was run, in the words of a reader; None: the run's name.
        minutes: of training, where the generator's manifest does not know them.
        peer: what another library's script says of the model whose table was evaluated (tools/peers/README.md).
        log: what the run printed, for the targets a second of its training steps.
        marked: accept artifacts of unknown or uncommitted code.

    Raises:
        SystemExit: when such an artifact is not accepted.
    """
    run = Run(folder)
    artifacts = {kind: run.artifact(kind) for kind in run.kinds}
    metrics = run.metrics if "evaluation" in artifacts else _unevaluated(artifacts["dataset"].fingerprint)
    made = {kind: _maker(artifact.manifest) for kind, artifact in artifacts.items() if kind not in UNFIGURED}
    if not marked and (unclear := [kind for kind, maker in made.items() if maker["dirty"] or maker["commit"] is None]):
        what = "uncommitted changes" if made[unclear[0]]["dirty"] else "code of an unknown commit"
        raise SystemExit(
            f"{folder}: {', '.join(unclear)} made from {what}; commit, make them again in a new paths.runs, or add --marked"
        )
    config = {key: value for key, value in run.config.items() if key not in ("paths", "name", "logger")}
    generator = artifacts.get("generator")
    best = generator.facts["best"] if generator else {}
    seconds = {kind: artifact.manifest["seconds"] for kind, artifact in artifacts.items() if "seconds" in artifact.manifest}
    made_on = (generator or artifacts.get("evaluation") or artifacts["tokenizer"]).manifest["environment"]
    if peer:
        best, minutes = {"targets": peer["targets_seen"]}, peer["minutes"]
    elif minutes is None and "generator" in seconds:
        minutes = round(seconds["generator"] / 60, 1)
    facts = {kind: artifact.facts for kind, artifact in artifacts.items() if kind in ("tokenizer", "sids", "recommendations")}
    speeds = [int(speed.replace(",", "")) for speed in SPEED.findall(log)]
    return {
        "run": run.name,
        **({"label": label} if label else {}),
        "note": note,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": ", ".join(dict.fromkeys(_short(maker) for maker in made.values())),
        "made": made,
        "seed": (peer or config)["seed"],
        "targets": best.get("targets"),
        "num_weights": generator.facts["num_weights"] if generator else None,
        "targets_per_second": statistics.median(speeds) if speeds else None,
        "overrides": [override for override in run.record["overrides"] if not override.startswith(("paths.", "name="))],
        "config": config,
        "data": {"external": artifacts["dataset"].manifest["external"], **metrics["dataset"]},
        "rules": metrics["rules"],
        **{key: metrics[key] for key in ("model", "intervals", "baselines", "bounds", "users")},
        "facts": facts,
        "minutes": minutes,
        "seconds": seconds,
        "machine": {key: made_on.get(key) for key in ("device", "processor", "cpus", "threads", "torch")},
        "baseline_settings": metrics.get("baseline_settings", {}),
        **({"measured": metrics["measured"]} if metrics.get("measured") else {}),
        **({"members": metrics["members"]} if metrics.get("members") else {}),
        **({"peer": dict(peer)} if peer else {}),
    }


def _unevaluated(dataset: str) -> dict[str, Any]:
    """The figures of a run that ends with its IDs: none of a model, and none of baselines."""
    empty: dict[str, Any] = {key: {} for key in ("model", "intervals", "baselines", "bounds", "users")}
    return {**empty, "dataset": {"fingerprint": dataset}, "rules": {"exclude_seen": True}, "measured": "IDs"}


def _maker(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Which code made an artifact, and when."""
    environment = manifest["environment"]
    return {
        "commit": environment.get("commit"),
        "dirty": environment.get("dirty"),
        "genrec": manifest["genrec"],
        "created": manifest["created"],
        "fingerprint": manifest["fingerprint"],
    }


def _short(maker: Mapping[str, Any]) -> str:
    return f"{maker['commit'][:7]}{'+' if maker['dirty'] else ''}" if maker["commit"] else "unknown"


# --- the page ------------------------------------------------------------------------------------------------------------


def page(rows: Mapping[str, Sequence[Row]]) -> str:
    """RESULTS.md.

    Args:
        rows: data -> its rows, in the order in which they were added.
    """
    return "\n".join([INTRODUCTION, *(_section(data, known) for data, known in rows.items())]).rstrip() + "\n"


def _section(data: str, rows: Sequence[Row]) -> str:
    measured, published = [row for row in rows if "source" not in row], [row for row in rows if "source" in row]
    lines: list[str] = []
    for both in _groups([row for row in measured if not row.get("measured")], _under_both_rules):
        group, within = _by_rule(both)
        first = group[0]
        seeds = ", ".join(str(row["seed"]) for row in group)
        if within and [row["seed"] for row in within] != [row["seed"] for row in group]:
            seeds += f" (in: {', '.join(str(row['seed']) for row in within)})"
        targets = _millions([row.get("targets") for row in group])
        minutes = _spread([row["minutes"] for row in group], digits=0)
        commits = ", ".join(dict.fromkeys(_made_by(row) for row in (*group, *within)))
        note = "; ".join(filter(None, [first["note"], OWN_TOKEN if _has_own_token(first) else ""]))
        figures = _figures(group, within, lambda row: row["model"])
        lines.append(_line(f"**{_label(first)}**", _seen(first), seeds, *figures, targets, minutes, commits, note))
        for name in first.get("members", {}):
            alone = _figures(group, within, lambda row, name=name: row.get("members", {}).get(name, {}))  # type: ignore[misc]
            lines.append(_line(f"... {name} alone", _seen(first), seeds, *alone, "", "", "", ""))
    for both in _groups(measured, _data):
        out, within = _by_rule(both)
        pick, other = _fullest(out), _fullest(within)
        assert pick is not None
        for kind, word in (("baselines", "baseline"), ("bounds", "bound")):
            for name in {**pick[kind], **(other[kind] if other else {})}:
                one, two = ([row] if row and name in row[kind] else [] for row in (pick, other))
                figures = _figures(one, two, lambda row, kind=kind, name=name: row[kind][name], _seen(pick))  # type: ignore[misc]
                lines.append(
                    _line(f"{name} ({word})", _seen(pick), "", *figures, "", "", _made_by(pick), _settings(name, pick, kind))
                )
    for row in published:
        figures = [*(_figure(row["model"].get(c)) for c in COLUMNS), "", ""]
        lines.append(_line(row["source"], "", "", *figures, "", "", "", row["note"]))
    if lines:
        rule = "|---|---|---|" + "---:|" * len(HEADINGS) + "---:|---:|---|---|"
        lines = [f"| | seen | seeds | {' | '.join(HEADINGS)} | targets | min | commit | |", rule, *lines, ""]
    with_ids = [row for row in measured if "tokenizer" in row.get("facts", {})]
    if len({json.dumps(_seedless(row["config"]["tokenizer"]), sort_keys=True) for row in with_ids}) >= SEVERAL:
        lines += [*_semantic_ids(with_ids), ""]
    with_weights = [row for row in measured if row.get("num_weights")]
    if len({row["config"]["generator"]["_target_"] for row in with_weights}) >= SEVERAL:
        lines += [*_generators(with_weights), ""]
    return "\n".join([f"## {data}\n", *lines])


def _figures(
    group: Sequence[Row], within: Sequence[Row], of: Callable[[Row], Mapping[str, float]], rule: str | None = None
) -> list[str]:
    """A cell for each of ``HEADINGS``: validation by the rule of the group, test with seen items out, and in."""

    def cells(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
        return [_spread([of(row).get(column) for row in rows]) if rows else "" for column in columns]

    validation, test = cells(group, COLUMNS[:2]), cells(group, COLUMNS[2:])
    if (rule or _seen(group[0])) == "in":
        return [*validation, "", "", *test]
    return [*validation, *test, *cells(within, COLUMNS[2:])]


def _by_rule(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Those with seen items out, and those with seen items in; where there are none of the first kind, the second alone."""
    out, within = ([row for row in rows if row["rules"]["exclude_seen"] is rule] for rule in (True, False))
    return (out, within) if out else (within, [])


def _data(row: Row) -> Any:
    """The data of a row and how they were prepared; a later version of genrec may give the same a new fingerprint."""
    files = sorted(row["data"].get("external", {}).values())
    config = row["config"]
    return [files or row["data"]["fingerprint"], *(config.get(key) for key in ("filters", "order", "split") if files)]


def _fullest(rows: Sequence[Row]) -> Row | None:
    """The last of the rows that measured most."""
    return max(reversed(rows), key=lambda row: sum(column in row["model"] for column in COLUMNS)) if rows else None


def _made_by(row: Row) -> str:
    """The commits that made a row's artifacts; of a row from before they were known the one it names, marked."""
    return row["commit"] if "made" in row else f"{row['commit']}?"


def _settings(name: str, row: Row, kind: str) -> str:
    """What was chosen for a baseline on validation."""
    chosen = row.get("baseline_settings", {}).get(name, {}) if kind == "baselines" else {}
    return ", ".join(f"{key} {str(value).lower()}" for key, value in chosen.get("settings", {}).items())


def _has_own_token(row: Row) -> bool:
    """Whether the IDs of a row end in a token of the item's own."""
    target = (row["config"].get("collision") or {}).get("_target_", "")
    return "sids" in row.get("facts", {}) and target.endswith(".ItemToken")


def _generators(rows: Sequence[Row]) -> list[str]:
    """The same runs once more, best test NDCG first, with what they cost and what their papers claim."""
    columns = [column for column in COLUMNS if "ndcg" in column]
    lines = [
        "Their generators. Targets/s: of the training steps, the median of the rounds, threads as in the row, and whatever",
        "ran beside it (its note). Claims are the papers' own, on their data and by their rules; most were read second hand.\n",
        f"| | generator | M weights | targets/s | threads | {' | '.join(map(_heading, columns))} | paper | its claim |",
        "|---|---|---:|---:|---:|" + "---:|" * len(columns) + "---|---|",
    ]
    groups = _groups(rows, _configuration)
    for group in sorted(groups, key=lambda group: -statistics.mean(row["model"][columns[-1]] for row in group)):
        first = group[0]
        target = first["config"]["generator"]["_target_"]
        speed = _spread([row["targets_per_second"] for row in group], digits=0)
        threads = ", ".join(dict.fromkeys(str(row["machine"]["threads"]) for row in group))
        figures = [_spread([row["model"].get(column) for row in group]) for column in columns]
        claim = CLAIMS.get(target, {"paper": "", "claim": ""})
        name, weights = target.rpartition(".")[2], f"{first['num_weights'] / 1e6:.1f}"
        lines.append(_line(f"**{_label(first)}**", name, weights, speed, threads, *figures, claim["paper"], claim["claim"]))
    return lines


def _semantic_ids(rows: Sequence[Row]) -> list[str]:
    """The same runs once more, best validation NDCG first, with what their IDs are like."""
    lines = [
        "Their IDs. Perplexity is a share of each level's codes; in use: share of all codes that some item has; own ID: share",
        "of the items with an ID of their own before the collision policy; category: bits of it left when the first code is",
        "known (by chance); next item: how often consecutive items of a user share the first code, in times of chance;",
        "neighbours: share of the ten nearest vectors that the codes keep; error left: of the vectors' variance. Explained in",
        "docs/semantic_ids.md.\n",
        f"| | {' | '.join(ID_HEADINGS)} | {' | '.join(map(_heading, COLUMNS[1:]))} |",
        "|---|---|---|" + "---:|" * (len(ID_HEADINGS) - 2 + len(COLUMNS) - 1),
    ]
    groups = _groups(rows, _configuration)
    for group in sorted(groups, key=lambda group: -statistics.mean(row["model"].get(COLUMNS[1], 0) for row in group)):
        facts = group[0]["facts"]["tokenizer"]
        prefixes, near = facts.get("prefixes", {}), facts.get("neighbourhood", {})
        sizes = facts["sizes"]
        shares = [perplexity / size for perplexity, size in zip(facts["perplexity"], sizes, strict=True)]
        together, chance = (prefixes.get(key, [None])[0] for key in ("next_item_rate", "next_item_rate_chance"))
        bits, random_bits = (prefixes.get(key, [None])[0] for key in ("category_entropy", "category_entropy_chance"))
        used = [share * size for share, size in zip(facts.get("usage", ()), sizes, strict=False)]
        ids = (
            f"{len(sizes)} x {sizes[0]}" if len(set(sizes)) == 1 else " x ".join(map(str, sizes)),
            " ".join(f"{share:.2f}" for share in shares),
            f"{sum(used) / sum(sizes):.1%}" if used else "",
            f"{facts['unique_rate']:.1%}",
            f"{bits:.2f} ({random_bits:.2f})" if bits is not None and random_bits else "",
            f"{together / chance:.0f} x" if together and chance else "",
            f"{near['rate']:.1%}" if "rate" in near else "",
            _figure(prefixes.get("relative_error", [None])[-1], digits=2),
            _spread([row["seconds"]["tokenizer"] for row in group if "tokenizer" in row.get("seconds", {})], digits=0),
        )
        figures = [_spread([row["model"].get(column) for row in group]) for column in COLUMNS[1:]]
        lines.append(_line(f"**{_label(group[0])}**", *ids, *figures))
    return lines


def readme(text: str, rows: Mapping[str, Sequence[Row]]) -> str:
    """README with the table of the demo's last row; as it was when there is none."""
    if not rows.get("demo"):
        return text
    row, columns = rows["demo"][-1], ("test/recall@10", "test/ndcg@10")
    lines = ["| | test Recall@10 | test NDCG@10 |", "|---|---:|---:|"]
    for name, figures in (*row["baselines"].items(), ("**genrec demo**", row["model"]), *row["bounds"].items()):
        label = f"{name} bound" if name in row["bounds"] else name
        lines.append(_line(label, *(_figure(figures[column]) for column in columns)))
    lines.append(f"\nSeed {row['seed']}, {row['users']['test']:,} users, commit {row['commit']}, {row['date']}.\n")
    return BLOCK.sub(lambda block: block[1] + "\n".join(lines) + block[2], text)


def _groups(rows: Iterable[Row], key: Any) -> list[list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps(key(row), sort_keys=True), []).append(row)
    return list(groups.values())


def _configuration(row: Row) -> Any:
    """What seeds of one experiment share, wherever they ran. The data's own seed is another world."""
    unread = {
        *RUNTIME,
        *(() if "sids" in row.get("facts", {"sids": ""}) else OF_SIDS),
        *(() if "members" in row else ("calibrate",)),
    }
    read = {key: value for key, value in row["config"].items() if key not in unread and value is not None}
    config = {key: value if key == "data" else _seedless(value) for key, value in read.items()}
    return [config, row["data"]["fingerprint"], row["rules"]["exclude_seen"]]


def _under_both_rules(row: Row) -> Any:
    """What the same experiment under the other rule for seen items shares with this one."""
    config, fingerprint, _ = _configuration(row)
    recommend = {key: value for key, value in (config.get("recommend") or {}).items() if key != "exclude_seen"}
    return [config | {"recommend": recommend}, fingerprint]


def _seedless(node: Any) -> Any:
    return {key: _seedless(value) for key, value in node.items() if key != "seed"} if isinstance(node, Mapping) else node


def _spread(values: Sequence[float | None], digits: int = 4) -> str:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return _figure(known[0] if known else None, digits)
    return f"{_figure(statistics.mean(known), digits)} ± {_figure(statistics.stdev(known), digits)}"


def _figure(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _millions(targets: Sequence[int | None]) -> str:
    """Training targets seen until the kept weights."""
    known = [count for count in targets if count is not None]
    return f"{statistics.mean(known) / 1e6:.2f} M" if known else ""


def _heading(column: str) -> str:
    split, _, metric = column.partition("/")
    return f"{split} {metric[0].upper()}{metric[metric.index('@') :]}"


def _label(row: Row) -> str:
    return str(row.get("label") or row["run"])


def _seen(row: Row) -> str:
    return "out" if row["rules"]["exclude_seen"] else "in"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def read_rows(folder: Path = ROWS) -> dict[str, list[Row]]:
    """Data -> rows, by file name. A row's ``label`` says what was run; older rows have theirs in ``labels.json``."""
    labels = json.loads((folder / LABELS).read_text(encoding="utf-8")) if (folder / LABELS).exists() else {}
    rows: dict[str, list[Row]] = {}
    for file in sorted(folder.glob("*.jsonl")):
        lines = file.read_text(encoding="utf-8").splitlines()
        stored = [json.loads(line) for line in lines]
        named = [{"label": labels[row["run"]], **row} if row.get("run") in labels else row for row in stored]
        rows[file.stem] = [_in_current_names(row) for row in named]
    return rows


def _in_current_names(row: Row) -> Row:
    """A stored row in the names of today: of its columns, of classes and of their parameters."""
    return with_current({FORMER_METRICS.get(key, key): value for key, value in row.items()})


def main() -> None:
    """The two commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="append a finished run, then write the page")
    add.add_argument("run", type=Path, help="runs/NAME")
    add.add_argument("--data", required=True, help="what the data are called; names the file under results/")
    add.add_argument("--label", required=True, help='what was run, in the words of a reader: "best, seen items listed"')
    add.add_argument("--note", default="", help="what the row shows, also when it is that something did not work")
    add.add_argument("--minutes", type=float, help="of training, instead of what the generator's manifest says")
    add.add_argument("--log", type=Path, help="what the run printed: holds the targets a second of its training steps")
    add.add_argument("--marked", action="store_true", help="accept artifacts of uncommitted or unknown code, and mark the row")
    add.add_argument("--peer", type=Path, help="the json beside the table that a program of tools/peers/ wrote")
    commands.add_parser("page", help="write RESULTS.md and the demo's table in README.md")
    options = parser.parse_args()
    if options.command == "add":
        ROWS.mkdir(exist_ok=True)
        peer = json.loads(options.peer.read_text(encoding="utf-8")) if options.peer else None
        log = options.log.read_text(encoding="utf-8") if options.log else ""
        row = row_of(
            options.run,
            label=options.label,
            note=options.note,
            minutes=options.minutes,
            peer=peer,
            log=log,
            marked=options.marked,
        )
        with (ROWS / f"{options.data}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    rows = read_rows()
    PAGE.write_text(page(rows), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
