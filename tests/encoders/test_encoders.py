from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from genrec.core.dataset import Dataset, Sequences
from genrec.encoders.collaborative import Collaborative, cooccurrence, shifted_ppmi
from genrec.encoders.concat import Concat, half_whitening, ridge, unit_rows
from genrec.encoders.image import ImageEncoder
from genrec.encoders.lib.item_text import item_texts
from genrec.encoders.lib.svd import truncated_svd
from genrec.encoders.lib.vector_cache import VectorCache
from genrec.encoders.precomputed import Precomputed
from genrec.encoders.sentence_transformer import SentenceTransformerEncoder
from genrec.encoders.tfidf_svd import TfidfSVD
from genrec.errors import ConfigError, DataError

EMPTY = Sequences(np.zeros(0, np.int32), np.zeros(1, np.int64))


def test_item_texts_join_columns_lists_and_skip_nulls() -> None:
    items = pl.DataFrame({"title": [" Soap ", None, ""], "price": [2.5, None, None], "categories": [["a", "b"], [], ["c"]]})
    assert item_texts(items, ["title", "categories", "price"]) == ["Soap. a b. 2.5", "", "c"]


def test_absent_columns_are_noted_and_no_column_is_an_error(items: pl.DataFrame, train: Sequences) -> None:
    encoder = TfidfSVD(columns=["title", "description"])
    encoder.fit(items, train)
    assert encoder.columns == ["title"]
    assert encoder.notes == ["text columns absent or empty: description"]
    with pytest.raises(ConfigError, match=r"encoder\.columns.*headline"):
        TfidfSVD(columns=["headline"]).fit(items, train)
    with pytest.raises(DataError, match="no column title"):
        encoder.encode(items.drop("title"))


def test_text_without_words_is_an_error_and_unknown_words_are_not_present(items: pl.DataFrame, train: Sequences) -> None:
    with pytest.raises(DataError, match="title"):
        TfidfSVD(columns=["title"]).fit(pl.DataFrame({"item_id": ["a"], "title": ["!?"]}), EMPTY)
    encoder = TfidfSVD(columns=["title"])
    encoder.fit(items, train)
    strange = pl.DataFrame({"item_id": ["x", "y", "z"], "title": ["zzz qqq", None, "a Red one"]})
    assert encoder.present(strange).tolist() == [False, False, True]
    assert (np.abs(encoder.encode(strange)).max(axis=1) > 0).tolist() == [False, False, True]


def test_truncated_svd_matches_dense_svd_when_it_iterates() -> None:
    matrix = sparse.random_array((900, 700), density=0.02, rng=np.random.default_rng(0)).tocsr()
    left, values, right = truncated_svd(matrix, 6)
    _, dense, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
    np.testing.assert_allclose(values, dense[:6], rtol=1e-6)
    np.testing.assert_allclose(left * values @ right, (left @ left.T) @ matrix.toarray(), atol=1e-6)
    assert (right[np.arange(6), np.abs(right).argmax(axis=1)] > 0).all()


def test_ppmi_equals_a_naive_double_loop(train: Sequences) -> None:
    window, shift, num_items = 3, 1.5, 60
    naive = np.zeros((num_items, num_items))
    for user in range(len(train)):
        row = train[user]
        for i in range(len(row)):
            for j in range(len(row)):
                if i != j and abs(i - j) <= window and row[i] != row[j]:
                    naive[row[i], row[j]] += 1 / abs(i - j)
    pairs = cooccurrence(train, num_items, window)
    np.testing.assert_allclose(pairs.toarray(), naive)
    expected = np.zeros_like(naive)
    for a, b in zip(*naive.nonzero(), strict=True):
        expected[a, b] = max(0.0, np.log(naive[a, b] * naive.sum() / (naive[a].sum() * naive[b].sum())) - np.log(shift))
    np.testing.assert_allclose(shifted_ppmi(pairs, shift).toarray(), expected, atol=1e-12)


