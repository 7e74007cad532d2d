from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.cluster import KMeans
from small_codes import clustered, make_inputs

from genrec.tokenizers.hierarchical_kmeans import HierarchicalKMeans
from genrec.tokenizers.lib import residual, residual_kmeans
from genrec.tokenizers.lib.kmeans import group_means, kmeans, lloyd
from genrec.tokenizers.lib.residual import decode, nearest, residual_after
from genrec.tokenizers.rq_kmeans import RQKMeans


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_nearest_equals_a_loop_and_takes_the_first_of_equals() -> None:
    vectors, codebook = torch.from_numpy(clustered(50)), torch.from_numpy(clustered(7, seed=3))
    codes, distance = nearest(vectors, torch.cat([codebook, codebook]))
    for row in range(50):
        each = [float((vectors[row] - code).square().sum()) for code in codebook]
        assert int(codes[row]) == int(np.argmin(each))
        np.testing.assert_allclose(float(distance[row]), min(each), rtol=1e-4)


def test_inertia_is_close_to_sklearn() -> None:
    vectors = clustered(1500, clusters=40)
    ours = float(nearest(torch.from_numpy(vectors), kmeans(torch.from_numpy(vectors), 32, generator=generator()))[1].sum())
    theirs = KMeans(32, n_init=5, random_state=0).fit(vectors).inertia_
    assert ours < 1.04 * theirs


def test_empty_clusters_are_seeded_at_the_farthest_points() -> None:
    vectors = torch.tensor([[0.0], [0.1], [0.2], [9.0]])
    centroids = lloyd(vectors, torch.tensor([[0.1], [-500.0]]), 10)
    assert centroids.ravel().sort().values.tolist() == [torch.tensor(0.1).item(), 9.0]


def test_group_means() -> None:
    parts = [(torch.tensor([[1.0], [3.0]]), torch.tensor([2, 2])), (torch.tensor([[5.0]]), torch.tensor([0]))]
    means = group_means(parts, torch.tensor([[8.0], [9.0], [8.0]]))
    assert means.ravel().tolist() == [5.0, 9.0, 2.0]


def test_without_normalization_the_codes_themselves_add_up() -> None:
    vectors = clustered(200)
    tokenizer = RQKMeans(codebook_size=8, normalize_residuals=False)
    tokenizer.fit(make_inputs(vectors))
    codes = torch.from_numpy(tokenizer.encode(make_inputs(vectors)))
    left = tokenizer.reconstruct(codes.numpy()) - vectors.mean(0)
    np.testing.assert_allclose(decode(codes, tokenizer.codebooks).numpy(), left, atol=1e-4)


def test_normalized_residuals_keep_dense_groups_apart() -> None:
    """A tight group beside a wide one: plain residuals spend the second level on the wide one."""
    random = np.random.default_rng(0)
    tight, wide = random.standard_normal((300, 6)) * 0.02 + 4, random.standard_normal((300, 6))
    vectors = np.concatenate([tight, wide])
    distinct = {}
    for normalize in (False, True):
        tokenizer = RQKMeans(num_levels=2, codebook_size=16, normalize_residuals=normalize)
        tokenizer.fit(make_inputs(vectors))
        distinct[normalize] = len(np.unique(tokenizer.encode(make_inputs(vectors))[:300], axis=0))
    assert distinct[True] > 3 * distinct[False]


def test_identical_items_leave_zero_not_noise() -> None:
    vectors = np.repeat(clustered(4, seed=1), 7, axis=0)
    tokenizer = RQKMeans(num_levels=3, codebook_size=8)
    tokenizer.fit(make_inputs(vectors))
    codes = torch.from_numpy(tokenizer.encode(make_inputs(vectors)))
    assert not residual_after(
        torch.from_numpy(vectors), codes[:, :1], tokenizer.codebooks, center=torch.from_numpy(vectors).mean(0), normalize=True
    ).any()


@pytest.mark.parametrize("kind", [RQKMeans, HierarchicalKMeans])
def test_older_codebooks_measure_from_the_origin(kind: type, tmp_path: Path) -> None:
    """What was saved before the common mean was subtracted has none; its codes are those of vectors as they are."""
    vectors = clustered(200)
    today, older = (kind(num_levels=2, codebook_size=8) for _ in range(2))
    today.fit(make_inputs(vectors))
    today.save(tmp_path)
    (file,) = tmp_path.iterdir()
    save_file({name: table for name, table in load_file(file).items() if name != "center"}, file)
    older.restore(tmp_path)
    np.testing.assert_array_equal(older.encode(make_inputs(vectors - vectors.mean(0))), today.encode(make_inputs(vectors)))


def test_reading_in_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = make_inputs(clustered(200))
    whole = RQKMeans(codebook_size=8)
    whole.fit(inputs)
    monkeypatch.setattr(residual, "_ROWS", 33)
    parts = RQKMeans(codebook_size=8)
    parts.fit(inputs)
    np.testing.assert_array_equal(whole.encode(inputs), parts.encode(inputs))
    for one, other in zip(whole.means, parts.means, strict=True):
        torch.testing.assert_close(one, other)


def test_a_sample_corrected_by_all_rows_serves_them_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = make_inputs(vectors := clustered(2000, clusters=60))
    errors = {}
    for sample in (1 << 16, 50, 1):  # rows a code; the last is what happens without enough
        monkeypatch.setattr(residual_kmeans, "_SAMPLE", sample)
        monkeypatch.setattr(residual_kmeans, "_SMALLEST", sample)
        tokenizer = RQKMeans(codebook_size=16)
        tokenizer.fit(inputs)
        errors[sample] = np.square(vectors - tokenizer.reconstruct(tokenizer.encode(inputs))).sum()
    assert errors[50] < 1.08 * errors[1 << 16]
    assert errors[50] < 0.9 * errors[1]


def test_vectors_may_be_mapped_from_disk(tmp_path: Path) -> None:
    vectors = clustered(300).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    inputs = make_inputs(vectors)
    mapped = replace(inputs, embeddings={"item": np.load(tmp_path / "vectors.npy", mmap_mode="c")})
    codes = []
    for each in (inputs, mapped):
        tokenizer = RQKMeans(codebook_size=8)
        tokenizer.fit(each)
        codes.append(tokenizer.encode(each))
    np.testing.assert_array_equal(*codes)
