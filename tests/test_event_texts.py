"""Texts of events: encoded once each by the fitted encoder, heard in training, and given to lists that ask for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_world import ring

import genrec
from genrec.core.dataset import Dataset
from genrec.encoders.collaborative import Collaborative
from genrec.encoders.concat import Concat
from genrec.encoders.tfidf_svd import TfidfSVD
from genrec.engine.config import compose
from genrec.engine.pipeline import needed_stages, plan
from genrec.errors import DataError
from genrec.model.event_texts import asking_histories, distinct_texts, with_texts, write_texts
from genrec.protocols import text_part
from genrec.testing.worlds import make_items, make_train
from genrec.types import PAD

RING = ring(num_items=10, num_users=5)
SETTINGS = [
    "data=tables",
    "data.position=position",
    "filters=none",
    "encoder=tfidf_svd",
    "tokenizer.codebook_size=8",
    "tokenizer.num_levels=2",
    "generator.dim=16",
    "generator.num_heads=2",
    "train.max_targets=6000",
    "train.batch_states=32",
    "train.num_validations=1",
    "train.lr=0.01",
    "decoding.num_beams=20",
    "recommend.k=20",
    "recommend.exclude_seen=false",
    "threads=1",
    "device=cpu",
]


def with_words() -> Dataset:
    """A ring in which every second event was asked for, by the number of its item."""
    events = RING.events.item_idx
    texts = [f" item {item} " if row % 2 else ("" if row % 4 else None) for row, item in enumerate(events)]
    return replace(RING, event_texts=pl.Series(texts, dtype=pl.String))


def test_each_text_is_encoded_once_and_blank_ones_not_at_all() -> None:
    dataset = with_words()
    texts = distinct_texts(dataset)
    assert texts.words == sorted({f"item {item}" for item in dataset.events.item_idx[1::2]})
    assert (texts.rows[::2] == PAD).all()
    assert [texts.words[row] for row in texts.rows[1::2]] == [f"item {item}" for item in dataset.events.item_idx[1::2]]
    with pytest.raises(DataError, match="none"):
        distinct_texts(RING)


def test_a_list_asks_for_the_text_of_the_target_and_for_nothing_else(tmp_path: Path) -> None:
    dataset = with_words()
    texts = distinct_texts(dataset)
    vectors = np.eye(len(texts.words), 12, dtype=np.float32) + 1
    write_texts(tmp_path, texts.rows, vectors)
    read = with_texts(dataset, {"conditions": tmp_path})
    assert read.schema.text_dim == 12
    assert with_texts(dataset, {}).schema.text_dim == 0
    for split, ends in (("validation", dataset.train_ends), ("test", dataset.validation_ends)):
        given = asking_histories(read, split, {"text": "target"}).given  # type: ignore[arg-type]
        assert given is not None
        for user, event in enumerate(ends):
            expected = vectors[texts.rows[event]] if texts.rows[event] != PAD else np.zeros(12)
            np.testing.assert_array_equal(given[user], expected)
        assert asking_histories(read, split, {}).given is None  # type: ignore[arg-type]


@pytest.mark.parametrize("joined", [False, True])
def test_the_part_that_reads_texts_gives_them_vectors_like_those_of_items(joined: bool, tmp_path: Path) -> None:
    def new() -> TfidfSVD | Concat:
        text = TfidfSVD(columns=("title",), dim=8)
        return Concat(sources={"others": Collaborative(dim=4), "text": text}, dim=4) if joined else text

    items, encoder, opened = make_items(40), new(), new()
    encoder.fit(items, make_train(40))
    encoder.save(tmp_path)
    opened.restore(tmp_path)
    of_items = encoder.encode_named(items)["text"] if isinstance(encoder, Concat) else encoder.encode(items)
    vectors = text_part(opened).encode_texts([*items["title"], "unheard"])
    np.testing.assert_allclose(vectors[:-1], of_items, rtol=1e-6)
    assert not vectors[-1].any()


def test_nothing_is_encoded_where_there_are_no_texts() -> None:
    assert "condition" not in [stage.name for stage in needed_stages(compose(["data=demo"]).tree, "evaluate")]
    step = {step.stage.name: step for step in plan(compose(["data=demo"]))}["train"]
    assert set(step.inputs) == {"dataset", "sids"}


@pytest.mark.slow
def test_words_say_what_comes(tmp_path: Path) -> None:
    """In a shop where all items are equally likely, and each event was asked for by the name of its item."""
    random = np.random.default_rng(0)
    names = ["ruby", "amber", "olive", "coral", "ebony", "ivory", "jade", "pearl"]
    rows = [(f"u{user}", item, step, names[item]) for user in range(60) for step, item in enumerate(random.integers(8, size=9))]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "position", "query"], orient="row")
    events.with_columns(pl.format("i{}", "item_id").alias("item_id")).write_parquet(tmp_path / "events.parquet")
    pl.DataFrame({"item_id": [f"i{item}" for item in range(8)], "title": names}).write_parquet(tmp_path / "items.parquet")
    data = [f"data.items={tmp_path}/items.parquet", f"data.interactions={tmp_path}/events.parquet"]
    asking = ["events.text=query", "recommend.request={text: target}", f"paths.runs={tmp_path}/runs"]
    run = genrec.run(until="recommend", overrides=[*SETTINGS, *data, *asking], quiet=True)
    dataset = Dataset.load(run.artifact("dataset").path)
    table = pl.read_parquet(run.artifact("recommendations").path / "recommendations.parquet")
    first = table.filter((pl.col("split") == "test") & (pl.col("rank") == 1)).select("user_id", "item_id")
    target = dict(zip(dataset.user_ids, dataset.item_ids.gather(dataset.targets("test").item_idx), strict=True))
    assert np.mean([target[user] == item for user, item in first.iter_rows()]) > 0.5  # chance is 1 in 8
    config = json.loads((run.artifact("generator").path / "config.json").read_text(encoding="utf-8"))
    assert config["schema"]["text_dim"] == run.artifact("conditions").facts["dim"]
