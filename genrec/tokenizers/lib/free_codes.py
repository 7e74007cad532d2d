"""Free codes for items that come later: their own while these have room, else the nearest with room (own design).

Every collision policy starts from these functions: which items share codes, and in which order items are served.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from genrec.errors import DataError
from genrec.protocols import CollisionContext


def find_places(
    used_codes: Int[np.ndarray, "items levels"],
    codes: Int[np.ndarray, "later levels"],
    sizes: tuple[int, ...],
    context: CollisionContext,
    *,
    room: int = 1,
) -> tuple[Int[np.ndarray, "later levels"], Int[np.ndarray, " later"]]:
    """Returns codes of the later items, and how many items had these codes before each.

    Where all ``room`` slots of its codes are used, an item goes to the cheapest last code with a free one, and where its
    whole prefix is full, to the cheapest code with room at the level before. More popular items choose first, then smaller
    ids: the order of the rows does not matter. A tokenizer without distances gets equal costs everywhere.

    Args:
        used_codes: codes of the items that are there; they stay.
        codes: nearest codes of the later items.
        sizes: codes per level.
        context: of the later items.
        room: items that may have the same codes.

    Raises:
        DataError: naming the first item without a free code.
    """
    free_codes = _Places(Counter(map(tuple, used_codes.tolist())), sizes, room, context)
    assigned, number = np.array(codes, dtype=np.int64), np.empty(len(codes), dtype=np.int64)
    for row in canonical_order(context):
        first_choice = tuple(assigned[row].tolist())
        chosen = first_choice if free_codes.count[first_choice] < room else free_codes.nearest(int(row), first_choice)
        assigned[row], number[row] = chosen, free_codes.count[chosen]
        free_codes.count[chosen] += 1
    return assigned, number


@dataclass
class _Places:
    count: Counter[tuple[int, ...]]
    sizes: tuple[int, ...]
    room: int
    context: CollisionContext

    def nearest(self, row: int, nearest_codes: tuple[int, ...]) -> tuple[int, ...]:
        last = len(self.sizes) - 1
        for depth in range(last, max(last - 2, -1), -1):
            if chosen := self._below(row, nearest_codes[:depth]):
                return chosen
        start = nearest_codes[: max(last - 1, 0)]
        num_codes = self.room * int(np.prod(self.sizes[len(start) :]))
        raise DataError(
            f"sids {start}",
            expected=f"a free place among the {num_codes:,} there",
            got=f"none for {self.context.item_ids[row]}",
            fix="look for duplicates among the new items, or fit anew with more or larger levels",
        )

    def _below(self, row: int, prefix: tuple[int, ...]) -> tuple[int, ...] | None:
        """The first codes with room below a prefix, nearest first at every level."""
        for code in self._by_cost(row, prefix):
            longer = (*prefix, code)
            if len(longer) == len(self.sizes):
                if self.count[longer] < self.room:
                    return longer
            elif longer_codes := self._below(row, longer):
                return longer_codes
        return None

    def _by_cost(self, row: int, prefix: tuple[int, ...]) -> list[int]:
        if self.context.costs is None:
            return list(range(self.sizes[len(prefix)]))
        costs = self.context.costs(np.array([row]), np.array([prefix], dtype=np.int64).reshape(1, -1))
        order: list[int] = np.argsort(np.asarray(costs)[0], kind="stable").tolist()
        return order


def group_of_rows(codes: Int[np.ndarray, "items levels"]) -> Int[np.ndarray, " items"]:
    """Number of each row's group of equal rows; groups are numbered in lexicographic order of their codes."""
    return np.unique(codes, axis=0, return_inverse=True)[1].ravel()


def canonical_order(context: CollisionContext) -> Int[np.ndarray, " items"]:
    """Rows by falling training popularity, then by ``item_id``: the same order however the catalogue's rows are shuffled."""
    return np.lexsort((context.item_ids.to_numpy().astype(str), -np.asarray(context.train_counts)))
