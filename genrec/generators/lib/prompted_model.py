"""A language model that goes on with a prompt and a history's codes: training in one pass, decoding over the trie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.generators.lib.prompt_tasks import HISTORY, PromptTasks
from genrec.nn.conditions import Conditions
from genrec.nn.language_model import Cache
from genrec.protocols import TargetLogits
from genrec.types import PAD


@dataclass(frozen=True)
class PromptState:
    """What a beam search carries. Keys and values are stored once per USER; a beam is a list of places among them.

    Args:
        hidden: [batch, beams, dim] of each beam's last token.
        cache: of the prompt, then of the codes that all beams have written, level by level.
        end: [batch], tokens of each prompt.
        path: [batch, beams, codes so far], where a beam's own codes stand in the cache.
        level: the level that the next step predicts.
        asked: [batch, 1, dim], what the request adds to the states; None: nothing.
    """

    hidden: Tensor
    cache: Cache
    end: Tensor
    path: Tensor
    level: int = 0
    asked: Tensor | None = None


class PromptedModel(PromptTasks):
    """Reads a prompt and a history, and writes IDs.

    What is known beside the items is added to vectors that are there anyway: a column of an event to the LAST code of its
    item, so that the item's own codes, which are predicted, do not hear it; a user to the last token of the prompt; a request
    to the states that its codes are predicted from.

    Args:
        schema: of the columns of events, requests and users; None: there are none.
        tasks: arguments of ``PromptTasks``.
    """

    def __init__(self, *, schema: EventSchema | None, **tasks: Any) -> None:
        super().__init__(schema=schema, **tasks)
        self.conditions = Conditions(schema=schema, dim=self.language_model.new_embedding.embedding_dim)

    @property
    def width(self) -> int:
        """Tokens of an item of a history."""
        return self.sids.num_levels + self.num_slots

    def history_prompt(self) -> tuple[str, tuple[int, ...]]:
        """What stands before a history's codes when recommending, as text and as tokens."""
        start = self.language_model.tokenizer.bos_token or ""
        return start + self.templates["seqrec_prompts"][0].split(HISTORY)[0].rstrip(), self.prompts["seqrec_prompts"][0].before

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target: one pass where the targets are what the histories go on with."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        streams, row, state = batch.streams()
        stream = streams.history
        context = _context(batch, stream, row)
        items = stream[row, state]
        prompt = self._draw_prompt("seqrec_prompts").before
        hidden = self.language_model.states(self._embedded(prompt, stream, context)[:, :-1])[:, len(prompt) - 1 :]
        hidden = hidden.unflatten(1, (-1, self.width))[:, :, : self.sids.num_levels]
        return self._of_items(items, self.conditions.add_request(hidden, context)[row, state])

    def _embedded(
        self, prompt: Sequence[int], items: Int64[Tensor, "batch time"], context: Batch
    ) -> Float[Tensor, "batch tokens dim"]:
        """The prompt and ``items``; where there is none, any codes, which no one before them sees.

        ``context`` has the columns of the first of the items, row by row.
        """
        start = self.language_model.embed(self._repeat(prompt, len(items)))
        if self.conditions.schema:
            start = torch.cat([start[:, :-1], self.conditions.add_user(start[0, -1], context).unsqueeze(1)], dim=1)
        codes = self.language_model.embed(self.codes[items.clamp(min=0)].flatten(1))
        codes = codes.unflatten(1, (items.shape[1], self.sids.num_levels))
        if self.conditions.schema:
            columns = self.conditions.add_columns(codes.new_zeros(*context.history.shape, codes.shape[-1]), context)
            columns = F.pad(columns, (0, 0, 0, items.shape[1] - columns.shape[1]))
            codes = torch.cat([codes[:, :, :-1], codes[:, :, -1:] + columns.unsqueeze(2)], dim=2)
        return torch.cat([start, self._with_slots(codes, items).flatten(1, 2)], dim=1)

    def _with_slots(
        self, codes: Float[Tensor, "batch time levels dim"], items: Int64[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width dim"]:
        """Adds what stands behind the codes of each item."""
        return codes

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> PromptState:
        """Reads each prompt once."""
        prompt = self._draw_prompt("seqrec_prompts").before
        hidden, cache = self.language_model.read_embedded(self._embedded(prompt, batch.history, batch))
        end = len(prompt) + batch.lengths * self.width
        row = torch.arange(len(batch), device=end.device)
        asked = None
        if self.conditions.schema:
            nothing = hidden.new_zeros(len(batch), batch.history.shape[1] + 1, hidden.shape[-1])
            asked = self.conditions.add_request(nothing, batch)[row, batch.lengths].unsqueeze(1)
        state = hidden[row, end - 1].unsqueeze(1)
        return PromptState(state, cache, end, path=end.new_empty(len(batch), 1, 0), asked=asked)

    def step(
        self, state: PromptState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], PromptState]:
        """Returns logits of level ``state.level`` for every beam, given the code each beam chose last."""
        level = state.level
        if codes is not None:
            num_read = state.cache[0][0].shape[2]
            position = torch.arange(num_read + codes.shape[1], device=codes.device)
            path = torch.cat([state.path, position[num_read:].expand_as(codes).unsqueeze(-1)], dim=-1)
            prompt = (position < state.end.unsqueeze(1)).unsqueeze(1)
            hidden, cache = self.language_model.read(
                codes + int(self.sids.level_offsets[level - 1]) + self.language_model.vocabulary,
                state.cache,
                position=(state.end + level - 1).unsqueeze(1).expand_as(codes),
                visible=prompt.repeat(1, codes.shape[1], 1).scatter(2, path, True),
            )
            state = replace(state, hidden=hidden, cache=cache, path=path)
        hidden = state.hidden if state.asked is None else state.hidden + state.asked
        return self._logits(hidden, level), replace(state, level=level + 1)

    def reorder(self, state: PromptState, index: Int64[Tensor, "batch beams"]) -> PromptState:
        """Beam ``j`` continues old beam ``index[:, j]``; no keys and values are copied."""
        row = torch.arange(len(index), device=index.device).unsqueeze(1)
        return replace(state, path=state.path[row, index])


def _context(batch: Batch, stream: Int64[Tensor, "rows states"], row: Int64[Tensor, " targets"]) -> Batch:
    """The batch with a row for each of its streams."""
    assert batch.targets is not None
    origin = (batch.targets != PAD).nonzero(as_tuple=True)[0]
    return batch if len(stream) == len(batch) and torch.equal(row, origin) else batch.rows(origin)
