"""A plug-in in a package of the user's own is found by its yaml and used, without a change in genrec."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import genrec
from genrec.core.dataset import Dataset
from genrec.engine import components
from genrec.errors import ConfigError

SOURCE = '''
from dataclasses import dataclass
import polars as pl
from genrec.protocols import RawData


@dataclass(frozen=True, kw_only=True)
class Carousel:
    """Everybody takes the items in turn."""

    users: int
    items: int = 7

    def load(self) -> RawData:
        rows = [(f"u{u}", f"i{(u + t) % self.items}", float(t)) for u in range(self.users) for t in range(5)]
        interactions = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
        return RawData(interactions=interactions, items=pl.DataFrame({"item_id": [f"i{i}" for i in range(self.items)]}))
'''


@pytest.fixture
def fair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "fun_fair"
    (package / "conf" / "data").mkdir(parents=True)
    (package / "conf" / "experiment").mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "carousel.py").write_text(SOURCE, encoding="utf-8")
    (package / "conf" / "data" / "carousel.yaml").write_text(
        "# A toy.\n_target_: fun_fair.carousel.Carousel\nusers: 11\n", encoding="utf-8"
    )
    (package / "conf" / "experiment" / "ride.yaml").write_text(
        "# @package _global_\n# genrec run experiment=ride\ndefaults:\n  - override /data: carousel\nname: ride\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(components, "_allowed", {"genrec"})
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("fun_fair")]:
        del sys.modules[name]


def test_found_and_used(fair: Path) -> None:
    run = genrec.run(data="carousel", plugins=["fun_fair"], until="prepare", quiet=True, overrides=["data.users=13"])
    dataset = Dataset.load(run.artifact("dataset").path)
    assert (dataset.num_users, dataset.num_items) == (13, 7)
    assert run.artifact("dataset").config["data"]["items"] == 7


def test_its_experiments_are_options_too(fair: Path) -> None:
    run = genrec.run(experiment="ride", plugins=["fun_fair"], until="prepare", quiet=True)
    assert run.name == "ride"
    assert run.artifact("dataset").facts["num_users"] == 11


def test_it_is_checked_as_genrecs_own(fair: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.user: unknown key; did you mean users\?"):
        genrec.run(data="carousel", plugins=["fun_fair"], overrides=["data.user=3"])


def test_nothing_of_it_without_asking(fair: Path) -> None:
    with pytest.raises(ConfigError, match="expected an option of data, got carousel"):
        genrec.run(data="carousel")
    with pytest.raises(ConfigError, match=r"fun_fair\.carousel\.Carousel; allow it with plugins=\[fun_fair\]"):
        genrec.run(overrides=["data._target_=fun_fair.carousel.Carousel"])
