"""From logits to log-probabilities of the children of trie nodes: the one place where normalization is decided."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.types import Normalization


def child_log_probs(
    logits: Float[Tensor, "*nodes size"],
    child_codes: Int64[Tensor, "*nodes width"],
    real: Bool[Tensor, "*nodes width"],
    normalization: Normalization,
) -> Float[Tensor, "*nodes width"]:
    """Log-probability of each child of each node; -inf where the family is padded.

    With "trie" the children that EXIST share the whole mass, whatever is filtered afterwards: a filter must not raise the
    scores of what it leaves. With "codebook" codes without items keep their mass, as in training.
    """
    chosen = logits.gather(-1, child_codes).masked_fill(~real, float("-inf"))
    total = chosen if normalization == "trie" else logits
    return chosen - torch.logsumexp(total, dim=-1, keepdim=True)
