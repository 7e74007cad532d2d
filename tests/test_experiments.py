"""Experiments: every component can be exchanged, nothing that nobody typed is refused, names of before go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import toy_pipeline
import yaml

from genrec.api import run as genrec_run
from genrec.engine.config import Config, compose, groups
from genrec.engine.experiments import RENAMED, REPLACED, _announce, with_replacements
from genrec.engine.pipeline import plan
from genrec.engine.runs import RECORD, Run
from genrec.engine.sweep import config_of, expand
from genrec.errors import ConfigError, GenRecError

STUDY = Path(__file__).parents[1] / "docs" / "sweeps" / "family.yaml"
SWAPPED = ("generator", "tokenizer", "collision", "decoding")
BEFORE = "# @package _global_\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the files that an option may ask for; a plan reads none of them."""
    root = tmp_path_factory.mktemp("given")
    pl.DataFrame({"user_id": ["a"], "item_id": ["x"]}).write_parquet(root / "interactions.parquet")
    pl.DataFrame({"item_id": ["x"], "title": ["a thing"]}).write_parquet(root / "items.parquet")
    (root / "codes.json").write_text("{}", encoding="utf-8")
    (root / "model").mkdir()
    return root


def needed(root: Path, experiment: str, **options: str) -> list[str]:
    """What has to be typed with some options, since they have no value for it."""
    words = [f"experiment={experiment}", *(f"{group}={option}" for group, option in options.items()), f"paths.runs={root}/runs"]
    if not experiment.startswith("demo"):
        words += [f"data.interactions={root}/interactions.parquet", f"data.items={root}/items.parquet"]
    if options.get("generator") in ("lc_rec", "unimp") or (experiment == "minionerec" and "generator" not in options):
        words.append(f"generator.model={root}/model")
    if options.get("tokenizer") == "published":
        words.append(f"tokenizer.path={root}/codes.json")
    if options.get("tokenizer") == "anchored_rq_kmeans":
        words.append(f"tokenizer.anchor={root}/model")
    return words


def refusal(words: Sequence[str]) -> str | None:
    """None when the command line can be planned, else why not."""
    try:
        plan(compose(words))
    except GenRecError as error:
        return str(error)
    return None


def assert_fair(words: Sequence[str], line: str | None) -> None:
    """Planned, or refused in one line that speaks of a component and not of a key that nobody typed."""
    if line is None:
        return
    typed = {word.partition("=")[0] for word in words}
    assert "\n" not in line, f"{words}: {line}"
    assert "unknown key" not in line, f"{words}: {line}"
    where = line.partition(":")[0]
    rooms = {*SWAPPED, "objective", "events", "sids for multi_stream"}
    assert where in typed or where.partition(".")[0] in rooms, f"{words}: {line}"


EXPERIMENTS = sorted(groups()["experiment"])
QUICK = [("demo", "generator"), ("quick", "decoding")]  # seconds of minutes
SINGLE = [
    pytest.param(experiment, group, id=f"{experiment}-{group}", marks=() if (experiment, group) in QUICK else pytest.mark.slow)
    for experiment in EXPERIMENTS
    for group in SWAPPED
]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_plans_as_it_is(experiment: str, files: Path) -> None:
    assert refusal(needed(files, experiment)) is None


@pytest.mark.parametrize(("experiment", "group"), SINGLE)
def test_every_experiment_takes_every_component(experiment: str, group: str, files: Path) -> None:
    lines = {}
    for option in groups()[group]:
        words = needed(files, experiment, **{group: option})
        lines[option] = refusal(words)
        assert_fair(words, lines[option])
    assert None in lines.values(), lines


@pytest.mark.slow
@pytest.mark.parametrize("pair", list(combinations(SWAPPED, 2)), ids="-".join)
@pytest.mark.parametrize("experiment", ["demo", "best"])
def test_every_pair_of_components_is_planned_or_refused_in_one_line(
    experiment: str, pair: tuple[str, str], files: Path
) -> None:
    for first in groups()[pair[0]]:
        for second in groups()[pair[1]]:
            words = needed(files, experiment, **{pair[0]: first, pair[1]: second})
            assert_fair(words, refusal(words))


def test_a_sweep_over_generators_plans(tmp_path: Path) -> None:
    jobs = expand(["experiment=demo", "generator=encdec,tiger,sasrec", f"paths.runs={tmp_path}"])
    configs = [config_of(job, "evaluate") for job in jobs]
    assert [config.name for config in configs] == [f"demo,generator={name}" for name in ("encdec", "tiger", "sasrec")]
    assert [len(plan(config)) for config in configs] == [8, 8, 5]
    assert [len(config.notes) for config in configs] == [0, 1, 1]


# --- what is dropped, what stays -----------------------------------------------------------------------------------------


