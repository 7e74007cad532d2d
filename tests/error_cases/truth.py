"""Messages about settings as text and as Python values."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

import genrec
from error_cases import Case, Scene
from error_cases.machinery import toy
from genrec.cli import _dispatch
from genrec.engine.artifacts import Store
from genrec.engine.config import compose
from genrec.engine.outside_content import refuse_changes
from genrec.engine.overrides import setting
from genrec.engine.pipeline import Force
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.metrics.lib.tables import with_ties
from genrec.protocols import TokenizerInputs
from genrec.tokenizers.published import Published


def a_table_for_an_option(scene: Scene) -> Any:
    Path("my sales.csv").write_text("user_id,item_id\na,b\n", encoding="utf-8")
    return compose(["data=my sales.csv"])


def changed_meanwhile(scene: Scene) -> Any:
    (scene.path / "x.txt").write_text("new", encoding="utf-8")
    refuse_changes("prepare", {"data.file": scene.path / "x.txt"}, {"data.file": "0" * 64}, Store(scene.path / "store"))


def counted_from_nought(scene: Scene) -> Any:
    file = scene.path / "index.json"
    file.write_text('{"0": [1], "1": [2], "2": [3]}', encoding="utf-8")
    items = pl.DataFrame({"item_id": ["1", "2"]})
    return Published(path=file).fit(TokenizerInputs({}, items))


def ranks(*numbers: int, **more: list[int]) -> Callable[[Scene], Any]:
    ids = [f"i{number}" for number in numbers]
    return lambda scene: with_ties(pl.DataFrame({"user_id": "a", "item_id": ids, "rank": list(numbers), **more}))


def own_yaml(text: str) -> Callable[[Scene], Any]:
    """A user's own data yaml with these settings."""

    def trigger(scene: Scene) -> Any:
        (scene.path / "mine.yaml").write_text(f"_target_: toy_shop.parts.Data\nfile: x\nsettings: {text}\n", encoding="utf-8")
        return toy("data=./mine.yaml")(scene)

    return trigger


class Odd:
    """Looks like a table, and is none."""

    columns = ("a",)


CASES = [
    Case("settings that are no keys", ConfigError, "'drop'", own_yaml("drop")),
    Case("a setting of no group", ConfigError, "missing", own_yaml("{missing: drop}")),
    Case("no such last stage", ConfigError, "'nope'", lambda scene: genrec.run(data="demo", until="nope")),
    Case("a setting without a name", ConfigError, "'demo'", lambda scene: genrec.run("demo")),
    Case("nothing to compare", ConfigError, "none", lambda scene: genrec.compare()),
    Case("no path to load", ArtifactError, "None", lambda scene: genrec.load(None)),  # type: ignore[arg-type]
    Case("a table that is none", DataError, "Odd", lambda scene: genrec.run(data=Odd())),
    Case("a table without columns", DataError, "DataFrame of none", lambda scene: genrec.run(data=pl.DataFrame())),
    Case("keys that count from nought", DataError, "1 of which no item has (0)", counted_from_nought),
    Case("ranks from nought", DataError, "rank 0", ranks(0, 1)),
    Case("overlapping groups", DataError, "'tie_size': 2", ranks(1, 2, tie_start=[1, 1], tie_size=[1, 2])),
    Case("a file that changed meanwhile", DataError, sha256(b"new").hexdigest()[:12], changed_meanwhile),
    Case("a stage that nobody needs", ConfigError, "tokenise", lambda scene: Force(frozenset({"tokenise"})).check([])),
    Case("no data", ConfigError, "nothing", lambda scene: _dispatch("prepare", [])),
    Case("no runs folder to tidy", ArtifactError, "nothing at nowhere", lambda scene: _dispatch("gc", ["nowhere"])),
    Case("a setting of another kind", ConfigError, "set {3}", lambda scene: setting("seed", {3})),
    Case("a key that Hydra cannot say", ConfigError, "'ü b'", lambda scene: setting("train.parts", {"ü b": 1})),
    Case("brackets that stay open", ConfigError, "train.betas=[0.9", toy("train.betas=[0.9")),
    Case("no equals sign", ConfigError, "'demo'", toy("demo")),
    Case("overrides as one text", ConfigError, "'seed=1'", lambda scene: compose("seed=1")),
    Case("overrides of other things", ConfigError, "('seed', 1)", lambda scene: compose([("seed", 1)])),  # type: ignore[list-item]
    Case("overrides of run as one text", ConfigError, "'seed=1'", lambda scene: genrec.run(overrides="seed=1")),
    Case("no name", ConfigError, "null", toy("name=null")),
    Case("a table for an option", ConfigError, "'my sales.csv'", a_table_for_an_option),
    Case("a yaml that is not there", ConfigError, "./müller (1).yaml", toy("tokenizer=./müller (1).yaml")),
]
