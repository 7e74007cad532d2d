"""Strangers' bundles: every attack is refused in one line, and a process that watches itself sees nothing done outside them.

The attacks are in hostile_bundles.py, the process that opens them in watched.py. The good bundles are older than all this
(commit fb88d67).
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile_bundles import TEXT, Attack, attacks, unpacked

import genrec
from genrec.engine import registry
from genrec.engine.components import component_class
from genrec.engine.config import compose
from genrec.engine.registry import members_in_words, missing_members
from genrec.engine.signatures import outline_in_source, outline_of
from genrec.errors import ArtifactError, ConfigError
from genrec.stages.export import portable

ATTACKS = {attack.name: attack for attack in attacks()}
DEEDS = {  # without the checks: what the hook must see
    "B1 a journal as generator": "os.mkdir",
    "B1 a journal as decoding": "sqlite3.connect",
    "B2 a language model as generator": "socket.getaddrinfo",
    "B2 of a local folder": "os.scandir",
    "B3 the command line as decoding": "code ",
    "a cache, 'OUT/cache'": "os.rename",
    "items.parquet lies elsewhere": "open",
    "a plug-in that nobody allowed": "open to write",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of the attacks, by name, in a process of its own."""
    words = [sys.executable, str(Path(__file__).with_name("watched.py")), str(tmp_path_factory.mktemp("watched")), *DEEDS]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.name.encode("unicode_escape").decode())
def test_refused_in_one_line_and_nothing_done(outcomes: dict[str, Any], attack: Attack) -> None:
    outcome = outcomes[attack.name]
    assert outcome["error"] is not None, "it opened"
    assert outcome["ours"], f"{outcome['error']}: {outcome['message']}"
    assert "\n" not in outcome["message"]
    assert attack.says in outcome["message"]
    assert attack.late or not outcome["opened"], "it should not have opened"
    assert outcome["events"] == []
    assert outcome["left"] == []


@pytest.mark.parametrize("kind", ["codes", "scores", "text", "language"])
def test_older_good_bundles_open_and_take_items(outcomes: dict[str, Any], kind: str) -> None:
    outcome = outcomes[f"good {kind}"]
    assert (outcome["error"], outcome["events"], outcome["listed"]) == (None, [], 3), outcome["message"]


def test_no_class_stands_where_it_was_not_shipped_for(outcomes: dict[str, Any]) -> None:
    every = outcomes["every class"]
    assert every["passed"] == []
    assert every["events"] == []
    assert every["classes"] > 300
    assert every["tried"] == every["classes"] * 5 * 2


@pytest.mark.parametrize("name", DEEDS)
def test_the_hook_fires_when_the_checks_are_gone(outcomes: dict[str, Any], name: str) -> None:
    outcome = outcomes[f"unguarded {name}"]
    assert any(event.startswith(DEEDS[name]) for event in outcome["events"]), outcome


def test_the_deeds_are_done_when_the_checks_are_gone(outcomes: dict[str, Any]) -> None:
    assert outcomes["unguarded B3 the command line as decoding"]["error"] == "SystemExit"
    assert outcomes["unguarded B1 a journal as generator"]["left"]


# --- what new items need from elsewhere -----------------------------------------------------------------------------------


def test_a_base_model_is_the_callers_to_name(good: Path) -> None:
    item = [{"item_id": "late", "title": "red soap"}]
    closed = genrec.load(good / "text")
    assert closed.recommend([[]], k=3).height == 3
    with pytest.raises(ConfigError, match=r"encoder\.model: .* --external encoder\.model=FOLDER") as caught:
        closed.add_items(item)
    assert "\n" not in str(caught.value)
    opened = genrec.load(good / "text", external={"encoder.model": good / "model"})
    opened.add_items(item)
    assert opened.items["item_id"][-1] == "late"
    for external, told in (
        ({"encoder.modle": "x"}, "encoder.modle"),
        ({"encoder.model": "/no/such/folder"}, "/no/such/folder"),
    ):
        with pytest.raises(ConfigError, match=told):
            genrec.load(good / "text", external=external)


