"""MMGRec's tokenizer (arXiv 2404.16555): an RQ-VAE of item vectors that have seen the graph of who took what.

Two stages, as in the authors' code: two layers of message passing between users and items (the item's own vector beside the
mean of its neighbours'), trained by pairs (a taken item before an untaken one); then residual codes of the items' outputs. An
item that was not in training has its content alone to pass through the layers; to make such items land beside the others, the
layers are trained with some nodes' neighbours hidden. The number among items of equal codes, by popularity in the paper, is the
collision policy's.

Departures: every step passes messages over the whole graph instead of a sample of it, and hides neighbours instead of dropping
units; the RQ-VAE is this library's, wider than the authors' 4 dimensions. See docs/methods/mmgrec.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import embedding_bag, leaky_relu, logsigmoid

from genrec.core.dataset import Sequences
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.autoencoder import Autoencoder, rotation_trick, standardization
from genrec.tokenizers.lib.residual import at_least, checked_vectors
from genrec.types import ITEM_ID

GRAPH_FILE, ITEMS_FILE = "graph.safetensors", "items.parquet"
_LR = 1e-2  # Adam's, of the layers and of the users' free vectors
_PAIRS = 1 << 12  # (user, item) a step
_UNTAKEN = 5  # a pair
_HIDDEN = 0.2  # share of the nodes whose neighbours a step hides


class GraphRQVAE(Autoencoder):
    """Codes of vectors after message passing; an item that came later has its content's alone.

    Codes follow users more than content: on Beauty 20 % of the training steps stay within the first code (``rqvae``: 12 %),
    which leaves 2.6 bits of an item's category open (``rqvae``: 0.5).

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: the items' content; ``"item"`` is the encoder's joint vector.
        graph_dim: width of the messages and of what is quantized.
        graph_steps: steps of the first stage where ``graph_epochs`` is null; 0 passes messages through random layers.
        graph_epochs: passes of the first stage over all events, whatever the size of the data; null: ``graph_steps``.
        residual: add what a node starts with to what the layers make of it, so that messages need not carry the content.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck.
        steps: optimizer steps of the second stage.
        batch_size: items per step.
        lr: AdamW learning rate of the second stage, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, summed over levels.
        seed: of the starts, of the batches and of the untaken items.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings", "train"})
    traits = Traits(inductive=True, ordered=True, reconstructs=False, scale_free=True)  # codes are of graph vectors

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        graph_dim: int = 64,
        graph_steps: int = 200,
        graph_epochs: int | None = None,
        residual: bool = False,
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        seed: int = 0,
    ) -> None:
        at_least(1, graph_dim=graph_dim)
        at_least(0, graph_steps=graph_steps, graph_epochs=graph_epochs or 0)
        super().__init__(
            sizes=(codebook_size,) * num_levels,
            source=source,
            hidden=hidden,
            latent_dim=latent_dim,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            commitment=commitment,
            seed=seed,
        )
        self.graph_dim, self.graph_steps, self.graph_epochs, self.residual = graph_dim, graph_steps, graph_epochs, residual

    def fit(self, inputs: TokenizerInputs) -> None:
        """Learns to pass messages, then trains the codes; the global random state is left as it was.

        Raises:
            DataError: when a vector is not finite, or a loss is not.
        """
        assert inputs.train is not None
        content = checked_vectors(inputs, self.source)
        self._content_center, self._content_scale = standardization(content)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._layers = _layers(content.shape[1], self.graph_dim)
            self._outputs = self._pass_messages(self._standardize(content), inputs.train)
        self._row_of = {item: row for row, item in enumerate(inputs.items[ITEM_ID])}
        super().fit(inputs)

    def save(self, folder: Path) -> None:
        super().save(folder)
        state = {f"layers.{name}": value for name, value in self._layers.state_dict().items()}
        state |= {"center": self._content_center, "scale": self._content_scale, "passed": self._outputs}
        save_file(state, folder / GRAPH_FILE)
        pl.DataFrame({ITEM_ID: list(self._row_of)}, schema={ITEM_ID: pl.String}).write_parquet(folder / ITEMS_FILE)

    def restore(self, folder: Path) -> None:
        super().restore(folder)
        state = load_file(folder / GRAPH_FILE)
        self._content_center, self._content_scale, self._outputs = state["center"], state["scale"], state["passed"]
        self._layers = _layers(len(self._content_center), self.graph_dim)
        self._layers.load_state_dict(
            {name.removeprefix("layers."): state[name] for name in state if name.startswith("layers.")}
        )
        self._row_of = {item: row for row, item in enumerate(pl.read_parquet(folder / ITEMS_FILE, glob=False)[ITEM_ID])}

    def _input(self, inputs: TokenizerInputs) -> Tensor:
        content = self._standardize(checked_vectors(inputs, self.source))
        rows = torch.tensor([self._row_of.get(item, -1) for item in inputs.items[ITEM_ID]])
        with torch.no_grad():
            start = self._layers["content"](content)
            hidden = self._through_layers(start, torch.zeros_like)
        return torch.where(rows[:, None] >= 0, self._outputs[rows], hidden)

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        return rotation_trick(latent, chain.vectors), chain.terms.sum()

    def _standardize(self, content: Tensor) -> Tensor:
        return (content - self._content_center) / self._content_scale

    def _through_layers(self, start: Tensor, neighbours: Callable[[Tensor], Tensor]) -> Tensor:
        """Both layers; ``neighbours`` gives the mean of each node's neighbours."""
        nodes = start
        for layer in ("first", "second"):
            nodes = self._pass(layer, nodes, neighbours(nodes))
        return nodes + start if self.residual else nodes

    def _pass(self, layer: str, vectors: Tensor, neighbours: Tensor) -> Tensor:
        out = self._layers[layer](torch.cat([vectors, neighbours], dim=1))
        return leaky_relu(out) if layer == "first" else out

    def _pass_messages(self, content: Tensor, train: Sequences) -> Tensor:
        """Trains the layers; the items' outputs with all their neighbours."""
        num_items, num_users = len(content), len(train)
        items = torch.from_numpy(train.item_idx.astype("int64"))
        users = torch.from_numpy(train.user_idx.astype("int64"))
        graph = Neighbours(users + num_items, items, num_items + num_users)
        free = nn.Parameter(0.1 * torch.randn(num_users, self.graph_dim))
        optimizer = torch.optim.Adam([*self._layers.parameters(), free], lr=_LR)

        def outputs_of(shown: Tensor) -> Tensor:
            start = torch.cat([self._layers["content"](content), free])
            return self._through_layers(start, lambda nodes: shown * graph.means(nodes))

        num_steps = self.graph_steps
        if self.graph_epochs is not None:
            num_steps = math.ceil(self.graph_epochs * len(items) / max(min(_PAIRS, len(items)), 1))
        for _ in range(num_steps if len(items) else 0):
            nodes = outputs_of((torch.rand(num_items + num_users, 1) > _HIDDEN).float())
            pairs = torch.randint(len(items), (min(_PAIRS, len(items)),))
            untaken = torch.randint(num_items, (len(pairs), _UNTAKEN))
            user = nodes[users[pairs] + num_items]
            better = (user * nodes[items[pairs]]).sum(1, keepdim=True) - torch.einsum("pd,pnd->pn", user, nodes[untaken])
            loss = -logsigmoid(better).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return outputs_of(torch.ones(1))[:num_items].contiguous()


