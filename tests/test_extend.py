"""Runs that extend another: later items get IDs, nobody's ID moves, and what was trained goes on working."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file

import genrec
from genrec.core.sids import SIDTable
from genrec.engine.pipeline import plan
from genrec.engine.runs import Run, inherited_overrides
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.reports.explorer import read_run

OLD, ALL = 60, 80
WORDS = ["red", "blue", "soap", "cream", "brush", "nail", "hair", "skin", "oil", "gel"]
SETTINGS = [
    "data=tables",
    "tokenizer.codebook_size=8",
    "tokenizer.num_levels=2",
    "generator.dim=16",
    "generator.num_heads=2",
    "generator.identity=true",
    "generator.item_head=true",
    "objective.item_weight=1.0",
    "train.epochs=2",
    "train.num_validations=1",
    "split.short_users=train",
    "decoding.num_beams=20",
    "recommend.k=20",
    "threads=1",
    "device=cpu",
]


def tables(folder: Path, items: Sequence[int]) -> list[str]:
    """Writes a catalogue in this order, and everybody's events with its items."""
    random = np.random.default_rng(0)
    titles = [" ".join(random.choice(WORDS, 3)) for _ in range(ALL)]
    chosen = [f"i{item:02}" for item in items]
    rows = [(f"u{user}", f"i{(user * 7 + step * step) % ALL:02}", step) for user in range(70) for step in range(8)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "position"], orient="row")
    folder.mkdir(exist_ok=True)
    content = {"title": [titles[item] for item in items], "price": [float(item) for item in items]}
    pl.DataFrame({"item_id": chosen, **content}).write_parquet(folder / "items.parquet")
    events.filter(pl.col("item_id").is_in(chosen)).write_parquet(folder / "events.parquet")
    return [f"data.items={folder}/items.parquet", f"data.interactions={folder}/events.parquet"]


@pytest.fixture(scope="module", params=["append_level", "item_token"])
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("extend")
    given = [*SETTINGS, f"collision={request.param}", *tables(root / "old", range(OLD)), f"paths.runs={root}/runs", "name=old"]
    return genrec.run(until="recommend", overrides=given, quiet=True)


def extended(old: Run, name: str, items: Sequence[int], *overrides: str, until: str = "assign") -> Run:
    given = [f"extends={old.path}", f"name={name}", *tables(old.path.parents[1] / name, items), *overrides]
    return genrec.run(until=until, overrides=given, quiet=True)


def ids_of(run: Run) -> dict[str, list[int]]:
    table = pl.read_parquet(run.artifact("sids").path / "sids.parquet")
    return dict(zip(table["item_id"], table["codes"].to_list(), strict=True))


def test_no_id_moves_and_the_generator_goes_on(old: Run) -> None:
    new = extended(old, "new", range(ALL), until="evaluate")
    before, after = (SIDTable.load(run.artifact("sids").path) for run in (old, new))
    np.testing.assert_array_equal(after.codes[:OLD], before.codes)
    assert after.layout == before.layout
    assert ids_of(new).items() > ids_of(old).items()
    facts = new.artifact("sids").facts
    assert (facts["extends"], facts["added"], facts["num_items"]) == (before.table, ALL - OLD, ALL)

    weights = [load_file(run.artifact("generator").path / "model.safetensors") for run in (old, new)]
    for name, rows in weights[1].items():
        known = len(weights[0][name])
        assert (rows[:known] == weights[0][name]).all()
        assert not rows[known:].any()
    shown = pl.read_parquet(new.artifact("recommendations").path / "recommendations.parquet")
    is_new = pl.col("item_id").is_in([f"i{item:02}" for item in range(OLD, ALL)])
    assert shown.group_by("split", "user_id").agg(is_new.sum())["item_id"].min() >= 2, "a tenth of 20 places"  # type: ignore[operator]
    assert new.artifact("generator").facts["num_trained"] == OLD
    assert new.metrics["dataset"]["num_items"] == ALL


@pytest.mark.parametrize("kind", ["continuous", "dual_branch"])
def test_scorers_that_know_items_by_vectors_or_codes_take_later_ones(kind: str, tmp_path: Path) -> None:
    given = [
        *SETTINGS[:4],
        *SETTINGS[8:11],
        *SETTINGS[12:],
        f"generator={kind}",
        "generator.num_layers=1",
        f"paths.runs={tmp_path}/runs",
    ]
    first = genrec.run(until="recommend", overrides=[*given, "name=first", *tables(tmp_path / "first", range(OLD))], quiet=True)
    new = extended(first, "new", range(ALL), "recommend.new_item_share=0", until="recommend")
    assert new.artifact("generator").facts["num_items"] == ALL
    before, after = (load_file(run.artifact("generator").path / "model.safetensors") for run in (first, new))
    for name, weights in before.items():
        assert (after[name][: len(weights)] == weights).all(), name
        assert (after[name][len(weights) :] == 0).all(), name
    lists = pl.read_parquet(new.artifact("recommendations").path / "recommendations.parquet")
    assert set(lists["item_id"]) & {f"i{item:02}" for item in range(OLD, ALL)}, "by their content"


