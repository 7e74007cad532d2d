"""Everything that a model hears beside the items: columns of events, what a request says, and who the user is.

ONE module for all generators. It adds to vectors that a generator has anyway, and every addition starts at zero, so a model
that knows nothing of it is the model without it:

- to each event of the history, before the first layer: its columns;
- to the start of the history: the user, so that all states know it;
- to the state that a prediction starts from, after the last layer over the history: what is asked for there. The history itself
  never hears it, so a request changes its own prediction and no other.

In training each of the three is hidden at some places, which are chosen at random: the model learns to go without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import UNKNOWN, USER_CODES, Column, EventSchema

LARGEST = 4.0  # standard deviations at which a number is cut off, so that outliers do not outweigh all else


class ColumnEmbedding(nn.Module):
    """The sum of a vector for each column: looked up for a category; for a number two vectors, for its value and its square.

    Args:
        columns: to embed.
        dim: width.
    """

    def __init__(self, columns: Iterable[Column], *, dim: int) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.tables = nn.ParameterList(nn.Parameter(torch.zeros(column.num_codes or 3, dim)) for column in self.columns)

    def forward(self, values: Mapping[str, Tensor], hidden: Tensor | None = None) -> Float[Tensor, "*shape dim"]:
        """Returns the vectors of events, requests or users.

        Args:
            values: name -> [*shape]; a column that is not there is unknown.
            hidden: bool, places that are unknown whatever their values.
        """
        vectors = [
            self._vectors(column, table, values[column.name], hidden) if column.name in values else table[0]
            for column, table in zip(self.columns, self.tables, strict=True)
        ]
        return torch.stack(torch.broadcast_tensors(*vectors)).sum(0)

    def _vectors(self, column: Column, table: Tensor, values: Tensor, hidden: Tensor | None) -> Tensor:
        if column.num_codes:
            return F.embedding(values if hidden is None else values.masked_fill(hidden, UNKNOWN), table)
        is_missing = values.isnan() if hidden is None else values.isnan() | hidden
        number = values.nan_to_num().clamp(-LARGEST, LARGEST).masked_fill(is_missing, 0.0)
        return torch.stack([is_missing.to(table.dtype), number, number.square()], dim=-1).to(table.dtype) @ table


class Conditions(nn.Module):
    """Adds what is known beside the items; without a schema it has no weights and changes nothing.

    Args:
        schema: of the dataset; None: nothing is known.
        dim: width of the generator.
        hidden_share: share of the places where something known is hidden in training, in [0, 1).
        apart: a column of events that the generator reads by itself: ``add_columns`` leaves it out.
    """

    def __init__(self, *, schema: EventSchema | None, dim: int, hidden_share: float = 0.1, apart: str | None = None) -> None:
        super().__init__()
        schema = schema or EventSchema()
        self.schema, self.hidden_share = schema, hidden_share
        self.event_columns = None
        if columns := [column for column in schema.columns if column.name != apart]:
            self.event_columns = ColumnEmbedding(columns, dim=dim)
        if schema.request:
            self.request_columns = ColumnEmbedding([schema[name] for name in schema.request], dim=dim)
        if schema.users:
            self.user_columns = ColumnEmbedding(schema.users, dim=dim)
        if schema.user_codes:
            self.user_codes = nn.ParameterList(nn.Parameter(torch.zeros(size, dim)) for size in schema.user_codes)
        if schema.text_dim:
            last = nn.Linear(dim, dim, bias=False)
            nn.init.zeros_(last.weight)
            self.text = nn.Sequential(nn.Linear(schema.text_dim, dim), nn.GELU(), last)
            self.no_text = nn.Parameter(torch.zeros(dim))

    def add_columns(
        self, items: Float[Tensor, "batch time *tokens dim"], batch: Batch
    ) -> Float[Tensor, "batch time *tokens dim"]:
        """Adds to each event of the history its columns, alike to all its tokens."""
        if self.event_columns is None:
            return items
        return items + _aligned(self.event_columns(batch.columns, self._hidden(items, items.shape[0], 1)), items)

    def add_user(self, start: Float[Tensor, "*tokens dim"], batch: Batch) -> Float[Tensor, "batch *tokens dim"]:
        """Returns the start of each history: the learned one, and what is known of the user."""
        starts = start.expand(batch.history.shape[0], *start.shape)  # not len(batch): exporters give symbols for sizes
        if not (self.schema.users or self.schema.user_codes):
            return starts
        hidden = self._hidden(starts, batch.history.shape[0])
        if self.schema.users:
            starts = starts + _aligned(self.user_columns(batch.users, hidden), starts)
        if self.schema.user_codes and USER_CODES in batch.users:
            starts = starts + _aligned(self._of_codes(batch.users[USER_CODES], hidden), starts)
        return starts

    def add_request(
        self, states: Float[Tensor, "batch states *tokens dim"], batch: Batch
    ) -> Float[Tensor, "batch states *tokens dim"]:
        """Adds to each state what is asked for there; call it on what a prediction starts from, never on what others read."""
        if self.schema.request:
            some = next(iter(batch.request.values()), None)
            hidden = None if some is None else self._hidden(states, *some.shape)
            states = states + _aligned(self.request_columns(batch.request, hidden), states)
        if self.schema.text_dim:
            states = states + (self.no_text if batch.given is None else _aligned(self._text(batch.given), states))
        return states

    def _text(self, given: Float[Tensor, "batch states dim"]) -> Tensor:
        is_given = (given != 0).any(-1)
        hidden = self._hidden(given, *is_given.shape)
        is_given = is_given if hidden is None else is_given & ~hidden
        return torch.where(is_given.unsqueeze(-1), self.text(given), self.no_text)

    def _of_codes(self, codes: Tensor, hidden: Tensor | None) -> Float[Tensor, "batch dim"]:
        levels = [F.embedding(codes[:, level], table) for level, table in enumerate(self.user_codes)]
        vectors = torch.stack(levels).sum(0)
        return vectors if hidden is None else vectors.masked_fill(hidden.unsqueeze(-1), 0.0)

    def _hidden(self, like: Tensor, *shape: int) -> Tensor | None:
        """Places that are hidden in this step; None outside of training."""
        if not self.training or not self.hidden_share:
            return None
        return torch.rand(shape, device=like.device) < self.hidden_share


def _aligned(vectors: Tensor, tokens: Tensor) -> Tensor:
    """Returns ``vectors`` with dimensions of size one for the tokens of an event, so that both can be added."""
    if vectors.ndim == 1:  # alike everywhere
        return vectors
    while vectors.ndim < tokens.ndim:
        vectors = vectors.unsqueeze(-2)
    return vectors
