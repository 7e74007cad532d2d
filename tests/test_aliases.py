"""Classes and modules that moved: found by every path they had, one path in fingerprints, and nowhere they may not stand."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hostile_bundles import edited, unpacked
from small_bundle import listed_anew

import genrec
from genrec.commands.run import print_plan
from genrec.engine import aliases, registry
from genrec.engine.aliases import current, first_published, moved_names, with_current, with_first_published
from genrec.engine.components import component_class, component_errors, instantiate
from genrec.engine.config import Config, compose, conf_folder
from genrec.engine.pipeline import execute, plan
from genrec.engine.runs import Run
from genrec.engine.tracking.tracker import Tracking
from genrec.errors import ArtifactError, ConfigError
from genrec.stages.export import portable

TESTS, PACKAGE = Path(__file__).parent, Path(genrec.__file__).parent
PUBLISHED = (TESTS / "published_paths.txt").read_text(encoding="utf-8").split()  # classes and modules of commit 578ea0b
RQ, ENCDEC = "genrec.tokenizers.rq_kmeans.RQKMeans", "genrec.generators.encdec.EncDec"
SMALL = [
    *("data=demo", "data.num_users=60", "data.num_items=72", "data.events_per_user=6.0", "tokenizer.codebook_size=4"),
    *("tokenizer.num_levels=2", "device=cpu", "name=shop"),
]


def is_class(path: str) -> bool:
    return path.rpartition(".")[2][:1].isupper()


def forget() -> None:
    """Drops what the registry has read under other tables."""
    for cached in (registry._shipped_classes, registry.slot_of, registry.any_slot):
        cached.cache_clear()


class Moves:
    """Lines of the test's own behind those of genrec."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._real = dict(aliases.MODULES), dict(aliases.CLASSES), dict(aliases.PARAMETERS), dict(aliases.ADDED)

    def say(
        self,
        modules: Mapping[str, str] | None = None,
        classes: Mapping[str, str] | None = None,
        parameters: Mapping[str, Mapping[str, str]] | None = None,
        added: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Puts these lines behind those of genrec; the last call counts."""
        tables, given = ("MODULES", "CLASSES", "PARAMETERS", "ADDED"), (modules, classes, parameters, added)
        for table, real, lines in zip(tables, self._real, given, strict=True):
            self._monkeypatch.setattr(aliases, table, {**real, **(lines or {})})
        forget()

    def move(self, **modules: str) -> None:
        """Moves modules of genrec, ``tokenizers__rq_kmeans="quantizers.k_means"``: they stand under the new path, too.

        The lines of genrec go on to hold.
        """
        lines = {f"genrec.{old.replace('__', '.')}": f"genrec.{new}" for old, new in modules.items()}
        for old, new in lines.items():
            self._monkeypatch.setitem(sys.modules, new, importlib.import_module(old))
        self.say({**aliases.MODULES, **lines}, aliases.CLASSES, aliases.PARAMETERS)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Iterator[Moves]:
    before = set(sys.modules)
    yield Moves(monkeypatch)
    monkeypatch.undo()
    forget()
    for name in [name for name in sys.modules if name not in before and name.startswith("genrec.attic")]:
        del sys.modules[name]
    vars(genrec).pop("attic", None)


# --- paths -------------------------------------------------------------------------------------------------------------


def test_a_path_that_never_moved_stays(moves: Moves) -> None:
    moves.say({"genrec.a": "genrec.b"}, {"genrec.c.X": "genrec.d.Y"})
    for path in ("genrec.ab.X", "genrec.c.XY", "genrec.c", "genrec", "", "shop.a.X", RQ):
        assert current(path) == first_published(path) == path


def test_a_module_that_moved_twice(moves: Moves) -> None:
    moves.say({"genrec.a": "genrec.b.a", "genrec.b.a": "genrec.c.d"})
    for path in ("genrec.a.X", "genrec.b.a.X", "genrec.c.d.X"):
        assert (current(path), first_published(path)) == ("genrec.c.d.X", "genrec.a.X")


def test_a_class_that_got_another_name_and_then_its_module_another_place(moves: Moves) -> None:
    moves.say({"genrec.b": "genrec.c"}, {"genrec.a.Old": "genrec.b.New"})
    for path in ("genrec.a.Old", "genrec.b.New", "genrec.c.New"):
        assert (current(path), first_published(path)) == ("genrec.c.New", "genrec.a.Old")
    assert first_published("genrec.c.Other") == "genrec.b.Other"


def test_the_longest_line_wins_and_a_class_before_any_module(moves: Moves) -> None:
    moves.say({"genrec.room": "genrec.hall", "genrec.room.x": "genrec.lib.x"}, {"genrec.room.x.C": "genrec.types.C"})
    pairs = {"genrec.room.y.A": "genrec.hall.y.A", "genrec.room.x.B": "genrec.lib.x.B", "genrec.room.x.C": "genrec.types.C"}
    assert {path: current(path) for path in pairs} == pairs
    assert {path: first_published(now) for path, now in pairs.items()} == {path: path for path in pairs}
    assert first_published("genrec.hall.x.B") == "genrec.hall.x.B", "no line led there"


def test_of_two_modules_that_became_one_each_class_has_its_line(moves: Moves) -> None:
    modules = {"genrec.recall": "genrec.ranking", "genrec.ndcg": "genrec.ranking"}
    moves.say(modules, {"genrec.ndcg.NDCG": "genrec.ranking.NDCG"})
    assert current("genrec.ndcg.ideal") == "genrec.ranking.ideal"
    assert first_published("genrec.ranking.NDCG") == "genrec.ndcg.NDCG"
    assert first_published("genrec.ranking.Recall") == "genrec.recall.Recall"


def test_circles_end_and_long_names_cost_no_time(moves: Moves) -> None:
    moves.say({"genrec.a": "genrec.b", "genrec.b": "genrec.a"})
    assert current("genrec.a.X") in ("genrec.a.X", "genrec.b.X")
    assert first_published("genrec.a.X") in ("genrec.a.X", "genrec.b.X")
    long, start = "genrec." + "x." * 1_000_000 + "X", time.process_time()
    assert current(long) == long
    assert time.process_time() - start < 1


def test_targets_of_a_tree_wherever_they_stand(moves: Moves) -> None:
    moves.say({"genrec.a": "genrec.b"})
    tree = {"x": {"_target_": "genrec.a.X", "parts": [{"_target_": "genrec.a.Y"}, {"_target_": 5}], "path": "genrec.a.X"}}
    now = {"x": {"_target_": "genrec.b.X", "parts": [{"_target_": "genrec.b.Y"}, {"_target_": 5}], "path": "genrec.a.X"}}
    assert with_current(tree) == now
    assert with_first_published(now) == with_first_published(tree) == tree
    assert list(moved_names(tree)) == [
        "x._target_=genrec.a.X is genrec.b.X now",
        "x.parts[0]._target_=genrec.a.Y is genrec.b.Y now",
    ]
    assert list(moved_names(now)) == []


def test_parameters_of_a_class_by_any_name(moves: Moves) -> None:
    moves.say(
        {"genrec.a": "genrec.b"}, parameters={"genrec.a.X": {"floors": "rows", "rows": "baselines"}, "genrec.b.Y": {"n": "m"}}
    )
    first = {"_target_": "genrec.a.X", "floors": {"ease": {"_target_": "genrec.a.Y", "n": 1}}, "n": 2}
    now = {"_target_": "genrec.b.X", "baselines": {"ease": {"_target_": "genrec.b.Y", "m": 1}}, "n": 2}
    between = {"_target_": "genrec.b.X", "rows": {"ease": {"_target_": "genrec.b.Y", "m": 1}}, "n": 2}
    for tree in (first, between, now):
        assert with_current(tree) == now
        assert with_first_published(tree) == first
    assert list(moved_names({"evaluate": first})) == [
        "evaluate._target_=genrec.a.X is genrec.b.X now",
        "evaluate.floors is evaluate.baselines now",
        "evaluate.floors.ease._target_=genrec.a.Y is genrec.b.Y now",
        "evaluate.floors.ease.n is evaluate.floors.ease.m now",
    ]
    both = {"_target_": "genrec.b.X", "floors": {"knn": {"k": 3}, "new": 1}, "baselines": {"knn": {"k": 1, "j": 2}, "ease": {}}}
    assert with_current(both)["baselines"] == {"knn": {"k": 3, "j": 2}, "ease": {}, "new": 1}, "the yaml of a user holds"


# --- the tables as they are ----------------------------------------------------------------------------------------------


def test_every_published_path_leads_to_what_is_there() -> None:
    gone = []
    for path in PUBLISHED:
        module, _, name = current(path).rpartition(".") if is_class(path) else (current(path), "", "")
        file = PACKAGE.joinpath(*module.split(".")[1:])
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        if not file.is_file() or (name and name not in _classes(file)):
            gone.append(f"{path} -> {current(path)}")
    assert gone == [], "a line in genrec/engine/former_names.py is missing or wrong"


def _classes(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)}


def test_what_configurations_name_goes_back_to_its_first_path() -> None:
    named = {path for path in PUBLISHED if is_class(path) and current(path) in registry.any_slot().targets}
    assert len(named) >= 100
    assert {path: first_published(current(path)) for path in named} == {path: path for path in named}


def test_no_line_hides_a_module_and_the_shipped_yamls_name_current_paths() -> None:
    for path in aliases.MODULES:
        place = PACKAGE.joinpath(*path.split(".")[1:])
        assert not place.with_suffix(".py").exists(), f"{path} is a module: imports of it would lead elsewhere"
        assert not (place / "__init__.py").exists(), f"{path} is a package: imports of it would lead elsewhere"
    for path in aliases.CLASSES:
        assert current(path) != path, f"a circle at {path}"
    for file in conf_folder().rglob("*.yaml"):
        assert list(moved_names(yaml.safe_load(file.read_text(encoding="utf-8")))) == [], file


# --- configurations ----------------------------------------------------------------------------------------------------


def test_a_former_path_on_the_command_line_works_with_a_note(moves: Moves, capsys: pytest.CaptureFixture[str]) -> None:
    plain = compose(SMALL)
    assert plain.notes == ()
    moves.say({"genrec.attic.parts": "genrec.tokenizers.rq_kmeans"}, {"genrec.attic.Coder": ENCDEC})
    config = compose([*SMALL, "generator._target_=genrec.attic.Coder", "tokenizer._target_=genrec.attic.parts.RQKMeans"])
    assert config.tree == plain.tree
    assert config.notes == (
        f"note: tokenizer._target_=genrec.attic.parts.RQKMeans is {RQ} now",
        f"note: generator._target_=genrec.attic.Coder is {ENCDEC} now",
    )
    print_plan(config, [])
    assert [line.strip() for line in capsys.readouterr().out.splitlines()[1:3]] == list(config.notes)


def test_a_users_yaml_and_what_it_nests(moves: Moves, tmp_path: Path) -> None:
    moves.say({"genrec.attic": "genrec.encoders"})
    file = tmp_path / "two.yaml"
    file.write_text(
        "_target_: genrec.attic.concat.Concat\nsources:\n  a: {_target_: genrec.attic.tfidf_svd.TfidfSVD, dim: 4}\n"
        "  b: {_target_: genrec.attic.collaborative.Collaborative, dim: 4}\n",
        encoding="utf-8",
    )
    config = compose([*SMALL, f"encoder={file}"])
    assert config.tree["encoder"]["sources"]["b"]["_target_"] == "genrec.encoders.collaborative.Collaborative"
    assert [note.partition("=")[0] for note in config.notes] == [
        f"note: encoder.{place}_target_" for place in ("", "sources.a.", "sources.b.")
    ]
    assert type(instantiate(config.tree["encoder"], "encoder")).__name__ == "Concat"
    assert component_errors({"_target_": "genrec.attic.tfidf_svd.TfidfSVD", "dims": 4}, "encoder")[0].where == "encoder.dims"


def test_messages_hold_what_was_given_and_suggest_current_paths(moves: Moves) -> None:
    moves.say({"genrec.attic": "genrec.generators"})
    with pytest.raises(ConfigError) as caught:
        compose([*SMALL, "tokenizer._target_=genrec.attic.encdec.EncDec"])
    line = str(caught.value)
    assert line.startswith("tokenizer._target_: expected a class for tokenizer, got genrec.attic.encdec.EncDec; ")
    with pytest.raises(
        ConfigError, match=r"got genrec\.attic\.encdc\.EncDec; did you mean genrec\.generators\.encdec\.EncDec\?"
    ):
        compose([*SMALL, "generator._target_=genrec.attic.encdc.EncDec"])


@pytest.mark.parametrize("slot", ["generator", "tokenizer", "decoding", "encoder", "data", "logger", "train", "nowhere"])
def test_an_alias_opens_no_slot(moves: Moves, slot: str) -> None:
    moves.say({"genrec.attic": "genrec.serving"}, {"genrec.generators.encdec.Harmless": "genrec.recommender.journal.Journal"})
    for path in ("genrec.attic.journal.Journal", "genrec.generators.encdec.Harmless"):
        with pytest.raises(ConfigError, match=f"got {path}"):
            component_class({"_target_": path}, slot)
    assert "genrec.attic" not in sys.modules


def test_a_users_own_plug_in_keeps_its_paths(moves: Moves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "attic_shop"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "ids.py").write_text(
        "from genrec.attic.rq_kmeans import RQKMeans\nclass Mine(RQKMeans):\n    pass\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("genrec.engine.components._allowed", {"genrec"})
    moves.say({"genrec.attic": "genrec.tokenizers"})
    with pytest.warns(DeprecationWarning, match=r"genrec\.attic\.rq_kmeans is genrec\.tokenizers\.rq_kmeans now"):
        config = compose([*SMALL, "plugins=[attic_shop]", "tokenizer._target_=attic_shop.ids.Mine"])
    assert config.notes == ()
    assert config.tree["tokenizer"]["_target_"] == first_published("attic_shop.ids.Mine") == "attic_shop.ids.Mine"
    assert issubclass(component_class(config.tree["tokenizer"], "tokenizer"), component_class({"_target_": RQ}, "tokenizer"))
    for name in ("attic_shop", "attic_shop.ids"):
        monkeypatch.delitem(sys.modules, name)


# --- fingerprints, run stores ----------------------------------------------------------------------------------------------


def key_of(config: Config, run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """Under which key a tracker keeps a run."""
    sessions: list[Any] = []
    monkeypatch.setattr(
        "genrec.engine.tracking.tracker.instantiate",
        lambda node, where: types.SimpleNamespace(open=lambda session: sessions.append(session)),
    )
    tracked = Tracking(run.store, lambda line: None)
    tracked.open(Config({**config.tree, "logger": {}}, config.choices, config.overrides), run, "dataset")
    return str(sessions[0].key)


def test_a_move_changes_no_fingerprint_and_a_run_store_made_before_is_used(
    moves: Moves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [*SMALL, f"paths.runs='{tmp_path / 'runs'}'"]
    config = compose(given)
    run = execute(config, until="tokenize", log=lambda line: None)
    before = {step.stage.kind: step.fingerprint for step in plan(config)}
    key = key_of(config, run, monkeypatch)
    moves.move(
        tokenizers__rq_kmeans="quantizers.k_means",
        encoders__concat="vectors.concat",
        encoders__tfidf_svd="vectors.text",
        data__demo="shops.demo",
        training__settings="engine.training",
        generators__encdec="models.encdec",
    )
    config = compose(given)
    assert config.tree["tokenizer"]["_target_"] == "genrec.quantizers.k_means.RQKMeans"
    assert config.notes != (), "the shipped yamls of this test were not rewritten"
    steps = plan(config)
    assert {step.stage.kind: step.fingerprint for step in steps} == before
    assert [(step.action, step.reason) for step in steps[:3]] == [("skip", "up to date")] * 3
    assert key_of(config, run, monkeypatch) == key
    assert Run(run.path).config["tokenizer"]["_target_"] == "genrec.quantizers.k_means.RQKMeans"
    artifact = Run(run.path).artifact("tokenizer")
    assert artifact.config["tokenizer"]["_target_"] == "genrec.quantizers.k_means.RQKMeans"
    assert artifact.manifest["config"]["tokenizer"]["_target_"] == RQ, "what was written stays, under its seal"
    assert portable(artifact.manifest["config"]["tokenizer"], "tokenizer")["_target_"] == "genrec.quantizers.k_means.RQKMeans"

    changed = plan(compose([*given, "tokenizer.num_levels=3"]))[2]
    assert (changed.action, changed.reason) == ("run", "config tokenizer.num_levels changed 2 -> 3"), "and not its class"
    extended = plan(compose([*given, "name=later", f"extends='{run.path}'"]), until="tokenize")
    assert [step.extends is not None for step in extended] == [True] * 3


def test_a_parameter_that_got_another_name(moves: Moves, tmp_path: Path) -> None:
    """``num_levels`` is called what it is today; before that, so says the table, it was ``depth``."""
    before = plan(compose(SMALL))[2].fingerprint
    moves.say(parameters={RQ: {"depth": "num_levels"}})
    file = tmp_path / "levels.yaml"
    file.write_text(f"_target_: {RQ}\ndepth: 2\ncodebook_size: 4\n", encoding="utf-8")
    words = [word for word in SMALL if not word.startswith("tokenizer.num_levels")]
    now, line, yaml_of_user = compose(SMALL), compose([*words, "tokenizer.depth=2"]), compose([*words, f"tokenizer={file}"])
    for config in (line, yaml_of_user):
        assert config.tree["tokenizer"]["num_levels"] == 2
        assert config.notes == ("note: tokenizer.depth is tokenizer.num_levels now",)
    prints = [plan(config)[2].fingerprint for config in (now, line)]
    assert len({*prints}) == 1
    assert prints[0] != before, "hashed under the first name"
    with pytest.raises(ConfigError, match=r"tokenizer\.num_levels: expected .* 'two'"):
        compose([*words, "tokenizer.depth=two"])


def test_an_added_parameter_counts_where_it_changes_something(moves: Moves) -> None:
    moves.say(
        {"genrec.a": "genrec.b"}, parameters={"genrec.a.X": {"n": "m"}}, added={"genrec.a.X": {"new": False, "other": None}}
    )
    first = {"_target_": "genrec.a.X", "n": 1}
    assert with_first_published({"x": [{"_target_": "genrec.b.X", "m": 1, "new": False, "other": None}]}) == {"x": [first]}
    for used in ({"new": True}, {"new": 0}, {"other": []}):
        assert with_first_published({"_target_": "genrec.b.X", "m": 1, **used}) == first | used
    assert with_first_published({"_target_": "genrec.b.Y", "new": False}) == {"_target_": "genrec.a.Y", "new": False}


def test_an_evaluation_keeps_the_fingerprint_that_it_had(moves: Moves) -> None:
    tree = compose(SMALL).tree["evaluate"]
    assert tree.get("metrics") is None
    assert "metrics" not in with_first_published({**tree, "metrics": None})


def test_the_digest_is_of_the_first_path(moves: Moves) -> None:
    """A line in front of the others, which would rewrite history, is seen by the fingerprints: the test above can fail."""
    before = plan(compose(SMALL))[2].fingerprint
    moves.say({"genrec.attic": "genrec.tokenizers"})
    assert plan(compose(SMALL))[2].fingerprint != before


# --- bundles -----------------------------------------------------------------------------------------------------------

LISTS = json.loads((TESTS / "old_bundles.json").read_text(encoding="utf-8"))  # what commit fb88d67 made of old_bundles.zip


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory.mktemp("old"))


def assert_lists(recommender: Any, kind: str) -> None:
    recorded = LISTS[kind]
    lists = recommender.recommend(recorded["histories"], k=recorded["k"])
    assert lists["item_id"].to_list() == recorded["items"]
    assert lists["score"].to_list() == pytest.approx(recorded["scores"], abs=2e-5)


@pytest.mark.parametrize("kind", LISTS)
def test_bundles_of_before_answer_as_before(old: Path, kind: str) -> None:
    assert_lists(genrec.load(old / kind), kind)


def test_they_answer_after_more_moves_and_take_items(old: Path, moves: Moves) -> None:
    moves.move(
        tokenizers__rq_kmeans="quantizers.k_means",
        tokenizers__collision__append_level="quantizers.last_level",
        encoders__concat="vectors.concat",
        encoders__tfidf_svd="vectors.text",
        training__settings="engine.training",
        generators__encdec="models.encdec",
        decoding__trie_beam="search.beam",
    )
    recommender = genrec.load(old / "codes")
    assert_lists(recommender, "codes")
    recommender.add_items([{"item_id": "late", "title": "red soap"}])
    assert recommender.items["item_id"][-1] == "late"


@pytest.mark.parametrize("group", ["generator", "decoding", "train"])
def test_a_bundle_gets_no_class_by_an_alias(old: Path, tmp_path: Path, moves: Moves, group: str) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in sorted((old / "codes").rglob("*")):
        if file.is_file():
            (bundle / file.relative_to(old / "codes")).parent.mkdir(parents=True, exist_ok=True)
            (bundle / file.relative_to(old / "codes")).write_bytes(file.read_bytes())
    moves.say({"genrec.attic": "genrec.serving"})
    node = {"_target_": "genrec.attic.journal.Journal", "folder": str(tmp_path / "out")}
    edited(bundle / "bundle.json", lambda content: content["config"].update({group: node}))
    if group == "generator":
        edited(bundle / "generator" / "config.json", lambda content: content.update(generator=node))
    listed_anew(bundle)
    with pytest.raises((ConfigError, ArtifactError), match=r"got genrec\.attic\.journal\.Journal"):
        genrec.load(bundle)
    assert not (tmp_path / "out").exists()


# --- imports -----------------------------------------------------------------------------------------------------------


def test_a_module_is_imported_under_its_former_path(moves: Moves) -> None:
    moves.say({"genrec.attic.faults": "genrec.errors"})
    with pytest.warns(DeprecationWarning, match=r"genrec\.attic\.faults is genrec\.errors now: import that") as caught:
        from genrec.attic.faults import ConfigError as former
    assert former is ConfigError
    assert Path(caught[0].filename) == Path(__file__), "told where the import stands"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from genrec.attic import faults  # once a process
    assert faults.GenRecError is genrec.errors.GenRecError
    assert "ConfigError" in dir(faults)
    with pytest.raises(AttributeError, match="Nothing"):
        faults.Nothing
    with pytest.raises(ImportError, match="Nothing"):
        from genrec.attic.faults import Nothing  # noqa: F401
    names: dict[str, Any] = {}
    exec("from genrec.attic.faults import *", names)
    assert names["ConfigError"] is ConfigError


def test_a_package_and_one_module_of_it_that_went_elsewhere(moves: Moves) -> None:
    moves.say({"genrec.attic": "genrec.tokenizers", "genrec.attic.paths": "genrec.references"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from genrec.attic import paths, residual
        from genrec.attic.collision.keep import Keep
    assert paths.expand_path is importlib.import_module("genrec.references").expand_path
    assert residual.Residual is importlib.import_module("genrec.tokenizers.lib.residual").Residual
    assert Keep is component_class({"_target_": "genrec.tokenizers.collision.keep.Keep"}, "collision")
    messages = {str(warning.message) for warning in caught}
    assert messages == {
        "genrec.attic.paths is genrec.references now: import that",
        "genrec.attic.residual is genrec.tokenizers.lib.residual now: import that",
        "genrec.attic.collision.keep is genrec.tokenizers.collision.keep now: import that",
    }
    assert {Path(warning.filename) for warning in caught} == {Path(__file__)}
    with pytest.raises(ModuleNotFoundError, match=r"genrec\.tokenizers\.nothing"):
        importlib.import_module("genrec.attic.nothing")


def test_a_class_that_left_its_module_and_got_another_name(moves: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    moves.say(
        classes={
            "genrec.core.deadlines.Fault": "genrec.errors.ConfigError",
            "genrec.attic.room.Part": "genrec.errors.DataError",
        }
    )
    monkeypatch.delitem(sys.modules, "genrec.core.deadlines", raising=False)  # imported anew: an import finds the line
    monkeypatch.delattr(genrec.core, "deadlines", raising=False)
    with pytest.warns(DeprecationWarning, match=r"genrec\.core\.deadlines\.Fault is genrec\.errors\.ConfigError now") as caught:
        from genrec.core.deadlines import Fault
    assert Fault is ConfigError
    assert Path(caught[0].filename) == Path(__file__)
    module = sys.modules["genrec.core.deadlines"]
    assert module.__doc__
    assert module.__spec__ is not None
    assert module.__spec__.loader.get_source("genrec.core.deadlines")  # type: ignore[union-attr]
    with pytest.raises(AttributeError, match="Nothing"):
        module.Nothing
    with pytest.warns(DeprecationWarning, match=r"genrec\.attic\.room\.Part is genrec\.errors\.DataError now"):
        from genrec.attic.room import Part
    assert Part is genrec.errors.DataError


def test_importing_genrec_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "polars", "yaml", "hydra", "genrec.engine.components")
    code = "import sys, genrec.engine.aliases as a; "
    code += f"print([n for n in {heavy} if n in sys.modules], a.FormerPaths in sys.meta_path)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"
