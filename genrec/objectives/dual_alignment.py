"""Item cross-entropy, while ids and codes of an item learn to say the same (H2Rec; see docs/methods/h2rec.md)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.dataset import Sequences
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.lib.item_softmax import item_cross_entropy, option_of
from genrec.protocols import DualBranchScorer, Generator, LossTerms, Sampler

REACH, OFTEN = 3, 2  # companions stand at most so far apart, at least so often
LEAST = 0.3  # weight of the weakest companion; that of an item itself is 1


class DualAlignment:
    """L = CE over items + align_weight * InfoNCE(ids, codes) + view_weight * consistency of a masked view.

    The InfoNCE finds an item's codes by its id among those of the batch's targets, and the other way round. Right answers are
    the item itself, items with the same codes, and companions: items that stand near it in several training sequences, weighted
    by their PPMI. The masked view is a history whose least important levels are hidden: its state should be near to that of
    the whole history, and as near to the others' as their states are to each other.

    Args:
        trie: of the catalogue.
        train_sequences: the training part; None: no companions.
        align_weight: of the InfoNCE.
        view_weight: of the consistency.
        temperature: what cosines are divided by, above 0.
    """

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        train_sequences: Sequences | None = None,
        align_weight: float = 0.1,
        view_weight: float = 0.1,
        temperature: float = 0.1,
    ) -> None:
        self.align_weight, self.view_weight, self.temperature = align_weight, view_weight, temperature
        self.companions = None if train_sequences is None else companions(train_sequences, trie.num_items)

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        if not isinstance(generator, DualBranchScorer):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}, which has no branch of ids beside one of codes",
                got=option_of(self),
                fix="use generator=dual_branch",
            )

    def loss(self, generator: DualBranchScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        logits, table = generator.target_logits(batch), generator.item_table()
        assert logits.item_queries is not None  # check() refused others
        item = item_cross_entropy(logits.item_queries, table, logits.items)
        total, parts = item, {"item": item.detach()}
        if self.align_weight:
            items = logits.items.unique()
            ids, codes = table[items].chunk(2, dim=-1)
            align = self._align(ids, codes, self._answers(items, generator))
            total, parts = total + self.align_weight * align, parts | {"align": align.detach()}
        masked = generator.masked_queries(batch) if self.view_weight else None
        if masked is not None:
            view = self._agree(masked, logits.item_queries.chunk(2, dim=-1)[1])
            total, parts = total + self.view_weight * view, parts | {"view": view.detach()}
        return LossTerms(total, parts)

    def _answers(self, items: Int64[Tensor, " some"], generator: DualBranchScorer) -> Float[Tensor, "some some"]:
        """Weights of the right answers to each item, as shares."""
        rows = items.cpu().numpy()
        codes = generator.sids.content_codes.codes[rows]
        weights = (codes[:, None] == codes).all(-1).astype(np.float32)
        if self.companions is not None:
            weights = np.maximum(weights, self.companions[rows][:, rows].toarray())
        return torch.from_numpy(weights / weights.sum(1, keepdims=True)).to(items.device)

    def _align(self, ids: Tensor, codes: Tensor, answers: Float[Tensor, "some some"]) -> Float[Tensor, ""]:
        cosines = F.normalize(ids, dim=-1) @ F.normalize(codes, dim=-1).T
        logits = cosines.float() / self.temperature
        return (F.cross_entropy(logits, answers) + F.cross_entropy(logits.T, answers)) / 2

    def _agree(self, masked: Float[Tensor, "targets dim"], whole: Float[Tensor, "targets dim"]) -> Float[Tensor, ""]:
        masked, whole = F.normalize(masked, dim=-1), F.normalize(whole, dim=-1)
        logits = (masked @ whole.T).float() / self.temperature
        with torch.no_grad():
            likeness = (masked @ masked.T + whole @ whole.T).float() / (2 * self.temperature)
            answers = torch.softmax(likeness, dim=-1)
        return (F.cross_entropy(logits, answers) + F.cross_entropy(logits.T, answers)) / 2


def companions(sequences: Sequences, num_items: int) -> sparse.csr_array:
    """Items that stand near each other: PPMI of their counts, scaled to [LEAST, 1]."""
    items, users = sequences.item_idx, sequences.user_idx
    near = [
        (items[:-step][same], items[step:][same])
        for step in range(1, REACH + 1)
        if (same := users[:-step] == users[step:]).any()
    ]
    if not near:
        return sparse.csr_array((num_items, num_items), dtype=np.float32)
    first, second = (np.concatenate(side) for side in zip(*near, strict=True))
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    pairs = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(num_items, num_items)).tocsr().tocoo()
    margin = pairs.sum(0)
    often = (pairs.data >= OFTEN) & (pairs.row != pairs.col)
    row, column, count = pairs.row[often], pairs.col[often], pairs.data[often]
    information = np.log(count * margin.sum() / (margin[row] * margin[column]))
    positive = information > 0
    weights = LEAST + (1 - LEAST) * information[positive] / information.max(initial=1e-12)
    entries = (weights.astype(np.float32), (row[positive], column[positive]))
    return sparse.coo_array(entries, shape=(num_items, num_items)).tocsr()
