"""Cross-entropy on hidden codes, for generators that fill them in in any order (docs/methods/masked_diffusion.md)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.protocols import DenoisingGenerator, Generator, LossTerms, Sampler
from genrec.types import PAD


class MaskedCrossEntropy:
    """L = mean over the hidden codes of a target's views of -log p(code | codes that the view shows, history).

    With ``mask: random`` a target has one view, which hides 1 to all levels, any number and any choice being equally likely.
    In expectation that is 1 / levels of -log p(item | history), the codes written in random order, averaged over all orders.

    With ``mask: guided_least`` (DiffGRM) it has as many views as levels; view t hides the t codes that the generator, seeing
    the history alone, is least sure of. So every view is one that a search which writes the surest code first may come by, and
    the unsure codes are learned most. This costs one pass without gradients more, and views times the decoder's work.

    Args:
        mask: how to choose what is hidden.
        label_smoothing: mass spread over the codebook, in [0, 1).

    Raises:
        ConfigError: for label smoothing out of range.
    """

    def __init__(
        self, *, trie: PrefixTrie, mask: Literal["random", "guided_least"] = "guided_least", label_smoothing: float = 0.1
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ConfigError("objective.label_smoothing", expected="in [0, 1)", got=label_smoothing, fix="lower it")
        self.trie, self.mask, self.label_smoothing = trie, mask, label_smoothing

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        if not isinstance(generator, DenoisingGenerator):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}",
                got="masked_cross_entropy",
                fix="leave objective to the generator's default",
            )

    def loss(self, generator: Any, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        if self.trie.device != batch.history.device:
            self.trie = self.trie.to(batch.history.device)
        assert batch.targets is not None
        codes = self.trie.codes(self.trie.paths(batch.targets[batch.targets != PAD])[:, 1:])  # [targets, levels]
        hidden = self._random(codes) if self.mask == "random" else self._least_sure(generator, batch, codes)
        logits = generator.denoise(batch, codes.unsqueeze(1).masked_fill(hidden, PAD))
        weight = hidden / hidden.sum(dim=(1, 2), keepdim=True)  # a target's hidden codes share it
        total = torch.zeros((), device=codes.device)
        parts = {}
        for level, level_logits in enumerate(logits):
            here = hidden[..., level]
            labels = codes[:, level].unsqueeze(1).expand_as(here)[here]
            loss = F.cross_entropy(level_logits[here].float(), labels, reduction="none", label_smoothing=self.label_smoothing)
            parts[f"level_{level}"] = loss.detach().sum() / max(len(loss), 1)
            total = total + (loss * weight[..., level][here]).sum() / len(codes)
        return LossTerms(total, parts)

    def _random(self, codes: Int64[Tensor, "targets levels"]) -> Bool[Tensor, "targets 1 levels"]:
        num_targets, num_levels = codes.shape
        number = torch.randint(1, num_levels + 1, (num_targets, 1), device=codes.device)
        rank = torch.rand(codes.shape, device=codes.device).argsort(dim=1).argsort(dim=1)
        return (rank < number).unsqueeze(1)

    def _least_sure(
        self, generator: Any, batch: Batch, codes: Int64[Tensor, "targets levels"]
    ) -> Bool[Tensor, "targets views levels"]:
        was_training = generator.training
        generator.eval()  # what is sure should not depend on dropout
        with torch.no_grad():
            logits = generator.denoise(batch, torch.full_like(codes, PAD).unsqueeze(1))
        generator.train(was_training)
        sure = torch.cat([level_logits.float().softmax(dim=-1).amax(dim=-1) for level_logits in logits], dim=1)
        rank = sure.argsort(dim=1).argsort(dim=1).unsqueeze(1)  # 0: the least
        return rank < torch.arange(1, codes.shape[1] + 1, device=codes.device).view(1, -1, 1)
