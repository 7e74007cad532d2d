"""Any text, path or number is a setting: what composing reads back is what was given."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_pipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.engine.config import Config, compose
from genrec.engine.overrides import parse_overrides, setting, shell_line, text_value
from genrec.engine.runs import check_name, run_name
from genrec.errors import ConfigError

NAMES = [
    "plain.csv",
    "my sales (1).csv",
    "müller.csv",
    "数据.csv",
    "a,b.csv",
    "a[1]{2}.csv",
    'it\'s "quoted".csv',
    "a=b.csv",
    "50%.csv",
    "$HOME.csv",
    "${name}.csv",
    r"C:\temp\new.csv",
    r"ends in backslash\\",
    "#1: what?! *.csv",
    "~nobody/x.csv",
    " blank at both ends ",
    "null",
    "true",
    "007",
    "",
]
PIECES = [*"ab1 \t\n'\"\\$${}[](),=:;~#%*☃ü", "${", "\\${", "${x}"]
HARD = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)
PART = "toy_shop.parts.Part"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("toy")
    with toy_pipeline.importable(folder), pytest.MonkeyPatch.context() as patch:
        toy_pipeline.install(patch, folder)
        yield folder


def composed(overrides: list[str]) -> list[str | None]:
    """What composing reads back as the names of parts ``p0``, ``p1`` ...; one composition for a whole table."""
    targets = [setting(f"train.parts.p{i}._target_", PART) for i in range(len(overrides))]
    return [part["name"] for part in compose([*targets, *overrides]).tree["train"]["parts"].values()]


def test_texts_come_back(toy: Path) -> None:
    overrides = [setting(f"train.parts.p{i}.name", text) for i, text in enumerate(NAMES)]
    assert composed(overrides) == NAMES
    assert [text_value(override)[1] for override in overrides] == NAMES


def test_what_is_printed_can_be_typed(toy: Path) -> None:
    overrides = [setting(f"train.parts.p{i}.name", text) for i, text in enumerate(NAMES)]
    words = shlex.split(shell_line(["genrec", "run", *overrides]))
    assert words[:2] == ["genrec", "run"]
    assert composed(words[2:]) == NAMES


def test_as_typed_without_quotes(toy: Path) -> None:
    """A shell's quotes are enough: what Hydra cannot read is the text that it is."""
    paths = [
        "/home/müller/x.csv",
        "~/my sales (1).csv",
        "a=b.csv",
        "a;b.csv",
        "it is [1].csv",
        "数据/x.csv",
        "5 % & y.csv",
        "#1",
    ]
    assert composed([f"train.parts.p{i}.name={path}" for i, path in enumerate(paths)]) == paths


@settings(max_examples=15)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | HARD, min_size=1, max_size=6))
def test_any_text_comes_back(toy: Path, texts: list[str]) -> None:
    texts = [text for text in texts if text != "???"]  # what is missing, to OmegaConf
    tree = compose(
        [setting("train.parts", {str(i): {"_target_": "toy_shop.parts.Part", "name": t} for i, t in enumerate(texts)})]
    )
    assert [part["name"] for part in tree.tree["train"]["parts"].values()] == texts


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (2, 2),
        (1e-05, 1e-05),
        (1e300, 1e300),
    ],
)
def test_a_number_comes_back(toy: Path, value: Any, back: float) -> None:
    assert compose([setting("train.rate", value)]).tree["train"]["rate"] == back


@pytest.mark.parametrize("value", [(0.5, 0.25), [0.5, 0.25], np.array([0.5, 0.25])])
def test_lists_come_back(toy: Path, value: Any) -> None:
    assert compose([setting("train.betas", value)]).tree["train"]["betas"] == [0.5, 0.25]


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", 3j, {"a": {3}}])
def test_what_is_no_setting_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^seed(\.a)?: expected text, a path, a number, a list or a mapping, got \w+ .*; "
    ) as caught:
        setting("seed", value)
    assert "\n" not in str(caught.value)


def test_several_values_stay_several() -> None:
    (parsed,) = parse_overrides(["data=./a b.yaml,./c.yaml"])
    assert list(parsed.sweep_string_iterator()) == ["./a\\ b.yaml", "./c.yaml"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shop", "shop"),
        ("2024.q1", "2024.q1"),
        ("my sales", "my_sales"),
        ("Müllers Läden (1)", "Mullers_Laden_1"),
        ("ünï ☃", "uni"),
        ("-x", "x"),
        ("数据", "run_5440f7"),
        ("a" * 300, "a" * 100),
    ],
)
def test_a_name_for_any_text(text: str, name: str) -> None:
    assert check_name(run_name(text)) == name


@pytest.mark.parametrize("name", ["007", "2024", "1e3", "1_000", "0x1f", "a", "3.50"])
def test_a_name_stays_as_typed(toy: Path, name: str) -> None:
    assert compose([f"name={name}"]).name == name


@pytest.mark.parametrize("name", ["null", "true", "False", "", "NULL"])
def test_what_is_no_name(toy: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name: expected a name, got"):
        compose([f"name={name}"])


@pytest.mark.parametrize("plugins", ["toy_shop", "[toy_shop]", "'toy_shop'", "[]", "null"])
def test_one_plugin_without_brackets(toy: Path, plugins: str) -> None:
    if plugins == "null":
        with pytest.raises(ConfigError, match="plugins: expected a list"):
            compose([f"plugins={plugins}"])
    else:
        assert compose([f"plugins={plugins}"]).tree["plugins"] == ([] if plugins == "[]" else ["toy_shop"])


def test_overrides_are_a_list_of_texts(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"overrides: expected a list of key=value, got 'seed=1'; give a list"):
        compose("seed=1")
    with pytest.raises(ConfigError, match=r"overrides: expected key=value as text, got \('seed', 1\)"):
        compose([("seed", 1)])  # type: ignore[list-item]


def test_threads_compose_each_its_own(toy: Path) -> None:
    configs: dict[int, list[Config]] = {}

    def work(seed: int) -> None:
        configs[seed] = [compose([f"seed={seed}", f"tokenizer.num_levels={seed + 1}"]) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert [(c.tree["seed"], c.tree["tokenizer"]["num_levels"]) for c in configs[seed]] == [(seed, seed + 1)] * 3


def test_a_host_that_uses_hydra_keeps_its_state(toy: Path) -> None:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(str(toy / "conf"), version_base="1.2"):
        assert compose(["seed=5"]).tree["seed"] == 5
        assert hydra_compose("config", overrides=["seed=6"]).seed == 6
