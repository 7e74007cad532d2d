"""Composition and checking of the configuration, on toy components."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_pipeline

from genrec.engine.components import ConfigErrors, complete_settings, external_files, instantiate, raise_all, value_errors
from genrec.engine.config import compose
from genrec.errors import ConfigError


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with toy_pipeline.importable(tmp_path):
        toy_pipeline.install(monkeypatch, tmp_path)
        yield tmp_path


def errors_of(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    return str(caught.value).split("\n")


def test_composes_and_resolves(toy: Path) -> None:
    config = compose(["tokenizer.num_levels=4", "seed=3", "name=2024"])
    assert config.tree["tokenizer"] == {"_target_": "toy_shop.parts.Tokenizer", "num_levels": 4, "seed": 3}
    assert config.choices["tokenizer"] == "fitted"
    assert config.name == "2024"
    assert compose().name == "default"
    assert compose(["experiment=fruit"]).name == "fruit"


@pytest.mark.parametrize(
    ("overrides", "decoding", "train"),
    [
        ((), "beam", "default"),
        (("generator=scorer",), "ranking", "quick"),
        (("generator=scorer", "decoding=beam"), "beam", "quick"),
        (("decoding=beam", "generator=scorer"), "beam", "quick"),
        (("generator=scorer", "train=default"), "ranking", "default"),
        (("experiment=fruit",), "ranking", "quick"),
        (("experiment=fruit", "generator=seq"), "beam", "default"),
        (("experiment=fruit", "decoding=beam"), "beam", "quick"),
    ],
)
def test_a_generator_brings_its_recipe_and_the_command_line_wins(
    toy: Path, overrides: tuple[str, ...], decoding: str, train: str
) -> None:
    config = compose(overrides)
    assert (config.choices["decoding"], config.choices["train"]) == (decoding, train)


def test_an_experiments_value_wins_over_the_recipe_and_loses_to_the_command_line(toy: Path) -> None:
    assert compose(["experiment=fruit"]).tree["train"]["rate"] == 0.7
    assert compose(["experiment=fruit", "train.rate=0.9"]).tree["train"]["rate"] == 0.9


def test_everything_wrong_is_told_at_once(toy: Path) -> None:
    lines = errors_of("tokenizer.num_level=4", "train.epochs=two", "train.verbos=true", "sed=1", "tokenizer.mode=fats")
    assert sorted(lines) == sorted(
        [
            "sed: unknown key; did you mean seed?",
            "tokenizer.num_level: unknown key; did you mean num_levels?",
            "tokenizer.mode: expected one of fast, exact, got fats; did you mean fast?",
            "train.epochs: expected a whole number, got 'two'; change train.epochs",
            "train.verbos: unknown key; did you mean verbose?",
        ]
    )


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("tokenizer=fited", "tokenizer: expected an option of tokenizer, got fited; did you mean fitted?"),
        ("experiment=fruits", "experiment: expected an option of experiment, got fruits; did you mean fruit?"),
        ("tokenizer.num_levels=2.5", "tokenizer.num_levels: expected a whole number, got 2.5; change tokenizer.num_levels"),
        ("tokenizer.num_levels=true", "tokenizer.num_levels: expected a whole number, got True; change tokenizer.num_levels"),
        ("tokenizer.num_levels=null", "tokenizer.num_levels: expected a whole number, got None; change tokenizer.num_levels"),
        (
            "tokenizer.num_levels=???",
            "tokenizer.num_levels: expected a whole number, got nothing; give tokenizer.num_levels=...",
        ),
        ("tokenizer.num_levels=0", "tokenizer.num_levels: expected at least 1, got 0; raise it"),
        ("train.betas=[0.9]", "train.betas: expected a list of (a number), got [0.9]; change train.betas"),
        ("train.betas=[0.9,x]", "train.betas[1]: expected a number, got 'x'; change train.betas[1]"),
        ("train.clip=high", "train.clip: expected a number or null, got 'high'; change train.clip"),
        ("train=null", "train: expected an option of train, got None; known: default, quick"),
        ("train.parts={a: 3}", "train.parts.a: expected a component (Part) with _target_, got 3; change train.parts.a"),
        (
            "train.parts={a: {_target_: toy_shop.parts.Part, wight: 3}}",
            "train.parts.a.wight: unknown key; did you mean weight?",
        ),
        (
            "train.more=[{_target_: toy_shop.parts.Part, weight: -1.5}]",
            "train.more[0]: expected settings that Part accepts (weight below zero), got weight=-1.5; change them",
        ),
        (
            "train.parts.a={_target_: toy_shop.parts.Part, name: 3}",
            "train.parts.a.name: expected text or null, got 3; quote it: train.parts.a.name=\"'3'\"",
        ),
        (
            "tokenizer._target_=os.system",
            "tokenizer._target_: expected a class under genrec., toy_shop., got os.system; allow it with plugins=[os]",
        ),
        (
            "tokenizer._target_=toy_shop.parts.Tokeniser",
            "tokenizer._target_: expected a class in toy_shop.parts, got toy_shop.parts.Tokeniser; did you mean Tokenizer?",
        ),
        (
            "tokenizer._target_=toy_shop.part.Tokenizer",
            "tokenizer._target_: expected an importable class, got toy_shop.part.Tokenizer; no module toy_shop.part",
        ),
        (
            "tokenizer._target_=toy_shop.parts.Path",
            "tokenizer._target_: expected a class in toy_shop.parts, got toy_shop.parts.Path; did you mean Part?",
        ),
        (
            "tokenizer._target_=5",
            "tokenizer._target_: expected package.module.Class, got 5; name a class of genrec or of a plug-in",
        ),
        ("seed=-1", "seed: expected 0 or more, got -1; choose another"),
        ("seed=one", "seed: expected a whole number, got 'one'; change seed"),
        ("threads=0", "threads: expected 1 or more, or null, got 0; choose another"),
        ("device=gpu", "device: expected one of auto, cpu, cuda, cuda:N, mps, got gpu; did you mean cuda?"),
        ("paths.run=x", "paths.run: unknown key; did you mean runs?"),
        ("paths.runs=''", "paths.runs: expected a folder, got nothing; give paths.runs=..."),
        ("hydra.run.dir=x", "hydra.run.dir: unknown key; "),
        ("+seed=1", "seed: expected key=value, got +seed=1; write seed=1"),
        ("~tokenizer", "tokenizer: expected key=value, got ~tokenizer; choose another value for tokenizer"),
        ("seed", "seed: expected key=value, got 'seed'; write key=value, without blanks around the =, such as experiment=demo"),
        (
            "seed=1,2",
            "seed: expected one value, got 1,2; add -m to run all of them, or quote it to make it one value: 'seed=\"1,2\"'",
        ),
        ("train.betas=[0.9", "train.betas: expected key=value, got 'train.betas=[0.9'; close its brackets and quotes, or "),
        ("tokenizer.num_levels=4;5", "tokenizer.num_levels: expected a whole number, got '4;5'; change tokenizer.num_levels"),
        ("tokenizer=./nowhere.yaml", "tokenizer: expected an option's name or a yaml file, got ./nowhere.yaml; no such file"),
        ("plugins=[no_such_shop]", "plugins: expected importable packages, got no_such_shop; "),
        (
            "train.rate=${nothing.here}",
            "train.rate: expected something that can be composed, got Interpolation key 'nothing.here'",
        ),
    ],
)
def test_every_mistake_has_its_line(toy: Path, override: str, line: str) -> None:
    (told,) = errors_of(override)
    assert told.startswith(line) if line.endswith(("; ", "or ")) or "composed" in line else told == line


def test_a_broken_yaml_is_one_line(toy: Path) -> None:
    (toy / "conf" / "train" / "broken.yaml").write_text("rate: [1\n", encoding="utf-8")
    (line,) = errors_of("train=broken")
    assert "broken.yaml" in line


def test_a_users_file_is_an_option(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy)
    Path("mine.yaml").write_text("_target_: toy_shop.parts.Tokenizer\nnum_levels: 7\n", encoding="utf-8")
    config = compose(["tokenizer=./mine.yaml"])
    assert config.tree["tokenizer"]["num_levels"] == 7
    assert config.overrides == ("tokenizer=./mine.yaml",)
    Path("mine.yaml").write_text("num_levels: 7\n", encoding="utf-8")
    (line,) = errors_of("tokenizer=mine.yaml")
    assert line == "tokenizer: expected a component with _target_, got ['num_levels']; choose tokenizer=<option>"


def test_instantiate_converts_and_supplies_what_is_asked_for(toy: Path) -> None:
    compose()  # allows the package
    node = {"_target_": "toy_shop.parts.Settings", "betas": [1, 0.5], "init": str(toy), "rate": 1}
    built = instantiate(node | {"parts": {"a": {"_target_": "toy_shop.parts.Part"}}}, sids="unused")
    assert built.betas == (1.0, 0.5)
    assert isinstance(built.rate, float)
    assert built.init == toy
    assert type(built.parts["a"]).__name__ == "Part"
    assert instantiate(node | {"init": "org/model"}).init == "org/model"
    instantiate({"_target_": "toy_shop.parts.Scorer"}, num_items=3, sids="not asked for")
    with pytest.raises(ConfigError, match=r"here\.dims: unknown key; did you mean dim\?"):
        instantiate({"_target_": "toy_shop.parts.Scorer", "dims": 3}, "here", num_items=3)


def test_external_files_are_found_by_annotation(toy: Path) -> None:
    config = compose(["train.parts={a: {_target_: toy_shop.parts.Part, files: [/x, /y]}}", "train.init=org/model"])
    assert external_files(config.tree["data"], "data") == {"data.file": toy / "shop.txt"}
    assert external_files(config.tree["train"], "train") == {
        "train.parts.a.files[0]": Path("/x"),
        "train.parts.a.files[1]": Path("/y"),
    }


def test_defaults_are_written_out_except_what_genrec_supplies(toy: Path) -> None:
    tree = compose().tree
    assert complete_settings(tree["encoder"]) == {"_target_": "toy_shop.parts.Encoder", "dim": 4, "scale": 1.0}
    assert complete_settings(tree["train"])["betas"] == [0.9, 0.98]
    assert complete_settings(complete_settings(tree["train"])) == complete_settings(tree["train"])


def test_values_of_unions_and_nested_types() -> None:
    assert value_errors([["a", 1], ["b", 2]], list[tuple[str, int]], "key") == []
    assert value_errors({"a": [1.0, 2]}, dict[str, list[float]] | None, "key") == []
    assert value_errors(None, dict[str, int] | None, "key") == []
    (error,) = value_errors([["a", "b"]], list[tuple[str, int]], "key")
    assert str(error) == "key[0][1]: expected a whole number, got 'b'; change key[0][1]"
    (error,) = value_errors(3, str | Path, "key")
    assert error.got == "3"


def test_several_errors_raise_as_one() -> None:
    one, two = (ConfigError(key, expected="x", got=1, fix="y") for key in "ab")
    raise_all([])
    with pytest.raises(ConfigErrors) as caught:
        raise_all([one, two])
    assert str(caught.value) == f"{one}\n{two}"
    with pytest.raises(ConfigError) as single:
        raise_all([one])
    assert single.value is one


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("data=./events.yam", "did you mean ./events.yaml?"),
        ("data=./event", "did you mean ./events.yaml?"),
        ("data=./nothing_like_it", "known: ./events.yaml, ./shop.yaml"),
        ("experiment=./shop.yml.txt", "did you mean ./shop.yaml?"),
        ("data=./empty/demo", "known: amazon14"),
        ("data=dem", "did you mean demo?"),
    ],
)
def test_a_mistyped_path_is_held_against_the_files_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("events.yaml", "shop.yaml"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(told)):
        compose([typed])


def test_an_empty_mapping_empties() -> None:
    words = ["experiment=synergen", "data.interactions=a.csv", "evaluate.baselines={}", "recommend.request={}"]
    tree = compose(words).tree
    assert tree["recommend"]["request"] == {}
    assert tree["evaluate"]["baselines"] == {}
    assert compose([*words, "recommend.request.time=target"]).tree["recommend"]["request"] == {"time": "target"}
