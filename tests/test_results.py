"""RESULTS.md says what the rows under results/ say, and counts seeds as repetitions of one configuration."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from genrec.engine.config import compose
from genrec.engine.pipeline import execute

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools" / "results.py"
spec = importlib.util.spec_from_file_location("results", SCRIPT)
assert spec is not None
assert spec.loader is not None
results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)


def row(*, seed: int = 0, ndcg: float = 0.05, exclude_seen: bool = True, **config: Any) -> dict[str, Any]:
    figures = dict.fromkeys(results.COLUMNS, ndcg)
    return {
        "run": "shop",
        "note": "a | b",
        "commit": "abc1234",
        "seed": seed,
        "config": {"seed": seed, "train": {"seed": seed, "lr": 1e-3}, "data": {"seed": 7}, **config},
        "data": {"fingerprint": "f"},
        "rules": {"exclude_seen": exclude_seen},
        "model": figures,
        "baselines": {"popularity": dict.fromkeys(results.COLUMNS, 0.0123)},
        "bounds": {},
        "minutes": 3.0,
    }


def lines(*rows: dict[str, Any], start: str = "| **shop**") -> list[str]:
    return [line for line in results.page({"a_shop": rows}).splitlines() if line.startswith(start)]


def test_the_pages_are_up_to_date() -> None:
    rows, readme = results.read_rows(), (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "RESULTS.md").read_text(encoding="utf-8") == results.page(rows), "run `make docs`"
    assert results.BLOCK.search(readme)
    assert readme == results.readme(readme, rows), "run `make docs`"


def test_a_label_names_the_line() -> None:
    (line,) = lines(row() | {"label": "best, 3 epochs"}, start="| **best, 3 epochs**")
    assert "shop" not in line


def test_every_measured_row_has_a_name_that_a_reader_understands() -> None:
    """A label, or the option that was measured: not the name of a folder."""
    options = {path.stem for path in (ROOT / "conf").glob("*/*.yaml")}
    names = {results._label(row) for rows in results.read_rows().values() for row in rows if "source" not in row}
    assert [name for name in sorted(names) if name not in options and " " not in name] == []


def test_seeds_share_a_line() -> None:
    (line,) = lines(row(seed=0, ndcg=0.04), row(seed=1, ndcg=0.06))
    assert "| 0, 1 |" in line
    assert "| 0.0500 ± 0.0141 |" in line


@pytest.mark.parametrize(
    "other",
    [row(seed=1, train={"seed": 1, "lr": 2e-3}), row(data={"seed": 8}), row(recommend={"k": 9})],
    ids=["config", "world", "lists"],
)
def test_what_differs_stands_apart(other: dict[str, Any]) -> None:
    assert len(lines(row(), other)) == 2


def test_baselines_once_for_each_rule() -> None:
    assert len(lines(row(), row(seed=1), row(seed=2), start="| popularity (baseline) | out")) == 1
    [line] = lines(row(), row(exclude_seen=False, ndcg=0.02), start="| popularity (baseline)")
    assert line.count("0.0123") == 6
    [within] = lines(row(exclude_seen=False), start="| popularity (baseline) | in")
    assert cells(within)[3:9] == ["0.0123", "0.0123", "", "", "0.0123", "0.0123"]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_both_rules_for_seen_items_share_a_line() -> None:
    out, within = row(ndcg=0.05, recommend={"exclude_seen": True}), row(ndcg=0.04, recommend={"exclude_seen": False})
    within["rules"] = {"exclude_seen": False}
    [line] = lines(out, within)
    assert cells(line)[1:9] == ["out", "0", "0.0500", "0.0500", "0.0500", "0.0500", "0.0400", "0.0400"]
    [line] = lines(within)
    assert cells(line)[1:9] == ["in", "0", "0.0400", "0.0400", "", "", "0.0400", "0.0400"]
    other = row(seed=3, ndcg=0.06, recommend={"exclude_seen": False}) | {"rules": {"exclude_seen": False}}
    [line] = lines(out, within, other)
    assert cells(line)[2] == "0 (in: 0, 3)"


def test_a_commit_that_nothing_vouches_for_is_marked() -> None:
    made = {"dataset": {"commit": "a" * 40, "dirty": False}}
    assert "| abc1234? |" in lines(row())[0]
    assert "| abc1234 |" in lines(row() | {"made": made})[0]
    assert "| abc1234?, def5678 |" in lines(row(), row(seed=1) | {"made": made, "commit": "def5678"})[0]


def test_ids_that_end_in_an_items_own_token_say_so() -> None:
    facts = {"facts": {"sids": {}}}
    told = lines(row(collision={"_target_": "genrec.tokenizers.collision.item_token.ItemToken"}) | facts)
    assert results.OWN_TOKEN in told[0]
    for other in (
        row(collision={"_target_": "genrec.tokenizers.collision.append_level.AppendLevel"}) | facts,
        row(collision={"_target_": "genrec.tokenizers.collision.item_token.ItemToken"}) | {"facts": {}},
    ):
        assert results.OWN_TOKEN not in lines(other)[0]


def test_settings_of_baselines_stand_beside_them() -> None:
    chosen = {"popularity": {"settings": {"window": 12, "log": False}}}
    [line] = lines(row() | {"baseline_settings": chosen}, start="| popularity (baseline)")
    assert "window 12, log false" in line


def test_baselines_alone_are_lines_of_baselines() -> None:
    alone = row(ndcg=0.05) | {"measured": "popularity"}
    assert lines(alone) == []
    assert len(lines(alone, start="| popularity (baseline)")) == 1


def test_ids_alone_are_a_line_of_their_figures() -> None:
    alone = [with_ids(name, 0.05) | {"measured": "IDs", "model": {}, "baselines": {}} for name in "abc"]
    page = results.page({"a_shop": alone})
    assert "test in R@10" not in page
    assert len([line for line in page.splitlines() if line.startswith("| **b** | 4 x 8")]) == 1


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("counted") / "runs"
    size = ["data.num_users=120", "data.num_items=240", "evaluate.search_users=0"]
    config = compose(["evaluate=baselines", *size, f"paths.runs='{runs}'", "name=shop"])
    return execute(config, log=lambda line: None).path


def test_a_run_that_ends_with_its_ids_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_with(monkeypatch, commit="c0ffee1" + "0" * 33, dirty=False)
    size = ["data.num_users=120", "data.num_items=240", "tokenizer=random_codes"]
    config = compose([*size, f"paths.runs='{tmp_path}'", "name=shop"])
    made = results.row_of(execute(config, until="assign", log=lambda line: None).path, note="", minutes=None)
    assert made["measured"] == "IDs"
    assert set(made["facts"]) == {"tokenizer", "sids"}


def manifest_with(monkeypatch: pytest.MonkeyPatch, **state: Any) -> None:
    """Every artifact says that it was made by this state of the code."""
    original = results._maker
    monkeypatch.setattr(
        results, "_maker", lambda manifest: original({**manifest, "environment": {**manifest["environment"], **state}})
    )


def test_a_row_names_what_made_its_artifacts(counted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_with(monkeypatch, commit="c0ffee1" + "0" * 33, dirty=False)
    made = results.row_of(counted, note="", minutes=None)
    assert made["commit"] == "c0ffee1"
    assert set(made["made"]) == {"dataset", "encoder", "evaluation"}
    for kind, maker in made["made"].items():
        manifest = json.loads((counted / kind / "manifest.json").read_text(encoding="utf-8"))
        assert maker["fingerprint"] == manifest["fingerprint"]
        assert maker["created"] == manifest["created"]
    assert made["measured"]
    assert set(made["baseline_settings"]) == set(made["baselines"])


@pytest.mark.parametrize(
    ("commit", "dirty", "told", "mark"),
    [
        ("c0ffee1" + "0" * 33, True, "uncommitted changes", "c0ffee1+"),
        (None, None, "code of an unknown commit", "unknown"),
    ],
)
def test_uncommitted_and_unknown_code_is_refused_or_marked(
    counted: Path, monkeypatch: pytest.MonkeyPatch, commit: str | None, dirty: bool | None, told: str, mark: str
) -> None:
    manifest_with(monkeypatch, commit=commit, dirty=dirty)
    with pytest.raises(SystemExit, match=told) as caught:
        results.row_of(counted, note="", minutes=None)
    assert "--marked" in str(caught.value)
    assert results.row_of(counted, note="", minutes=None, marked=True)["commit"] == mark


def test_the_demos_last_row_stands_in_the_readme() -> None:
    more = {"users": {"test": 2000}, "date": "2026-01-02", "bounds": {"bayes": dict.fromkeys(results.COLUMNS, 0.4)}}
    rows = {"demo": [row(ndcg=0.1) | more, row(ndcg=0.2) | more]}
    text = results.readme("a\n<!-- demo: begin -->\nold\n<!-- demo: end -->\nb", rows)
    assert text.startswith("a\n<!-- demo: begin -->\n| |")
    assert text.endswith("<!-- demo: end -->\nb")
    assert "old" not in text
    assert "| **genrec demo** | 0.2000 | 0.2000 |" in text
    assert "| bayes bound | 0.4000 | 0.4000 |" in text
    assert results.readme(text, rows) == text


def test_published_figures_and_notes() -> None:
    published = {"source": "a paper", "note": "its own rules", "model": {"test/ndcg@10": 0.0384}}
    (line,) = lines(row(), published, start="| a paper")
    assert line == "| a paper |  |  |  |  |  | 0.0384 |  |  |  |  |  | its own rules |"
    assert "a \\| b" in lines(row())[0]


def with_ids(name: str, ndcg: float, *, seed: int = 0, seconds: float = 10.0) -> dict[str, Any]:
    prefixes = {"next_item_rate": [0.2, 0.1], "next_item_rate_chance": [0.01, 0.001], "relative_error": [0.5, 0.25]}
    prefixes |= {"category_entropy": [1.25, 0.5], "category_entropy_chance": [4.0, 1.0]}
    facts = {"sizes": [4, 8], "perplexity": [2.0, 8.0], "usage": [0.5, 1.0], "unique_rate": 0.9, "prefixes": prefixes}
    facts["neighbourhood"] = {"rate": 0.125}
    made = row(seed=seed, ndcg=ndcg, tokenizer={"_target_": name})
    return made | {"run": name, "facts": {"tokenizer": facts, "sids": {}}, "seconds": {"tokenizer": seconds}}


def test_several_tokenizers_get_a_table_of_their_ids() -> None:
    few = [with_ids("a", 0.04), with_ids("b", 0.06, seed=0), with_ids("b", 0.07, seed=1, seconds=14.0)]
    assert "own ID" not in results.page({"a_shop": few})
    _, table = results.page({"a_shop": [*few, with_ids("c", 0.05)]}).split("docs/semantic_ids.md.")
    found = [line for line in table.splitlines() if line.startswith("| **")]
    assert [line.split("**")[1] for line in found] == ["b", "c", "a"], "best validation first"
    expected = "| **b** | 4 x 8 | 0.50 1.00 | 83.3% | 90.0% | 1.25 (4.00) | 20 x | 12.5% | 0.25 | 12 ± 3 | 0.0650 ± 0.0071 |"
    assert found[0].startswith(expected)


def generated(name: str, ndcg: float, *, seed: int = 0, speed: int | None = 1000) -> dict[str, Any]:
    made = row(seed=seed, ndcg=ndcg, generator={"_target_": f"genrec.generators.x.{name}"})
    return made | {"run": name.lower(), "num_weights": 2_500_000, "targets_per_second": speed, "machine": {"threads": 1}}


def test_several_generators_get_a_table_of_their_cost_and_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "CLAIMS", {"genrec.generators.x.B": {"paper": "B, 2020", "claim": "R@10 .1"}})
    few = [generated("A", 0.04), generated("B", 0.06), generated("B", 0.07, seed=1, speed=1200)]
    assert "its claim" not in results.page({"a_shop": few})
    _, table = results.page({"a_shop": [*few, generated("C", 0.05, speed=None)]}).split("Their generators.")
    found = [line for line in table.splitlines() if line.startswith("| **")]
    assert [line.split("**")[1] for line in found] == ["b", "c", "a"], "best test first"
    figures = "0.0650 ± 0.0071 | 0.0650 ± 0.0071"
    assert found[0] == f"| **b** | B | 2.5 | 1100 ± 141 | 1 | {figures} | B, 2020 | R@10 .1 |"
    assert found[1] == "| **c** | C | 2.5 |  | 1 | 0.0500 | 0.0500 |  |  |"


def test_every_generator_has_its_papers_claim() -> None:
    shipped = {OmegaConf.load(file)["_target_"] for file in (ROOT / "conf" / "generator").glob("*.yaml")}
    assert set(results.CLAIMS) == shipped


def test_speed_is_what_training_printed() -> None:
    log = "train: running\n    round 1/2: loss 5.1, val/ndcg@10 0.0501 (best), 1,556 targets/s, 15.0 min left\nx\n"
    assert results.SPEED.findall(log) == ["1,556"]