def _layers(dim: int, width: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {"content": nn.Linear(dim, width), "first": nn.Linear(2 * width, width), "second": nn.Linear(2 * width, width)}
    )


class Neighbours:
    """Means over the neighbours in an undirected graph; what is linked twice is linked once.

    Args:
        first, second: [links], the ends of each.
        num_nodes: of the graph; a node without neighbours gets zeros.
    """

    def __init__(self, first: Tensor, second: Tensor, num_nodes: int) -> None:
        ends = torch.stack([torch.cat([first, second]), torch.cat([second, first])]).unique(dim=1)
        degree = torch.bincount(ends[0], minlength=num_nodes)
        self._others, self._starts = ends[1].contiguous(), degree.cumsum(0) - degree
        self._share = 1 / degree.clamp(min=1).float().unsqueeze(1)

    def means(self, nodes: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        return _Sum.apply(nodes, self._others, self._starts) * self._share


class _Sum(Function):
    """Sums over neighbours, three times as fast as a sparse product: links go both ways, so gradients are sums as well."""

    @staticmethod
    def forward(ctx: Any, nodes: Tensor, others: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(others, starts)
        return embedding_bag(others, nodes, starts, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        others, starts = ctx.saved_tensors
        return embedding_bag(others, gradients[0].contiguous(), starts, mode="sum"), None, None
