"""Codes of users: a formula for histories, made of the training part in a run and of the history of a request in a package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_bundle import TINY
from small_world import ring, sequences_of

import genrec
from genrec.core.dataset import Dataset
from genrec.core.event_schema import USER_CODES, EventSchema
from genrec.data.event_columns import EventColumns
from genrec.model.item_vectors import read_vectors
from genrec.model.user_codes import recency_means, user_codes, with_user_codes, write_user_codes
from genrec.protocols import TokenizerInputs
from genrec.recommender.bundle import open_catalogue
from genrec.recommender.requests import RecommendRequest
from genrec.tokenizers.rq_kmeans import RQKMeans

VECTORS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def test_the_latest_item_counts_most() -> None:
    means = recency_means(sequences_of([[3, 5, 7], [], [9]]), VECTORS, half_life=1.0)
    np.testing.assert_allclose(means[0], (VECTORS[3] / 4 + VECTORS[5] / 2 + VECTORS[7]) / 1.75, rtol=1e-5)
    assert not means[1].any()
    np.testing.assert_allclose(means[2], VECTORS[9], rtol=1e-6)
    alike = recency_means(sequences_of([[3, 5, 7]]), VECTORS, half_life=1e6)
    np.testing.assert_allclose(alike[0], VECTORS[[3, 5, 7]].mean(0), rtol=1e-4, atol=1e-6)


def test_a_user_of_one_item_has_its_codes_and_nobody_has_none(tmp_path: Path) -> None:
    inputs = TokenizerInputs(embeddings={"item": VECTORS}, items=pl.DataFrame({"item_id": [f"i{row}" for row in range(40)]}))
    tokenizer = RQKMeans(num_levels=2, codebook_size=4)
    tokenizer.fit(inputs)
    codes = user_codes(tokenizer, {"item": VECTORS}, sequences_of([[], [9], [3, 5], [11]]), half_life=3.0)
    assert codes[0].tolist() == [0, 0]
    np.testing.assert_array_equal(codes[[1, 3]], tokenizer.encode(inputs)[[9, 11]] + 1)
    again = user_codes(tokenizer, {"item": VECTORS}, sequences_of([[3, 5]]), half_life=3.0)
    np.testing.assert_array_equal(again[0], codes[2])  # whoever stands beside changes nothing

    write_user_codes(tmp_path, codes, tokenizer.sizes, 3.0)
    dataset = replace(ring(num_items=10, num_users=4), events=sequences_of([[0], [1], [2], [3]]))
    coded = with_user_codes(dataset, {"user_codes": tmp_path})
    assert (coded.schema.user_codes, coded.schema.half_life) == ((5, 5), 3.0)
    np.testing.assert_array_equal(coded.events.users[USER_CODES], codes)
    assert EventSchema.from_json(coded.schema.to_json()) == coded.schema
    assert with_user_codes(dataset, {}) is dataset


def test_a_schema_of_before_has_no_codes() -> None:
    fields = EventSchema().to_json()
    del fields["half_life"]
    assert EventSchema.from_json(fields) == EventSchema()
    assert EventColumns(user_codes=True).is_empty, "the prepared data are what they were"


@pytest.mark.slow
def test_a_package_codes_the_history_of_a_request(tmp_path: Path) -> None:
    """What the run has of each user's training part, the package has of that part as a history; new people have codes, too."""
    overrides = [*TINY, "events.user_codes=true", "events.half_life=4", f"paths.runs={tmp_path}"]
    run = genrec.run(until="export", overrides=overrides, quiet=True)
    dataset = with_user_codes(Dataset.load(run.artifact("dataset").path), {"user_codes": run.artifact("user_codes").path})
    codes = dataset.events.users[USER_CODES]
    assert (codes > 0).all(axis=1).sum() == (dataset.train.lengths > 0).sum()
    catalogue = open_catalogue(run.artifact("bundle").path)
    histories = [dataset.item_ids.gather(dataset.train[user]).to_list() for user in range(dataset.num_users)]
    read = catalogue.read(RecommendRequest(histories=[*histories, []]))
    np.testing.assert_array_equal(read.sequences.users[USER_CODES], [*codes, [0] * codes.shape[1]])
    assert read_vectors(run.artifact("encoder").path)["item"].shape[0] == dataset.num_items
