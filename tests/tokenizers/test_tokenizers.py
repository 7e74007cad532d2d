"""What single tokenizers promise beyond the contract of all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from small_codes import clustered, make_inputs, some

from genrec.core.dataset import Sequences
from genrec.core.sids import SIDTable
from genrec.protocols import TokenizerInputs
from genrec.tokenizers.anchored_rq_kmeans import AnchoredRQKMeans
from genrec.tokenizers.balanced_rq_kmeans import BalancedRQKMeans
from genrec.tokenizers.category_tree import CategoryTree
from genrec.tokenizers.collaborative_tree import CollaborativeTree
from genrec.tokenizers.hierarchical_kmeans import HierarchicalKMeans
from genrec.tokenizers.hybrid_index import HybridIndex
from genrec.tokenizers.lib.kmeans import balanced_assignment
from genrec.tokenizers.lib.lookup_codes import digits, number_within
from genrec.tokenizers.lib.tree_paths import pair_counts, path_codes, split
from genrec.tokenizers.lsh import LSH
from genrec.tokenizers.opq import OPQ
from genrec.tokenizers.published import Published
from genrec.tokenizers.random_codes import RandomCodes
from genrec.tokenizers.rq_kmeans import RQKMeans
from genrec.tokenizers.sequential import Sequential


def catalogue(num_items: int, histories: Sequence[Sequence[int]] = (), **columns: Sequence[object]) -> TokenizerInputs:
    items = pl.DataFrame({"item_id": [f"i{item}" for item in range(num_items)], **columns})
    flat = np.array([item for row in histories for item in row], dtype=np.int32)
    return TokenizerInputs({}, items, Sequences(flat, np.cumsum([0, *map(len, histories)]).astype(np.int64)))


def test_digits_are_those_of_the_number() -> None:
    numbers = np.array([0, 7, 8, 63, 64])
    assert digits(numbers, 8).tolist() == [[0, 0, 0], [0, 0, 7], [0, 1, 0], [0, 7, 7], [1, 0, 0]]
    assert digits(np.array([5]), 10, 3).tolist() == [[0, 0, 5]]
    assert number_within(np.array([2, 0, 2, 2, 0])).tolist() == [0, 0, 1, 2, 1]


def test_random_codes_depend_on_the_item_alone() -> None:
    inputs = make_inputs(clustered(2000, dim=2))
    codes = RandomCodes(num_levels=2, codebook_size=10).encode(inputs)
    np.testing.assert_array_equal(
        RandomCodes(num_levels=2, codebook_size=10).encode(some(inputs, np.array([9, 4]))), codes[[9, 4]]
    )
    assert (codes != RandomCodes(num_levels=2, codebook_size=10, seed=1).encode(inputs)).mean() > 0.8
    cells = np.bincount(codes[:, 0] * 10 + codes[:, 1], minlength=100)
    assert 60 < np.square(cells - 20).sum() / 20 < 150  # chi-square of 99 degrees of freedom


def test_sequential_numbers_items_as_they_are_met() -> None:
    tokenizer = Sequential(codebook_size=2)
    inputs = catalogue(6, [[4, 2, 4, 5]])
    tokenizer.fit(inputs)
    met = [4, 2, 5, 0, 1, 3]  # the history, then the rest of the catalogue
    np.testing.assert_array_equal(tokenizer.encode(inputs)[met], digits(np.arange(6), 2))


def test_lsh_bits_are_on_for_half_of_the_items_even_off_centre() -> None:
    vectors = clustered(400) + 50
    tokenizer = LSH(num_levels=2, num_bits=6)
    tokenizer.fit(make_inputs(vectors))
    codes = tokenizer.encode(make_inputs(vectors))
    share = (codes[:, :, None] >> np.arange(6) & 1).mean(axis=0)
    assert ((share > 0.4) & (share < 0.6)).all()


def test_balanced_codes_are_all_equally_frequent() -> None:
    inputs = make_inputs(clustered(203))
    tokenizer = BalancedRQKMeans(num_levels=2, codebook_size=10)
    tokenizer.fit(inputs)
    for level in tokenizer.encode(inputs).T:
        counts = np.bincount(level, minlength=10)
        assert counts.max() - counts.min() == 1
        assert counts.sum() == 203


def test_balanced_assignment_equals_taking_one_by_one() -> None:
    random = torch.Generator().manual_seed(0)
    distance, order = torch.rand(23, 4, generator=random), torch.tensor([2, 0, 3, 1])
    free, expected = set(range(23)), [-1] * 23
    for place, code in enumerate(order.tolist()):
        for _ in range(6 if place < 3 else 5):
            row = min(free, key=lambda row: float(distance[row, code]))
            expected[row] = code
            free.remove(row)
    assert balanced_assignment(distance, order).tolist() == expected


def test_opq_learns_a_better_rotation_than_pca() -> None:
    random = np.random.default_rng(0)
    vectors = (random.standard_normal((300, 8)) @ random.standard_normal((8, 8))).astype(np.float32)
    errors = []
    for rotations in (0, 15):
        tokenizer = OPQ(num_levels=4, codebook_size=8, rotations=rotations)
        tokenizer.fit(make_inputs(vectors))
        errors.append(np.square(vectors - tokenizer.reconstruct(tokenizer.encode(make_inputs(vectors)))).sum())
    assert errors[1] < errors[0]


def test_hierarchical_children_stand_in_order_along_the_main_axis() -> None:
    line = np.linspace(-1, 1, 64)[:, None] * np.ones((1, 3))
    tokenizer = HierarchicalKMeans(num_levels=3, codebook_size=4)
    tokenizer.fit(make_inputs(line))
    codes = tokenizer.encode(make_inputs(line))
    path = codes @ [16, 4, 1]
    assert (np.diff(path) >= 0).all()
    assert path[-1] > path[0]


def test_category_paths() -> None:
    paths = ["All > A > x", "All > A > y", "All > A > y", "All > B", None, ""]
    assert path_codes(pl.Series(paths), 3).tolist() == [[1, 2, 0], [1, 1, 0], [1, 1, 0], [2, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (
        path_codes(pl.Series(["A|x", "B"]), 1).tolist() == path_codes(pl.Series([["A", "x"], ["B"]]), 1).tolist() == [[1], [2]]
    )
    tokenizer = CategoryTree()
    inputs = catalogue(6, categories=paths)
    tokenizer.fit(inputs)
    codes = tokenizer.encode(inputs)
    assert tokenizer.sizes == (3, 3, 2)  # no third label anywhere
    assert sorted(codes[[1, 2], 2].tolist()) == [0, 1]
    assert len(np.unique(codes, axis=0)) == 6


def test_pairs_are_counted_once_a_user_in_both_directions() -> None:
    inputs = catalogue(4, [[0, 1, 0], [1, 0], [2, 2]])
    assert inputs.train is not None
    assert pair_counts(inputs.train, 4).toarray().tolist() == [[0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_collaborative_tree_finds_who_is_taken_together() -> None:
    random = np.random.default_rng(0)
    histories = [(random.permutation(15)[:6] + 15 * (user % 4)).tolist() for user in range(200)]
    inputs = catalogue(62, histories)  # 60 in four groups, two in none
    assert inputs.train is not None
    pairs = pair_counts(inputs.train, 62)
    codes = split(pairs, 4, torch.Generator().manual_seed(0))
    groups = codes[:60].reshape(4, 15)
    assert (groups == groups[:, :1]).all()
    assert sorted(groups[:, 0]) == [0, 1, 2, 3]
    tokenizer = CollaborativeTree(branching=4, leaf_size=16)
    tokenizer.fit(inputs)
    assert tokenizer.sizes == (4, 16)
    hybrid = HybridIndex(branching=4, leaf_size=16)
    hybrid.fit(inputs)
    np.testing.assert_array_equal(hybrid.encode(inputs)[:, 0], tokenizer.encode(inputs)[:, 0])
    assert hybrid.encode(inputs)[:, 1].tolist() == list(range(62))


def test_a_token_of_each_cluster_is_in_no_other_path() -> None:
    random = np.random.default_rng(0)
    inputs = catalogue(60, [(random.permutation(15)[:6] + 15 * (user % 4)).tolist() for user in range(200)])
    for tokenizer in (CollaborativeTree, HybridIndex):
        shared, apart = (tokenizer(branching=4, leaf_size=4, token_per_cluster=each) for each in (False, True))
        for each in (shared, apart):
            each.fit(inputs)
        before, after = shared.encode(inputs)[:, :-1], apart.encode(inputs)[:, :-1]
        np.testing.assert_array_equal(shared.encode(inputs)[:, -1], apart.encode(inputs)[:, -1])
        assert after.shape[1] > 1
        for depth in range(1, after.shape[1] + 1):
            paths = {tuple(row) for row in before[:, :depth].tolist()}
            assert {tuple(row) for row in np.column_stack([before[:, :depth], after[:, depth - 1]]).tolist()} == {
                (*path, token) for path, token in zip(sorted(paths), range(len(paths)), strict=True)
            }


@pytest.mark.parametrize("form", ["object", "list", "gzip", "parquet", "table of ours"])
def test_published_codes_are_joined_on_the_key_whatever_the_order(form: str, tmp_path: Path) -> None:
    """Keys from 0 in the file, numbers from 1 in the catalogue; the file also holds an item that the catalogue lacks."""
    inputs = catalogue(3, number=[2, 3, 1])
    codes = {"1": ["<a_10>", "<b_2>"], "0": ["<a_3>", "<b_4>"], "3": ["<a_0>", "<b_0>"], "2": ["<a_5>", "<b_6>"]}
    settings: dict[str, Any] = {"path": tmp_path / "codes.json", "key": "number", "key_offset": 1}
    if form == "object":
        settings["path"].write_text(json.dumps(codes), encoding="utf-8")
    elif form == "list":
        settings["path"].write_text(json.dumps([codes[key] for key in sorted(codes)]), encoding="utf-8")
    elif form == "gzip":
        settings["path"] = tmp_path / "codes.json.gz"
        settings["path"].write_bytes(gzip.compress(json.dumps(codes).encode()))
    elif form == "parquet":
        settings["path"] = tmp_path / "codes.parquet"
        pl.DataFrame({"number": list(map(int, codes)), "codes": list(codes.values())}).write_parquet(settings["path"])
    else:
        settings = {"path": tmp_path / "sids.parquet"}
        SIDTable(np.array([[5, 6], [10, 2], [3, 4]]), (11, 7)).save(tmp_path, ["i1", "i0", "i2"])
    tokenizer = Published(**settings)
    tokenizer.fit(inputs)
    np.testing.assert_array_equal(tokenizer.encode(inputs), [[10, 2], [5, 6], [3, 4]])
    assert tokenizer.sizes == (11, 7)


def test_anchored_codes_stay_where_fresh_ones_move(tmp_path: Path) -> None:
    """In a rotated space, as an encoder that was fitted anew makes one, with a tenth of the items new."""
    vectors = clustered(500, clusters=30)
    before = RQKMeans(codebook_size=16, num_levels=2)
    before.fit(make_inputs(vectors[:450]))
    old = before.encode(make_inputs(vectors[:450]))
    SIDTable(old, before.sizes).save(tmp_path, make_inputs(vectors[:450]).items["item_id"])

    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((12, 12)))[0]
    order = np.random.default_rng(2).permutation(500)
    inputs = some(make_inputs(vectors @ rotation), order)
    known = order < 450
    fresh, anchored = (
        RQKMeans(codebook_size=16, num_levels=2, seed=5),
        AnchoredRQKMeans(anchor=tmp_path, codebook_size=16, num_levels=2),
    )
    moved = []
    for tokenizer in (fresh, anchored):
        tokenizer.fit(inputs)
        moved.append((tokenizer.encode(inputs)[known] != old[order[known]]).any(axis=1).mean())
    assert moved[1] < 0.2 < 0.8 < moved[0]
    assert anchored.notes == [f"{moved[1]:.1%} of the 450 items that the anchor knows moved to other codes"]
    errors = [np.square(t.reconstruct(t.encode(inputs)) - inputs.embeddings["item"]).sum() for t in (fresh, anchored)]
    assert errors[1] < 1.2 * errors[0]


def test_codes_that_the_anchor_does_not_use_find_items(tmp_path: Path) -> None:
    vectors = clustered(200)
    inputs = make_inputs(vectors)
    SIDTable(np.zeros((200, 1), np.int64), (1,)).save(tmp_path, inputs.items["item_id"])
    tokenizer = AnchoredRQKMeans(anchor=tmp_path, codebook_size=8, num_levels=1, iterations=10)
    tokenizer.fit(inputs)
    assert len(np.unique(tokenizer.encode(inputs))) == 8
