"""lc_rec through the pipeline: what it makes, and what extends that, needs no language model beside it any more."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_world import language_model
from test_extend import ALL, OLD, tables

import genrec
from genrec.core.dataset import Dataset
from genrec.engine.runs import Run

SETTINGS = [
    *("data=tables", "split.short_users=train", "tokenizer.codebook_size=8", "tokenizer.num_levels=2"),
    *("generator=lc_rec", "generator.max_history_len=6", "objective.items_per_step=4"),
    *("train.epochs=1", "train.num_validations=1", "train.validation_users=5", "train.validation_beams=10"),
    *("recommend.splits=[test]", "recommend.k=10", "decoding.num_beams=10", "threads=1", "device=cpu"),
]


def answers_as_its_run_did(run: Run, folder: Path) -> None:
    dataset = Dataset.load(run.artifact("dataset").path)
    ids, sequences = dataset.item_ids, dataset.histories("test")
    table = pl.read_parquet(run.artifact("recommendations").path / "recommendations.parquet")
    users = dataset.user_ids.to_list()
    asked = table["user_id"].unique(maintain_order=True).to_list()[:5]
    shutil.copytree(run.path / "bundle", folder)
    histories = [ids.gather(sequences[users.index(user)]).to_list() for user in asked]
    found = genrec.load(folder).recommend(histories, k=10)
    expected = table.filter(pl.col("user_id").is_in(asked))
    assert found["item_id"].to_list() == expected["item_id"].to_list()
    assert np.allclose(found["score"], expected["score"], atol=1e-4)


@pytest.mark.slow
def test_bundles_stand_alone(tmp_path: Path) -> None:
    model = shutil.copytree(language_model("llama"), tmp_path / "model")
    shared = [f"paths.runs={tmp_path}/runs", f"generator.model={model}"]
    given = [*SETTINGS, *tables(tmp_path / "old", range(OLD)), *shared, "name=old"]
    genrec.run(until="recommend", overrides=given, quiet=True)
    old = genrec.run(until="export", overrides=given, quiet=True)
    later = [f"extends={old.path}", "name=new", *tables(tmp_path / "new", range(ALL))]
    genrec.run(until="recommend", overrides=later, quiet=True)
    new = genrec.run(until="export", overrides=later, quiet=True)
    shutil.rmtree(model)
    answers_as_its_run_did(old, tmp_path / "bundle")
    answers_as_its_run_did(new, tmp_path / "extended")
    suffixes = {path.suffix for path in (tmp_path / "extended" / "generator").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".txt", ".safetensors"}
