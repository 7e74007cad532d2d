"""InfoNCE: each row must find its partner among a batch's."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

TEMPERATURE = 0.07


def scores(first: Float[Tensor, "rows dim"], second: Float[Tensor, "others dim"]) -> Float[Tensor, "rows others"]:
    """Cosines, as logits."""
    return normalize(first) @ normalize(second).T / TEMPERATURE


def contrast(first: Float[Tensor, "rows dim"], second: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """Cross-entropy of row i of one picking row i of the other, in both directions."""
    logits, own = scores(first, second), torch.arange(len(first))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
