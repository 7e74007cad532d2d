"""Hierarchical k-means: the items are clustered, then every cluster again, always on the original vectors.

The tree that generative retrieval took its identifiers from; see docs/methods/hierarchical_kmeans.md. Two departures: the depth
is fixed and items that share a leaf are left to the collision policy, and the children of a node are numbered along its main
axis, because generators share one embedding per level and code: code 7 then lies on the same side under every parent.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.kmeans import group_means, kmeans
from genrec.tokenizers.lib.residual import at_least, checked_vectors, nearest

TREE_FILE = "tree.safetensors"


class HierarchicalKMeans:
    """A tree of k-means. As many leaves as 2 to 4 times the items are a good start.

    Args:
        num_levels: depth of the tree, the number of codes per item.
        codebook_size: children per node.
        source: which embeddings to cluster; ``"item"`` is the encoder's joint vector.
        iterations: most Lloyd iterations per node and start.
        starts: k-means++ starts per node; the one with the least inertia is kept.
        seed: of the starts.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=True, reconstructs=True, scale_free=True)

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 32,
        source: str = "item",
        iterations: int = 25,
        starts: int = 1,
        seed: int = 0,
    ) -> None:
        at_least(1, num_levels=num_levels, codebook_size=codebook_size, starts=starts)
        self.num_levels, self.codebook_size, self.source = num_levels, codebook_size, source
        self.iterations, self.starts, self.seed = iterations, starts, seed

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        vectors = checked_vectors(inputs, self.source)
        self._center = vectors.mean(0)  # beside a large one, float32 cannot tell the vectors' distances apart
        vectors = vectors - self._center
        generator = torch.Generator().manual_seed(self.seed)
        # Per level: the children of each node [nodes, size, dim] and where they stand among the next level's nodes.
        self._children: list[Tensor] = []
        self._next: list[Tensor] = []
        members = [torch.arange(len(vectors))]
        for size in self.sizes:
            children: list[Tensor] = []
            following: list[Tensor] = []
            families: list[Tensor] = []
            for rows in members:
                centroids = self._split(vectors[rows], size, generator)
                codes, _ = nearest(vectors[rows], centroids)
                used = codes.unique()  # copies and empty clusters stand behind, and are never chosen
                children.append(centroids)
                positions = torch.full((size,), len(families) + len(used) - 1)
                positions[used] = torch.arange(len(families), len(families) + len(used))
                following.append(positions)
                families += [rows[codes == code] for code in used]
            self._children.append(torch.stack(children))
            self._next.append(torch.stack(following))
            members = families

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        vectors = checked_vectors(inputs, self.source) - self._center
        node, codes = torch.zeros(len(vectors), dtype=torch.long), torch.zeros(len(vectors), self.num_levels, dtype=torch.long)
        for level, (children, following) in enumerate(zip(self._children, self._next, strict=True)):
            for parent in node.unique():
                rows = torch.nonzero(node == parent).squeeze(1)
                codes[rows, level], _ = nearest(vectors[rows], children[parent])
            node = following[node, codes[:, level]]
        return codes.numpy()

    def reconstruct(self, codes: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items dim"]:
        """The centre of the node that the codes lead to."""
        path = torch.from_numpy(np.asarray(codes, np.int64))
        node = torch.zeros(len(path), dtype=torch.long)
        for level, code in enumerate(path.T):
            center, node = self._children[level][node, code], self._next[level][node, code]
        return (center + self._center).numpy()

    def save(self, folder: Path) -> None:
        levels = enumerate(zip(self._children, self._next, strict=True))
        state = {f"{name}_{i}": table for i, pair in levels for name, table in zip(("children", "next"), pair, strict=True)}
        save_file(state | {"center": self._center}, folder / TREE_FILE)

    def restore(self, folder: Path) -> None:
        state = load_file(folder / TREE_FILE)
        self._center = state.get("center", torch.zeros(state["children_0"].shape[-1]))  # older ones measured from the origin
        self._children, self._next = ([state[f"{name}_{i}"] for i in range(self.num_levels)] for name in ("children", "next"))

    def _split(self, vectors: Float[Tensor, "rows dim"], size: int, generator: torch.Generator) -> Float[Tensor, "size dim"]:
        """Means of the clusters along the main axis of the vectors; what is left of ``size`` are copies of the last."""
        centroids = kmeans(vectors, size, generator=generator, iterations=self.iterations, starts=self.starts)
        codes, _ = nearest(vectors, centroids)
        used = codes.unique()
        means = group_means([(vectors, codes)], centroids)[used]
        means = means[torch.argsort(means @ _main_axis(means), stable=True)]
        return torch.cat([means, means[-1:].expand(size - len(means), -1)])


def _main_axis(points: Float[Tensor, "rows dim"]) -> Float[Tensor, " dim"]:
    """First principal axis, its largest entry positive."""
    axis = torch.linalg.svd(points - points.mean(0), full_matrices=False).Vh[0]
    return axis * torch.sign(axis[axis.abs().argmax()])