@pytest.mark.parametrize("kind", ["cobra", "multi_stream"])
def test_what_a_generator_reads_of_content_comes_with_later_items(kind: str, tmp_path: Path) -> None:
    own = ["generator=cobra"] if kind == "cobra" else ["generator=multi_stream", "tokenizer=multi_stream"]
    given = [setting for setting in SETTINGS if not setting.endswith(("identity=true", "head=true", "weight=1.0"))]
    given += [*own, "generator.num_history_layers=1", "name=first", f"paths.runs={tmp_path}/runs"]
    first = genrec.run(until="train", overrides=[*given, *tables(tmp_path / "first", range(OLD))], quiet=True)
    new = extended(first, "new", range(ALL), until="recommend")
    assert new.artifact("generator").facts["num_items"] == ALL
    if kind == "multi_stream":
        before, after = (SIDTable.load(run.artifact("sids").path) for run in (first, new))
        assert list(after.streams) == ["text", "collaborative"]
        for name, stream in after.streams.items():
            np.testing.assert_array_equal(stream.codes[:OLD], before.streams[name].codes)
        assert (after.streams["text"].codes[OLD:] >= 0).all()
        assert (after.streams["collaborative"].codes[OLD:] == -1).all(), "nobody has taken them yet"
        assert after.layout == before.layout


def test_the_order_of_the_rows_and_a_table_of_the_new_items_alone_change_no_id(old: Run) -> None:
    """A run of the new items' rows alone has no events of the old ones; their order in the table is their item_idx."""
    straight = ids_of(extended(old, "straight", range(ALL)))
    shuffled = extended(old, "shuffled", np.random.default_rng(1).permutation(ALL).tolist())
    assert ids_of(shuffled) == straight
    assert list(ids_of(shuffled))[:OLD] == list(ids_of(old))
    catalogue = pl.read_parquet(old.path.parents[1] / "straight" / "items.parquet")
    catalogue.tail(ALL - OLD).write_parquet(old.path.parents[1] / "few.parquet")
    few = extended(old, "few", range(ALL), f"data.items={old.path.parents[1]}/few.parquet")
    assert ids_of(few) == straight


def test_a_bundle_keeps_places_for_new_items_too(old: Run) -> None:
    new = extended(old, "served", range(ALL), until="export")
    answer = genrec.load(new.artifact("bundle").path).recommend([["i01", "i02"], []], k=10)
    assert (
        answer.group_by("history")
        .agg(pl.col("item_id").is_in([f"i{item:02}" for item in range(OLD, ALL)]).sum())["item_id"]
        .min()
        >= 1
    )


def test_a_bundle_takes_items_in_as_an_extended_run_does(old: Run) -> None:
    """Same IDs, same lists, whether a run is extended or its bundle is told of the items; and the bundle is not touched."""
    events = tables(old.path.parents[1] / "old", range(OLD))[1]
    [later, _] = tables(old.path.parents[1] / "taken", range(ALL))
    given = [f"extends={old.path}", "name=taken", later, events]
    expected = genrec.load(genrec.run(until="export", overrides=given, quiet=True).artifact("bundle").path)
    collision = "item_token" if SIDTable.load(old.artifact("sids").path).streams else "append_level"
    made = [
        *SETTINGS,
        f"collision={collision}",
        f"data.items={old.path.parents[1]}/old/items.parquet",
        events,
        f"paths.runs={old.path.parent}",
        "name=old",
    ]
    recommender = genrec.load(genrec.run(until="export", overrides=made, quiet=True).artifact("bundle").path)
    before = recommender.catalogue
    recommender.add_items(expected.items)
    assert before.table.frame.height == OLD
    assert recommender.items.equals(expected.items)
    assert recommender.sids.equals(expected.sids)
    histories = [["i01", "i02"], [], ["i65", "i03"]]
    ours, theirs = (one.recommend(histories, k=20) for one in (recommender, expected))
    assert ours.drop("score").equals(theirs.drop("score"))
    np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-5)
    assert recommender.similar("i70", k=5).equals(expected.similar("i70", k=5))