def has(whole: Any, part: Any) -> bool:
    """Whether a value is the one that an experiment writes, which may name some keys of a mapping only."""
    if isinstance(whole, Mapping) and isinstance(part, Mapping):
        return all(key in whole and has(whole[key], value) for key, value in part.items())
    return bool(whole == part)


def test_without_another_choice_everything_is_the_experiments(files: Path) -> None:
    for experiment in EXPERIMENTS:
        config = compose(needed(files, experiment))
        assert config.notes == ()
        written = yaml.safe_load(groups()["experiment"][experiment].read_text(encoding="utf-8"))
        for group in set(written) - {"defaults"}:
            for key, value in written[group].items():
                assert has(config.tree[group][key], value), f"{experiment}: {group}.{key}"


def without_experiment(*words: str) -> Config:
    return compose(["data=demo", "encoder=tfidf_collaborative", *words])


def test_another_generator_has_its_own_settings_and_brings_its_objective_decoding_and_training() -> None:
    config, plain = compose(["experiment=demo", "generator=sasrec"]), without_experiment("generator=sasrec")
    for group in ("generator", "objective", "decoding", "train"):
        assert config.tree[group] == plain.tree[group]
    assert config.tree["tokenizer"]["codebook_size"] == 32
    assert config.tree["export"]["sample_users"] == 20
    assert config.notes == (
        "note: experiment=demo: dropped generator.dim, generator.num_history_layers, generator.num_decoder_layers, "
        "generator.identity, generator.item_head, objective.item_weight (for generator=encdec) and train.epochs, "
        "train.batch_states, train.num_validations, train.validation_users (for train=default); "
        "generator=sasrec and train=sasrec keep their own settings",
    )


def test_an_objective_of_the_same_name_is_that_of_the_new_generator() -> None:
    config = compose(["experiment=demo", "generator=decoder_only"])
    assert config.choices["objective"] == "sid_cross_entropy"
    assert config.tree["objective"]["item_weight"] == 0.0
    assert config.tree["train"]["epochs"] == 10, "the option of train is that of the experiment"
    assert "objective.item_weight (for generator=encdec); generator=decoder_only keeps its own settings" in config.notes[0]


def test_what_is_typed_wins_and_is_checked() -> None:
    config = compose(["experiment=demo", "generator=decoder_only", "generator.dim=32", "train.epochs=3"])
    assert (config.tree["generator"]["dim"], config.tree["train"]["epochs"]) == (32, 3)
    assert "generator.dim" not in config.notes[0]
    with pytest.raises(ConfigError, match=r"^generator\.identity: unknown key"):
        compose(["experiment=demo", "generator=decoder_only", "generator.identity=true"])


def test_the_option_that_the_experiment_has_may_be_typed() -> None:
    config = compose(["experiment=demo", "generator=encdec", "tokenizer=rq_kmeans"])
    assert config.notes == ()
    assert config.tree == compose(["experiment=demo"]).tree


def test_top_level_settings_of_the_experiment_reach_the_new_component(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        f"{BEFORE}defaults: [override /data: demo]\nseed: 7\ntokenizer: {{codebook_size: 8}}\n", encoding="utf-8"
    )
    config = compose([f"experiment={tmp_path}/mine.yaml", "tokenizer=rqvae"])
    assert config.tree["tokenizer"]["seed"] == 7
    assert config.notes == (
        "note: experiment=mine: dropped tokenizer.codebook_size (for tokenizer=rq_kmeans); "
        "tokenizer=rqvae keeps its own settings",
    )


