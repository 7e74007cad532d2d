"""PRORec's tokenizer (later UNGER, arXiv 2502.06269): content brought to the collaborative vectors, then one code of both.

An adapter (a layer norm whose scale and shift depend on the item) turns content into the collaborative space. It is trained to
find the item's own collaborative vector, and so that both side by side, each of length one, tell the next item. Residual
k-means then quantizes them side by side.

Departures: collaborative vectors stay as they are, so that the next-item loss trains the adapter alone, and the next item is
predicted from the item before, not from a history; an item without a collaborative vector has its adapted content in that place
too (see docs/methods/prorec.md). The paper's second stage, a generator that distils the fused vector, is not built.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, normalize

from genrec.core.dataset import Sequences
from genrec.errors import DataError
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.autoencoder import row_batches, standardization
from genrec.tokenizers.lib.pair_sampling import Draw, contrast, scores
from genrec.tokenizers.lib.residual import at_least, checked_vectors
from genrec.tokenizers.lib.residual_kmeans import ResidualKMeans

ADAPTER_FILE = "adapter.safetensors"
_FUSED = "fused"


class ProgressiveFusion:
    """Residual k-means of collaborative vectors beside content that was adapted to them.

    With ``source: item``, which already holds the collaborative half, codes follow users and little of the content is left (see
    docs/methods/prorec.md for ``source: text``): on Beauty 24 % of the training steps stay within the first code
    (``rq_kmeans``: 14 %), which leaves 2.8 bits of an item's category open (``rq_kmeans``: 0.4).

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: the content; ``"item"`` is the encoder's joint vector. The paper's is text alone (``"text"`` of a ``concat``
            encoder).
        collaborative: the embeddings that content is brought to; an all-zero row means none.
        steps: optimizer steps of the adapter; 0 leaves it random.
        batch_size: items per step.
        lr: AdamW learning rate.
        weight_decay: of the adapter's weights.
        alignment_weight: of finding the own collaborative vector (lambda); finding the next item counts 1.
        seed: of the start, of the batches and of k-means.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings", "train"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=True, reconstructs=False, scale_free=True)

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        collaborative: str = "collaborative",
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        alignment_weight: float = 1.0,
        seed: int = 0,
    ) -> None:
        at_least(1, batch_size=batch_size)
        at_least(0, steps=steps)
        self._quantizer = ResidualKMeans(num_levels=num_levels, codebook_size=codebook_size, source=_FUSED, seed=seed)
        self.num_levels, self.codebook_size = num_levels, codebook_size
        self.sizes, self.source, self.collaborative = self._quantizer.sizes, source, collaborative
        self.steps, self.batch_size, self.lr, self.weight_decay = steps, batch_size, lr, weight_decay
        self.alignment_weight, self.seed = alignment_weight, seed

    def fit(self, inputs: TokenizerInputs) -> None:
        """Trains the adapter, then k-means; the global random state is left as it was.

        Raises:
            ConfigError: when the encoder made no collaborative vectors.
            DataError: when a vector is not finite, or the loss is not.
        """
        assert inputs.train is not None
        content = checked_vectors(inputs, self.source)
        collaborative_vectors = checked_vectors(inputs, self.collaborative, key="collaborative")
        self._center, self._scale = standardization(content)
        met = collaborative_vectors.any(1)
        self._common = collaborative_vectors[met].mean(0) if met.any() else torch.zeros(collaborative_vectors.shape[1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._adapter = _Adapter(content.shape[1], collaborative_vectors.shape[1])
            self._train(
                (content - self._center) / self._scale, collaborative_vectors, Draw(next_items(inputs.train, inputs.num_items))
            )
        self._quantizer.fit(self._fuse_inputs(inputs))

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        return self._quantizer.encode(self._fuse_inputs(inputs))

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Squared distance of what ``prefix`` leaves of each item's fused vector to each code of the next level."""
        return self._quantizer.level_costs(self._fuse_inputs(inputs), prefix)

    def save(self, folder: Path) -> None:
        state = {f"adapter.{name}": value for name, value in self._adapter.state_dict().items()}
        save_file(state | {"center": self._center, "scale": self._scale, "common": self._common}, folder / ADAPTER_FILE)
        self._quantizer.save(folder)

    def restore(self, folder: Path) -> None:
        state = load_file(folder / ADAPTER_FILE)
        self._center, self._scale, self._common = (state.pop(name) for name in ("center", "scale", "common"))
        self._adapter = _Adapter(len(self._center), len(self._common))
        self._adapter.load_state_dict({name.removeprefix("adapter."): value for name, value in state.items()})
        self._quantizer.restore(folder)

    def _fuse_inputs(self, inputs: TokenizerInputs) -> TokenizerInputs:
        content = checked_vectors(inputs, self.source)
        collaborative_vectors = checked_vectors(inputs, self.collaborative, key="collaborative")
        with torch.no_grad():
            fused = self._concatenate(collaborative_vectors, self._adapter((content - self._center) / self._scale))
        return TokenizerInputs({_FUSED: fused.numpy()}, inputs.items)

    def _concatenate(self, collaborative_vectors: Float[Tensor, "rows dim"], adapted: Float[Tensor, "rows dim"]) -> Tensor:
        first_half = torch.where(collaborative_vectors.any(1, keepdim=True), collaborative_vectors - self._common, adapted)
        return torch.cat([normalize(first_half), normalize(adapted)], dim=1)

    def _train(self, content: Tensor, collaborative_vectors: Tensor, followers: Draw) -> None:
        optimizer = torch.optim.AdamW(self._adapter.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        trained = torch.nonzero(collaborative_vectors.any(1) & followers.can(torch.arange(len(content)))).squeeze(1)
        loss = torch.zeros(())
        for rows in row_batches(len(trained), self.batch_size, self.steps if len(trained) else 0):
            before = trained[rows]
            after = followers.draw(before)
            adapted, next_adapted = self._adapter(content[before]), self._adapter(content[after])
            queries = self._concatenate(collaborative_vectors[before], adapted)
            logits = scores(queries, self._concatenate(collaborative_vectors[after], next_adapted))
            also_right = (after == after[:, None]).fill_diagonal_(False)
            loss = cross_entropy(logits.masked_fill(also_right, -torch.inf), torch.arange(len(before)))
            loss = loss + self.alignment_weight * contrast(adapted, collaborative_vectors[before] - self._common)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not torch.isfinite(loss):
            raise DataError("tokenizer", expected="a finite loss", got=float(loss.detach()), fix="lower tokenizer.lr")


class _Adapter(nn.Module):
    """A linear map, then a layer norm whose scale and shift are linear in the input."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.map, self.scale, self.shift = (nn.Linear(dim, out) for _ in range(3))

    def forward(self, vectors: Tensor) -> Tensor:
        mapped = self.map(vectors)
        return layer_norm(mapped, mapped.shape[-1:]) * (1 + self.scale(vectors)) + self.shift(vectors)


def next_items(train: Sequences, num_items: int) -> sparse.csr_array:
    """[items, items]: how often a user took one right after the other, another item."""
    first, second = train.item_idx[:-1], train.item_idx[1:]
    inside = (train.user_idx[:-1] == train.user_idx[1:]) & (first != second)
    ends = (first[inside], second[inside])
    return sparse.csr_array((np.ones(inside.sum()), ends), shape=(num_items, num_items))
