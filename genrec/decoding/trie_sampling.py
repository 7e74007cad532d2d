"""Samples distinct items from the generator's distribution: for exploration, and for objectives that learn from samples.

Stochastic beam search (arXiv 1903.06059): see docs/methods/trie_sampling.md.

Stochastic beam search: every prefix carries the largest perturbed log-probability of what lies below it (a Gumbel variable),
and its children's are drawn given that maximum, so that the k best leaves by it are k items drawn without replacement - with k
beams, not one tree walk a sample.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import log_group_size
from genrec.decoding.lib.search import search
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest


class TrieSampling:
    """Draws ``k`` IDs without replacement, level by level among the codes that lead to something allowed.

    Scores are the generator's log-probabilities, the order is that of the draw. The noise is a function of the seed, the
    history and the prefix: the same call gives the same sample, in whatever batch the user stands.

    Args:
        temperature: of each level's distribution; below 1 sharper.
        top_p: each level keeps the most probable codes up to this mass, the one that crosses it included. Below 1 there may be
            fewer than ``k`` items left to draw.
        seed: another one, another sample.
    """

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> None:
        if not temperature > 0:
            raise ConfigError("decoding.temperature", expected="above 0", got=temperature, fix="raise it, or use trie_beam")
        if not 0 < top_p <= 1:
            raise ConfigError("decoding.top_p", expected="in (0, 1]", got=top_p, fix="1 keeps everything")
        self.temperature, self.top_p, self.seed = temperature, top_p, seed

    def check(self, k: int) -> None:
        """Any number of items can be drawn."""

    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Draws ``request.k`` items for every history of the batch."""
        user = _fingerprint(request.batch, self.seed)
        log_prob, largest = (torch.zeros(len(user), 1, device=user.device) for _ in range(2))

        def choose(keys: Tensor, nodes: Tensor, level: int) -> Tensor:
            nonlocal log_prob, largest
            # IDs are drawn: the items that share one do not share its chance.
            whole = keys + log_group_size(trie, nodes) if level == trie.num_levels - 1 else keys
            drawn = log_prob.unsqueeze(-1) + self._distribution(whole)
            perturbed = _below(largest, drawn, drawn + _gumbel(user.view(-1, 1, 1) + nodes))
            best, chosen = perturbed.flatten(1).topk(min(request.k, perturbed[0].numel()), dim=1)
            log_prob, largest = drawn.flatten(1).gather(1, chosen), best
            keys.masked_fill_(perturbed == float("-inf"), float("-inf"))  # what the nucleus cut off is dead
            return chosen

        return search(generator, trie, request, choose)

    def _distribution(self, keys: Float[Tensor, "batch beams width"]) -> Float[Tensor, "batch beams width"]:
        """Log-probabilities of the open children of each node; -inf elsewhere."""
        closed = keys == float("-inf")
        logits = torch.where(closed.all(-1, keepdim=True), 0.0, keys) / self.temperature
        log_probs = logits.log_softmax(-1)
        if self.top_p < 1:
            descending, order = log_probs.sort(dim=-1, descending=True)
            before = descending.exp().cumsum(-1) - descending.exp()
            log_probs = log_probs.masked_fill(torch.zeros_like(closed).scatter(-1, order, before >= self.top_p), float("-inf"))
            log_probs = log_probs - log_probs.logsumexp(-1, keepdim=True)
        return log_probs.masked_fill(closed, float("-inf"))


def _below(
    largest: Float[Tensor, "batch beams"], drawn: Float[Tensor, "batch beams width"], noisy: Float[Tensor, "batch beams width"]
) -> Float[Tensor, "batch beams width"]:
    """Perturbed log-probabilities of children, given that their maximum is their parent's; -inf for the impossible ones."""
    top = noisy.amax(-1, keepdim=True)
    top = torch.where(top == float("-inf"), 0.0, top)
    gap = largest.unsqueeze(-1) - noisy + torch.log1p(-torch.exp(noisy - top).clamp(max=1))
    moved = largest.unsqueeze(-1) - gap.clamp(min=0) - torch.log1p(torch.exp(-gap.abs()))
    return moved.masked_fill(drawn == float("-inf"), float("-inf"))


def _fingerprint(batch: Batch, seed: int) -> Int64[Tensor, " batch"]:
    """A number for each history; padding does not enter."""
    position = torch.arange(1, batch.history.shape[1] + 1, device=batch.history.device)
    return _mix_bits(
        (_mix_bits((batch.history + 1) * position) * (batch.history >= 0)).sum(1) + _mix_bits(batch.lengths + (seed << 20))
    )


def _gumbel(number: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Standard Gumbel noise, a function of each number."""
    uniform = ((_mix_bits(number) & ((1 << 53) - 1)).double() + 0.5) / (1 << 53)
    return -torch.log(-torch.log(uniform)).float()


def _mix_bits(number: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """The finalizer of splitmix64 (a public-domain generator): equal in, equal out, and nothing else alike."""
    number = number * -7046029254386353131
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685), (31, 1)):
        number = (number ^ ((number >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return number
