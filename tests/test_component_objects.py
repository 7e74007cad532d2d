"""Components as objects: every shipped one may be given, and the run is the one of typed settings."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import yaml

import genrec
from genrec.api import _config
from genrec.baselines import PairCounts, Popularity
from genrec.data import Filters, LeaveOneOut, Tables
from genrec.decoding import TrieBeam
from genrec.encoders import Collaborative, Concat, TfidfSVD
from genrec.engine import components
from genrec.engine.aliases import TARGET
from genrec.engine.component_objects import component_settings
from genrec.engine.components import complete_settings, component_class, instantiate, parameters
from genrec.engine.config import Config, compose, groups
from genrec.engine.pipeline import plan
from genrec.engine.registry import slot_of
from genrec.errors import ConfigError
from genrec.evaluation import RecommendSettings
from genrec.generators import EncDec, Tiger
from genrec.objectives import DPO, SIDCrossEntropy
from genrec.stages import Evaluator
from genrec.tokenizers import RQVAE, AppendLevel, RQKMeans
from genrec.training import TrainSettings
from genrec.types import RUNTIME

EVENTS = {"user_id": ["a", "a", "a", "b", "b", "b"], "item_id": list("xyzzyx"), "timestamp": [1.0, 2, 3, 1, 2, 3]}
ITEMS = {"item_id": list("xyz"), "title": ["red tea", "green tea", "mug"]}
WRAPS = {"Fusion"}  # what keeps its arguments otherwise than they were given is refused as an object, and given as a class
UNSET = {"dataset": "a/b", "folder": "x", "interactions": "x.csv", "model": "x", "path": "x.parquet", "anchor": "text"}
OPTIONS = [
    (group, option)
    for group, options in groups().items()
    if group not in ("experiment", "metric") and slot_of(group) is not None
    for option in options
]


def config_of(*overrides: str, **settings: Any) -> Config:
    return _config((), overrides, settings)


def fingerprints(config: Config, until: str = "assign") -> list[str]:
    return [step.fingerprint for step in plan(config, until=until)]


def shipped_node(group: str, option: str) -> dict[str, Any]:
    """The node of an option's yaml, with a value for what it leaves to the user."""
    node = yaml.safe_load(groups()[group][option].read_text(encoding="utf-8"))
    for entry in node.pop("defaults", []):
        if isinstance(entry, str):
            node = {**shipped_node(group, entry), **node}

    def resolved(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: resolved(part, name) for name, part in value.items()}
        return (
            {"???": UNSET.get(key), "${seed}": 0, "${precision}": "auto"}.get(value, value) if isinstance(value, str) else value
        )

    return dict(resolved(node))


def made(node: Mapping[str, Any], group: str) -> Any:
    """The object of a node; its class with the settings, where its objects need what only a run has."""

    def waits(node: Any) -> bool:
        if isinstance(node, Mapping) and TARGET in node:
            accepted = parameters(component_class(node))
            if component_class(node).__name__ in WRAPS or any(
                parameter.required and name in RUNTIME for name, parameter in accepted.items()
            ):
                return True
        return isinstance(node, Mapping) and any(map(waits, node.values()))

    if not waits(node):
        return instantiate(node, group)
    settings = {key: value for key, value in node.items() if key != TARGET}
    settings = {
        key: made(value, "") if isinstance(value, Mapping) and TARGET in value else value for key, value in settings.items()
    }
    return genrec.configured(component_class(node), **settings)


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_every_shipped_component_may_be_an_object(group: str, option: str, tmp_path: Path) -> None:
    """Its settings are those of the yaml that it was made from, so an artifact has the same fingerprint."""
    node = shipped_node(group, option)
    if option == "precomputed":
        (tmp_path / "x.parquet").touch()
    named = component_settings({group: made(node, group)}, lambda: tmp_path, experiment=False).named
    if named[group].endswith(".yaml"):
        read = yaml.safe_load(Path(named[group]).read_text(encoding="utf-8"))
        read.pop("defaults", None)
    else:
        read = shipped_node(group, named[group])
        read |= {key.partition(".")[2]: value for key, value in named.items() if key != group}
    read = {
        key: {"${seed}": 0, "${precision}": "auto"}.get(value, value) if isinstance(value, str) else value
        for key, value in read.items()
    }
    assert comparable(complete_settings(read)) == comparable(complete_settings(node))


