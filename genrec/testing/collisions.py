"""What every collision policy promises."""

from __future__ import annotations

import numpy as np

from genrec.engine.registry import missing_members
from genrec.protocols import CollisionContext, CollisionPolicy
from genrec.testing.catalogues import make_context
from genrec.testing.makers import Contract, Maker


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
        """Whether every item gets an ID of its own; a policy that keeps groups overrides this."""
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
            given = extended.codes[40:][np.argsort(rows)]
            in_order = policy.extend(table, codes[40:], shuffled(later, np.arange(40, 60)))
            np.testing.assert_array_equal(given, in_order.codes[40:])
