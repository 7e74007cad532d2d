"""Bundles: whole, movable, opened without training code, and answering as the run that made them did."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from small_bundle import GENERATORS, TINY, rewritten

import genrec
from genrec.core.dataset import Dataset
from genrec.engine import components
from genrec.engine.components import instantiate
from genrec.errors import ArtifactError, ConfigError
from genrec.protocols import TokenizerInputs
from genrec.recommender.recommender import Recommender
from genrec.stages.export import ExportSettings


@dataclass(frozen=True)
class Exported:
    """A bundle that has been moved away from everything it was made from.

    Args:
        path: where it is now.
        recommender: opened from there.
        histories: item ids of each user before the test target.
        table: the run's recommendations for these.
        made_in: the runs folder it was made in, which is gone.
    """

    path: Path
    recommender: Recommender
    histories: list[list[str]]
    table: pl.DataFrame
    made_in: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    root = tmp_path_factory.mktemp("export")
    runs, given = root / "runs", {}
    for generator, smaller in GENERATORS.items():
        settings = [*TINY, *smaller, f"generator={generator}", f"paths.runs={runs}", f"name={generator}"]
        genrec.run(until="recommend", quiet=True, overrides=settings)
        run = genrec.run(until="export", quiet=True, overrides=settings)
        dataset = Dataset.load(run.artifact("dataset").path)
        ids, sequences = dataset.item_ids, dataset.histories("test")
        table = pl.read_parquet(run.artifact("recommendations").path / "recommendations.parquet").filter(split="test")
        histories = [ids.gather(sequences[user]).to_list() for user in range(dataset.num_users)]
        shutil.copytree(run.path / "bundle", root / "elsewhere" / generator)
        given[generator] = (histories, table)
    shutil.rmtree(runs)
    return {
        name: Exported(root / "elsewhere" / name, genrec.load(root / "elsewhere" / name), *rest, runs)
        for name, rest in given.items()
    }


@pytest.fixture
def encdec(exported: dict[str, Exported]) -> Exported:
    return exported["encdec"]


@pytest.mark.parametrize("generator", GENERATORS)
def test_it_answers_as_the_run_did(exported: dict[str, Exported], generator: str) -> None:
    one = exported[generator]
    answers = one.recommender.recommend(one.histories, k=50)
    assert answers.columns == ["history", "rank", "item_id", "score"]
    assert answers["item_id"].to_list() == one.table["item_id"].to_list()
    assert np.allclose(answers["score"], one.table["score"], atol=1e-5)
    alone = one.recommender.recommend(one.histories[7], k=50)
    assert np.allclose(alone["score"], answers.filter(history=7)["score"], atol=1e-5)


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_seen_item_rule(exported: dict[str, Exported], generator: str) -> None:
    one = exported[generator]
    history, num_items = one.histories[0], one.recommender.items.height
    k = {"sasrec": 1000, "encdec": 50}[generator]  # a beam search finds as many as it has beams
    rest = one.recommender.recommend(history, k)
    everything = one.recommender.recommend(history, k, exclude_seen=False)
    assert rest.height == min(k, num_items - len(set(history)))
    assert everything.height == min(k, num_items)
    assert not set(rest["item_id"]) & set(history)
    assert set(everything["item_id"]) & set(history)


@pytest.mark.parametrize("generator", GENERATORS)
def test_filters_preferences_and_quotas(exported: dict[str, Exported], generator: str) -> None:
    recommender, history = exported[generator].recommender, exported[generator].histories[0]
    items = recommender.items
    column = "brand"
    brands = dict(zip(items["item_id"], items[column], strict=True))
    plain = recommender.recommend(history, 20)
    rare = plain["item_id"].replace_strict(brands).value_counts().sort("count")["item_id"][0]

    filtered = recommender.recommend(history, 5, filter=f'{column} == "{rare}"')
    assert {brands[item] for item in filtered["item_id"]} == {rare}
    scores = dict(zip(plain["item_id"], plain["score"], strict=True))
    known = filtered.filter(pl.col("item_id").is_in(list(scores)))
    assert known.height
    assert np.allclose(known["score"], [scores[item] for item in known["item_id"]], atol=1e-4), "a filter changes no score"

    steered = recommender.recommend(history, 5, steer={f'{column} == "{rare}"': 100.0}).head(filtered.height)
    assert steered["item_id"].to_list() == filtered["item_id"].to_list()
    assert np.allclose(steered["score"], filtered["score"] + 100, atol=1e-3)

    spread = recommender.recommend(history, 10, quota={column: 1})
    listed_items = [brands[item] for item in spread["item_id"]]
    assert len(listed_items) == len(set(listed_items)) == min(10, items[column].n_unique())
    assert spread["item_id"][0] == plain["item_id"][0]


def test_filters_may_speak_of_codes(encdec: Exported) -> None:
    sids = encdec.recommender.sids
    assert sids is not None
    listed_items = encdec.recommender.recommend([[]], 50, filter="code_0 == 1")
    assert set(listed_items["item_id"]) <= set(sids.filter(code_0=1)["item_id"])
    assert listed_items.height == min(50, sids.filter(code_0=1).height)


def test_settings_that_cannot_be_met(encdec: Exported) -> None:
    for settings, message in (
        ({"filter": "brand == 'nobody'"}, "filter: expected at least one allowed item"),
        ({"filter": "brnd == 'x'"}, "got brnd; did you mean brand"),
        ({"steer": {"title < 3": 1.0}}, "fits column title.*got 3"),
        ({"quota": {"brnd": 1}}, "quota.*got brnd; did you mean brand"),
        ({"quota": {"brand": 0}}, "quota.*got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            encdec.recommender.recommend([[]], 5, **settings)  # type: ignore[arg-type]


def test_more_than_it_has_beams(encdec: Exported) -> None:
    short, long = (encdec.recommender.recommend([[]], k=k)["item_id"].to_list() for k in (50, 51))
    assert len(set(long)) == 51
    assert len(set(short) - set(long)) <= 2, "more beams may find something better"


@pytest.mark.parametrize("generator", GENERATORS)
def test_empty_and_unknown(exported: dict[str, Exported], generator: str) -> None:
    recommender, history = exported[generator].recommender, exported[generator].histories[3]
    nothing = recommender.recommend([[]])
    assert nothing["rank"].to_list() == list(range(1, 11))
    with pytest.warns(UserWarning, match=r"left out: 'nobody', 'u0', 'u1', 'u2', 'u3' and 6 more$"):
        answers = recommender.recommend([["nobody"], [*history, "nobody"], [f"u{i}" for i in range(10)], history])
    for one, other in ((answers.filter(history=0), nothing), (answers.filter(history=1), answers.filter(history=3))):
        assert one["item_id"].to_list() == other["item_id"].to_list()
        assert np.allclose(one["score"], other["score"], atol=1e-5)  # another batch, other roundings
    assert answers.filter(history=2)["item_id"].to_list() == nothing["item_id"].to_list()


def test_the_tables_of_ids_agree(encdec: Exported) -> None:
    parquet = pl.read_parquet(encdec.path / "sids" / "sids.parquet")
    rows = [json.loads(line) for line in (encdec.path / "sids" / "sids.jsonl").read_text(encoding="utf-8").splitlines()]
    csv = pl.read_csv(encdec.path / "sids" / "sids.csv")
    levels = [column for column in csv.columns if column != "item_id"]
    assert levels == ["code_0", "code_1", "code_2", "code_3"]
    codes = parquet["codes"].to_list()
    assert [list(row) for row in csv.select(levels).iter_rows()] == codes == [row["codes"] for row in rows]
    ids = encdec.recommender.items["item_id"].to_list()
    assert csv["item_id"].to_list() == parquet["item_id"].to_list() == [row["item_id"] for row in rows] == ids
    assert encdec.recommender.sids is not None
    assert encdec.recommender.sids.cast(dict.fromkeys(levels, pl.Int64)).equals(csv)


def test_items_can_be_given_ids(encdec: Exported) -> None:
    """The encoder and the tokenizer of the bundle give every item the codes it has."""
    bundle = json.loads((encdec.path / "bundle.json").read_text(encoding="utf-8"))
    encoder = instantiate(bundle["config"]["encoder"], "encoder")
    encoder.restore(encdec.path / "encoder" / "fitted")
    tokenizer = instantiate(bundle["config"]["tokenizer"], "tokenizer")
    tokenizer.restore(encdec.path / "tokenizer" / "fitted")
    items = encdec.recommender.items[5:20]
    codes = tokenizer.encode(TokenizerInputs({"item": encoder.encode(items)}, items))
    assert encdec.recommender.sids is not None
    assert np.array_equal(codes, encdec.recommender.sids[5:20, 1:4].to_numpy())


def test_an_item_scorer_has_no_ids(exported: dict[str, Exported]) -> None:
    path, recommender = exported["sasrec"].path, exported["sasrec"].recommender
    assert recommender.sids is None
    assert sorted(entry.name for entry in path.iterdir()) == [
        *("README.md", "bundle.json", "generator", "items.parquet", "manifest.json")
    ]
    assert repr(recommender).startswith("Recommender(SASRec, 80 items, 0.")
    assert "Semantic IDs" not in (path / "README.md").read_text(encoding="utf-8")


def test_every_damage_is_seen(encdec: Exported, tmp_path: Path) -> None:
    files = [path.relative_to(encdec.path) for path in encdec.path.rglob("*") if path.is_file()]
    for number, name in enumerate(name for name in files if name.name != "manifest.json"):
        copy = tmp_path / str(number)
        shutil.copytree(encdec.path, copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(ArtifactError, match=str(name)):
            genrec.load(copy)
        (copy / name).unlink()
        with pytest.raises(ArtifactError, match=str(name)):
            genrec.load(copy)


def test_the_model_card(encdec: Exported) -> None:
    card = (encdec.path / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "apache-2.0"
    bundle = json.loads((encdec.path / "bundle.json").read_text(encoding="utf-8"))
    facts = bundle["facts"]
    for told in (
        f"{facts['dataset']['num_interactions']:,} interactions of 150 users with 80 items",
        "Split: leave_one_out",
        "equal keys by input_order",
        "8 x 8 x 8 x ",
        facts["sids"]["layout"],
        f"val/ndcg@10: {facts['generator']['best']['val/ndcg@10']:.4f}",
        "genrec.load(",
    ):
        assert told in body, told
    settings = body.split("```json\n")[1].split("```")[0]
    assert json.loads(settings) == bundle["config"]


def test_it_says_nothing_of_the_machine(encdec: Exported) -> None:
    for file in encdec.path.rglob("*"):
        assert not file.is_file() or str(encdec.made_in).encode() not in file.read_bytes(), file


def test_columns_to_carry() -> None:
    items = pl.DataFrame({"item_id": ["a"], "title": ["A"], "cost": [1.0]})
    assert ExportSettings().of(items).columns == ["item_id", "title", "cost"]
    assert ExportSettings(columns=("title", "item_id")).of(items).columns == ["item_id", "title"]


def test_classes_of_others_need_leave(encdec: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_shop.py").write_text(
        "from genrec.decoding.trie_beam import TrieBeam\n\n\nclass Mine(TrieBeam): ...\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(components, "_allowed", {"genrec"})
    path = rewritten(
        encdec.path, tmp_path / "bundle", lambda bundle: bundle["config"]["decoding"].update(_target_="a_shop.Mine")
    )
    with pytest.raises(ConfigError, match=r"a_shop\.Mine"):
        genrec.load(path)
    recommender = genrec.load(path, plugins=["a_shop"])
    assert recommender.recommend([[]])["item_id"].to_list() == encdec.recommender.recommend([[]])["item_id"].to_list()
