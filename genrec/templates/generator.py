"""mine: a recurrent network that scores all items. Change it into yours; the contract suite says when it is one."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.protocols import TargetLogits
from genrec.types import PAD


class Mine(nn.Module):
    """An item scorer: the state of a GRU against a tied table of item embeddings.

    A generator of semantic IDs has ``prefill``, ``step`` and ``reorder`` instead of ``score`` (``AutoregressiveGenerator``).

    Args:
        num_items: of the catalogue; genrec supplies it.
        dim: model width.
        dropout: of the inputs, in [0, 1).
        max_history_len: longest history, in items.
    """

    needs: ClassVar[frozenset[str]] = frozenset()  # of {"sids", "encoder"}

    def __init__(self, *, num_items: int, dim: int = 64, dropout: float = 0.2, max_history_len: int = 50) -> None:
        super().__init__()
        self.max_history_len = max_history_len
        self.items = nn.Embedding(num_items, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.start = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.GRU(dim, dim, batch_first=True)

    def states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        """Returns states of which number ``t`` has seen the start and the first ``t`` items of the history."""
        start = self.start.expand(len(batch), 1, -1)
        inputs = torch.cat([start, self.items(batch.history.clamp(min=0))], dim=1)
        states: Tensor = self.recurrent(self.dropout(inputs))[0]
        return states

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns what is trained: a query at every target of the batch."""
        assert batch.targets is not None
        is_target = batch.targets != PAD
        return TargetLogits(batch.targets[is_target], item_queries=self.states(batch)[is_target])

    def item_table(self) -> Float[Tensor, "items dim"]:
        """Returns the vectors that queries are multiplied with."""
        return self.items.weight

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Returns scores of all items as the next one of each history."""
        last = self.states(batch)[torch.arange(len(batch), device=batch.lengths.device), batch.lengths]
        return last @ self.items.weight.T
