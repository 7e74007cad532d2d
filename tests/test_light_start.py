"""What answers at once: help, a mistyped key and ``genrec init`` import no torch; the answer is that of the full check."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.engine import config
from genrec.engine.components import component_class, parameters
from genrec.engine.config import compose
from genrec.engine.registry import any_slot
from genrec.engine.signatures import names_in_source
from genrec.errors import ConfigError

TABLE = "user_id,item_id,timestamp\n" + "".join(f"u{user},i{item},{item}\n" for user in range(4) for item in range(5))
SLOW = ("torch", "lightning", "sklearn")
PROGRAM = f"""
import sys
from genrec.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print("loaded:", *[name for name in {SLOW} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, ""),
        (["run", "experiment=demo", "tokenizer.num_level=4"], 2, "tokenizer.num_level: unknown key; did you mean num_levels?"),
        (["init", "events.csv"], 0, ""),
    ],
    ids=["help", "mistyped", "init"],
)
def test_what_answers_at_once_imports_no_torch(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    (tmp_path / "events.csv").write_text(TABLE, encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.splitlines()[-1].strip() == "loaded:"


ROOMS = {  # room -> some of what it exports
    "genrec": (
        "SIDTable",
        "PrefixTrie",
        "Recommender",
        "RecommendRequest",
        "Run",
        "run",
        "configured",
        "metrics",
        "tokenizers",
    ),
    "genrec.core": ("SIDTable", "PrefixTrie", "Dataset"),
    "genrec.tokenizers": ("RQKMeans", "RQVAE", "AppendLevel"),
    "genrec.generators": ("EncDec", "SASRec"),
    "genrec.metrics": ("ndcg", "NDCG"),
    "genrec.recommender": ("Recommender", "SimilarRequest"),
    "genrec.training": ("TrainSettings",),
    "genrec.engine.tracking": ("CSVLog",),
}


def test_names_of_rooms_load_nothing_heavy() -> None:
    program = (
        "import importlib, sys\n"
        f"for room, names in {ROOMS}.items():\n"
        "    missing = set(names) - set(dir(importlib.import_module(room)))\n"
        "    assert not missing, (room, missing)\n"
        f"sys.exit(any(name in sys.modules for name in {SLOW}))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_shipped_plug_in_is_exported_by_its_room() -> None:
    homes: dict[tuple[str, str], str] = {}
    for target in any_slot().targets:
        module, _, name = target.rpartition(".")
        room = ".".join(module.split(".")[:2])
        if room != "genrec.engine":  # its trackers are exported by the room inside
            exported = importlib.import_module(room)
            assert name in dir(exported), target
            assert getattr(exported, name) is component_class({"_target_": target})
            assert homes.setdefault((room, name), target) == target, "two classes of one name in a room"
    with pytest.raises(AttributeError, match="no attribute 'RQMeans'"):
        importlib.import_module("genrec.tokenizers").RQMeans


def test_stages_import_no_lightning() -> None:
    program = (
        "import sys; from genrec.engine.pipeline import STAGES, load_stage; [load_stage(name) for name in STAGES];"
        "sys.exit('lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "typed",
    [
        ["tokenizer.num_level=4"],
        ["train.lrr=0.1", "generator.dimm=8"],
        ["seeed=4"],
        ["beams=10", "lr=0.1"],
        ["train.learning_rate=0.1"],
        ["recommend.kk=3"],
        ["tokenizer.num_level=4", "train.lr=fast"],  # a value is wrong, too: only the full check sees it
        ["train.nothing.like=1"],
        ["seed=-1", "tokenizer.num_level=4"],
        ["split._target_=genrec.engine.runs.Run"],
    ],
    ids=" ".join,
)
def test_the_quick_answer_is_that_of_the_full_check(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as quick:
        compose(["experiment=demo", *typed])
    monkeypatch.setattr(config, "mistyped_keys", lambda *given: [])
    with pytest.raises(ConfigError) as full:
        compose(["experiment=demo", *typed])
    assert str(quick.value) == str(full.value)


def test_parameters_read_from_source_are_those_of_the_class() -> None:
    known = {target: names_in_source(target) for target in any_slot().targets}
    assert sum(names is not None for names in known.values()) > len(known) / 2
    for target, names in known.items():
        if names is not None:
            assert names == tuple(parameters(component_class({"_target_": target}))), target
