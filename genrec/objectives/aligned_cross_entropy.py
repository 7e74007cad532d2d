"""Cross-entropy on semantic IDs, and on what aligns them with the items' texts (LC-Rec; see docs/methods/lc_rec.md)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.lib.policy import draw_examples
from genrec.objectives.lib.sid_loss import SIDLoss
from genrec.protocols import AlignedGenerator, AutoregressiveGenerator, Generator, LossTerms, Sampler, TargetLogits

WORD_TASKS, INDEX_TASKS = ("index2item", "next_text", "preference", "next_title"), ("item2index", "next_index", "search")


class AlignedCrossEntropy(SIDLoss):
    """L = L(next ID | history) + the weighted losses of other tasks, for items or histories drawn anew at every step.

    Items are drawn evenly from those with a text, histories from the batch. The authors concatenate sets of examples, which is
    this with weights for their numbers. ``six_tasks`` is the preset with all of them.

    Args:
        codebook_share: share of the codebook-wide term under trie normalization, in [0, 1] (see ``SIDCrossEntropy``).
        item2index_weight: of L(ID | text), 0 or more.
        index2item_weight: of L(text | ID), 0 or more.
        next_text_weight: of L(next text | history), 0 or more.
        next_index_weight: of L(next ID | texts of the history), 0 or more.
        search_weight: of L(ID | query, perhaps with a history), 0 or more.
        preference_weight: of L(what the user likes | history), 0 or more.
        next_title_weight: of L(next text | texts of the history), BIGRec's task, 0 or more.
        codes_weight: of L(next ID | history), 0 or more.
        items_per_step: how many items are drawn.
        histories_per_step: how many histories are drawn for each task that reads them.

    Raises:
        ConfigError: for a negative weight, or no items or histories.
    """

    weighs_targets: ClassVar[bool] = False

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        codebook_share: float = 0.1,
        item2index_weight: float = 1.0,
        index2item_weight: float = 1.0,
        next_text_weight: float = 0.0,
        next_index_weight: float = 0.0,
        search_weight: float = 0.0,
        preference_weight: float = 0.0,
        next_title_weight: float = 0.0,
        codes_weight: float = 1.0,
        items_per_step: int = 32,
        histories_per_step: int = 32,
    ) -> None:
        super().__init__(trie=trie, codebook_share=codebook_share)
        self.item2index_weight, self.index2item_weight = item2index_weight, index2item_weight
        self.next_text_weight, self.next_index_weight = next_text_weight, next_index_weight
        self.search_weight, self.preference_weight = search_weight, preference_weight
        self.next_title_weight, self.codes_weight = next_title_weight, codes_weight
        self.items_per_step, self.histories_per_step = items_per_step, histories_per_step
        for task, weight in (self.weights | {"codes": codes_weight}).items():
            if weight < 0:
                raise ConfigError(f"objective.{task}_weight", expected="0 or more", got=weight, fix="raise it")
        for key in ("items_per_step", "histories_per_step"):
            if getattr(self, key) < 1:
                raise ConfigError(f"objective.{key}", expected="1 or more", got=getattr(self, key), fix="raise it")

    @property
    def weights(self) -> dict[str, float]:
        """Task -> weight of its loss."""
        return {task: getattr(self, f"{task}_weight") for task in (*INDEX_TASKS, *WORD_TASKS)}

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the generator reads no texts, or there are none."""
        if not isinstance(generator, AlignedGenerator):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}, which reads no texts",
                got="aligned_cross_entropy",
                fix="use generator=lc_rec, or the objective that your generator's yaml names",
            )
        if any(self.weights.values()) and not len(generator.described()):
            raise ConfigError(
                "objective",
                expected="items with texts, or the weights of all tasks 0",
                got="no text in any item",
                fix="name a column with texts in generator.text_column, or use objective=sid_cross_entropy",
            )

    def loss(self, generator: AutoregressiveGenerator, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target and level, plus the weighted mean losses of the other tasks."""
        assert isinstance(generator, AlignedGenerator)  # check() refused others
        total: Tensor = torch.zeros((), device=batch.history.device)
        parts: dict[str, Tensor] = {}
        if self.codes_weight:
            codes, parts = self.code_loss(generator.target_logits(batch), generator.normalization)
            total = codes if self.codes_weight == 1 else self.codes_weight * codes
        for task, weight in self.weights.items():
            loss = self._task_loss(task, generator, batch) if weight else None
            if loss is not None:
                total, parts[task] = total + weight * loss, loss.detach()
        return LossTerms(total, parts)

    def _task_loss(self, task: str, generator: AlignedGenerator, batch: Batch) -> Float[Tensor, ""] | None:
        """The mean loss of a task on examples drawn for it; None where none of them has a text."""
        if task in ("item2index", "index2item"):
            items = _drawn(generator.described(), self.items_per_step)
            answer = generator.index_logits(items) if task == "item2index" else generator.text_logits(items)
        else:
            examples, items = draw_examples(batch, self.histories_per_step)
            if task == "preference":
                answer = generator.preference_logits(examples)
            else:
                answer = getattr(generator, f"{task}_logits")(examples, items)
        if isinstance(answer, TargetLogits):
            return self.code_loss(answer, generator.normalization)[0] if len(answer.items) else None
        logits, words = answer
        return F.cross_entropy(logits.float(), words) if len(words) else None


def _drawn(items: torch.Tensor, number: int) -> torch.Tensor:
    return items[torch.randint(len(items), (number,), device=items.device)]
