"""What every tokenizer and every collision policy promises. A test of a trait applies to the plug-ins that promise it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from genrec.engine.registry import missing_members
from genrec.errors import DataError
from genrec.protocols import CollisionContext, CollisionPolicy, ItemTokenizer, LevelCosts, Reconstructs, TokenizerInputs
from genrec.testing.worlds import Contract, Maker, clustered, make_context, make_inputs, some
from genrec.tokenizers.random_codes import RandomCodes


def shuffled(context: CollisionContext, order: np.ndarray) -> CollisionContext:
    """Returns what is known of the items in another order."""
    costs = context.costs
    return CollisionContext(
        item_ids=context.item_ids.gather(order),
        train_counts=context.train_counts[order],
        costs=costs and (lambda rows, prefix: costs(order[rows], prefix)),
        codebooks=context.codebooks,
    )


class CollisionContract(Contract):
    """The tests of a collision policy."""

    def gives_unique_ids(self, make: Maker) -> bool:
        """Returns whether every item gets an ID of its own; a policy that keeps groups overrides this."""
        return True

    def test_it_is_a_policy(self, make: Maker) -> None:
        assert missing_members(make(), ("CollisionPolicy",)) == []

    def test_every_policy_is_stable_under_row_shuffles(self, make: Maker) -> None:
        random = np.random.default_rng(0)
        policy: CollisionPolicy = make()
        codes = random.integers(0, 4, (40, 2)) * [1, 2]
        sizes = (8, 8)  # room for all, but not below every first code
        context = make_context(40, random.random((40, 8)), random.integers(0, 3, 40))
        table = policy.resolve(codes, sizes, context)
        assert table.codebooks == "books"
        order = random.permutation(40)
        again = policy.resolve(codes[order], sizes, shuffled(context, order))
        np.testing.assert_array_equal(again.codes, table.codes[order])
        assert again.sizes == table.sizes

    def test_later_items_move_nobody_and_find_places_in_any_order(self, make: Maker) -> None:
        random = np.random.default_rng(0)
        policy: CollisionPolicy = make()
        codes = random.integers(0, 4, (60, 2)) * [1, 2]
        costs, counts = random.random((60, 8)), random.integers(0, 3, 60)
        table = policy.resolve(codes[:40], (8, 8), make_context(40, costs, counts[:40]))
        later = make_context(60, costs, counts)
        order = 40 + random.permutation(20)
        for rows in (np.arange(40, 60), order):
            extended = policy.extend(table, codes[rows], shuffled(later, rows))
            np.testing.assert_array_equal(extended.codes[:40], table.codes)
            assert extended.layout == table.layout
            assert extended.table != table.table
            assert not self.gives_unique_ids(make) or extended.unique_rate() == 1
            later_codes = extended.codes[40:][np.argsort(rows)]
            in_order = policy.extend(table, codes[40:], shuffled(later, np.arange(40, 60)))
            np.testing.assert_array_equal(later_codes, in_order.codes[40:])


_FITTED: dict[tuple[str, bytes], ItemTokenizer] = {}


def fit_anew(make: Maker, inputs: TokenizerInputs) -> ItemTokenizer:
    """A new tokenizer, fitted."""
    tokenizer: ItemTokenizer = make()
    tokenizer.fit(inputs)
    return tokenizer


def fitted(make: Maker, inputs: TokenizerInputs) -> ItemTokenizer:
    """Fitted once for all tests that look at the same items: training is what costs."""
    key = (make.name, inputs.embeddings["item"].tobytes())
    if key not in _FITTED:
        _FITTED[key] = fit_anew(make, inputs)
    return _FITTED[key]


def vectors_of(tokenizer: ItemTokenizer, codes: np.ndarray) -> np.ndarray:
    """Returns what codes stand for, by a tokenizer that promises to know."""
    assert isinstance(tokenizer, Reconstructs)
    return tokenizer.reconstruct(codes)


def content_based(tokenizer: ItemTokenizer) -> bool:
    """Returns whether a tokenizer reads vectors."""
    return "embeddings" in tokenizer.needs


def agreement(codes: np.ndarray, vectors: np.ndarray, neighbours: int = 10) -> float:
    """Share of its codes that an item has in common with its nearest items."""
    distance = np.square(vectors[:, None] - vectors[None]).sum(-1)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
    return float((codes[:, None] == codes[nearest]).mean())


class TokenizerContract(Contract):
    """The tests of a tokenizer: on up to 300 items, with vectors of 12 dimensions, categories and histories."""

    def test_it_is_a_tokenizer(self, make: Maker) -> None:
        assert missing_members(make(), ("ItemTokenizer",)) == []

    def test_codes_are_in_range_and_the_seed_decides(self, make: Maker) -> None:
        inputs = make_inputs(clustered(300))
        tokenizer = fitted(make, inputs)
        codes = np.asarray(tokenizer.encode(inputs))
        assert codes.shape == (300, len(tokenizer.sizes))
        assert (codes >= 0).all()
        assert (codes < np.array(tokenizer.sizes)).all()
        assert np.issubdtype(codes.dtype, np.integer)
        np.testing.assert_array_equal(codes, fit_anew(make, inputs).encode(inputs))

    def test_items_have_ids_of_their_own(self, make: Maker) -> None:
        """No collapse: at least a third as many IDs as random codes have, after very little training."""
        inputs = make_inputs(clustered(300))
        codes = np.asarray(fitted(make, inputs).encode(inputs))
        random = np.asarray(RandomCodes(codebook_size=16).encode(inputs))
        assert len(np.unique(codes, axis=0)) > len(np.unique(random, axis=0)) / 3

    def test_neighbours_share_codes(self, make: Maker) -> None:
        """More often than by chance, which is what random codes have."""
        vectors = clustered(300)
        inputs = make_inputs(vectors)
        tokenizer = fitted(make, inputs)
        if not content_based(tokenizer):
            pytest.skip("not promised")
        chance = agreement(np.asarray(RandomCodes(codebook_size=min(tokenizer.sizes)).encode(inputs)), vectors)
        assert agreement(np.asarray(tokenizer.encode(inputs)), vectors) > 1.5 * chance

    def test_restored_tokenizer_is_equal(self, make: Maker, tmp_path: Path) -> None:
        inputs, new = make_inputs(clustered(300)), make_inputs(clustered(50, seed=7))
        unseen = make_inputs(clustered(50, seed=8), first=500)
        tokenizer = fitted(make, inputs)
        tokenizer.save(tmp_path)
        again: ItemTokenizer = make()
        again.restore(tmp_path)
        assert tokenizer.sizes == again.sizes
        for each in (inputs, new, unseen) if tokenizer.traits.inductive else (inputs, new):
            codes = tokenizer.encode(each)
            np.testing.assert_array_equal(codes, again.encode(each))
            if tokenizer.traits.reconstructs:
                np.testing.assert_array_equal(vectors_of(tokenizer, codes), vectors_of(again, codes))

    @pytest.mark.parametrize("first", [pytest.param(0, id="fitted items"), pytest.param(500, id="unseen items")])
    def test_row_by_row_equals_all_at_once(self, make: Maker, first: int) -> None:
        vectors = clustered(200)
        vectors[50:60] = vectors[0]  # exact ties
        tokenizer = fitted(make, make_inputs(vectors))
        if not tokenizer.traits.inductive:
            pytest.skip("not promised")
        inputs = make_inputs(vectors, first=first)
        together = tokenizer.encode(inputs)
        single = np.concatenate([tokenizer.encode(some(inputs, np.array([row]))) for row in range(200)])
        np.testing.assert_array_equal(together, single)
        np.testing.assert_array_equal(tokenizer.encode(some(inputs, np.arange(200)[::-1])), together[::-1])

    def test_unseen_items_are_refused_where_there_is_no_rule_for_them(self, make: Maker) -> None:
        tokenizer = fitted(make, make_inputs(clustered(30)))
        if tokenizer.traits.inductive:
            pytest.skip("encodes them")
        with pytest.raises(DataError, match=r"item-0030.*got 1 items"):
            tokenizer.encode(make_inputs(clustered(2), first=29))

    def test_reconstruction_improves_with_every_level(self, make: Maker) -> None:
        vectors = clustered(300)
        tokenizer = fitted(make, make_inputs(vectors))
        if not tokenizer.traits.reconstructs:
            pytest.skip("not promised")
        codes = tokenizer.encode(make_inputs(vectors))
        errors = [
            np.square(vectors - vectors_of(tokenizer, codes[:, :depth])).sum() for depth in range(1, len(tokenizer.sizes) + 1)
        ]
        assert all(later < earlier for earlier, later in pairwise(errors))
        assert errors[0] < np.square(vectors - vectors.mean(axis=0)).sum()

    def test_level_costs_point_at_the_codes(self, make: Maker) -> None:
        """Of items that were not there at ``fit``: a balanced quantizer gives those the nearest code."""
        tokenizer = fitted(make, make_inputs(clustered(300)))
        if not isinstance(tokenizer, LevelCosts):
            pytest.skip("not offered")
        inputs = make_inputs(clustered(200, seed=7), first=500)
        codes = np.asarray(tokenizer.encode(inputs))
        for level, size in enumerate(tokenizer.sizes):
            costs = tokenizer.level_costs(inputs, codes[:, :level])
            assert costs.shape == (200, size)
            chosen = costs[np.arange(200), codes[:, level]]
            np.testing.assert_allclose(chosen, costs.min(axis=1), atol=1e-4)

    @pytest.mark.parametrize(
        "vectors",
        [
            pytest.param(clustered(1), id="one item"),
            pytest.param(clustered(5), id="fewer items than codes"),
            pytest.param(np.repeat(clustered(3), 20, axis=0), id="duplicates"),
            pytest.param(np.full((40, 4), 0.1), id="constant"),
            pytest.param(np.zeros((40, 4)), id="zero"),
        ],
    )
    def test_degenerate_catalogues_work(self, make: Maker, vectors: np.ndarray) -> None:
        inputs = make_inputs(vectors)
        tokenizer = fitted(make, inputs)
        codes = np.asarray(tokenizer.encode(inputs))
        assert ((codes >= 0) & (codes < np.array(tokenizer.sizes))).all()
        if content_based(tokenizer) and tokenizer.traits.inductive:  # equal items that come later get equal codes
            others = make_inputs(vectors, first=500)
            later, later_vectors = np.asarray(tokenizer.encode(others)), np.hstack([*others.embeddings.values()])
            for same in np.unique(later_vectors, axis=0):
                assert len(np.unique(later[(later_vectors == same).all(axis=1)], axis=0)) == 1
        if tokenizer.traits.reconstructs:
            assert np.isfinite(vectors_of(tokenizer, codes)).all()

    @pytest.mark.parametrize("wrong", [np.nan, np.inf])
    def test_non_finite_vectors_are_an_error(self, make: Maker, wrong: float) -> None:
        vectors = clustered(30)
        tokenizer = fitted(make, make_inputs(vectors))
        if not content_based(tokenizer):
            pytest.skip("reads no vectors")
        vectors[7, 2] = wrong
        for use in (tokenizer.fit, tokenizer.encode):
            with pytest.raises(DataError, match=f"item-0007, dimension 2.*{wrong}"):
                use(make_inputs(vectors))

    def test_scale_of_the_input_does_not_change_health(self, make: Maker) -> None:
        """Repeating every dimension must not change how many codes are used (mean/sum scale)."""
        if not make().traits.scale_free:
            pytest.skip("not promised")
        vectors = clustered(300)
        used = []
        for each in (vectors, np.tile(vectors, 4)):
            codes = np.asarray(fitted(make, make_inputs(each)).encode(make_inputs(each)))
            used.append(len(np.unique(codes, axis=0)))
        assert min(used) > 0.6 * max(used)

    def test_a_common_offset_does_not_collapse_the_codes(self, make: Maker) -> None:
        """Text models share a large mean vector; uncentred, it is all that float32 distances see (the uncentred-input trap)."""
        vectors = clustered(300)
        if not content_based(make()):
            pytest.skip("reads no vectors")
        perplexities = []
        for each in (vectors, vectors + np.float32(2000)):
            inputs = make_inputs(each)
            shares = np.bincount(np.asarray(fitted(make, inputs).encode(inputs))[:, 0]) / 300
            perplexities.append(np.exp(-np.sum(shares * np.log(np.maximum(shares, 1e-12)))))
        assert perplexities[1] > 0.8 * perplexities[0]
