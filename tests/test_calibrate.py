"""The calibrate stage, and a whole run with decoding=fusion: weights from validation only, every member told alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from small_world import OPTIONS, ring, scrambled, sids_of

import genrec
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset, Sequences
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import request_of
from genrec.decoding.lib.candidates import item_log_probs
from genrec.engine.artifacts import Artifact
from genrec.engine.components import instantiate
from genrec.engine.config import compose
from genrec.engine.pipeline import needed_stages, plan
from genrec.engine.runs import Run
from genrec.engine.stage import Runtime, StageContext
from genrec.errors import ConfigError
from genrec.model.event_texts import asking_histories, distinct_texts, with_texts, write_texts
from genrec.stages.calibrate import STAGE

WORLD, SIDS = ring(num_items=30, num_users=40), sids_of(30, (4, 5, 6))
TINY = [
    *("data=demo", "data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "tokenizer.codebook_size=8"),
    *("train.epochs=1", "train.num_validations=1", "device=cpu", "decoding=fusion", "recommend.k=15"),
    *("generator.dim=16", "generator.num_heads=2", "generator.num_history_layers=1", "generator.num_decoder_layers=1"),
    *("generator.item_head=true", "objective.item_weight=1.0", "evaluate.draws=50", "decoding.num_candidates=15"),
]


def with_conditions(root: Path, world: Dataset) -> Dataset:
    """Writes vectors of the world's texts, where it has some, and reads them."""
    if world.event_texts is None:
        return world
    (root / "conditions").mkdir(parents=True)
    texts = distinct_texts(world)
    vectors = np.random.default_rng(2).normal(size=(len(texts.words), 4)).astype(np.float32)
    write_texts(root / "conditions", texts.rows, vectors)
    return with_texts(world, {"conditions": root / "conditions"})


def words_before_events(world: Dataset) -> Dataset:
    """Most events of the world were asked for by the number of their item."""
    texts = [f"item {item}" if row % 3 else None for row, item in enumerate(world.events.item_idx)]
    return replace(world, event_texts=pl.Series(texts, dtype=pl.String))


def calibrated(root: Path, world: Dataset, *overrides: str) -> tuple[dict[str, Any], list[str]]:
    """Runs the stage on a generator with scrambled initial weights; returns the facts and what was said."""
    for kind in ("dataset", "sids", "generator", "calibration", "encoder/vectors"):
        (root / kind).mkdir(parents=True)
    world.save(root / "dataset")
    SIDS.save(root / "sids", world.item_ids)
    option = next(option for option in OPTIONS if option.id == "encdec-hybrid")
    schema = with_conditions(root, world).schema
    generator = scrambled(option.build(SIDS, schema=schema))
    told = {"generator": option.node(), "sids_layout": SIDS.layout, "num_items": SIDS.num_items, "schema": schema.to_json()}
    (root / "generator" / "config.json").write_text(json.dumps(told), encoding="utf-8")
    save_file(generator.state_dict(), root / "generator" / "model.safetensors")
    vectors = np.random.default_rng(0).normal(size=(world.num_items, 5)).astype(np.float32)
    save_arrays({"vectors": vectors}, root / "encoder" / "vectors" / "item.safetensors")
    tree = compose(
        ["decoding=fusion", "decoding.num_candidates=8", "recommend.k=5", "recommend.batch_size=16", *overrides]
    ).tree
    said: list[str] = []
    inputs = {kind: Artifact(root / kind) for kind in STAGE.inputs(tree)}
    config = {key: tree[key] for key in STAGE.reads}
    run = StageContext(config, inputs, root / "calibration", root, said.append, Runtime(device="cpu", progress=False))
    return STAGE.build(run), said


def test_the_scorer_that_knows_the_world_gets_the_weight(tmp_path: Path) -> None:
    facts, said = calibrated(tmp_path, WORLD)
    assert set(facts["weights"]) == {"generator", "head", "transitions", "content"}
    assert facts["weights"]["transitions"] == max(facts["weights"].values()) > 0.5, "the next item is the next number"
    assert facts["fused"]["ndcg@10"] > max(facts["alone"][name]["ndcg@10"] for name in ("generator", "head", "content"))
    assert facts["users"] == WORLD.num_users
    assert 0 <= facts["missed"] < facts["users"]
    assert (
        json.loads((tmp_path / "calibration" / "calibration.json").read_text(encoding="utf-8"))["weights"] == facts["weights"]
    )
    assert any(line.startswith("transitions: weight ") for line in said)
    assert any(line.startswith("fused: recall@10 ") for line in said)


