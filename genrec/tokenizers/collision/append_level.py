"""Items that share all codes are numbered in one more level (TIGER, arXiv 2305.05065).

See docs/methods/collision_policies.md.
"""

from __future__ import annotations

import numpy as np

from genrec.core.sids import SIDTable
from genrec.errors import DataError
from genrec.protocols import CollisionContext
from genrec.tokenizers.lib.free_codes import canonical_order, find_places, group_of_rows


class AppendLevel:
    """Appends a level that numbers the items of a group 0, 1, 2 ...; its size is that of the largest group.

    Every item gets the code, items without a double 0: all IDs are equally long. Within a group the order is by training
    popularity, then ``item_id``: it does not depend on the order of the catalogue's rows.

    Args:
        max_group: a larger group is an error: so many equal IDs say that the tokenizer failed.
    """

    def __init__(self, *, max_group: int = 256) -> None:
        self.max_group = max_group

    def resolve(self, codes: np.ndarray, sizes: tuple[int, ...], context: CollisionContext) -> SIDTable:
        order = canonical_order(context)
        group = group_of_rows(codes)[order]
        by_group = np.argsort(group, kind="stable")
        counts = np.bincount(group)
        if counts.max() > self.max_group:
            largest = int(counts.argmax())
            first = int(order[by_group[counts[:largest].sum()]])
            raise DataError(
                f"sids {tuple(int(c) for c in codes[first])}",
                expected=f"at most {self.max_group} items with the same codes",
                got=f"{counts[largest]} items, {context.item_ids[first]} among them",
                fix="look for duplicate items, use more or larger levels, or raise collision.max_group",
            )
        starts = np.cumsum(counts) - counts
        number = np.empty(len(codes), dtype=np.int64)
        number[order[by_group]] = np.arange(len(codes)) - np.repeat(starts, counts)
        table = np.column_stack([codes, number])
        return SIDTable(table, (*sizes, int(counts.max())), collision_level=len(sizes), codebooks=context.codebooks)

    def extend(self, table: SIDTable, codes: np.ndarray, context: CollisionContext) -> SIDTable:
        """Later items get the next free numbers of their groups; from a full group they go to the nearest with any left."""
        codes, number = find_places(table.codes[:, :-1], codes, table.sizes[:-1], context, room=table.sizes[-1])
        return table.with_items(np.column_stack([codes, number]))
