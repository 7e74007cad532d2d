"""Every item has a token of its own, at the end of a path that says what it is like.

The independent tokens of hybrid indexing in "How to Index Item IDs" (arXiv 2305.06569), behind any tokenizer's codes. Only the
first levels are the path: the softmax over the items below it then decides most of an ID, so that a generator knows items as an
item head does. All codes stay beside the IDs (``SIDTable.content``), and generators read histories by them. The vocabulary
grows with the catalogue. See docs/methods/item_indexing.md.
"""

from __future__ import annotations

import numpy as np

from genrec.core.sids import CONTENT, SIDTable, Stream
from genrec.errors import ConfigError
from genrec.protocols import CollisionContext
from genrec.tokenizers.lib.free_codes import canonical_order, find_places


class ItemToken:
    """The first codes, then a token for each item, numbered by training popularity, then ``item_id``.

    Args:
        path_levels: levels of the tokenizer that lead to the token, 1 to all.
        spare: further tokens for items that come later, as many below each path, 0 or more. They are learned by nobody.

    Raises:
        ConfigError: for numbers out of range.
    """

    def __init__(self, *, path_levels: int = 1, spare: int = 256) -> None:
        if path_levels < 1:
            raise ConfigError("collision.path_levels", expected="1 or more", got=path_levels, fix="raise it")
        if spare < 0:
            raise ConfigError("collision.spare", expected="0 or more", got=spare, fix="raise it")
        self.path_levels, self.spare = path_levels, spare

    def resolve(self, codes: np.ndarray, sizes: tuple[int, ...], context: CollisionContext) -> SIDTable:
        if self.path_levels > len(sizes):
            expected, fix = f"at most the tokenizer's {len(sizes)}", "lower it"
            raise ConfigError("collision.path_levels", expected=expected, got=self.path_levels, fix=fix)
        token = np.empty(len(codes), dtype=np.int64)
        token[canonical_order(context)] = np.arange(len(codes))
        path = (*sizes[: self.path_levels], len(codes) + self.spare)
        ids = np.column_stack([codes[:, : self.path_levels], token])
        table = SIDTable(ids, path, collision_level=self.path_levels, codebooks=context.codebooks)
        return table.with_streams({CONTENT: Stream(codes, sizes)})

    def extend(self, table: SIDTable, codes: np.ndarray, context: CollisionContext) -> SIDTable:
        """Later items get the next spare token below their path; from a path without any they go to the nearest with one."""
        first, content = table.sizes[-1] - self.spare, table.streams[CONTENT]
        later = table.codes[table.codes[:, -1] >= first, :-1]
        path, number = find_places(later, codes[:, : self.path_levels], table.sizes[:-1], context, room=self.spare)
        extended = table.with_items(np.column_stack([path, first + number]))
        return extended.with_streams({CONTENT: Stream(np.concatenate([content.codes, codes]), content.sizes)})
