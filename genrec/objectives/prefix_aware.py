"""Prefix-aware cross-entropy: the levels at which a beam search loses targets count more (APAO, arXiv 2603.02730).

Sources and departures: docs/methods/apao.md.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.lib.sid_loss import SIDLoss


class PrefixAware(SIDLoss):
    """L = cross-entropy + beta sum over t of w(t) L(t), L(t) = -(1/t) log p(first t codes): what is lost early stays lost.

    The weights follow the losses of the batch and carry no gradient: w(t) ~ L(t) exp(eta L(t)). This is the paper's point-wise
    form. Its pair-wise form sets the target's prefix against those of sampled items; with trie normalization the probabilities
    of all prefixes of a length sum to one already, so that over all of them it is the point-wise one (a test says so).

    Args:
        prefix_weight: beta, 0 or more.
        prefix_sharpness: eta; 0 is what the authors' code ships.
        codebook_share: see ``SIDCrossEntropy``, as the rest.
        label_smoothing: likewise.
        item_weight: likewise.
        item_negatives: likewise.
        item_popular_share: likewise.
        distillation_weight: likewise.

    Raises:
        ConfigError: for a negative weight.
    """

    shares_batches: ClassVar[bool] = False  # how much a prefix counts is decided by the losses of the whole batch

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        train_counts: np.ndarray | None = None,
        prefix_weight: float = 0.1,
        prefix_sharpness: float = 0.0,
        codebook_share: float = 0.1,
        label_smoothing: float = 0.0,
        item_weight: float = 0.0,
        item_negatives: int | None = None,
        item_popular_share: float = 0.0,
        distillation_weight: float = 0.0,
    ) -> None:
        super().__init__(
            trie=trie,
            train_counts=train_counts,
            codebook_share=codebook_share,
            label_smoothing=label_smoothing,
            item_weight=item_weight,
            item_negatives=item_negatives,
            item_popular_share=item_popular_share,
            distillation_weight=distillation_weight,
        )
        if prefix_weight < 0:
            raise ConfigError("objective.prefix_weight", expected="0 or more", got=prefix_weight, fix="raise it")
        self.prefix_weight, self.prefix_sharpness = prefix_weight, prefix_sharpness

    def over_levels(self, losses: Float[Tensor, " levels"]) -> Float[Tensor, ""]:
        """Cross-entropy and the weighted mean over prefixes."""
        length = torch.arange(1, len(losses) + 1, device=losses.device)
        prefixes = losses.cumsum(0) / length
        lost = prefixes.detach().clamp(min=0)
        weights = lost * torch.exp(self.prefix_sharpness * (lost - lost.max()))
        weights = weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
        return losses.mean() + self.prefix_weight * (weights * prefixes).sum()
