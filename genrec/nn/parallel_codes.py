"""What generators share that predict the codes of all levels at once: their steps are look-ups, and beams add nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable


@dataclass(frozen=True)
class ParallelState:
    """All there is to know of the next item: no beam adds anything.

    Args:
        logits: per level [batch, 1, size].
        level: the level that the next step tells.
    """

    logits: tuple[Tensor, ...]
    level: int = 0


class ParallelCodes(nn.Module, ABC):
    """A ``ParallelGenerator``, and a ``MaskedGenerator`` that reads nothing of what is filled, from its ``level_logits``."""

    sids: SIDTable
    code_embedding: nn.Embedding  # all levels in one vocabulary

    @abstractmethod
    def level_logits(self, batch: Batch) -> tuple[Float[Tensor, "batch _"], ...]:
        """Logits of all levels for the next item of each history."""

    def code_vectors(self) -> tuple[Float[Tensor, "_ dim"], ...]:
        """The unit vectors of each level's codes."""
        return F.normalize(self.code_embedding.weight, dim=-1).split(self.sids.sizes)

    def prefill(self, batch: Batch) -> ParallelState:
        """Predicts all that there is to predict."""
        return ParallelState(tuple(logits.unsqueeze(1) for logits in self.level_logits(batch)))

    def step(
        self, state: ParallelState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], ParallelState]:
        """The logits of level ``state.level``, the same for every beam."""
        num_beams = 1 if codes is None else codes.shape[1]
        return state.logits[state.level].expand(-1, num_beams, -1), replace(state, level=state.level + 1)

    def reorder(self, state: ParallelState, index: Int64[Tensor, "batch beams"]) -> ParallelState:
        """Beams share everything."""
        return state

    def fill(
        self, state: ParallelState, codes: Int64[Tensor, "batch beams levels"]
    ) -> tuple[Float[Tensor, "batch beams _"], ...]:
        """The logits of all levels, whatever is filled."""
        return tuple(logits.expand(-1, codes.shape[1], -1) for logits in state.logits)