def test_an_extended_run_can_be_extended_and_filters_drop_no_known_item(old: Run) -> None:
    once = extended(old, "once", range(70), "filters.k_core=3")
    twice = genrec.run(
        until="assign",
        overrides=[f"extends={once.path}", "name=twice", *tables(once.path.parent / "t", range(ALL))],
        quiet=True,
    )
    assert ids_of(old).items() < ids_of(once).items() < ids_of(twice).items()
    assert twice.artifact("sids").facts["extends"] == once.artifact("sids").facts["table"]


def test_the_explorer_walks_in_all_codes_of_the_tokenizer(old: Run) -> None:
    shown, table = read_run(old).sids, SIDTable.load(old.artifact("sids").path)
    assert shown.sizes[:2] == (8, 8)
    codes = table.streams["content"].codes if table.streams else table.codes[:, :2]
    np.testing.assert_array_equal(shown.codes[:, :2], codes)
    assert shown.num_levels == (2 if table.streams else 3)


def test_it_is_planned_skipped_and_remade_like_any_run(old: Run) -> None:
    from genrec.engine.config import compose

    first = extended(old, "again", range(ALL))
    config = compose([f"extends={old.path}", "name=again", *tables(old.path.parents[1] / "again", range(ALL))])
    steps = plan(config, until="assign")
    assert {step.action for step in steps} == {"skip"}
    assert steps[-1].external == {"extends": old.links["sids"]}
    work = old.store.work("sids", first.links["sids"])
    old.store.remove("sids", first.links["sids"])
    work.mkdir()
    (work / "half").touch()
    assert [step.action for step in plan(config, until="assign")] == ["skip", "skip", "skip", "resume"]
    assert ids_of(extended(old, "again", range(ALL))) == ids_of(extended(old, "third", range(ALL)))


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        (["tokenizer.num_levels=3"], ConfigError, r"tokenizer\.num_levels: expected 2, as in .*/old.*got 3"),
        (["train.epochs=3"], ConfigError, r"train\.epochs: expected 2"),
        (["name=old"], ConfigError, "name: expected another name"),
        (["extends=/no/such/run"], ArtifactError, "extends: expected the folder of a run, got /no/such/run"),
    ],
)
def test_what_cannot_be_extended_is_told_before_anything_runs(
    old: Run, settings: list[str], error: type[Exception], match: str
) -> None:
    links = old.links
    with pytest.raises(error, match=match):
        extended(old, "refused", range(ALL), *settings, until="recommend")
    assert old.links == links
    assert not (old.path.parent / "refused").exists()


def test_codes_without_a_rule_for_later_items(old: Run) -> None:
    shop = [*SETTINGS[:1], *SETTINGS[3:], *tables(old.path.parents[1] / "old", range(OLD)), f"paths.runs={old.path.parent}"]
    issued = genrec.run(until="assign", overrides=[*shop, "tokenizer=sequential", "name=issued"], quiet=True)
    with pytest.raises(DataError, match=r"i60: .*got 20 items that have no codes; fit again"):
        extended(issued, "issued_new", range(ALL))
    scorer = genrec.run(until="train", overrides=[*shop[:1], *shop[-3:], "generator=sasrec", "name=scorer"], quiet=True)
    with pytest.raises(ConfigError, match=r"extends: .*20 items that SASRec has never seen"):
        extended(scorer, "scorer_new", range(ALL), until="train")


def test_columns_of_another_type_are_told(old: Run) -> None:
    given = tables(old.path.parents[1] / "typed", range(ALL))
    file = old.path.parents[1] / "typed" / "items.parquet"
    pl.read_parquet(file).with_columns(price=pl.lit("cheap")).write_parquet(file)
    with pytest.raises(DataError, match=r"of the types they have.*cheap"):
        genrec.run(until="prepare", overrides=[f"extends={old.path}", "name=typed", *given], quiet=True)


def test_settings_are_inherited_where_none_is_given(tmp_path: Path) -> None:
    def made(name: str, *overrides: str) -> str:
        run = Run(tmp_path / name)
        run.start({}, overrides, {})
        return f"extends='{run.path}'"

    first = made("a", "name=a", "data=amazon14", "data.file=f", "seed=1", "train.lr=0.1")
    assert inherited_overrides([first, "data=tables", "seed=2"]) == ["train.lr=0.1", first, "data=tables", "seed=2"]
    second = made("b", first, "name=b", "train.lr=0.2")
    assert inherited_overrides([second]) == ["data=amazon14", "data.file=f", "seed=1", "train.lr=0.2", second]
    assert inherited_overrides(["seed=3", "extends=null"]) == ["seed=3", "extends=null"]


def test_the_command_line(old: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from genrec.cli import main

    given: list[Any] = tables(old.path.parents[1] / "cli", range(ALL - 1))
    assert main(["assign", "--new", str(old.path), "name=cli", *given]) == 0
    assert "60 IDs stay, 19 are new" in capsys.readouterr().out