def test_collaborative_never_sees_validation_or_test(items: pl.DataFrame) -> None:
    """Other held-out items, same vectors: what ``fit`` gets is the training part."""
    random = np.random.default_rng(2)
    offsets = np.arange(0, 51) * 8
    events = random.integers(0, 60, 400).astype(np.int32)
    other = events.copy()
    held_out = np.concatenate([offsets[1:] - 2, offsets[1:] - 1])
    other[held_out] = random.integers(0, 60, len(held_out))
    vectors = []
    for flat in (events, other):
        users = pl.DataFrame({"user_id": [str(u) for u in range(50)]})
        dataset = Dataset(items, users, Sequences(flat, offsets), offsets[1:] - 2, offsets[1:] - 1)
        encoder = Collaborative(dim=8)
        encoder.fit(dataset.items, dataset.train)
        vectors.append(encoder.encode(items))
    assert (events != other).any()
    np.testing.assert_array_equal(*vectors)


def test_collaborative_without_pairs_or_with_unseen_items(items: pl.DataFrame, train: Sequences) -> None:
    encoder = Collaborative(dim=8)
    encoder.fit(items, train)
    seen = np.isin(np.arange(60), train.item_idx)
    np.testing.assert_array_equal(encoder.present(items), seen)
    assert not encoder.encode(items)[~seen].any()
    counts = np.bincount(train.item_idx, minlength=60)
    np.testing.assert_allclose(encoder.confidence(items), counts / (counts + 5), rtol=1e-6)
    encoder.fit(items[:1], EMPTY)
    assert encoder.encode(items[:1]).tolist() == [[0.0]]


def test_half_whitening_takes_the_fourth_root_and_survives_constants() -> None:
    vectors = np.random.default_rng(0).standard_normal((4000, 3)) * [8.0, 2.0, 0.5] + 5
    mean, projection = half_whitening(vectors, 2)
    spread = ((vectors - mean) @ projection).std(axis=0)
    np.testing.assert_allclose(spread, [8.0**0.5, 2.0**0.5], rtol=0.05)
    mean, projection = half_whitening(np.full((5, 3), 0.1), 2)
    assert not ((np.full((5, 3), 0.1) - mean) @ projection).any()


