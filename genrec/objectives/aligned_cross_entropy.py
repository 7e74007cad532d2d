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
from genrec.protocols import (
    AlignedGenerator,
    AsksAboutItems,
    AutoregressiveGenerator,
    Generator,
    LossTerms,
    Sampler,
    TargetLogits,
)

INDEX_TASKS = ("item2index", "next_index", "search", "candidates")
WORD_TASKS = ("index2item", "next_text", "preference", "next_title", "yes_no", "rating", "reason")
ABOUT_ITEMS = ("candidates", "yes_no", "rating", "reason")  # P5's


class AlignedCrossEntropy(SIDLoss):
    """L = L(next ID | history) + the weighted losses of other tasks, for items or histories drawn anew at every step.

    Items are drawn evenly from those with a text, histories from the batch. The authors concatenate sets of examples, which is
    this with weights for their numbers. Presets: ``six_tasks`` (LC-Rec), ``p5``, ``minionerec_sft``,
    ``next_title`` (BIGRec).

    Args:
        codebook_share: share of the codebook-wide term under trie normalization, in [0, 1] (see ``SIDCrossEntropy``).
        item2index_weight: of L(ID | text), 0 or more.
        index2item_weight: of L(text | ID), 0 or more.
        next_text_weight: of L(next text | history), 0 or more.
        next_index_weight: of L(next ID | texts of the history), 0 or more.
        search_weight: of L(ID | query, perhaps with a history), 0 or more.
        preference_weight: of L(what the user likes | history), 0 or more.
        next_title_weight: of L(next text | texts of the history), BIGRec's task, 0 or more.
        candidates_weight: of L(next ID | history, the next item among 19 others), P5's, 0 or more.
        yes_no_weight: of L(whether an item is the next one | history, item), P5's, 0 or more.
        rating_weight: of L(what a user said of an item | history, item), P5's, 0 or more; takes ``generator.rating_column``.
        reason_weight: of L(keywords that an item shares with the history | history, item), P5's, 0 or more.
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
        candidates_weight: float = 0.0,
        yes_no_weight: float = 0.0,
        rating_weight: float = 0.0,
        reason_weight: float = 0.0,
        codes_weight: float = 1.0,
        items_per_step: int = 32,
        histories_per_step: int = 32,
    ) -> None:
        super().__init__(trie=trie, codebook_share=codebook_share)
        self.item2index_weight, self.index2item_weight = item2index_weight, index2item_weight
        self.next_text_weight, self.next_index_weight = next_text_weight, next_index_weight
        self.search_weight, self.preference_weight = search_weight, preference_weight
        self.next_title_weight, self.codes_weight = next_title_weight, codes_weight
        self.candidates_weight, self.yes_no_weight = candidates_weight, yes_no_weight
        self.rating_weight, self.reason_weight = rating_weight, reason_weight
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
        if any(self.weights[task] for task in ABOUT_ITEMS):
            if not isinstance(generator, AsksAboutItems):
                raise ConfigError(
                    "objective",
                    expected=f"weights of 0 of {', '.join(ABOUT_ITEMS)}, of which the generator knows nothing",
                    got=type(generator).__name__,
                    fix="use generator=lc_rec, or objective=aligned_cross_entropy",
                )
            if self.rating_weight and generator.rating_column is None:
                raise ConfigError(
                    "objective.rating_weight",
                    expected="0 without a column of what users said",
                    got=self.rating_weight,
                    fix="give generator.rating_column=COLUMN and events.columns.COLUMN=number",
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
            if task in ("preference", "rating"):
                answer = getattr(generator, f"{task}_logits")(examples)
            else:
                answer = getattr(generator, f"{task}_logits")(examples, items)
        if isinstance(answer, TargetLogits):
            return self.code_loss(answer, generator.normalization)[0] if len(answer.items) else None
        logits, words = answer
        return F.cross_entropy(logits.float(), words) if len(words) else None


def _drawn(items: torch.Tensor, number: int) -> torch.Tensor:
    return items[torch.randint(len(items), (number,), device=items.device)]
