"""Messages of the store, runs, configuration, components, pipeline and commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import toy_pipeline

import genrec
from error_cases import Case, Scene
from genrec.cli import _dispatch
from genrec.engine.artifacts import MANIFEST, Artifact, Store
from genrec.engine.components import UnknownKeyError, component_class, instantiate
from genrec.engine.config import compose
from genrec.engine.pipeline import plan
from genrec.engine.runs import RECORD, Run, bundle_path
from genrec.errors import ArtifactError, ConfigError, DataError


def not_exported(scene: Scene) -> None:
    (scene.path / "runs" / "r").mkdir(parents=True)
    (scene.path / "runs" / "r" / RECORD).write_text('{"overrides": ["experiment=demo"]}', encoding="utf-8")
    bundle_path(scene.path / "runs" / "r")


def toy(*overrides: str, action: Callable[..., Any] = compose) -> Callable[[Scene], Any]:
    """Composes the toy configuration with overrides, or does more with it."""

    def trigger(scene: Scene) -> Any:
        with toy_pipeline.importable(scene.path):
            toy_pipeline.install(scene.monkeypatch, scene.path)
            return action(overrides)

    return trigger


def planned(overrides: Any) -> Any:
    return plan(compose(overrides), until="train")


def command(*words: str) -> Callable[[Scene], Any]:
    return lambda scene: _dispatch(words[0], words[1:])


def artifact(root: Path, **more: Any) -> Artifact:
    def build(folder: Path, work: Path) -> dict[str, Any]:
        (folder / "a.txt").write_text("hello", encoding="utf-8")
        return {}

    return Store(root / "runs" / ".store").make("sids", "f1", build, stage="assign", config={}, inputs=more)


def damaged(change: Callable[[Path], Any]) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        made = artifact(scene.path)
        change(made.path)
        return Artifact(made.path).check(hashes=True)

    return trigger


def other_schema(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifest | {"schema": 99}), encoding="utf-8")


def in_the_way(scene: Scene) -> Any:
    (scene.path / "runs" / "r" / "sids").mkdir(parents=True)
    Run(scene.path / "runs" / "r").link("sids", "f1")


def written(text: str, *words: str, name: str = "t.csv") -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        (scene.path / name).write_text(text, encoding="utf-8")
        return _dispatch(words[0], words[1:])

    return trigger


def nothing_imports_it(scene: Scene) -> Any:
    (scene.path / "lonely").mkdir()
    (scene.path / "lonely" / "__init__.py").write_text("", encoding="utf-8")
    (scene.path / "lonely" / "part.py").write_text("import no_such_dependency", encoding="utf-8")
    scene.monkeypatch.syspath_prepend(scene.path)
    scene.monkeypatch.setattr("genrec.engine.components._allowed", {"genrec", "lonely"})
    return component_class({"_target_": "lonely.part.Part"}, "data")


def without_target(scene: Scene) -> Any:
    (scene.path / "mine.yaml").write_text("num_levels: 7\n", encoding="utf-8")
    return toy("tokenizer=./mine.yaml")(scene)


INTERACTIONS = "user,item\na,b\n"


def without_a_server(scene: Scene) -> Any:
    scene.monkeypatch.setitem(sys.modules, "uvicorn", None)
    scene.monkeypatch.delitem(sys.modules, "genrec.serving.connections", raising=False)  # another test may have imported it
    return _dispatch("serve", ["bundle"])


def built_from_nowhere(scene: Scene) -> Any:
    return instantiate({"_target_": "genrec.data.sequences.SequenceFile", "interactions": "${oc.env:no_such_variable}"})


def linked_manifest(folder: Path) -> None:
    (folder / MANIFEST).rename(folder.parent / "elsewhere.json")
    (folder / MANIFEST).symlink_to(folder.parent / "elsewhere.json")


CASES = [
    # the store and runs
    Case("a manifest from elsewhere", ArtifactError, "elsewhere.json", damaged(linked_manifest)),
    Case("no artifact", ArtifactError, "nowhere", lambda scene: Artifact(scene.path / "nowhere").check()),
    Case("other schema", ArtifactError, "schema 99", damaged(other_schema)),
    Case("file gone", ArtifactError, "no file", damaged(lambda folder: (folder / "a.txt").unlink())),
    Case(
        "file longer",
        ArtifactError,
        "6 bytes",
        damaged(lambda folder: (folder / "a.txt").write_text("hello!", encoding="utf-8")),
    ),
    Case(
        "byte flipped",
        ArtifactError,
        "got sha256 " + sha256(b"jello").hexdigest(),
        damaged(lambda folder: (folder / "a.txt").write_text("jello", encoding="utf-8")),
    ),
    Case(
        "broken manifest",
        ArtifactError,
        "something else",
        damaged(lambda folder: (folder / MANIFEST).write_text("{", encoding="utf-8")),
    ),
    Case(
        "other input",
        ArtifactError,
        "bbbb",
        lambda scene: artifact(scene.path, dataset="aaaa").expect_inputs({"dataset": "bbbb"}),
    ),
    Case("input not made", ArtifactError, "f9", lambda scene: Store(scene.path).open("sids", "f9", wanted_by="r")),
    Case("not in the run", ArtifactError, "generator", lambda scene: Run(scene.path / "runs" / "r").artifact("generator")),
    Case("not exported", ArtifactError, "genrec export experiment=demo", not_exported),
    Case("no bundle", ArtifactError, "nowhere", lambda scene: bundle_path(scene.path / "nowhere")),
    Case("link in the way", ArtifactError, "runs/r/sids", in_the_way),
    Case("bad name", ConfigError, "../up", toy("name=../up", action=planned)),
    Case("nothing to load", ArtifactError, "nowhere", lambda scene: genrec.load(scene.path / "nowhere")),
    Case(
        "an experiment that is no more",
        ConfigError,
        "got scientific_hstu; write data=tables generator=hstu train.epochs=5 train.num_validations=2 instead",
        lambda scene: compose(["experiment=scientific_hstu"]),
    ),
    Case("a list of options", ConfigError, "['demo', 'best']", lambda scene: compose(["experiment=[demo,best]"])),
    # components
    Case("target is no name", ConfigError, "5", toy("tokenizer._target_=5")),
    Case("target not allowed", ConfigError, "os.system", toy("tokenizer._target_=os.system")),
    Case("no such module", ConfigError, "toy_shop.nowhere.X", toy("tokenizer._target_=toy_shop.nowhere.X")),
    Case("no shipped class", ConfigError, "genrec.nowhere.X", toy("tokenizer._target_=genrec.nowhere.X")),
    Case("another group's class", ConfigError, "genrec.data.order.Order", toy("tokenizer._target_=genrec.data.order.Order")),
    Case("a plug-in's class of another kind", ConfigError, "Part without needs", toy("tokenizer._target_=toy_shop.parts.Part")),
    Case("a variable that is not set", ConfigError, "no_such_variable", built_from_nowhere),
    Case("dependency missing", ConfigError, "no_such_dependency", nothing_imports_it),
    Case("no such class", ConfigError, "toy_shop.parts.Nothing", toy("tokenizer._target_=toy_shop.parts.Nothing")),
    Case("mistyped key", UnknownKeyError, "lrr", lambda scene: compose(["experiment=demo", "train.lrr=4"])),
    Case("mistyped top-level key", UnknownKeyError, "seeed", lambda scene: compose(["experiment=demo", "seeed=4"])),
    Case("unknown key", UnknownKeyError, "num_level", toy("tokenizer.num_level=4")),
    Case(
        "unknown key when built",
        UnknownKeyError,
        "dims",
        lambda scene: instantiate({"_target_": "genrec.baselines.popularity.Popularity", "dims": 3}),
    ),
    Case("no value", ConfigError, "tokenizer.num_levels", toy("tokenizer.num_levels=???")),
    Case("wrong kind", ConfigError, "2.5", toy("tokenizer.num_levels=2.5")),
    Case("wrong choice", ConfigError, "fats", toy("tokenizer.mode=fats")),
    Case("wrong kind in a list", ConfigError, "'x'", toy("train.betas=[0.9,x]")),
    Case("constructor refuses", ConfigError, "-1.5", toy("train.parts={a: {_target_: toy_shop.parts.Part, weight: -1.5}}")),
    # configuration
    Case("no option", ConfigError, "fited", toy("tokenizer=fited")),
    Case("no key and value", ConfigError, "'seed'", toy("seed")),
    Case("no yaml file", ConfigError, "./nowhere.yaml", toy("tokenizer=./nowhere.yaml")),
    Case("no plug-in", ConfigError, "no_such_shop", toy("plugins=[no_such_shop]")),
    Case("a sweep without -m", ConfigError, "0,1", toy("seed=0,1")),
    Case("hydra's own key", UnknownKeyError, "hydra.run.dir", toy("hydra.run.dir=x")),
    Case("added", ConfigError, "+seed=1", toy("+seed=1")),
    Case("no interpolation", ConfigError, "nothing.here", toy("train.rate=${nothing.here}")),
    Case("unknown top-level key", UnknownKeyError, "sed", toy("sed=1")),
    Case("a file without a target", ConfigError, "['num_levels']", without_target),
    Case("null seed", ConfigError, "None", toy("seed=null")),
    Case("missing device", ConfigError, "device", toy("device=???")),
    Case("negative seed", ConfigError, "-1", toy("seed=-1")),
    Case("no threads", ConfigError, "0", toy("threads=0")),
    Case("unknown path", UnknownKeyError, "paths.run", toy("paths.run=x")),
    Case("no runs folder", ConfigError, "nothing", toy("paths.runs=''")),
    # pipeline
    Case(
        "decoding does not fit", ConfigError, "Beam (autoregressive)", toy("generator=scorer", "decoding=beam", action=planned)
    ),
    Case("no external file", DataError, "/no/such.txt", toy("data.file=/no/such.txt", action=planned)),
    # commands
    Case("no command", ConfigError, "tokenise", command("tokenise")),
    Case("nothing to show", ArtifactError, "nobody", command("show", "nobody")),
    Case("no such limit", ConfigError, "kk=3", command("serve", "bundle", "kk=3")),
    Case("a limit of words", ConfigError, "many", command("serve", "bundle", "k=many")),
    Case("no token file", ConfigError, "no/such", command("serve", "bundle", "--token-file", "no/such")),
    Case("an empty token", ConfigError, "nothing in t", written("\n", "serve", "bundle", "--token-file", "t", name="t")),
    Case("no such setting of lists", ConfigError, "kk=3", command("recommend", "bundle", "h.parquet", "out", "kk=3")),
    Case("lists of many", ConfigError, "many", command("recommend", "bundle", "h.parquet", "out", "k=many")),
    Case("no server installed", ConfigError, "no uvicorn", without_a_server),
    Case("yaml exists", ConfigError, "t.yaml", written("", "init", "t.csv", "--out", "t.yaml", name="t.yaml")),
    Case("no user column", DataError, "x, item", written("x,item\na,b\n", "init", "t.csv")),
    Case(
        "no item column in items",
        DataError,
        "x, y",
        lambda scene: (
            (scene.path / "i.csv").write_text("x,y\n1,2\n", encoding="utf-8"),
            written(INTERACTIONS, "init", "t.csv", "--items", "i.csv")(scene),
        ),
    ),
]