def test_ridge_recovers_a_line_and_handles_no_rows() -> None:
    x = np.random.default_rng(0).standard_normal((5000, 2))
    slope, intercept = ridge(x, x @ np.array([[1.0], [2.0]]) + 3)
    np.testing.assert_allclose(slope.ravel(), np.array([1.0, 2.0]) / 1.1, rtol=0.02)  # the penalty is .1 of the eigenvalues
    np.testing.assert_allclose(intercept, [3.0], atol=0.05)
    assert [part.tolist() for part in ridge(x[:0], x[:0])] == [[[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0]]


def test_concat_parts_have_the_length_of_their_weight(items: pl.DataFrame, train: Sequences) -> None:
    sources = {"text": TfidfSVD(dim=16), "collaborative": Collaborative(dim=8)}
    encoder = Concat(sources=sources, dim=6, weights={"collaborative": 2.0})
    encoder.fit(items, train)
    named = encoder.encode_named(items)
    assert {name: rows.shape[1] for name, rows in named.items()} == {"item": 12, "text": 16, "collaborative": 8}
    np.testing.assert_allclose(np.linalg.norm(named["item"][:, :6], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(named["item"][:, 6:], axis=1), 2, atol=1e-5)


def test_concat_predicts_cold_items_from_text(items: pl.DataFrame) -> None:
    """Two kinds of items, told apart by their words, never mixed by users: a cold item lands with its kind.

    No item has a word of its own: such words are all alike, and which directions the text then has is left to rounding.
    """
    kinds = np.arange(60) % 2
    titles = ["soap cream" if kind else "brush comb" for kind in kinds]
    items = items.with_columns(pl.Series("title", titles)).select("item_id", "title")
    random, rows = np.random.default_rng(0), []
    for user in range(200):
        rows.append(random.choice(np.flatnonzero(kinds[:56] == user % 2), 8))  # items 56 .. 59 are cold
    train = Sequences(np.concatenate(rows).astype(np.int32), np.arange(0, 201) * 8)
    encoder = Concat(sources={"text": TfidfSVD(dim=16), "cf": Collaborative(dim=8)}, dim=4)
    encoder.fit(items, train)
    part = encoder.encode(items)[:, 4:]
    center = [unit_rows(part[:56][kinds[:56] == kind].mean(axis=0, keepdims=True)) for kind in (0, 1)]
    for cold in range(56, 60):
        assert part[cold] @ center[kinds[cold]][0] > 0.9 > part[cold] @ center[1 - kinds[cold]][0]


def test_concat_believes_own_vectors_by_count(items: pl.DataFrame, train: Sequences) -> None:
    """With a prior of nothing the collaborative part is the source's own; with one of two events rare items move most."""
    moved = {}
    for prior in (1e-9, 2.0):
        encoder = Concat(sources={"text": TfidfSVD(dim=16), "cf": Collaborative(dim=8, prior_count=prior)}, dim=4)
        encoder.fit(items, train)
        cf = encoder.sources["cf"]
        own = encoder._part("cf", cf.encode(items), cf.present(items))
        moved[prior] = np.linalg.norm(encoder.encode(items)[:, 4:] - own, axis=1)
    counts = np.bincount(train.item_idx, minlength=60)
    np.testing.assert_allclose(moved[1e-9][counts > 0], 0, atol=1e-5)
    rare, frequent = (counts > 0) & (counts <= 3), counts >= 7
    assert moved[2.0][rare].mean() > 1.5 * moved[2.0][frequent].mean() > 0


def test_concat_names_are_checked() -> None:
    with pytest.raises(ConfigError, match="item"):
        Concat(sources={"item": TfidfSVD()})
    with pytest.raises(ConfigError, match=r"encoder\.weights.*texts"):
        Concat(sources={"text": TfidfSVD()}, weights={"texts": 2.0})


def test_one_item_is_enough(items: pl.DataFrame) -> None:
    encoder = Concat(sources={"text": TfidfSVD(), "cf": Collaborative()})
    encoder.fit(items[:1], EMPTY)
    assert np.isfinite(encoder.encode(items[:3])).all()


@pytest.mark.parametrize("kind", ["npy", "safetensors", "parquet"])
def test_precomputed_is_matched_by_id(kind: str, items: pl.DataFrame, train: Sequences, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    vectors = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    order = np.random.default_rng(1).permutation(60)
    ids = items["item_id"][order.tolist()]
    path, id_file = tmp_path / f"vectors.{kind}", tmp_path / "ids.txt"
    id_file.write_text("\n".join(ids), encoding="utf-8")
    if kind == "npy":
        np.save(path, vectors[order], allow_pickle=False)
    elif kind == "safetensors":
        save_file({"vector": vectors[order]}, path)
    else:
        pl.DataFrame({"item_id": ids, "vector": vectors[order].tolist()}).write_parquet(path)
    encoder = Precomputed(path=path, ids=None if kind == "parquet" else id_file)
    encoder.fit(items, train)
    np.testing.assert_array_equal(encoder.encode(items), vectors)


def test_precomputed_bad_files(items: pl.DataFrame, train: Sequences, tmp_path: Path) -> None:
    def fit(vectors: list[list[float]], ids: list[str], **options: str) -> Precomputed:
        pl.DataFrame({"item_id": ids, "vector": vectors}).write_parquet(tmp_path / "v.parquet")
        encoder = Precomputed(path=tmp_path / "v.parquet", **options)  # type: ignore[arg-type]
        encoder.fit(items, train)
        return encoder

    with pytest.raises(DataError, match=r"item-000.*nan"):
        fit([[1.0, float("nan")]], ["item-000"])
    with pytest.raises(DataError, match="item-000 twice"):
        fit([[1.0], [2.0]], ["item-000", "item-000"])
    with pytest.raises(DataError, match="2 numbers for item item-001, 1 for item-000"):
        fit([[1.0], [2.0, 3.0]], ["item-000", "item-001"])
    with pytest.raises(DataError, match="none for 59 items, item-001"):
        fit([[1.0]], ["item-000"]).encode(items)
    kept = fit([[1.0], [3.0]], ["item-000", "item-001"], missing="mean")
    assert kept.encode(items[:3]).tolist() == [[1.0], [3.0], [2.0]]
    assert kept.present(items[:3]).tolist() == [True, True, False]
    with pytest.raises(DataError, match="a column 'vectors'"):
        fit([[1.0]], ["item-000"], column="vectors")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    (tmp_path / "ids.txt").write_text("item-000", encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.npy"):
        Precomputed(path=tmp_path / "broken.npy", ids=tmp_path / "ids.txt").fit(items, train)
    with pytest.raises(ConfigError, match=r"encoder\.ids"):
        Precomputed(path=tmp_path / "broken.npy")
    with pytest.raises(ConfigError, match=r"v\.bin"):
        Precomputed(path=Path("v.bin"))


def test_vector_cache_survives_and_keeps_half_written_files_out(tmp_path: Path) -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    VectorCache(tmp_path).add(["a", "b"], vectors[:2])
    (tmp_path / "x.1.tmp").write_bytes(b"half")
    cache = VectorCache(tmp_path)
    assert "a" in cache
    assert "c" not in cache
    cache.add(["c"], vectors[2:])
    np.testing.assert_array_equal(VectorCache(tmp_path).vectors(["c", "a", "a"]), vectors[[2, 0, 0]])


def test_sentence_vectors_come_from_the_cache(
    items: pl.DataFrame, train: Sequences, sentence_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = SentenceTransformerEncoder(model=sentence_model, cache=str(tmp_path))
    encoder.fit(items, train)
    vectors = encoder.encode(items)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    again = SentenceTransformerEncoder(model=sentence_model, cache=str(tmp_path))
    again.fit(items, train)
    monkeypatch.setattr(again, "_model", lambda: pytest.fail("the model was loaded"))
    np.testing.assert_array_equal(again.encode(items), vectors)


def test_sentence_model_that_is_not_there(
    items: pl.DataFrame, train: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    encoder = SentenceTransformerEncoder(model=tmp_path / "empty", cache=str(tmp_path / "cache"))
    encoder.fit(items, train)
    with pytest.raises(ConfigError, match=r"encoder\.model=/path") as caught:
        encoder.encode(items)
    assert "\n" not in str(caught.value)
    assert "empty" in str(caught.value)


def test_images_are_computed_once_and_missing_ones_are_the_centre(
    items: pl.DataFrame, train: Sequences, image_model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encoder(**settings: Any) -> ImageEncoder:
        return ImageEncoder(model=image_model, folder=pictures, cache=str(tmp_path), **settings)

    first = encoder()
    first.fit(items, train)
    vectors, present = first.encode(items), first.present(items)
    assert present.tolist() == items["image"].is_not_null().to_list()
    np.testing.assert_allclose(np.linalg.norm(vectors[present], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[~present] - vectors[present].mean(axis=0), 0, atol=1e-6)
    assert first.notes == [f"{int((~present).sum())} items have no image"]

    monkeypatch.setattr(ImageEncoder, "_model", lambda self: pytest.fail("computed again"))
    again = encoder(missing="mean")
    lost = items.with_columns(image=pl.when(pl.col("image") == "7.png").then(pl.lit("gone.png")).otherwise("image"))
    again.fit(lost, train)
    assert again.present(lost).sum() == present.sum() - 1
    np.testing.assert_array_equal(again.encode(lost)[[0, 1]], vectors[[0, 1]])


def test_concat_predicts_the_images_of_items_without_one(
    items: pl.DataFrame, train: Sequences, image_model: Path, pictures: Path, tmp_path: Path
) -> None:
    image = ImageEncoder(model=image_model, folder=pictures, cache=str(tmp_path))
    joint = Concat(sources={"text": TfidfSVD(columns=["title"], dim=8), "image": image}, dim=6)
    joint.fit(items, train)
    parts = joint.encode(items)[:, -6:]
    assert np.isfinite(parts).all()
    assert (np.linalg.norm(parts[~image.present(items)], axis=1) > 0.9).all()