@pytest.mark.parametrize("asks", [True, False])
def test_weights_are_of_lists_that_ask_for_what_the_run_asks_for(asks: bool, tmp_path: Path) -> None:
    world = words_before_events(WORLD)
    request = {"text": "target"} if asks else {}
    settings = ["events.text=query", "decoding.members=[generator]", "decoding.num_candidates=30"]
    facts, _ = calibrated(tmp_path, world, *settings, *(["recommend.request={text: target}"] if asks else []))
    read = with_texts(world, {"conditions": tmp_path / "conditions"})
    generator = scrambled(next(option for option in OPTIONS if option.id == "encdec-hybrid").build(SIDS, schema=read.schema))
    users, histories = np.arange(world.num_users), asking_histories(read, "validation", request)
    batch = request_of(generator, histories, users, k=5, exclude_seen=True).batch
    every = torch.arange(30).expand(len(users), -1)
    log_probs = item_log_probs(generator, PrefixTrie.build(SIDS), batch, every)
    gains = []
    for user in users:
        target, seen = int(world.targets("validation")[user][0]), set(world.histories("validation")[user].tolist())
        rivals = [item for item in range(30) if item not in seen and log_probs[user, item] > log_probs[user, target]]
        gains.append(0.0 if target in seen or len(rivals) >= 10 else 1 / np.log2(len(rivals) + 2))
    assert facts["alone"]["generator"]["ndcg@10"] == pytest.approx(np.mean(gains), abs=1e-9)
    assert 0 < np.mean(gains) < 1


def test_settings_are_chosen_and_come_back(tmp_path: Path) -> None:
    facts, said = calibrated(tmp_path, WORLD)
    state = json.loads((tmp_path / "calibration" / "calibration.json").read_text(encoding="utf-8"))
    assert set(facts["settings"]) == {"transitions", "content"}
    for name, chosen in facts["settings"].items():
        assert state["settings"][name] == chosen["settings"]
        assert chosen["users"] == WORLD.num_users
        assert any(line.startswith(f"{name}: ") and "the best of" in line for line in said)
    opened = instantiate(compose(["decoding=fusion"]).tree["decoding"], "decoding")
    opened.restore(tmp_path / "calibration")
    histories = WORLD.histories("test")
    fixed = Transitions(**facts["settings"]["transitions"]["settings"])
    fixed.fit(WORLD)
    np.testing.assert_array_equal(opened.scorers["transitions"].baseline.score(histories), fixed.score(histories))


def test_a_state_of_before_settings_were_chosen_still_opens(tmp_path: Path) -> None:
    given = {"window": 3, "gap_decay": 0.4, "last": 2, "decay": 0.6, "normalization": "source"}
    overrides = [f"decoding.scorers.transitions.{name}={value}" for name, value in given.items()]
    facts, _ = calibrated(tmp_path, WORLD, *overrides, "decoding.members=[generator,transitions]")
    expected = {"settings": given, "chosen": [], "val/ndcg@10": None, "tried": 0, "users": WORLD.num_users}
    assert facts["settings"]["transitions"] == expected
    file = tmp_path / "calibration" / "calibration.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    del state["settings"]
    file.write_text(json.dumps(state), encoding="utf-8")
    tree = compose(["decoding=fusion", *overrides, "decoding.members=[generator,transitions]"]).tree
    opened = instantiate(tree["decoding"], "decoding")
    opened.restore(tmp_path / "calibration")
    assert opened.scorers["transitions"].baseline.settings == given


def test_test_targets_are_never_read(tmp_path: Path) -> None:
    events = WORLD.events.item_idx.copy()
    events[WORLD.events.offsets[1:] - 1] = np.random.default_rng(1).integers(0, 30, WORLD.num_users)
    other = replace(WORLD, events=Sequences(events, WORLD.events.offsets))
    assert not np.array_equal(other.targets("test").item_idx, WORLD.targets("test").item_idx)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert calibrated(tmp_path / "a", WORLD)[0] == calibrated(tmp_path / "b", other)[0]


def test_a_target_in_the_history_is_counted_and_not_fitted_on(tmp_path: Path) -> None:
    events = WORLD.events.item_idx.copy()
    validation = WORLD.events.offsets[1:] - 2
    events[validation[:7]] = events[validation[:7] - 1]
    facts, _ = calibrated(tmp_path, replace(WORLD, events=Sequences(events, WORLD.events.offsets)))
    assert facts["users"] == WORLD.num_users
    assert facts["excluded"] >= 7


