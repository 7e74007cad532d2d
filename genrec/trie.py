"""The prefix trie over the catalogue's semantic IDs, as flat tensors.

Nodes are numbered breadth first: the root is 0, then all prefixes of one code in order, then all of two codes, and so on.
The children of a node therefore stand together, and ``first_child`` alone is the whole structure (compressed sparse rows):
the children of ``n`` are the nodes ``first_child[n] .. first_child[n + 1] - 1``. Built by one sort; the cost of a decoding
step does not depend on the size of the catalogue. The layout follows the idea of STATIC (brief in the design notes).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from genrec.errors import ConfigError
from genrec.sids import SIDTable
from genrec.types import PAD


@dataclass(frozen=True)
class PrefixTrie:
    """All semantic IDs of a catalogue.

    Shapes: ``nodes`` counts every prefix, root and leaves included; ``leaves`` the distinct complete IDs.

    Args:
        first_child: [nodes + 1]; leaves have empty families.
        code: [nodes], the code that leads from the parent to the node (``PAD`` at the root).
        level_starts: depth -> first node of that depth; length levels + 2.
        widths: level -> size of the largest family that chooses that level's code.
        sizes: level -> size of the codebook.
        leaf_items: [items], item_idx grouped by leaf, ascending inside a group.
        leaf_offsets: [leaves + 1]; leaf number ``j`` is node ``level_starts[levels] + j``.
        item_nodes: [items, levels + 1], the nodes on each item's path, root and leaf included.
        num_below: [nodes], number of items below each node.
    """

    first_child: Int[Tensor, " nodes_and_1"]
    code: Int[Tensor, " nodes"]
    level_starts: tuple[int, ...]
    widths: tuple[int, ...]
    sizes: tuple[int, ...]
    leaf_items: Int[Tensor, " items"]
    leaf_offsets: Int[Tensor, " leaves_and_1"]
    item_nodes: Int[Tensor, "items depths"]
    num_below: Int[Tensor, " nodes"]

    @property
    def num_levels(self) -> int:
        return len(self.sizes)

    @property
    def num_items(self) -> int:
        return self.leaf_items.shape[0]

    @property
    def num_nodes(self) -> int:
        return self.code.shape[0]

    @property
    def num_leaves(self) -> int:
        return self.leaf_offsets.shape[0] - 1

    @property
    def max_group(self) -> int:
        """Size of the largest group of items that share a complete ID."""
        return int(self.leaf_offsets.diff().max())

    @classmethod
    def build(cls, sids: SIDTable) -> PrefixTrie:
        """Sorts the table once and numbers its distinct prefixes.

        Raises:
            ConfigError: for an empty catalogue.
        """
        codes, num_items, num_levels = sids.codes, sids.num_items, sids.num_levels
        if num_items == 0:
            raise ConfigError("sids", expected="at least one item", got=0, fix="give prepare a catalogue")
        order = _lexicographic_order(codes, sids.sizes)
        rows = codes[order]
        # starts[i, d]: does row i open a new prefix of d codes? A deeper prefix is new wherever a shallower one is.
        changed = np.ones((num_items, num_levels), dtype=bool)
        changed[1:] = rows[1:] != rows[:-1]
        starts = np.logical_or.accumulate(changed, axis=1)
        rank = np.cumsum(starts, axis=0) - 1  # [items, levels]: which prefix of its depth a row belongs to

        counts = [1, *(int(rank[-1, level]) + 1 for level in range(num_levels))]
        level_starts = np.concatenate([[0], np.cumsum(counts)])
        num_nodes = int(level_starts[-1])
        parent = np.full(num_nodes, 0, dtype=np.int64)
        code = np.full(num_nodes, PAD, dtype=np.int64)
        item_nodes = np.zeros((num_items, num_levels + 1), dtype=np.int64)
        for level in range(num_levels):
            opening = np.flatnonzero(starts[:, level])
            here = slice(level_starts[level + 1], level_starts[level + 2])
            code[here] = rows[opening, level]
            parent[here] = 0 if level == 0 else level_starts[level] + rank[opening, level - 1]
            item_nodes[order, level + 1] = level_starts[level + 1] + rank[:, level]

        num_children = np.bincount(parent[1:], minlength=num_nodes)
        first_child = np.concatenate([[1], 1 + np.cumsum(num_children)])
        widths = tuple(int(num_children[level_starts[d] : level_starts[d + 1]].max()) for d in range(num_levels))
        group_starts = np.flatnonzero(starts[:, -1])
        return cls(
            first_child=torch.from_numpy(first_child.astype(np.int64)),
            code=torch.from_numpy(code),
            level_starts=tuple(int(x) for x in level_starts),
            widths=widths,
            sizes=sids.sizes,
            leaf_items=torch.from_numpy(order.astype(np.int64)),
            leaf_offsets=torch.from_numpy(np.append(group_starts, num_items).astype(np.int64)),
            item_nodes=torch.from_numpy(item_nodes),
            num_below=torch.from_numpy(np.bincount(item_nodes.ravel(), minlength=num_nodes).astype(np.int64)),
        )

    def to(self, device: torch.device | str) -> PrefixTrie:
        """The same trie with every tensor on ``device``."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)

    def children(
        self, nodes: Int[Tensor, "*shape"], level: int
    ) -> tuple[Int[Tensor, "*shape width"], Int[Tensor, "*shape width"], Bool[Tensor, "*shape width"]]:
        """The families of ``nodes`` (all of depth ``level``), padded to the level's largest family.

        Returns:
            child nodes, their codes (0 where padded, so that gathers stay in range), and which entries are real.
        """
        first = self.first_child[nodes]
        count = self.first_child[nodes + 1] - first
        slot = torch.arange(self.widths[level], device=nodes.device)
        real = slot < count.unsqueeze(-1)
        child = torch.where(real, first.unsqueeze(-1) + slot, torch.zeros_like(slot))
        return child, self.code[child].clamp(min=0), real

    def advance(self, nodes: Int[Tensor, "*shape"], codes: Int[Tensor, "*shape"], level: int) -> Int[Tensor, "*shape"]:
        """The child of each node (depth ``level``) along ``codes``; ``PAD`` where the catalogue has none."""
        child, child_codes, real = self.children(nodes, level)
        match = real & (child_codes == codes.unsqueeze(-1))
        return torch.where(match.any(-1), torch.where(match, child, 0).sum(-1), PAD)

    def items_of(self, leaves: Int[Tensor, "*shape"]) -> tuple[Int[Tensor, "*shape group"], Int[Tensor, "*shape"]]:
        """The items that share each leaf, padded with ``PAD``, and how many they are."""
        leaf = leaves - self.level_starts[self.num_levels]
        first = self.leaf_offsets[leaf]
        count = self.leaf_offsets[leaf + 1] - first
        slot = torch.arange(self.max_group, device=leaves.device)
        real = slot < count.unsqueeze(-1)
        index = torch.where(real, first.unsqueeze(-1) + slot, torch.zeros_like(slot))
        return torch.where(real, self.leaf_items[index], PAD), count

    def open_nodes(self, allowed: Bool[Tensor, " items"]) -> Bool[Tensor, " nodes"]:
        """Which nodes have an allowed item below them: a filter or a takedown is a node mask over this one trie."""
        counts = torch.zeros(self.num_nodes, dtype=torch.long, device=self.code.device)
        nodes = self.item_nodes[allowed]
        counts.index_add_(0, nodes.reshape(-1), torch.ones_like(nodes.reshape(-1)))
        return counts > 0


def _lexicographic_order(codes: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Row order that sorts ``codes`` lexicographically; rows with equal codes keep their item_idx order."""
    if np.prod([float(size) for size in sizes]) < 2**62:  # the whole ID fits one integer: a single sort, no lexsort
        key = np.zeros(len(codes), dtype=np.int64)
        for level, size in enumerate(sizes):
            key = key * size + codes[:, level]
        return np.argsort(key, kind="stable")
    return np.lexsort(codes.T[::-1])
