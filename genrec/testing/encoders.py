"""What every encoder promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.core.dataset import Sequences
from genrec.engine.registry import missing_members
from genrec.protocols import ItemEncoder
from genrec.testing.worlds import Contract, Maker, make_items, make_train, new_items


def fitted(make: Maker, items: pl.DataFrame, train: Sequences) -> ItemEncoder:
    """A new encoder, fitted."""
    encoder: ItemEncoder = make()
    encoder.fit(items, train)
    return encoder


class EncoderContract(Contract):
    """The tests of an encoder: on 60 items with titles, brands, categories and histories."""

    @pytest.fixture
    def items(self) -> pl.DataFrame:
        return make_items(60)

    @pytest.fixture
    def train(self) -> Sequences:
        return make_train(60)

    def test_it_is_an_encoder(self, make: Maker) -> None:
        assert missing_members(make(), ("ItemEncoder",)) == []

    def test_vectors_are_finite_float32_one_row_an_item(self, make: Maker, items: pl.DataFrame, train: Sequences) -> None:
        encoder = fitted(make, items, train)
        vectors, present = encoder.encode(items), encoder.present(items)
        assert vectors.shape[0] == items.height == len(present)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        assert present.dtype == bool
        assert len(np.unique(vectors.round(6), axis=0)) > items.height // 2  # not one vector for all

    def test_same_input_same_vectors(self, make: Maker, items: pl.DataFrame, train: Sequences) -> None:
        first, second = fitted(make, items, train), fitted(make, items, train)
        np.testing.assert_array_equal(first.encode(items), second.encode(items))

    def test_restored_encoder_is_equal(self, make: Maker, items: pl.DataFrame, train: Sequences, tmp_path: Path) -> None:
        encoder = fitted(make, items, train)
        folder = tmp_path / "fitted"
        folder.mkdir()
        encoder.save(folder)
        assert not list(folder.rglob("*.pkl"))
        again: ItemEncoder = make()
        again.restore(folder)
        both = pl.concat([items, new_items()])
        np.testing.assert_array_equal(encoder.encode(both), again.encode(both))
        np.testing.assert_array_equal(encoder.present(both), again.present(both))

    def test_new_item_is_encoded_alone_as_among_others(self, make: Maker, items: pl.DataFrame, train: Sequences) -> None:
        encoder = fitted(make, items, train)
        single = encoder.encode(new_items())
        among = encoder.encode(pl.concat([items, new_items()]))
        assert np.isfinite(single).all()
        np.testing.assert_allclose(single[0], among[-1], atol=1e-5)
        np.testing.assert_allclose(among[:-1], encoder.encode(items), atol=1e-5)

    def test_row_order_of_the_catalogue_does_not_matter(self, make: Maker, items: pl.DataFrame, train: Sequences) -> None:
        order = np.random.default_rng(5).permutation(items.height)
        shuffled = items[order.tolist()]
        new_row = np.argsort(order)
        relabelled = Sequences(new_row[train.item_idx].astype(np.int32), train.offsets)
        vectors, moved = fitted(make, items, train).encode(items), fitted(make, shuffled, relabelled).encode(shuffled)
        # Signs of components are free where the largest entries tie: compare what distances see.
        np.testing.assert_allclose(moved @ moved.T, (vectors @ vectors.T)[order][:, order], atol=2e-3)
