"""Items that share all codes are moved within the last level: as few as possible, then as little as possible.

Per prefix a minimum-cost assignment of items to codes (the idea of "Faithful Evaluation of Semantic-ID
Tokenizers"; see docs/methods/collision_policies.md). IDs stay as long as they were.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from genrec.core.sids import SIDTable
from genrec.errors import DataError
from genrec.protocols import CollisionContext
from genrec.tokenizers.lib.free_codes import canonical_order, find_places, group_of_rows


class ReassignLast:
    """Every item its own ID, without a level more.

    A prefix with more items than the last level has codes sends those that lose least to the best code with room at the level
    before. Of equal choices the more popular item is served first, then the smaller ``item_id``; a tokenizer without
    distances gets equal costs everywhere.
    """

    def resolve(self, codes: np.ndarray, sizes: tuple[int, ...], context: CollisionContext) -> SIDTable:
        order = canonical_order(context)
        table = np.array(codes, dtype=np.int64)[order]
        moves = _Moves(table, sizes, order, context)
        moves.spill()
        moves.separate()
        resolved = np.empty_like(table)
        resolved[order] = table
        return SIDTable(resolved, sizes, codebooks=context.codebooks)

    def extend(self, table: SIDTable, codes: np.ndarray, context: CollisionContext) -> SIDTable:
        """Later items take free codes, the cheapest first; nobody makes room for them."""
        return table.with_items(find_places(table.codes, codes, table.sizes, context)[0])


class _Moves:
    """The table in canonical order, changed in place."""

    def __init__(self, table: np.ndarray, sizes: tuple[int, ...], order: np.ndarray, context: CollisionContext) -> None:
        self.table, self.sizes, self.order, self.context = table, sizes, order, context
        self.spilled = np.zeros(len(table), dtype=bool)

    def spill(self) -> None:
        """Empties prefixes that hold more items than the last level has codes."""
        room = self.sizes[-1]
        family = group_of_rows(self.table[:, :-2]) if self.table.shape[1] > 2 else np.zeros(len(self.table), np.int64)
        for rows in _groups(group_of_rows(self.table[:, :-1])):
            if len(rows) <= room:
                continue
            if self.table.shape[1] == 1:
                raise self._no_room(rows, room)
            relatives = np.flatnonzero(family == family[rows[0]])
            num_items = np.bincount(self.table[relatives, -2], minlength=self.sizes[-2])
            costs, here = self._costs(rows, depth=self.table.shape[1] - 2), self.table[rows[0], -2]
            loss = np.delete(costs, here, axis=1).min(axis=1) - costs[:, here] if costs.shape[1] > 1 else np.zeros(len(rows))
            for index in np.argsort(loss, kind="stable")[: len(rows) - room]:
                free = np.where(num_items < room, costs[index], np.inf)
                code = int(free.argmin())
                if not np.isfinite(free[code]):
                    raise self._no_room(relatives, room * self.sizes[-2])
                num_items[code] += 1
                self.table[rows[index], -2] = code
                self.spilled[rows[index]] = True

    def separate(self) -> None:
        """Gives every item of a prefix a last code of its own, wherever two share one or one has just come."""
        for rows in _groups(group_of_rows(self.table[:, :-1])):
            current = self.table[rows, -1]
            if len(np.unique(current)) == len(rows) and not self.spilled[rows].any():
                continue
            costs = self._costs(rows, depth=self.table.shape[1] - 1)
            # Larger than any sum of distances: first as few moves as possible. New items moved anyway.
            move = 1.0 + costs.max(axis=1).sum()
            stays = np.arange(self.sizes[-1])[None, :] == current[:, None]
            costs = costs + np.where(stays | self.spilled[rows, None], 0.0, move)
            self.table[rows, -1] = linear_sum_assignment(costs)[1]

    def _costs(self, rows: np.ndarray, depth: int) -> Float[np.ndarray, "rows size"]:
        if self.context.costs is None:
            return np.zeros((len(rows), self.sizes[depth]))
        return np.asarray(self.context.costs(self.order[rows], self.table[rows, :depth]), dtype=np.float64)

    def _no_room(self, rows: np.ndarray, room: int) -> DataError:
        example = self.context.item_ids[int(self.order[rows[0]])]
        prefix = tuple(int(code) for code in self.table[rows[0], : max(self.table.shape[1] - 2, 0)])
        return DataError(
            f"sids {prefix}",
            expected=f"at most {room} items below this prefix",
            got=f"{len(rows)} items, {example} among them",
            fix="look for duplicate items, use more or larger levels, or collision=append_level",
        )


def _groups(numbers: Int[np.ndarray, " rows"]) -> list[Int[np.ndarray, " group"]]:
    """Rows of each group, ascending; made at once, so changing the table while going through them is safe."""
    by_group = np.argsort(numbers, kind="stable")
    return np.split(by_group, np.flatnonzero(np.diff(numbers[by_group])) + 1)
