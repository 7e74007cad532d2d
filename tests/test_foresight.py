"""What can be known before the first stage is told before it; what the data say, before the second."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genrec.engine.config import compose, groups
from genrec.engine.early_checks import rehearse
from genrec.engine.pipeline import execute, needed_stages, plan
from genrec.errors import GenRecError

SMALL = ("data.num_users=40", "data.num_items=240", "data.events_per_user=8", "threads=1", "train.epochs=1")

BEFORE: list[tuple[str, str, str]] = [  # the verb, what is given, what is told
    ("run", "generator.dim=32 generator.num_heads=5", "generator.num_heads: expected a divisor of generator.dim=32, got 5"),
    ("run", "evaluate.ks=[100]", "at most recommend.k=50, got 100; give recommend.k=100 decoding.num_beams=100, or"),
    ("run", "evaluate.ks=[5,60] generator=sasrec", "got 60; give recommend.k=60, or evaluate.ks=[5]"),
    ("run", "evaluate.ks=[20] recommend.k=10", "at most recommend.k=10, got 20; give recommend.k=20, or evaluate.ks=[10]"),
    ("run", "device=cuda", "device: expected one of auto, cpu, got cuda"),
    ("prepare", "device=cuda:1", "device: expected one of auto, cpu, got cuda:1"),
    ("run", "device=gpu", "got gpu; did you mean cuda?"),
    ("run", "split=all", "split: expected something to predict, got nothing held out (AllTraining)"),
    ("calibrate", "split=all decoding=fusion", "split: expected something to predict, got nothing held out"),
    ("train", "generator=multi_stream", "sids for multi_stream: expected several streams of codes, got one"),
    ("run", "objective=item_cross_entropy", "objective: expected an objective for EncDec"),
    ("run", "generator=sasrec objective=sid_cross_entropy", "objective: expected an objective for SASRec"),
    ("run", "objective.item_weight=1.0", "objective.item_weight: expected above 0 with generator.item_head"),
    ("run", "generator=latent_reasoning objective=ensemble_reasoning", "objective: expected a generator whose thoughts"),
    ("export", "generator=tiger export.runtime=onnx", "export.runtime: expected a generator that has ONNX graphs"),
    ("export", "generator=tiger export.runtime=hf_llm", "export.runtime: expected a generator that is a language model"),
    ("export", "generator=moe export.runtime=onnx", "got MoE; leave export.runtime out"),
    (
        "run",
        "encoder=sentence_transformer encoder.model=./nowhere",
        "encoder.model: expected a folder with a model",
    ),
    (
        "run",
        "encoder=minilm_collaborative encoder.sources.text.model=/no/where",
        "sources.text.model: expected a folder",
    ),
    ("run", "generator=lc_rec generator.model=~/no/where", "generator.model: expected a folder with a model"),
    ("run", "decoding=full_ranking", "decoding: expected a strategy for EncDec"),
    ("run", "decoding.num_beams=20", "decoding.num_beams"),
]


@pytest.mark.parametrize(("until", "given", "told"), BEFORE, ids=str)
def test_told_before_anything_runs(until: str, given: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    verb = "evaluate" if until == "run" else until
    with pytest.raises(GenRecError) as caught:  # by --plan
        plan(compose([*SMALL, f"paths.runs={tmp_path}", *given.split()]), until=verb)
    assert told in str(caught.value)
    with pytest.raises(GenRecError) as again:
        execute(compose([*SMALL, f"paths.runs={tmp_path}", *given.split()]), until=verb, log=lambda line: None)
    assert str(again.value) == str(caught.value)
    assert list(tmp_path.rglob("manifest.json")) == [], "nothing was made"


AFTER: list[tuple[str, str]] = [
    ("evaluate.slice_columns=[brnd]", "evaluate.slice_columns: expected a column of the items, got brnd; did you mean brand?"),
    ("evaluate.category=genre", "evaluate.category: expected a column of the items, got genre"),
    ("tokenizer=category_tree tokenizer.column=category_path", "tokenizer.column: expected a column of the items"),
    ("tokenizer=hybrid_index tokenizer.tree=category tokenizer.column=no", "expected a column of the items, got no"),
    ("generator=human_priors generator.prior=colour", "expected one of popularity, category, brand, got colour"),
    ("evaluate.ks=[10,300] recommend.k=300 decoding.num_beams=300", "at most the number of items=240, got 300; give"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize(("given", "told"), AFTER, ids=str)
def test_told_once_the_data_are_there(given: str, told: str, store: Path) -> None:
    overrides = [*SMALL, f"paths.runs={store}", *given.split()]
    for _ in range(2):  # the second time the dataset is in the store, and the plan alone tells it
        with pytest.raises(GenRecError) as caught:
            execute(compose(overrides), log=lambda line: None)
        assert told in str(caught.value)
    with pytest.raises(GenRecError) as planned:
        plan(compose(overrides))
    assert str(planned.value) == str(caught.value)
    assert {file.parent.parent.name for file in store.rglob("manifest.json")} == {"dataset"}, "nothing but the data was made"


@pytest.mark.parametrize("generator", [name for name in groups()["generator"] if name not in ("lc_rec", "unimp")])
def test_every_generator_can_be_rehearsed(generator: str) -> None:
    """In small, and without touching the random numbers of what comes after."""
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    rehearse(compose([f"generator={generator}"]).tree, has_streams=True)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_a_stage_does_not_need_is_not_asked_for(tmp_path: Path) -> None:
    """Without targets a model can be trained and exported; short lists are fine for the default figures."""
    for until, given in (("train", ["split=all"]), ("export", ["split=all"]), ("evaluate", ["recommend.k=7"])):
        config = compose([*SMALL, f"paths.runs={tmp_path}", *given])
        assert [step.stage.name for step in plan(config, until=until)] == [s.name for s in needed_stages(config.tree, until)]


def test_targets_that_are_all_seen_are_told_once_the_data_are_there(tmp_path: Path) -> None:
    rows = [f"u{user},i{event % 2},{event}" for user in range(6) for event in range(6)]
    (tmp_path / "two.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]), encoding="utf-8")
    overrides = ["data=tables", f"data.interactions={tmp_path}/two.csv", f"paths.runs={tmp_path}/runs", "threads=1"]
    with pytest.raises(GenRecError, match=r"recommend.exclude_seen: .* got 6 of 6 in their users' histories; use recommend"):
        execute(compose(overrides), until="train", log=lambda line: None)
    assert {file.parent.parent.name for file in tmp_path.rglob("manifest.json")} == {"dataset"}
    execute(compose([*overrides, "recommend.exclude_seen=false"]), until="prepare", log=lambda line: None)
    plan(compose([*overrides, "recommend.exclude_seen=false"]), until="train")
