"""The level-by-level search that all strategies with beams share; what they choose at each level is theirs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.decoding.leaves import items_of_leaves, log_group_size
from genrec.decoding.probabilities import child_log_probs
from genrec.decoding.steering import Steering
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest
from genrec.trie import PrefixTrie

# (keys [batch, beams, width], their nodes, level) -> [batch, n] places in the flattened keys, best first.
Choice = Callable[[Tensor, Tensor, int], Tensor]


@torch.inference_mode()
def search(generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest, choose: Choice) -> Decoded:
    """Grows prefixes from the root and lists the items of the leaves that are left.

    The history is encoded once per user. Levels at whose nodes nothing is left to choose cost no step of the generator when it
    normalizes over the trie: their codes are certain.

    Args:
        generator: in eval mode.
        trie: on the same device.
        request: what to decode.
        choose: which of the grown prefixes go on; keys of closed ones are -inf.
    """
    steering, batch = Steering(trie, request), request.batch
    nodes = torch.zeros(len(batch), 1, dtype=torch.long, device=batch.history.device)
    scores = torch.zeros(len(batch), 1, device=batch.history.device)
    state, codes = generator.prefill(batch), None
    num_steps = trie.num_choices if generator.normalization == "trie" else trie.num_levels
    for level in range(trie.num_levels):
        child, child_codes, real = trie.children(nodes, level)
        if level < num_steps:
            logits, state = generator.step(state, codes)
            log_probs = child_log_probs(logits.float(), child_codes, real, generator.normalization)
        else:
            log_probs = torch.zeros_like(real, dtype=scores.dtype)  # every family has one child, none is padded
        grown = scores.unsqueeze(-1) + log_probs
        if level == trie.num_levels - 1:
            grown = grown - log_group_size(trie, child)
        keys = steering.keys(grown, nodes, child, level)
        chosen = choose(keys, child, level)
        alive = keys.flatten(1).gather(1, chosen) > float("-inf")
        scores = torch.where(alive, grown.flatten(1).gather(1, chosen), float("-inf"))
        # A dead beam stands on some node of its depth, so that look-ups stay in range.
        nodes = torch.where(alive, child.flatten(1).gather(1, chosen), trie.level_starts[level + 1])
        codes = trie.codes(nodes)
        if request.observer is not None:
            request.observer(level, nodes, scores)
        if level + 1 < num_steps:
            state = generator.reorder(state, chosen // child.shape[-1])
    return items_of_leaves(trie, nodes, scores, request.k, steering)


class Best:
    """Chooses the ``num_beams`` best, and remembers the best that it ever let go.

    Args:
        num_beams: prefixes kept per user.
    """

    def __init__(self, num_beams: int) -> None:
        self.num_beams = num_beams
        # No item that was not found has a larger key than this; None: nothing was let go.
        self.dropped: Float[Tensor, " batch"] | None = None

    def __call__(
        self, keys: Float[Tensor, "batch beams width"], nodes: Int64[Tensor, "batch beams width"], level: int
    ) -> Int64[Tensor, "batch chosen"]:
        best, place = keys.flatten(1).topk(min(self.num_beams + 1, keys[0].numel()), dim=1)
        if best.shape[1] > self.num_beams:
            first = best[:, self.num_beams]
            self.dropped = first if self.dropped is None else torch.maximum(self.dropped, first)
        return place[:, : self.num_beams]
