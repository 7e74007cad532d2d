"""Cross-entropy on hidden codes, for generators that fill them in in any order (docs/methods/masked_diffusion.md)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.nn.code_index import CodeIndex
from genrec.protocols import DenoisingGenerator, FillsLast, Generator, LossTerms, Sampler
from genrec.types import PAD

_RISE = 0.5  # share of training in which masks grow
_HARD = 1 / 3  # share of the targets that count as hard


class MaskedCrossEntropy:
    """L = mean over the hidden codes of a target's views of -log p(code | codes that the view shows, history).

    With ``mask: random`` a target has one view, which hides 1 to all levels, any number and any choice being equally likely.
    In expectation that is 1 / levels of -log p(item | history), the codes written in random order, averaged over all orders.

    With ``mask: guided_least`` (DiffGRM) it has as many views as levels; view t hides the t codes that the generator, seeing
    the history alone, is least sure of. So every view is one that a search which writes the surest code first may come by, and
    the unsure codes are learned most. This costs one pass without gradients more, and views times the decoder's work.

    With ``mask: rising`` (MDGR) a target has one view as with ``random``, but views with few hidden codes die out: the least
    number rises from 1 to ``least_hidden_share`` of the levels in the first half of training, and the third of a batch that the
    generator, seeing the history alone, finds hardest has one code more hidden. This costs one pass without gradients more.

    A level that the generator fills in last (``number_last``) is hidden in every view, and is learned from those views alone
    that show all other codes. With ``normalization: trie`` only the codes of items that agree with what a view shows have a
    share of the mass, of what is smoothed too.

    Args:
        mask: how to choose what is hidden.
        label_smoothing: mass spread over the codebook, in [0, 1).
        least_hidden_share: of ``mask: rising``: least share of the levels that is hidden from half of training on, in [0, 1].
            Decoding comes by views that show as many codes as it fills one by one.

    Raises:
        ConfigError: for label smoothing or a share out of range.
    """

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        mask: Literal["random", "guided_least", "rising"] = "guided_least",
        label_smoothing: float = 0.1,
        least_hidden_share: float = 0.5,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ConfigError("objective.label_smoothing", expected="in [0, 1)", got=label_smoothing, fix="lower it")
        if not 0 <= least_hidden_share <= 1:
            raise ConfigError(
                "objective.least_hidden_share", expected="in [0, 1]", got=least_hidden_share, fix="0.5 is the default"
            )
        self.trie, self.mask, self.label_smoothing, self.least_hidden_share = trie, mask, label_smoothing, least_hidden_share
        self.progress = 0.0  # of training; set before every step
        self._index: CodeIndex | None = None

    @property
    def shares_batches(self) -> bool:
        """Whether rows do not depend on each other; rising masks hide more of the hardest third of a batch."""
        return self.mask != "rising"

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
            self.trie, self._index = self.trie.to(batch.history.device), None
        assert batch.targets is not None
        codes = self.trie.codes(self.trie.paths(batch.targets[batch.targets != PAD])[:, 1:])  # [targets, levels]
        last_level = generator.last_level if isinstance(generator, FillsLast) else None
        hidden = self._hidden(generator, batch, codes, last_level)
        learned = hidden.clone()
        if last_level is not None:
            learned[..., last_level] &= hidden.sum(dim=2) == 1
        shown = codes.unsqueeze(1).masked_fill(hidden, PAD)
        logits = generator.denoise(batch, shown)
        exists = self._existing(shown) if generator.normalization == "trie" else None
        weight = learned / learned.sum(dim=(1, 2), keepdim=True)  # a target's learned codes share it
        total = torch.zeros((), device=codes.device)
        parts = {}
        for level, level_logits in enumerate(logits):
            here = learned[..., level]
            labels = codes[:, level].unsqueeze(1).expand_as(here)[here]
            loss = self._loss(level_logits[here].float(), labels, None if exists is None else exists[level][here])
            parts[f"level_{level}"] = loss.detach().sum() / max(len(loss), 1)
            total = total + (loss * weight[..., level][here]).sum() / len(codes)
        return LossTerms(total, parts)

    def _hidden(
        self, generator: Any, batch: Batch, codes: Int64[Tensor, "targets levels"], last_level: int | None
    ) -> Bool[Tensor, "targets views levels"]:
        if self.mask == "random":
            return self._random(codes, last_level)
        alone = self._from_history(generator, batch, codes)
        return self._least_sure(alone, last_level) if self.mask == "guided_least" else self._rising(alone, codes, last_level)

    def _random(self, codes: Int64[Tensor, "targets levels"], last_level: int | None) -> Bool[Tensor, "targets 1 levels"]:
        num_targets, num_levels = codes.shape
        number = torch.randint(1, num_levels + 1, (num_targets, 1), device=codes.device)
        return (_ranks(torch.rand(codes.shape, device=codes.device), last_level) < number).unsqueeze(1)

    def _least_sure(
        self, alone: tuple[Float[Tensor, "targets _"], ...], last_level: int | None
    ) -> Bool[Tensor, "targets views levels"]:
        sure = torch.stack([of_level.softmax(dim=-1).amax(dim=-1) for of_level in alone], dim=1)
        rank = _ranks(sure, last_level).unsqueeze(1)  # 0: the least
        return rank < torch.arange(1, sure.shape[1] + 1, device=sure.device).view(1, -1, 1)

    def _rising(
        self,
        alone: tuple[Float[Tensor, "targets _"], ...],
        codes: Int64[Tensor, "targets levels"],
        last_level: int | None,
    ) -> Bool[Tensor, "targets 1 levels"]:
        num_targets, num_levels = codes.shape
        if last_level is not None:
            num_levels -= 1
        least = 1 + (self.least_hidden_share * num_levels - 1) * min(self.progress / _RISE, 1.0)
        pairs = zip(alone, codes.T, strict=True)
        loss = torch.stack([F.cross_entropy(of_level, level_codes, reduction="none") for of_level, level_codes in pairs])
        if last_level is not None:
            loss[last_level] = 0.0
        hard = _ranks(loss.sum(dim=0).unsqueeze(0), None).squeeze(0) >= (1 - _HARD) * num_targets
        draw = torch.rand(num_targets, 2, device=codes.device)
        number = (least + draw[:, 0] * (num_levels + 1 - least)).long() + hard
        number = number.clamp(1, num_levels)
        if last_level is not None:  # all codes are shown for one target in as many as there are levels
            number = torch.where(draw[:, 1] * codes.shape[1] < 1, 1, number + 1)
        return (_ranks(torch.rand(codes.shape, device=codes.device), last_level) < number.unsqueeze(1)).unsqueeze(1)

    def _from_history(
        self, generator: Any, batch: Batch, codes: Int64[Tensor, "targets levels"]
    ) -> tuple[Float[Tensor, "targets _"], ...]:
        """Logits of each level, seeing the history alone."""
        was_training = generator.training
        generator.eval()  # what is sure should not depend on dropout
        with torch.no_grad():
            logits = generator.denoise(batch, torch.full_like(codes, PAD).unsqueeze(1))
        generator.train(was_training)
        return tuple(of_level[:, 0].float() for of_level in logits)

    def _existing(self, shown: Int64[Tensor, "targets views levels"]) -> tuple[Bool[Tensor, "targets views _"], ...]:
        if self._index is None:
            self._index = CodeIndex(self.trie)
        return tuple(exists.unflatten(0, shown.shape[:2]) for exists in self._index.existing(shown.flatten(0, 1)))

    def _loss(
        self, logits: Float[Tensor, "rows size"], labels: Int64[Tensor, " rows"], exists: Bool[Tensor, "rows size"] | None
    ) -> Float[Tensor, " rows"]:
        if exists is None:
            return F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        log_probs = logits.masked_fill(~exists, float("-inf")).log_softmax(dim=-1)
        even = log_probs.masked_fill(~exists, 0.0).sum(dim=-1) / exists.sum(dim=-1)
        right = log_probs.gather(1, labels.unsqueeze(1)).squeeze(1)
        return -((1 - self.label_smoothing) * right + self.label_smoothing * even)


def _ranks(values: Float[Tensor, "rows levels"], last_level: int | None) -> Int64[Tensor, "rows levels"]:
    """Each row's ranks, 0 for the smallest value; what is written last is first to be hidden."""
    if last_level is not None:
        values = values.index_fill(1, torch.tensor([last_level], device=values.device), float("-inf"))
    return values.argsort(dim=1).argsort(dim=1)