def test_nothing_is_kept_where_a_bundle_says(good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    recommender = genrec.load(good / "text", external={"encoder.model": good / "model"})
    recommender.add_items([{"item_id": "late", "title": "a text that nobody embedded before"}])
    assert list(tmp_path.rglob("*")) == []


# --- what an export says of the machine that made it ----------------------------------------------------------------------


def test_an_export_names_no_place_of_its_machine(tmp_path: Path) -> None:
    (tmp_path / "minilm").mkdir()
    text = {"_target_": TEXT, "model": str(tmp_path / "minilm"), "cache": "/mnt/vectors", "columns": ["title"]}
    precomputed = {"_target_": "genrec.encoders.precomputed.Precomputed", "path": str(tmp_path / "v.parquet"), "ids": None}
    concat = {"_target_": "genrec.encoders.concat.Concat", "sources": {"text": text, "more": precomputed}}
    sources = portable(concat, "encoder")["sources"]
    assert sources["text"] == {"_target_": TEXT, "model": "minilm", "columns": ["title"]}
    assert sources["more"] == precomputed | {"path": "v.parquet"}
    assert text["model"] == str(tmp_path / "minilm"), "the run keeps its own"
    hub = {"_target_": "genrec.generators.lc_rec.LCRec", "model": "someone/some-model"}
    assert portable(hub, "generator") == hub
    train = {"_target_": "genrec.training.settings.TrainSettings", "init_from": "/home/me/runs/a"}
    assert portable(train, "train")["init_from"] == "a"


# --- settings on the command line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        *(
            "data._target_=genrec.__main__.x",
            "generator._target_=genrec.commands.run.main",
            "split._target_=genrec.engine.runs.Run",
        ),
        *("decoding._target_=genrec.recommender.journal.Journal", "train._target_=genrec.data.order.Order"),
        *(
            "evaluate.baselines.mine._target_=genrec.recommender.journal.Journal",
            "logger._target_=genrec.baselines.random.Random",
        ),
        *("encoder.sources.mine._target_=genrec.objectives.dpo.DPO", "tokenizer._target_=genrec.tokenizers.rq_kmeans.np"),
    ],
)
def test_settings_are_held_against_their_slots(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, target = setting.partition("=")
    imported: list[str] = []
    original = importlib.import_module
    monkeypatch.setattr(
        "importlib.import_module", lambda name, package=None: (imported.append(name), original(name, package))[1]
    )
    with pytest.raises(ConfigError) as caught:
        compose([setting])
    lines = [line for line in str(caught.value).splitlines() if line.startswith(place)]
    assert len(lines) == 1
    assert target in lines[0]
    assert "genrec.data.order" in imported, "the defaults are imported"
    assert not {"genrec.__main__", "genrec.commands.run", "genrec.recommender.journal"} & set(imported)


# --- the registry ---------------------------------------------------------------------------------------------------------


def test_every_shipped_class_is_what_its_group_asks_for() -> None:
    """Sources with splits of their own bring what no splitter has, so that group is left out."""
    assert members_in_words(registry.PROTOCOLS["tokenizer"]) == "needs, traits, fit, encode, save, restore"
    for group in set(registry.PROTOCOLS) - {"split"}:
        slot = registry.slot_of(group)
        assert slot is not None
        for target in slot.targets:
            assert missing_members(component_class({"_target_": target}, group), slot.protocols) == [], target


def test_slots_follow_the_shipped_configuration() -> None:
    tokenizer, evaluator = registry.slot_of("tokenizer"), registry.slot_of("evaluate")
    assert tokenizer is not None
    assert evaluator is not None
    assert "genrec.tokenizers.rq_kmeans.RQKMeans" in tokenizer.targets
    baselines = evaluator.of("baselines")
    assert baselines is not None
    assert "genrec.baselines.popularity.Popularity" in baselines.targets
    assert not baselines.targets & tokenizer.targets
    assert registry.slot_of("nothing") is None


@pytest.mark.parametrize("group", ["encoder", "tokenizer", "collision"])
def test_the_source_says_what_the_class_says(group: str) -> None:
    slot = registry.slot_of(group)
    assert slot is not None
    read = 0
    for target in slot.targets:
        outline = outline_in_source(target)
        if outline is not None:
            read += 1
            whole = outline_of(component_class({"_target_": target}, group))
            assert set(outline.annotations) == set(whole.annotations)
            assert [key for key in outline.annotations if outline.names_paths(key)] == [
                key for key in whole.annotations if whole.names_paths(key)
            ]
            assert outline.reads_later == whole.reads_later
            assert outline.defaults.get("cache") == whole.defaults.get("cache")
    assert read or group == "collision"


def test_a_manifest_that_leads_elsewhere_is_not_read(good: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").symlink_to(good / "codes" / "manifest.json")
    with pytest.raises(ArtifactError, match="a way to"):
        genrec.load(tmp_path)
