"""A secret given by ``${oc.env:...}`` reaches what is built, and nothing that is written or said."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import genrec
from genrec import references
from genrec.cli import main
from genrec.engine import components
from genrec.engine.components import instantiate
from genrec.engine.config import compose
from genrec.errors import ConfigError, DataError

SECRET = "hunter2-SECRET/ä"
SOURCE = '''
from genrec.data.demo import DemoShop


class Vault:
    """A data base that wants a password."""

    def __init__(self, *, password: str, dsn: str = "none", headers: dict[str, str] | None = None, tables: list[str] = [],
                 fail: bool = False, bug: bool = False, num_users: int = 60):
        if fail:
            raise ValueError(f"cannot log in as {password}")
        self.password, self.dsn, self.headers, self.bug, self.num_users = password, dsn, headers, bug, num_users

    def load(self):
        if self.bug:
            raise RuntimeError(f"connection to {self.dsn} lost")
        assert (self.password, self.dsn, self.headers) == ("WORD", "db://me:WORD@host/x", {"auth": "Bearer WORD"})
        raw = DemoShop(num_users=self.num_users, num_items=72, events_per_user=6.0).load()
        raw.notes.append((f"read from {self.dsn}", 1))
        return raw
'''.replace("WORD", SECRET)
SETTINGS = [
    *("plugins=[bank]", "data=vault", "generator=sasrec", "generator.dim=8", "generator.num_layers=1", "train.epochs=1"),
    *("train.num_validations=1", "device=cpu", "precision=fp32", "logger=csv", "name=tiny", "evaluate.draws=20"),
]


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "bank"
    (package / "conf" / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "vault.py").write_text(SOURCE, encoding="utf-8")
    (package / "conf" / "data" / "vault.yaml").write_text(
        "# A toy.\n_target_: bank.vault.Vault\npassword: ${oc.env:BANK_PASSWORD}\n"
        "dsn: db://me:${data.password}@host/x\nheaders: {auth: 'Bearer ${oc.env:BANK_PASSWORD}'}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BANK_PASSWORD", SECRET)
    monkeypatch.setattr(references, "_read", {})
    monkeypatch.setattr(components, "_allowed", {"genrec"})
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "bank"]:
        del sys.modules[name]


def places(folder: Path, value: str) -> list[str]:
    """The files that hold a value, as it is or as json spells it."""
    spellings = {spelling.encode() for spelling in (value, json.dumps(value)[1:-1], repr(value)[1:-1])}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "bank" not in path.relative_to(folder).parts]
    return [str(path.relative_to(folder)) for path in files if any(spelling in path.read_bytes() for spelling in spellings)]


def test_a_whole_run_writes_it_nowhere(bank: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (("export", *SETTINGS), ("run", *SETTINGS), ("run", "--plan", *SETTINGS), ("show", "tiny")):
        assert main(words) == 0
    told = capfd.readouterr()
    assert SECRET not in told.out + told.err
    assert (bank / "runs/tiny/report.html").exists()
    assert list((bank / "runs/tiny/logs").rglob("settings.csv"))
    assert places(bank, SECRET) == []
    assert places(bank, "${oc.env:BANK_PASSWORD}"), "the search finds what is there"
    record = json.loads((bank / "runs/tiny/run.json").read_text(encoding="utf-8"))
    assert record["config"]["data"]["password"] == "${oc.env:BANK_PASSWORD}"
    assert record["config"]["data"]["dsn"] == "db://me:${oc.env:BANK_PASSWORD}@host/x"
    card = (bank / "runs/tiny/bundle/README.md").read_text(encoding="utf-8")
    assert "`Vault`" in card
    assert "BANK_PASSWORD" not in card
    monkeypatch.setenv("BANK_PASSWORD", "another one")  # refits nothing: the source would not take it
    assert main(("export", *SETTINGS)) == 0
    assert "prepare: up to date" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "traceback", "code"),
    [
        (["data.fail=true"], "0", 2),
        (["data.fail=true"], "1", 1),
        (["data.bug=true"], "0", 1),
        (["data.pasword=x"], "0", 2),
        (["data.num_users=${oc.env:BANK_PASSWORD}"], "0", 2),
        (["data.tables=[[${oc.env:BANK_PASSWORD}]]"], "0", 2),
        (["tokenizer.num_levels=${oc.env:BANK_PASSWORD}"], "0", 2),
        (["split=${data.password}"], "0", 2),
    ],
)
def test_an_error_does_not_tell_it(
    bank: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    traceback: str,
    code: int,
) -> None:
    monkeypatch.setenv("GENREC_TRACEBACK", traceback)
    assert main(["prepare", *SETTINGS, *words]) == code
    told = capfd.readouterr()
    assert told.err
    assert SECRET not in told.out + told.err
    assert "cannot log in as ${oc.env:BANK_PASSWORD}" in told.err or "fail" not in words[0]
    assert places(bank, SECRET) == []


# --- references -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "kept", "built"),
    [
        ("${oc.env:WORD}", "${oc.env:WORD}", "a word"),
        ("a ${oc.env:WORD} b", "a ${oc.env:WORD} b", "a a word b"),
        ("${oc.env:NO_WORD,other}", "${oc.env:NO_WORD,other}", "other"),
        ("${oc.env:WORD,other}", "${oc.env:WORD,other}", "a word"),
        ("${oc.decode:${oc.env:NUMBER}}", 7, None),
        ("${oc.env:NO_WORD,null}", None, None),
    ],
)
def test_what_is_kept_and_what_is_built(monkeypatch: pytest.MonkeyPatch, written: str, kept: Any, built: str | None) -> None:
    from omegaconf import OmegaConf

    monkeypatch.setenv("WORD", "a word")
    monkeypatch.setenv("NUMBER", "7")
    tree = OmegaConf.create({"a": written, "b": "${a}", "name": "WORD", "c": "${oc.env:${name}}"})
    with references.keep_references():
        found = OmegaConf.to_container(tree, resolve=True)
    assert found == {"a": kept, "b": kept, "name": "WORD", "c": "${oc.env:WORD}"}
    if built is not None:
        assert references.resolve_references(kept, secret=False) == built
    assert OmegaConf.to_container(tree, resolve=True)["c"] == "a word", "the resolvers are OmegaConf's own again"  # type: ignore[index, call-overload]


def test_paths_choices_and_top_level_settings_count_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("RULE", "cpu")
    tree = compose(
        ["paths.runs=${oc.env:PLACE}/runs", "device=${oc.env:RULE}", "data=tables", "data.interactions=${oc.env:PLACE}/a.csv"]
    )
    assert tree.tree["paths"]["runs"] == f"{tmp_path}/runs"
    assert tree.tree["device"] == "cpu"
    assert tree.tree["data"]["interactions"] == f"{tmp_path}/a.csv"


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigError, match="NO_SUCH_VARIABLE"):
        compose(["data.seed=${oc.env:NO_SUCH_VARIABLE}"])
    node = {"_target_": "genrec.encoders.tfidf_svd.TfidfSVD", "columns": ["${oc.env:NO_SUCH_VARIABLE}"]}
    with pytest.raises(ConfigError, match=r"encoder\.columns\[0\]: expected the variable NO_SUCH_VARIABLE .* export NO_SUCH"):
        instantiate(node, "encoder")


def test_messages_are_masked_in_every_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "_read", {})
    monkeypatch.setenv("PW", 'qu"ote\\ä')
    references.resolve_references("${oc.env:PW}")
    for text in ('qu"ote\\ä', repr('qu"ote\\ä'), json.dumps('qu"ote\\ä'), "qu%22ote%5C%C3%A4"):
        assert "ote" not in str(DataError("here", expected="rows", got=f"none from {text}", fix="look"))
    assert genrec.__version__ in str(DataError("here", expected="rows", got=genrec.__version__, fix="look"))
