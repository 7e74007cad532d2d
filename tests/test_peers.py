"""tools/peers/: the reading and writing that its programs share, and each program on a tiny dataset, in its environment."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from genrec.core.dataset import Dataset, Sequences

ROOT = Path(__file__).resolve().parent.parent
NUM_USERS, NUM_ITEMS = 40, 60
SCRIPTS = {
    "cornac_tiger": (".venv-cornac", ["--recipe", "constructor", "--max-targets", "60"]),
    "rectools_sasrec": (".venv-rectools", ["--epochs", "2", "--max-history", "8"]),
    "rectools_bert4rec": (".venv-rectools", ["--epochs", "2", "--max-history", "8"]),
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"peers_{name}", ROOT / "tools" / "peers" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


table = load("table")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Leave-one-out over histories of 3 to 9 different items; the last three users have no test target."""
    random = np.random.default_rng(0)
    rows = [random.permutation(NUM_ITEMS)[: random.integers(3, 10)] for _ in range(NUM_USERS)]
    ends = np.cumsum([len(row) for row in rows])
    offsets = np.concatenate([[0], ends])
    validation_ends = ends - 1
    validation_ends[-3:] = ends[-3:]
    saved = Dataset(
        items=pl.DataFrame({"item_id": [f"i{item}" for item in range(NUM_ITEMS)]}),
        users=pl.DataFrame({"user_id": [f"u{user}" for user in range(NUM_USERS)]}),
        events=Sequences(np.concatenate(rows).astype(np.int32), offsets),
        train_ends=validation_ends - 1,
        validation_ends=validation_ends,
    )
    folder = tmp_path / "dataset"
    folder.mkdir()
    saved.save(folder)
    return Dataset.load(folder)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_reads_what_genrec_wrote(dataset: Dataset, split: str) -> None:
    prepared = table.Prepared.load(dataset.folder)
    histories = dataset.histories(split)  # type: ignore[arg-type]
    assert prepared.item_ids.to_list() == dataset.item_ids.to_list()
    assert prepared.users(split).tolist() == np.flatnonzero(dataset.targets(split).lengths).tolist()  # type: ignore[arg-type]
    for user in range(NUM_USERS):
        assert prepared.history(user, split).tolist() == histories[user].tolist()
    some = np.array([3, 7, 8])
    user, item, position = prepared.events(some, prepared.ends(split))
    expected = [(u, i, at) for u in some.tolist() for at, i in enumerate(histories[u])]
    assert list(zip(user, item, position, strict=True)) == expected


def test_users_without_a_history_or_a_target_are_left_out() -> None:
    series = pl.Series(["a", "b", "c"])
    offsets, ends = np.array([0, 2, 3, 5]), np.array([1, 2, 5])  # the second has no history, the third no target
    data = table.Prepared(series, series, np.arange(5), offsets, ends, ends)
    assert data.users("test").tolist() == [0]


def test_a_sample_of_users_is_fixed_and_nested(dataset: Dataset) -> None:
    prepared = table.Prepared.load(dataset.folder)
    few, more = prepared.users("test", 5), prepared.users("test", 20)
    assert few.tolist() == prepared.users("test", 5).tolist() == sorted(few)
    assert len(few) == 5
    assert set(few) < set(more)
    assert prepared.users("test", 10_000).tolist() == prepared.users("test").tolist()


def test_a_budget_of_targets() -> None:
    targets = np.array([4, 0, 3, 5])
    assert table.within(targets, 30, 0)[0] == 2  # of 12 an epoch
    assert table.within(targets, 30, 0)[1].tolist() == [0, 2, 3]
    for seed in range(5):
        epochs, users = table.within(targets, 8, seed)
        assert epochs == 1
        assert 0 < targets[users].sum() <= 8
    assert len({tuple(table.within(targets, 8, seed)[1]) for seed in range(20)}) > 1


def test_best_of_one_user() -> None:
    scores = np.array([0.5, 2.0, -np.inf, 2.0, 1.0])
    items, found = table.best(scores, 3)
    assert items.tolist() == [1, 3, 4]
    assert found.tolist() == [2.0, 2.0, 1.0]
    assert table.best(scores, 9, seen=np.array([3, 1]))[0].tolist() == [
        4,
        0,
    ]  # what scores minus infinity is not filled up with
    assert scores[1] == 2.0


def test_table_ranks_each_user_and_keeps_its_order(dataset: Dataset) -> None:
    prepared = table.Prepared.load(dataset.folder)
    found = table.recommendations(
        prepared, "test", np.array([5, 5, 2, 2, 2]), np.array([9, 3, 4, 0, 1]), np.array([2.0, 1.0, 3.0, 3.0, -1.0])
    )
    assert found.rows() == [
        ("test", "u2", "i4", 1, 3.0),
        ("test", "u2", "i0", 2, 3.0),
        ("test", "u2", "i1", 3, -1.0),
        ("test", "u5", "i9", 1, 2.0),
        ("test", "u5", "i3", 2, 1.0),
    ]
    assert found.columns == ["split", "user_id", "item_id", "rank", "score"]


def test_an_item_twice_in_a_list_is_refused(dataset: Dataset) -> None:
    prepared = table.Prepared.load(dataset.folder)
    with pytest.raises(ValueError, match="twice"):
        table.recommendations(prepared, "test", np.array([1, 1]), np.array([4, 4]), np.zeros(2))


@pytest.mark.slow
@pytest.mark.timeout(900)  # importing torch, transformers and Lightning on a busy machine, not training
@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_writes_a_table(name: str, exclude_seen: bool, dataset: Dataset, tmp_path: Path) -> None:
    environment, budget = SCRIPTS[name]
    if not (ROOT / environment / ".installed").exists():  # what `make peers` leaves when it is done
        pytest.skip(f"no {environment}: make peers")
    python = ROOT / environment / "bin" / "python"
    out = tmp_path / "table.parquet"
    command = [python, ROOT / "tools" / "peers" / f"{name}.py", dataset.folder, out, "--k", "10", "--users", "6", *budget]
    if name == "cornac_tiger":
        vectors = tmp_path / "item.safetensors"
        save_file({"vectors": np.random.default_rng(0).normal(size=(NUM_ITEMS, 8)).astype(np.float32)}, vectors)
        command += ["--vectors", vectors]
    command += [] if exclude_seen else ["--keep-seen"]
    done = subprocess.run([str(part) for part in command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

    found = pl.read_parquet(out)
    users = table.Prepared.load(dataset.folder).users("test", 6)
    assert found.columns == ["split", "user_id", "item_id", "rank", "score"]
    assert found["split"].unique().to_list() == ["test"]
    assert set(found["user_id"]) == {f"u{user}" for user in users}
    histories = {f"u{user}": {f"i{item}" for item in dataset.histories("test")[user]} for user in users}
    for (user,), rows in found.group_by("user_id", maintain_order=True):
        assert rows["rank"].to_list() == list(range(1, 11))
        assert rows["score"].is_sorted(descending=True)
        assert rows["item_id"].n_unique() == 10
        assert set(rows["item_id"]) <= set(dataset.item_ids)
        if exclude_seen:
            assert not histories[str(user)] & set(rows["item_id"])

    facts = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["users"] == 6
    assert facts["k"] == 10
    assert facts["exclude_seen"] is exclude_seen
    assert facts["targets_seen"] > 0
    assert {"library", "version", "model", "settings", "minutes", "users_per_second", "threads", "seed"} <= set(facts)