def test_a_sample_of_the_users(tmp_path: Path) -> None:
    assert calibrated(tmp_path, WORLD, "calibrate.num_users=11")[0]["users"] == 11


def test_it_runs_only_where_something_is_to_be_fitted() -> None:
    def stages(*overrides: str) -> list[str]:
        return [stage.name for stage in needed_stages(compose(overrides).tree, "evaluate")]

    assert "calibrate" not in stages()
    assert stages("decoding=fusion") == [*stages()[:5], "calibrate", *stages()[5:]]
    only = ("generator=sasrec", "decoding=fusion", "decoding.members=[generator,transitions]")
    assert stages(*only)[:3] == ["prepare", "train", "calibrate"]
    assert stages("generator=sasrec", "decoding=fusion")[:4] == ["prepare", "embed", "train", "calibrate"]


def test_nothing_to_fit_is_told_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"decoding: expected a strategy with weights to fit, got TrieBeam; .*fusion"):
        plan(compose(["generator=encdec"]), until="calibrate")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("fusion")
    return genrec.run(quiet=True, overrides=[*TINY, f"paths.runs={root}", "name=fused"])


def metrics_of(run: Run) -> dict[str, Any]:
    return dict(json.loads((run.artifact("evaluation").path / "metrics.json").read_text(encoding="utf-8")))


def test_every_member_is_told_beside_the_fusion(run: Run) -> None:
    metrics, members = metrics_of(run), ["generator", "head", "transitions", "content"]
    assert list(metrics["members"]) == list(metrics["member_intervals"]) == members
    for short in ("val", "test"):
        best = metrics["best_member"][short]
        key = f"{short}/ndcg@10"
        assert best["name"] == max(members, key=lambda name: metrics["members"][name][key])
        assert best["lead"] == pytest.approx(metrics["model"][key] - metrics["members"][best["name"]][key])
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert all(f"{name} (member alone)" in page for name in members)
    assert "its best scorer" in page
    facts = run.artifact("calibration").facts
    assert facts["fused"]["recall@10"] == pytest.approx(metrics["model"]["val/recall@10"]), "all users were sampled"
    for name in members:
        assert facts["alone"][name]["ndcg@10"] == pytest.approx(metrics["members"][name]["val/ndcg@10"], abs=1e-6)


def test_a_members_table_is_a_table_of_recommendations(run: Run) -> None:
    table = run.artifact("recommendations").path / "members" / "transitions.parquet"
    again = genrec.run(
        quiet=True, overrides=[*TINY, f"paths.runs={run.path.parent}", "name=member", f"recommendations={table}"]
    )
    expected = metrics_of(run)["members"]["transitions"]
    assert metrics_of(again)["model"]["test/ndcg@10"] == pytest.approx(expected["test/ndcg@10"])


def test_a_member_alone_is_a_run_that_shares_the_training(run: Run) -> None:
    alone = genrec.run(quiet=True, overrides=[*TINY, f"paths.runs={run.path.parent}", "name=head", "decoding.members=[head]"])
    assert alone.artifact("generator").fingerprint == run.artifact("generator").fingerprint
    assert metrics_of(alone)["model"]["test/ndcg@10"] == pytest.approx(metrics_of(run)["members"]["head"]["test/ndcg@10"])


def test_a_bundle_recommends_the_same(run: Run, tmp_path: Path) -> None:
    exported = genrec.run(until="export", quiet=True, overrides=[*TINY, f"paths.runs={run.path.parent}", "name=fused"])
    moved = (exported.path / "bundle").resolve().rename(tmp_path / "bundle")
    dataset = Dataset.load(run.artifact("dataset").path)
    histories = dataset.histories("test")
    ids = [dataset.item_ids.gather(histories[user]).to_list() for user in range(dataset.num_users)]
    found = genrec.load(moved).recommend(ids, k=15)
    table = pl.read_parquet(run.artifact("recommendations").path / "recommendations.parquet")
    table = table.filter((pl.col("split") == "test") & (pl.col("rank") <= 15))
    assert found["item_id"].to_list() == table["item_id"].to_list()
    assert found["score"].to_numpy() == pytest.approx(table["score"].to_numpy(), abs=1e-5)
