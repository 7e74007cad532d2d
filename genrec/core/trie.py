"""The prefix trie over the catalogue's semantic IDs, as flat tensors.

Nodes are numbered breadth first: the root is 0, then all prefixes of one code in order, then all of two codes, and so on. So
the children of a node are contiguous (``first_child`` alone is the structure: compressed sparse rows), and so do the items
below it, once items are listed in the order of their leaves. Built by one sort; 32 bits a number; the cost of a decoding step
does not depend on the size of the catalogue. The layout follows the idea of STATIC (see docs/methods/trie_search.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.core.sids import SIDTable
from genrec.errors import ArtifactError, ConfigError
from genrec.types import PAD

TRIE_FILE = "trie.safetensors"


@dataclass(frozen=True)
class PrefixTrie:
    """All semantic IDs of a catalogue.

    Shapes: ``nodes`` counts every prefix, root and leaves included; ``inner`` those that have children. Tensors are int32 at
    rest; the methods take and return int64.

    Args:
        first_child: [inner + 1]: the children of ``n`` are the nodes ``first_child[n] .. first_child[n + 1] - 1``.
        parent: [nodes]; the root is its own.
        code: [nodes], the code that leads from the parent to the node (``PAD`` at the root).
        items: [items], item_idx in the order of their leaves, ascending where they share one.
        first_item, end_item: [nodes]: the items below ``n`` are ``items[first_item[n]:end_item[n]]``.
        leaf_of: [items], the node of each item_idx's complete ID.
        level_starts: depth -> first node of that depth; length levels + 2.
        widths: level -> size of the largest family that chooses that level's code.
        sizes: level -> size of the codebook.
        max_group: size of the largest group of items that share a complete ID.

    Examples:
        The IDs (0, 1), (0, 2) and (1, 0). Node 0 is the root, and its children are the first codes 0 and 1:

        >>> from genrec import PrefixTrie, SIDTable
        >>> trie = PrefixTrie.build(SIDTable(np.array([[0, 1], [0, 2], [1, 0]]), sizes=(2, 3)))
        >>> nodes, codes, exists = trie.children(torch.tensor([0]), level=0)
        >>> nodes.tolist(), codes.tolist(), trie.num_below(nodes).tolist()
        ([[1, 2]], [[0, 1]], [[2, 1]])

        After the code 0 the catalogue has 2, which is item 1; it has no 0:

        >>> leaves = trie.advance(torch.tensor([1, 1]), torch.tensor([2, 0]), level=1)
        >>> leaves.tolist(), trie.items_of(leaves[:1])[0].tolist()
        ([4, -1], [[1]])
    """

    first_child: Int32[Tensor, " inner_and_1"]
    parent: Int32[Tensor, " nodes"]
    code: Int32[Tensor, " nodes"]
    items: Int32[Tensor, " items"]
    first_item: Int32[Tensor, " nodes"]
    end_item: Int32[Tensor, " nodes"]
    leaf_of: Int32[Tensor, " items"]
    level_starts: tuple[int, ...]
    widths: tuple[int, ...]
    sizes: tuple[int, ...]
    max_group: int

    @property
    def num_levels(self) -> int:
        return len(self.sizes)

    @property
    def num_items(self) -> int:
        return self.items.shape[0]

    @property
    def num_nodes(self) -> int:
        return self.code.shape[0]

    @property
    def num_leaves(self) -> int:
        return self.level_starts[-1] - self.level_starts[-2]

    @property
    def device(self) -> torch.device:
        return self.code.device

    @property
    def num_bytes(self) -> int:
        """Of all tensors together."""
        return sum(tensor.nbytes for tensor in self._tensors().values())

    @cached_property
    def place_of(self) -> Int64[Tensor, " items"]:
        """The place in ``items`` of each item_idx."""
        place = torch.empty(self.num_items, dtype=torch.long, device=self.device)
        place[self.items.long()] = torch.arange(self.num_items, device=self.device)
        return place

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
        opens = np.zeros(
            num_items, dtype=bool
        )  # does the item at this place open a new prefix of the depth, so all deeper ones?
        opens[0] = True
        inside = np.zeros(num_items, dtype=np.int32)  # the node of the depth above that the item at this place is below
        nodes: dict[str, list[Any]] = {"code": [[PAD]], "parent": [[0]], "first_item": [[0]], "end_item": [[num_items]]}
        widths, max_group = [], 1
        level_starts = [0, 1]
        for level in range(num_levels):
            column = codes[order, level]
            opens[1:] |= column[1:] != column[:-1]
            starts = np.flatnonzero(opens).astype(np.int32)
            ends, parents = np.append(starts[1:], num_items), inside[starts]
            for name, values in {"code": column[starts], "parent": parents, "first_item": starts, "end_item": ends}.items():
                nodes[name].append(values)
            widths.append(int(np.bincount(parents - level_starts[level]).max()))
            max_group = int((ends - starts).max())
            inside = np.cumsum(opens, dtype=np.int32) + np.int32(level_starts[-1] - 1)
            level_starts.append(level_starts[-1] + len(starts))
        leaf_of = np.empty(num_items, dtype=np.int32)
        leaf_of[order] = inside
        joined = {name: torch.from_numpy(np.concatenate(parts).astype(np.int32)) for name, parts in nodes.items()}
        num_children = np.bincount(joined["parent"][1:].numpy(), minlength=level_starts[-2])
        return cls(
            first_child=torch.from_numpy(np.concatenate([[1], 1 + np.cumsum(num_children)]).astype(np.int32)),
            items=torch.from_numpy(order.astype(np.int32)),
            leaf_of=torch.from_numpy(leaf_of),
            level_starts=tuple(level_starts),
            widths=tuple(widths),
            sizes=sids.sizes,
            max_group=max_group,
            **joined,
        )

    def to(self, device: torch.device | str) -> PrefixTrie:
        """The same trie with every tensor on ``device``."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return replace(self, **moved)

    def save(self, folder: Path) -> None:
        """Writes ``trie.safetensors``."""
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in self._tensors()}
        save_file(self._tensors(), folder / TRIE_FILE, metadata={"facts": json.dumps(facts)})

    @classmethod
    def load(cls, folder: Path) -> PrefixTrie:
        """Maps a saved trie from disk: pages are read when a search comes by.

        Raises:
            ArtifactError: when there is none.
        """
        path = folder / TRIE_FILE
        if not path.exists():
            raise ArtifactError(folder, expected=TRIE_FILE, got="no such file", fix="run `genrec export` again")
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
        whole: dict[str, Any] = load_file(path) | {name: tuple(x) if isinstance(x, list) else x for name, x in facts.items()}
        return cls(**whole)

    def children(
        self, nodes: Int64[Tensor, "*shape"], level: int
    ) -> tuple[Int64[Tensor, "*shape width"], Int64[Tensor, "*shape width"], Bool[Tensor, "*shape width"]]:
        """The families of ``nodes`` (all of depth ``level``), padded to the largest of them (on a GPU, where the host would
        have to wait for it, to the largest of the level).

        Returns:
            child nodes, their codes, and which entries are real; what pads a family repeats its last child.
        """
        first = self.first_child[nodes].unsqueeze(-1)
        count = self.first_child[nodes + 1].unsqueeze(-1) - first
        width = self.widths[level] if nodes.is_cuda or not nodes.numel() else int(count.max())
        slot = torch.arange(width, dtype=torch.int32, device=nodes.device)
        child = (first + torch.minimum(slot, count - 1)).long()
        return child, self.codes(child), slot < count

    def num_children(self, nodes: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
        """Sizes of the families of nodes that are no leaves."""
        return (self.first_child[nodes + 1] - self.first_child[nodes]).long()

    def codes(self, nodes: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
        """The last code of each node's prefix."""
        return self.code[nodes].long()

    def paths(self, items: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape depths"]:
        """The nodes from the root to each item's leaf, both included."""
        nodes = [self.leaf_of[items].long()]
        for _ in range(self.num_levels):
            nodes.append(self.parent[nodes[-1]].long())
        return torch.stack(nodes[::-1], dim=-1)

    def leaf_codes(self) -> Int64[Tensor, "leaves levels"]:
        """The codes of every complete ID, in the order of the leaves."""
        nodes = torch.arange(self.level_starts[-2], self.level_starts[-1], device=self.device)
        columns = []
        for _ in range(self.num_levels):
            columns.append(self.codes(nodes))
            nodes = self.parent[nodes].long()
        return torch.stack(columns[::-1], dim=-1)

    def advance(self, nodes: Int64[Tensor, "*shape"], codes: Int64[Tensor, "*shape"], level: int) -> Int64[Tensor, "*shape"]:
        """The child of each node (depth ``level``) along ``codes``; ``PAD`` where the catalogue has none."""
        child, child_codes, real = self.children(nodes, level)
        match = real & (child_codes == codes.unsqueeze(-1))
        return torch.where(match.any(-1), torch.where(match, child, 0).sum(-1), PAD)

    def items_of(self, leaves: Int64[Tensor, "*shape"]) -> tuple[Int64[Tensor, "*shape group"], Int64[Tensor, "*shape"]]:
        """The items that share each leaf, padded with ``PAD``, and how many they are."""
        first, count = self.first_item[leaves], self.num_below(leaves)
        slot = torch.arange(self.max_group, device=leaves.device)
        real = slot < count.unsqueeze(-1)
        index = torch.where(real, first.unsqueeze(-1) + slot, torch.zeros_like(slot))
        return torch.where(real, self.items[index].long(), PAD), count

    @property
    def num_choices(self) -> int:
        """Levels up to the last at which some node has several children; what follows is decided."""
        return max((level + 1 for level, width in enumerate(self.widths) if width > 1), default=0)

    def tally(self, allowed: Bool[Tensor, "*users items"]) -> Int32[Tensor, "*users items_and_1"]:
        """Running count of the allowed items in the order of their leaves: a filter or a takedown, for ``num_below``."""
        return torch.nn.functional.pad(allowed[..., self.items].cumsum(-1, dtype=torch.int32), (1, 0))

    def num_below(
        self,
        nodes: Int64[Tensor, "*shape"],
        tally: Int32[Tensor, "*users items_and_1"] | None = None,
        users: Int64[Tensor, "..."] | None = None,
    ) -> Int64[Tensor, "*shape"]:
        """How many items, or allowed items, are below each node: a filter costs two look-ups more, and no mask of nodes.

        Args:
            nodes: any.
            tally: of the filter, or None for all items.
            users: the row of ``tally`` for each node (to be broadcast); not read when all share one.
        """
        first, end = self.first_item[nodes], self.end_item[nodes]
        if tally is None:
            return (end - first).long()
        return (tally[end] - tally[first] if tally.dim() == 1 else tally[users, end] - tally[users, first]).long()

    def num_ids_below(self, nodes: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
        """How many distinct IDs are below each node; items that share one count once."""
        if self.max_group == 1:
            return self.num_below(nodes)
        first, last = self.items[self.first_item[nodes]], self.items[self.end_item[nodes] - 1]
        return (self.leaf_of[last] - self.leaf_of[first]).long() + 1

    def best_below(self, values: Float[Tensor, "*users items"]) -> Float[Tensor, "*users nodes"]:
        """The largest of the items' values below each node."""
        best = values.new_full((*values.shape[:-1], self.num_nodes), float("-inf"))
        best.scatter_reduce_(-1, self.leaf_of.long().expand_as(values), values, "amax")
        for start, end in zip(self.level_starts[-2:0:-1], self.level_starts[:1:-1], strict=True):
            below = best[..., start:end]
            best.scatter_reduce_(-1, self.parent[start:end].long().expand_as(below), below.clone(), "amax")
        return best

    def sums_below(self, values: Float[Tensor, "items *any"]) -> list[Float[Tensor, "nodes *any"]]:
        """The sums of the values of ``items``, in their order, below each node; depth by depth from 1 to the leaves."""
        starts, sums = self.level_starts, [values]
        if self.max_group > 1:
            leaves = self.leaf_of[self.items] - starts[-2]
            sums = [values.new_zeros(self.num_leaves, *values.shape[1:]).index_add_(0, leaves, values)]
        for depth in range(self.num_levels - 1, 0, -1):
            first, end = starts[depth + 1], starts[depth + 2]
            above = values.new_zeros(first - starts[depth], *values.shape[1:])
            sums.append(above.index_add_(0, self.parent[first:end] - starts[depth], sums[-1]))
        return sums[::-1]

    def _tensors(self) -> dict[str, Tensor]:
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _lexicographic_order(codes: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Row order that sorts ``codes`` lexicographically; rows with equal codes keep their item_idx order."""
    if np.prod([float(size) for size in sizes]) < 2**62:  # the whole ID fits one integer: a single sort, no lexsort
        key = np.zeros(len(codes), dtype=np.int64)
        for level, size in enumerate(sizes):
            key = key * size + codes[:, level]
        return np.argsort(key, kind="stable")
    return np.lexsort(codes.T[::-1])
