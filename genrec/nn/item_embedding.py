"""One vector per item: the sum of its code embeddings, plus an identity embedding that only well-known items have."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.sids import SIDTable


class ItemIdentity(nn.Module):
    """Adds to vectors of items, as an option, who the items are.

    The identity embedding lets a model know a popular item beyond its codes (own design after an idea of H2Rec; see
    docs/methods/encdec.md). It is gated by ``n / (n + 5)`` for ``n`` training events, hence exactly zero for unseen items, and
    dropped as a whole with ``identity_dropout`` so that codes alone must work too.

    Args:
        num_items: of the catalogue.
        dim: width.
        identity: learn an identity embedding; without one, vectors pass as they are.
        identity_dropout: probability of hiding an item's identity in training.
        train_counts: [items] training events, needed with ``identity``.
    """

    GATE_EVENTS = 5.0
    gate: Tensor  # [items, 1]

    def __init__(
        self, *, num_items: int, dim: int, identity: bool, identity_dropout: float, train_counts: np.ndarray | None
    ) -> None:
        super().__init__()
        self._add_identity(num_items, dim, identity, identity_dropout, train_counts)

    def _add_identity(
        self, num_items: int, dim: int, identity: bool, identity_dropout: float, train_counts: np.ndarray | None
    ) -> None:
        self.identity_dropout = identity_dropout
        self.identity: nn.Embedding | None = None
        if identity:
            counts = np.zeros(num_items) if train_counts is None else np.asarray(train_counts)
            self.identity = nn.Embedding(num_items, dim)
            nn.init.zeros_(self.identity.weight)
            gate = torch.from_numpy(counts / (counts + self.GATE_EVENTS)).float()
            self.register_buffer("gate", gate.unsqueeze(-1), persistent=True)

    def with_identity(self, x: Float[Tensor, "*shape dim"], items: Int64[Tensor, "*#shape"]) -> Float[Tensor, "*shape dim"]:
        """Vectors of items and, with ``identity``, who they are."""
        if self.identity is None:
            return x
        identity = self.identity(items) * self.gate[items]
        if self.training and self.identity_dropout:
            identity = identity * (torch.rand_like(identity[..., :1]) >= self.identity_dropout)
        return x + identity


class ItemEmbedding(ItemIdentity):
    """Embeds items by their codes and, as an option, by who they are.

    Args:
        sids: the table.
        dim: width.
        identity: learn an identity embedding.
        identity_dropout: probability of hiding an item's identity in training.
        train_counts: [items] training events, needed with ``identity``.
    """

    tokens: Tensor  # [items, levels], codes of the IDs in one vocabulary
    content: Tensor  # [items, any number of levels], the codes that are embedded; those of the IDs, if there are no others

    def __init__(
        self, *, sids: SIDTable, dim: int, identity: bool, identity_dropout: float, train_counts: np.ndarray | None
    ) -> None:
        nn.Module.__init__(self)  # weights are drawn and listed in this order: codes, then identities
        self.codes = nn.Embedding(sids.content.num_tokens, dim)
        # Rows of about unit length: steps of AdamW then move them, and the identities beside them, within an epoch.
        nn.init.normal_(self.codes.weight, std=(dim * len(sids.content.sizes)) ** -0.5)
        # Facts of the table, not weights: they follow the table when items are added.
        self.register_buffer("tokens", torch.from_numpy(sids.tokens), persistent=False)
        self.register_buffer("content", torch.from_numpy(sids.content.tokens), persistent=False)
        self._add_identity(sids.num_items, dim, identity, identity_dropout, train_counts)

    def forward(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        return self.with_identity(self.sum_of_codes(items), items)

    def sum_of_codes(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """The items by their codes alone."""
        return self.codes(self.content[items]).sum(-2)

    def table(self) -> Float[Tensor, "items dim"]:
        """The vectors of all items."""
        return self(torch.arange(self.tokens.shape[0], device=self.tokens.device))
