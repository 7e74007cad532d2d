"""A user's own yaml: any name, in any folder, its paths relative to itself; and folders of any name around it all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_pipeline

from genrec.engine.config import compose
from genrec.engine.options import option_files
from genrec.engine.overrides import setting
from genrec.engine.pipeline import plan
from genrec.engine.sweep import expand
from genrec.errors import ConfigError

TOKENIZER = "_target_: toy_shop.parts.Tokenizer\nnum_levels: 7\n"
FILES = [
    "mine.yaml",
    "müller.yaml",
    "数据.yaml",
    "my-data (1).yaml",
    "a,b.yaml",
    "a=b.yml",
    "it's.yaml",
    "[x]{y}.yaml",
    "$x ${y}.yaml",
]
FOLDERS = ["plain", "ü", "a,b", "[x]", "two words", "it's", "a=b", "$x", "50%"]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with toy_pipeline.importable(tmp_path):
        toy_pipeline.install(monkeypatch, tmp_path)
        monkeypatch.chdir(tmp_path)
        yield tmp_path


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_any_name_is_an_option(toy: Path, name: str) -> None:
    Path(name).write_text(TOKENIZER, encoding="utf-8")
    quoted, plain = setting("tokenizer", f"./{name}"), f"tokenizer=./{name}"
    with option_files([quoted, plain]) as files:
        assert [source.name for source in files.sources.values()] == [name, name]
    config = compose([plain])
    assert (config.tree["tokenizer"]["num_levels"], config.choices["tokenizer"]) == (7, Path(name).stem)


@pytest.mark.parametrize("folder", FOLDERS)
def test_temporary_files_plugins_and_conf_below_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    root = tmp_path / folder
    (root / "tmp").mkdir(parents=True)
    with toy_pipeline.importable(root):
        toy_pipeline.install(monkeypatch, root)
        (root / "toy_shop" / "conf" / "tokenizer").mkdir(parents=True)
        (root / "toy_shop" / "conf" / "tokenizer" / "theirs.yaml").write_text(TOKENIZER, encoding="utf-8")
        (root / "mine.yaml").write_text(TOKENIZER.replace("7", "9"), encoding="utf-8")
        monkeypatch.setattr(tempfile, "tempdir", str(root / "tmp"))
        assert compose(["tokenizer=theirs"]).tree["tokenizer"]["num_levels"] == 7
        assert compose([setting("tokenizer", root / "mine.yaml")]).tree["tokenizer"]["num_levels"] == 9


def test_an_experiment_of_ones_own_names_its_run(toy: Path) -> None:
    Path("Müllers Läden.yaml").write_text("# @package _global_\nseed: 4\n", encoding="utf-8")
    config = compose(["experiment=./Müllers Läden.yaml"])
    assert (config.tree["seed"], config.name) == (4, "Mullers_Laden")


def test_a_sweep_over_files(toy: Path) -> None:
    for name, levels in (("a ü.yaml", 5), ("b.yaml", 6)):
        Path(name).write_text(TOKENIZER.replace("7", str(levels)), encoding="utf-8")
    jobs = expand(["tokenizer=./a ü.yaml,./b.yaml"])
    assert [compose(job.overrides).tree["tokenizer"]["num_levels"] for job in jobs] == [5, 6]


def test_what_is_wrong_in_a_file_is_told_by_its_name(toy: Path) -> None:
    Path("müller.yaml").write_text("rate: [1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        compose(["train=./müller.yaml"])
    assert str(caught.value).startswith("müller.yaml, line 2: expected something that can be composed, got ")


# --- paths ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """project/shop.yaml and project/data/events.txt; the working folder is another."""
    (toy / "project" / "data").mkdir(parents=True)
    (toy / "project" / "data" / "events.txt").write_text("theirs", encoding="utf-8")
    (toy / "elsewhere").mkdir()
    monkeypatch.chdir(toy / "elsewhere")
    return toy / "project"


def shop(project: Path, text: str, name: str = "shop.yaml") -> str:
    (project / name).write_text(text, encoding="utf-8")
    return f"../project/{name}"


DATA = "_target_: toy_shop.parts.Data\nfile: {}\n"


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("data", DATA.format("data/events.txt")),
        ("data", DATA.format("./data/../data/events.txt")),
        ("data", "defaults: [shop]\nfile: data/events.txt\n"),
        ("experiment", "# @package _global_\ndata:\n  file: data/events.txt\n"),
        ("experiment", "# @package _global_\ndefaults:\n  - override /data: shop\ndata: {file: data/events.txt}\n"),
    ],
)
def test_paths_start_at_the_yaml(project: Path, group: str, text: str) -> None:
    tree = compose([f"{group}={shop(project, text)}"]).tree
    assert Path(tree["data"]["file"]).resolve() == project / "data" / "events.txt"


def test_paths_in_lists_and_parts_too(project: Path) -> None:
    part = "{_target_: toy_shop.parts.Part, files: [data/events.txt, /abs.txt]}"
    text = f"_target_: toy_shop.parts.Settings\nparts: {{a: {part}}}\nmore: [{part}]\ninit: data\n"
    train = compose([f"train={shop(project, text)}"]).tree["train"]
    for files in (train["parts"]["a"]["files"], train["more"][0]["files"]):
        assert [Path(file).resolve() for file in files] == [project / "data" / "events.txt", Path("/abs.txt")]
    assert Path(train["init"]).resolve() == project / "data"  # a path or a hub id: it is there, beside the yaml


def test_a_hub_id_is_no_path(project: Path) -> None:
    text = "_target_: toy_shop.parts.Settings\ninit: org/model\n"
    assert compose([f"train={shop(project, text)}"]).tree["train"]["init"] == "org/model"


def test_what_is_seen_from_the_working_folder_alone_stays(project: Path) -> None:
    Path("here.txt").write_text("mine", encoding="utf-8")
    assert compose([f"data={shop(project, DATA.format('here.txt'))}"]).tree["data"]["file"] == "here.txt"


def test_what_is_nowhere_is_missed_beside_the_yaml(project: Path) -> None:
    path = compose([f"data={shop(project, DATA.format('nowhere.txt'))}"]).tree["data"]["file"]
    assert Path(path).resolve() == project / "nowhere.txt"


def test_what_is_typed_starts_where_it_is_typed(project: Path) -> None:
    (project.parent / "elsewhere" / "data").mkdir()
    Path("data/events.txt").write_text("mine", encoding="utf-8")
    choice = shop(project, DATA.format("data/events.txt"))
    assert compose([f"data={choice}", "data.file=data/events.txt"]).tree["data"]["file"] == "data/events.txt"
    assert Path(compose([f"data={choice}"]).tree["data"]["file"]).resolve() == project / "data" / "events.txt"


@pytest.mark.parametrize("override", ["data.file=~/events.txt", "data.file='~/events.txt'", 'data.file="~/events.txt"'])
def test_tilde_is_home(toy: Path, monkeypatch: pytest.MonkeyPatch, override: str) -> None:
    home = toy / "home"
    home.mkdir()
    (home / "events.txt").write_text("apple", encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    (prepare, *_) = plan(compose([override, f"paths.runs={toy / 'runs'}"]), until="train")
    again = plan(compose([f"data.file={home / 'events.txt'}", f"paths.runs={toy / 'runs'}"]), until="train")
    assert prepare.fingerprint == again[0].fingerprint


def test_a_name_that_begins_with_a_tilde_is_no_crash(toy: Path) -> None:
    Path("~nobody_of_this_name").write_text("apple", encoding="utf-8")
    (prepare, *_) = plan(compose(["data.file=~nobody_of_this_name", "paths.runs=runs"]), until="train")
    assert prepare.external