def comparable(node: Mapping[str, Any]) -> dict[str, Any]:
    """Null and an empty mapping are one to the constructors that take mappings; a path starts at the working folder."""
    here = str(Path.cwd())
    return {
        key: value.replace(f"{here}/", "") if isinstance(value, str) else value
        for key, value in node.items()
        if value is not None and value != {}
    }


PAIRS: dict[str, tuple[list[str], dict[str, Any]]] = {  # typed, given
    "an object": (["tokenizer=rq_kmeans", "tokenizer.num_levels=4"], {"tokenizer": RQKMeans(num_levels=4)}),
    "an object of the run's seed": (["tokenizer.num_levels=4", "seed=3"], {"tokenizer": RQKMeans(num_levels=4), "seed": 3}),
    "an object of its own seed": (["tokenizer.seed=5", "seed=3"], {"tokenizer": RQKMeans(seed=5), "seed": 3}),
    "one of several options": (["tokenizer=rqvae_ste", "tokenizer.lr=0.1"], {"tokenizer": RQVAE(gradient="ste", lr=0.1)}),
    "a class": (["generator=tiger"], {"generator": Tiger}),
    "a class with settings": (
        ["generator=encdec", "generator.dim=64", "objective.codebook_share=0.2"],
        {"generator": genrec.configured(EncDec, dim=64), "objective": genrec.configured(SIDCrossEntropy, codebook_share=0.2)},
    ),
    "a partial": (["generator.dim=64"], {"generator": functools.partial(EncDec, dim=64)}),
    "with an experiment": (
        ["experiment=demo", "tokenizer.codebook_size=256", "generator.dim=32"],
        {"experiment": "demo", "tokenizer": RQKMeans(), "generator": genrec.configured(EncDec, dim=32)},
    ),
    "objects in objects": (
        ["encoder=tfidf_collaborative", "encoder.sources.text.dim=32", "encoder.dim=32"],
        {
            "encoder": Concat(
                sources={"text": TfidfSVD(dim=32), "collaborative": Collaborative(dim=64)},
                dim=32,
                weights={"text": 1.0, "collaborative": 1.0},
            )
        },
    ),
    "a class in a class": (
        ["objective=dpo", "objective.supervised.codebook_share=0.2"],
        {"objective": genrec.configured(DPO, supervised=genrec.configured(SIDCrossEntropy, codebook_share=0.2))},
    ),
    "every other group": (
        [
            "filters.k_core=2",
            "split.short_users=train",
            "collision=append_level",
            "train.epochs=2",
            "decoding.num_beams=30",
            "recommend.k=7",
        ],
        {
            "filters": Filters(k_core=2),
            "split": LeaveOneOut(short_users="train"),
            "collision": AppendLevel(),
            "train": TrainSettings(epochs=2),
            "decoding": TrieBeam(num_beams=30),
            "recommend": RecommendSettings(k=7),
        },
    ),
    "what is typed wins": (
        ["tokenizer.num_levels=2"],
        {"tokenizer": RQKMeans(num_levels=4), "overrides": ["tokenizer.num_levels=2"]},
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equal_settings_have_equal_fingerprints(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed, given = PAIRS[name]
    given = dict(given)
    objects = config_of(*given.pop("overrides", ()), **given)
    assert fingerprints(objects, "evaluate") == fingerprints(compose(typed), "evaluate")
    again = compose(objects.overrides)  # what the run's record holds: the command line goes on with the same run
    assert again.tree == objects.tree


def test_other_settings_have_other_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fingerprints(config_of(tokenizer=RQKMeans(starts=3))) != fingerprints(config_of(tokenizer=RQKMeans()))


def test_a_mapping_replaces_the_one_of_the_options_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    baselines = {"popularity": Popularity(), "pairs": PairCounts(window=None, last=5)}
    node = config_of(evaluate=Evaluator(baselines=baselines, ks=(1, 10))).tree["evaluate"]
    assert list(node["baselines"]) == ["popularity", "pairs"]
    assert (node["baselines"]["pairs"]["window"], node["baselines"]["pairs"]["last"]) == (None, 5)
    assert node["ks"] == [1, 10]


# --- tables ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame, "arrow"], ids=["polars", "pandas", "arrow"])
def test_tables_and_objects_run(kind: Any, tmp_path: Path) -> None:
    if kind == "arrow":
        kind = importlib.import_module("pyarrow").table
    runs = {"paths.runs": tmp_path}
    parts = {"encoder": TfidfSVD(dim=2), "tokenizer": RQKMeans(num_levels=2, codebook_size=2)}
    run = genrec.run(data=kind(EVENTS), items=kind(ITEMS), quiet=True, until="assign", **parts, **runs)
    assert run.kinds == ("dataset", "encoder", "tokenizer", "sids")
    pl.DataFrame(EVENTS).write_parquet(tmp_path / "e.parquet")
    pl.DataFrame(ITEMS).write_parquet(tmp_path / "i.parquet")
    typed = [
        "tokenizer.num_levels=2",
        "tokenizer.codebook_size=2",
        "encoder=tfidf_svd",
        "encoder.dim=2",
        f"paths.runs={tmp_path}",
    ]
    files = {"interactions": tmp_path / "e.parquet", "items": tmp_path / "i.parquet"}
    tables = {"data": "tables", **{f"data.{key}": file for key, file in files.items()}}
    if kind is pl.DataFrame:  # the same bytes; other libraries' types may be written otherwise
        assert fingerprints(config_of(*typed, **tables)) == list(run.links.values())
    assert fingerprints(config_of(data=Tables(**files), **parts, **runs)) == fingerprints(config_of(*typed, **tables))


def test_settings_of_a_table_may_be_typed(tmp_path: Path) -> None:
    events = pl.DataFrame(EVENTS).rename({"user_id": "customer"})
    run = genrec.run(data=events, until="prepare", quiet=True, overrides=["data.user_id=customer", f"paths.runs={tmp_path}"])
    assert run.artifact("dataset").facts["num_users"] == 2


# --- classes of the user's own ---------------------------------------------------------------------------------------------

SOURCE = """
from genrec.tokenizers import RQKMeans

class Plain(RQKMeans):
    pass

class WithYaml(RQKMeans):
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    package = tmp_path / "corner_shop"
    (package / "conf" / "tokenizer").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "parts.py").write_text(SOURCE, encoding="utf-8")
    node = "_target_: corner_shop.parts.WithYaml\nnum_levels: 3\nseed: ${seed}\n"
    (package / "conf" / "tokenizer" / "corner.yaml").write_text(node, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(components, "_allowed", {"genrec"})
    importlib.invalidate_caches()
    yield importlib.import_module("corner_shop.parts")
    for name in [name for name in sys.modules if name.startswith("corner_shop")]:
        del sys.modules[name]


def test_an_own_class_with_a_yaml_is_its_option(own: Any) -> None:
    objects = config_of(tokenizer=own.WithYaml(num_levels=4), seed=2)
    assert objects.choices["tokenizer"] == "corner"
    typed = compose(["plugins=[corner_shop]", "tokenizer=corner", "tokenizer.num_levels=4", "seed=2"])
    assert fingerprints(objects) == fingerprints(typed)


def test_an_own_class_needs_no_yaml(own: Any) -> None:
    objects = config_of("plugins=corner_shop", tokenizer=own.Plain(num_levels=4))
    assert objects.tree["tokenizer"] == {TARGET: "corner_shop.parts.Plain", "num_levels": 4}
    assert compose(objects.overrides).tree == objects.tree
    assert objects.tree["plugins"] == ["corner_shop"]


def test_configured_checks_at_once() -> None:
    with pytest.raises(ConfigError, match=r"EncDec.dimm: .* got 64; did you mean dim\?"):
        genrec.configured(EncDec, dimm=64)
