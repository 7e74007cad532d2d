"""RESULTS.md says what the rows under results/ say, and counts seeds as repetitions of one configuration."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "results.py"
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
        "floors": {"popularity": dict.fromkeys(results.COLUMNS, 0.0123)},
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


def test_seeds_share_a_line() -> None:
    (line,) = lines(row(seed=0, ndcg=0.04), row(seed=1, ndcg=0.06))
    assert "| 0, 1 |" in line
    assert "| 0.0500 ± 0.0141 |" in line


@pytest.mark.parametrize(
    "other",
    [row(seed=1, train={"seed": 1, "lr": 2e-3}), row(seed=1, exclude_seen=False), row(data={"seed": 8})],
    ids=["config", "rule", "world"],
)
def test_what_differs_stands_apart(other: dict[str, Any]) -> None:
    assert len(lines(row(), other)) == 2


def test_floors_once_for_each_rule() -> None:
    assert len(lines(row(), row(seed=1), row(seed=2), start="| popularity (floor) | out")) == 1
    assert len(lines(row(), row(exclude_seen=False), start="| popularity (floor)")) == 2


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
    assert line == "| a paper |  |  |  |  |  | 0.0384 |  |  |  | its own rules |"
    assert "a \\| b" in lines(row())[0]


def with_ids(name: str, ndcg: float, *, seed: int = 0, seconds: float = 10.0) -> dict[str, Any]:
    prefixes = {"next_item_rate": [0.2, 0.1], "next_item_rate_chance": [0.01, 0.001], "relative_error": [0.5, 0.25]}
    facts = {"sizes": [4, 8], "perplexity": [2.0, 8.0], "unique_rate": 0.9, "prefixes": prefixes}
    facts["neighbourhood"] = {"rate": 0.125}
    made = row(seed=seed, ndcg=ndcg, tokenizer={"_target_": name})
    return made | {"run": name, "facts": {"tokenizer": facts, "sids": {}}, "seconds": {"tokenizer": seconds}}


def test_several_tokenizers_get_a_table_of_their_ids() -> None:
    few = [with_ids("a", 0.04), with_ids("b", 0.06, seed=0), with_ids("b", 0.07, seed=1, seconds=14.0)]
    assert "own ID" not in results.page({"a_shop": few})
    _, table = results.page({"a_shop": [*few, with_ids("c", 0.05)]}).split("docs/semantic_ids.md.")
    found = [line for line in table.splitlines() if line.startswith("| **")]
    assert [line.split("**")[1] for line in found] == ["b", "c", "a"], "best validation first"
    expected = "| **b** | 4 x 8 | 0.50 1.00 | 90.0% | 20 x | 12.5% | 0.25 | 12 ± 3 | 0.0650 ± 0.0071 |"
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
