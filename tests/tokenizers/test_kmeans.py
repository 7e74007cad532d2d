from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from small_codes import clustered, make_inputs

from genrec.tokenizers.kmeans import group_means, kmeans, lloyd
from genrec.tokenizers.residual import decode, nearest, residual_after
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
    means = group_means(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([2, 2, 0]), 3)
    assert means.ravel().tolist() == [5.0, 0.0, 2.0]


def test_without_normalization_the_codes_themselves_add_up() -> None:
    vectors = clustered(200)
    tokenizer = RQKMeans(codebook_size=8, normalize_residuals=False)
    tokenizer.fit(make_inputs(vectors))
    codes = torch.from_numpy(tokenizer.encode(make_inputs(vectors)))
    left = residual_after(torch.from_numpy(vectors), codes, tokenizer.codebooks)
    np.testing.assert_allclose(vectors - decode(codes, tokenizer.codebooks).numpy(), left.numpy(), atol=1e-5)


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
    assert not residual_after(torch.from_numpy(vectors), codes[:, :1], tokenizer.codebooks, normalize=True).any()
