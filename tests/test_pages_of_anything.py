"""Pages and tables are made of whatever figures there are: no value ends in a traceback instead of a report."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from html_pages import parsed
from rich.console import Console
from small_evaluation import evaluated, recommended, walks

from genrec.reports.charts import Bars, Dots, bar_chart, curve_chart, dot_chart, grouped_bars, reliability_chart
from genrec.reports.comparison import comparison_page, conclusion
from genrec.reports.diagnosis import diagnosis_sections
from genrec.reports.lists_sections import beyond_section, slices_section
from genrec.reports.report import _charts, _figures, _tiles
from genrec.reports.run_sections import codebooks_section, curves_section
from genrec.reports.standings import Row, Standings
from genrec.reports.text_tables import print_comparison
from genrec.reports.verdict import verdict
from genrec.training.module import divergence

ODD = [0.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -1.0, 1e5]
Path_ = tuple[Any, ...]


def figures_in(node: Any, place: Path_ = ()) -> Iterator[Path_]:
    """The places of all floating-point figures in nested data."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        if isinstance(value, float):
            yield (*place, key)
        yield from figures_in(value, (*place, key))


def with_figure(node: Any, place: Path_, value: Any) -> Any:
    changed = copy.deepcopy(node)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def swept(node: Any, *, values: list[Any], most: int = 40) -> Iterator[Any]:
    """The data with one figure odd (those of long lists sampled), then with all of them."""
    places = list(figures_in(node))
    assert places
    for number, place in enumerate(places[:: -(-len(places) // most)]):
        yield with_figure(node, place, values[number % len(values)])
    for value in values:
        changed = node
        for place in places:
            changed = with_figure(changed, place, value) if len(places) < 80 else _set_all(changed, value)
        yield changed


def _set_all(node: Any, value: Any) -> Any:
    if isinstance(node, dict):
        return {key: _set_all(inner, value) for key, inner in node.items()}
    if isinstance(node, list):
        return [_set_all(inner, value) for inner in node]
    return value if isinstance(node, float) else node


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    dataset = walks()
    evaluation = evaluated(tmp_path_factory.mktemp("walk"), dataset, recommended(dataset))
    made: dict[str, Any] = json.loads((evaluation.path / "metrics.json").read_text(encoding="utf-8"))
    made["bounds"] = {"bayes": dict.fromkeys(made["model"], 0.9)}
    return made


def in_terminal(folder: Path, metrics: dict[str, Any]) -> None:
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")

    class Made:
        path = folder

    print_comparison([("walk", Made())], Console(file=StringIO(), width=120))  # type: ignore[list-item]


def test_an_evaluation_of_anything(metrics: dict[str, Any], tmp_path: Path) -> None:
    k = metrics["rules"]["headline_k"]
    pages: list[Callable[[dict[str, Any]], Any]] = [
        lambda made: _tiles(made, "test", k),
        lambda made: _figures("walk", made, k),
        lambda made: "".join(_charts("walk", made, "test", k)),
        slices_section,
        lambda made: beyond_section("walk", made, "test"),
    ]
    for made in swept(metrics, values=ODD, most=20):
        for page in pages:
            parsed(page(made) or "")
        assert verdict("walk", made)
    for made in swept(metrics, values=ODD, most=9):
        in_terminal(tmp_path, made)


DIAGNOSIS: dict[str, Any] = {
    "split": "test",
    "users": 4,
    "seed": 0,
    "rules": {"list_length": 20, "exclude_seen": True, "normalization": "codebook"},
    "levels": [
        {"accuracy": 0.5, "own_accuracy": 0.4, "log_prob": -1.0, "log_choices": 2.0, "forced": 0.1, "mass": 0.9} for _ in "ab"
    ],
    "beams": {
        "users": 4,
        "excluded": 1,
        "lost": [0.1, 0.2],
        "kept": 0.7,
        "lists": [{"k": 10, "listed": 0.5, "search_errors": 0.1, "model_errors": 0.4}],
    },
    "calibration": {
        "k": 10,
        "bins": [{"predicted": 0.1, "observed": 0.2, "low": 0.0, "high": 0.4, "count": 9}],
        "error": 0.1,
        "mass": 0.5,
        "hit_rate": 0.4,
        "hit_rate_interval": [0.3, 0.5],
    },
    "because_of": [
        {
            "user_id": "u",
            "drawn": "random",
            "history_length": 2,
            "history": [{"item_id": "a", "title": "A", "first": 0.4, "target": -0.2}],
            "targets": [{"item_id": "b", "title": "B", "rank": 3}],
            "target_probability": 0.01,
            "recommended": [{"item_id": "c", "title": "C", "probability": 0.3, "hit": False}],
        }
    ],
}


def test_a_diagnosis_of_anything() -> None:
    """Among them null, which stands for what is no finite number."""
    for made in swept(DIAGNOSIS, values=[*ODD, None], most=60):
        numbers = made["calibration"]["hit_rate_interval"] + [made["calibration"]["mass"], made["calibration"]["hit_rate"]]
        if None in numbers and numbers[2] is not None:  # an interval is null only with all the rest
            continue
        parsed(diagnosis_sections(made))
    for log_prob, told in ((-1.0, "2.7"), (-1e4, "more than 1e300"), (-math.inf, "more than 1e300"), (None, "not a number")):
        assert f"<td>{told}</td>" in diagnosis_sections(with_figure(DIAGNOSIS, ("levels", 0, "log_prob"), log_prob))


def test_health_and_history_of_anything() -> None:
    level = {"size": 16, "usage": 0.5, "perplexity": 3.0, "gini": 0.2, "conditional_entropy": 1.0}
    prefix = {
        "unique_rate": 0.5,
        "largest_group": 2,
        "relative_error": 0.1,
        "next_item_rate": 0.2,
        "next_item_rate_chance": 0.1,
    }
    health = {
        "num_items": 9,
        "levels": [level, level],
        "prefixes": [prefix, prefix],
        "neighbourhood": {"k": 5, "rate": 0.5, "chance": 0.1},
        "collisions": {"items": 1, "groups": 1, "largest": 2},
    }
    for made in swept(health, values=ODD):
        parsed(codebooks_section(made))
    parsed(codebooks_section(health | {"levels": [level | {"size": 0}], "prefixes": [prefix]}))
    parsed(codebooks_section(health | {"levels": [], "prefixes": []}))
    history = [{"round": i, "targets": 9.0 * i, "train/loss": 2.0, "val/ndcg@10": 0.1} for i in range(3)]
    for made in swept(history, values=ODD):
        parsed(curves_section(made, made[0]) or "")


def test_a_comparison_of_anything() -> None:
    row = {
        "name": "a",
        "kind": "model",
        "value": 0.1,
        "interval": [0.05, 0.2],
        "runs": {"r": 0.1, "s": 0.2},
        "others": {"k": 0.3},
    }
    for made in swept(row, values=ODD):
        rows = [Row(**made | {"interval": tuple(made["interval"]), "name": name}) for name in "ab"]
        comparison = Standings("test/ndcg@10", 9, 9, True, tuple(rows), (Row("f", "baseline", made["value"]),), (), None, {})
        assert conclusion(comparison)
        parsed(comparison_page(comparison))


@pytest.mark.parametrize("value", [*ODD, None], ids=str)
def test_every_chart_draws_anything(value: Any) -> None:
    """And what has a place beside it keeps it."""
    bars = bar_chart(
        "x", [Bars("a", "model", value, 0.5, None if value is None else (value, 1.0)), Bars("b", "baseline", 0.5, 0.5)]
    )
    grouped = grouped_bars("x", {"a": [value, 0.5]}, {"s": "model", "t": "baseline"})
    charts = [bars, grouped]
    if value is not None:
        point = {"predicted": 0.5, "observed": 0.5, "low": 0.1, "high": 0.9, "count": 3}
        for zero in (True, False):
            charts.append(curve_chart("x", {"a": ("model", {1: value, 2: 0.5}), "b": ("baseline", {1: value})}, from_zero=zero))
            charts.append(
                dot_chart("x", [Dots("a", "model", value, (value, 1.0), (value,)), Dots("b", "baseline", 0.5)], zero=zero)
            )
        charts += [reliability_chart("x", [point | {key: value}, point]) for key in ("predicted", "observed", "low", "high")]
    for chart in charts:
        for _, attributes in parsed(chart).tags:
            for place in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width"):
                assert math.isfinite(float(str(attributes.get(place, "0")).rstrip("%")))


def test_every_chart_draws_nothing() -> None:
    for chart in (
        bar_chart("x", []),
        grouped_bars("x", {}, {}),
        curve_chart("x", {}),
        curve_chart("x", {"a": ("model", {})}, from_zero=False),
        dot_chart("x", []),
        reliability_chart("x", []),
    ):
        parsed(chart)


LOSSES: list[tuple[list[float], bool]] = [
    ([6.5, 4.2, 3.1], False),
    ([6.5, 4.2, 4.9], False),
    ([-0.1, -0.2, 0.4], False),
    ([10.5, 7.0], False),
    ([6.5, 9e3], True),
    ([2.4e4], True),
    ([6.5, 3.0, 12.0], True),
    ([6.5, 1e3, 5.0], True),
    ([], False),
]


@pytest.mark.parametrize(("losses", "astray"), LOSSES, ids=str)
def test_which_training_went_astray(losses: list[float], astray: bool) -> None:
    told = divergence([{"train/loss": loss} for loss in losses], num_items=1000, lr=0.5)
    assert (told is not None) is astray
    assert told is None or told.endswith("try train.lr=0.001")