@pytest.mark.parametrize("place", ["file", "plug-in", "built on another"])
def test_a_users_experiment_is_bound_too(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{BEFORE}defaults:\n  - override /data: demo\n  - override /generator: tiger\ngenerator: {{head_dim: 32}}\n"
    words = ["experiment=ours"]
    if place == "built on another":
        text = f"{BEFORE}defaults:\n  - demo\n  - _self_\ntokenizer: {{num_levels: 2}}\n"
    if place == "plug-in":
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        folder = tmp_path / "ours_pkg" / "conf" / "experiment"
        folder.mkdir(parents=True)
        (tmp_path / "ours_pkg" / "__init__.py").write_text("", encoding="utf-8")
        words.append("plugins=[ours_pkg]")
    else:
        folder, words = tmp_path, [f"experiment={tmp_path}/ours.yaml"]
    (folder / "ours.yaml").write_text(text, encoding="utf-8")
    own = compose(words)
    assert own.notes == ()
    other = compose([*words, "generator=hstu"])
    assert other.tree["generator"] == without_experiment("generator=hstu").tree["generator"]
    assert len(other.notes) == 1
    if place == "built on another":
        assert (own.tree["generator"]["dim"], own.tree["tokenizer"]["num_levels"]) == (64, 2)
        assert other.tree["tokenizer"] == own.tree["tokenizer"]
        assert "objective.item_weight" in other.notes[0]
    else:
        assert other.notes[0].startswith("note: experiment=ours: dropped generator.head_dim (for generator=tiger)")


def test_an_option_left_to_the_command_line_keeps_the_experiments_settings(tmp_path: Path) -> None:
    (tmp_path / "open.yaml").write_text(
        f"{BEFORE}defaults: [override /data: demo, override /generator: '???']\ngenerator: {{dim: 32}}\n", encoding="utf-8"
    )
    config = compose([f"experiment={tmp_path}/open.yaml", "generator=sasrec"])
    assert config.tree["generator"]["dim"] == 32
    assert config.notes == ()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with toy_pipeline.importable(tmp_path):
        toy_pipeline.install(monkeypatch, tmp_path)
        yield tmp_path


def test_plan_and_run_say_the_note_once(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from genrec.cli import _dispatch

    words = ["experiment=fruit", "train=default"]
    note = "note: experiment=fruit: dropped train.rate (for train=quick); train=default keeps its own settings"
    assert _dispatch("train", ["--plan", *words]) == 0
    assert capsys.readouterr().out.count(note) == 1
    genrec_run(overrides=words, until="train")
    assert capsys.readouterr().out.count(note) == 1


# --- names of before -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("former", "name"), RENAMED.items())
def test_a_former_name_is_said_and_goes_on_in_its_run(
    former: str, name: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _announce.cache_clear()
    before, now = compose(needed(files, former)), compose(needed(files, name))
    assert compose(needed(files, former)).tree == now.tree == before.tree
    assert capsys.readouterr().err == f"note: experiment={former} is now experiment={name}\n", "said once"
    assert (before.name, now.name) == (former, name)
    assert [step.fingerprint for step in plan(before)] == [step.fingerprint for step in plan(now)]


def test_an_experiment_of_ones_own_may_have_a_former_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "beauty.yaml").write_text(f"{BEFORE}seed: 4\n", encoding="utf-8")
    config = compose([f"experiment={tmp_path}/beauty.yaml"])
    assert (config.name, config.tree["seed"]) == ("beauty", 4)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", REPLACED)
def test_an_experiment_that_is_no_more_says_what_to_type(name: str, files: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        compose([f"experiment={name}"])
    line = str(refused.value)
    assert line.startswith(f"experiment: expected an option of experiment, got {name}; write data=tables ")
    settings = line.partition("; write ")[2].partition(" instead")[0].split()
    generator = name.removeprefix("scientific_")
    assert f"generator={generator}" in settings
    assert refusal([*settings, *needed(files, "best", generator=generator)[2:]]) is None


def test_a_run_of_such_an_experiment_can_be_extended(files: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "old")
    run.path.mkdir()
    stored = [*needed(files, "scientific_parallel")]
    (run.path / RECORD).write_text(json.dumps({"overrides": stored}), encoding="utf-8")
    config = compose([f"extends={run.path}", "name=more"])
    assert config.tree == compose([*with_replacements(stored), "name=more", f"extends={run.path}"]).tree
    assert (config.choices["generator"], config.tree["tokenizer"]["num_levels"]) == ("parallel", 16)
    other = compose([f"extends={run.path}", "name=more", "tokenizer=lsh"])
    assert "num_levels=16" not in str(other.tree["tokenizer"]), "its settings are those of another tokenizer"


# --- the study -----------------------------------------------------------------------------------------------------------


NOT_MEASURED = {"reg4rec", "unimp"}  # that have no row at the study's budget yet


def test_every_model_of_the_study_plans_and_none_is_missing(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("study", STUDY.with_name("study.py"))
    assert spec is not None
    assert spec.loader is not None
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    given = needed(files, "best")[1:]
    jobs = study.jobs_of(STUDY, given, language_model=f"{files}/model")
    configs = [config_of(job, "evaluate") for job in jobs]
    models = yaml.safe_load(STUDY.read_text(encoding="utf-8"))["models"]
    assert [config.name for config in configs] == [f"family_{model}" for model in models]
    assert {config.choices["generator"] for config in configs} == set(groups()["generator"]) - NOT_MEASURED
    for config, model in zip(configs, models.values(), strict=True):
        assert plan(config)[-1].stage.name == "evaluate"
        assert (config.tree["train"]["epochs"], config.tree["recommend"]["k"]) == (5, 10)
        assert set(model["measured"]) == {"val", "test", "weights", "targets_per_second"}
    assert len(study.jobs_of(STUDY, given)) == len(models) - 1, "without a language model, lc_rec is left out"
    assert [job.overrides[-len(given) - 1] for job in study.jobs_of(STUDY, given, only=["sasrec"])] == ["name=family_sasrec"]


def test_the_studys_settings_are_those_that_the_experiments_had() -> None:
    models = yaml.safe_load(STUDY.read_text(encoding="utf-8"))["models"]
    for name, settings in REPLACED.items():
        model = models[name.removeprefix("scientific_")]["settings"]
        shared = {"data=tables", "train.epochs=5", "train.num_validations=2"}
        assert set(settings) - shared <= set(model), name
