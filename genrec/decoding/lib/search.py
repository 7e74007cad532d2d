"""The level-by-level search that all strategies with beams share; what they choose at each level is theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.core.deadlines import stop_if_abandoned
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import items_of_leaves, log_group_size
from genrec.decoding.lib.search_constraints import Steering
from genrec.errors import ConfigError
from genrec.nn.trie_likelihood import step_children
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest
from genrec.types import PAD

# (keys [batch, beams, width], their nodes, level) -> [batch, n] places in the flattened keys, best first; PAD: none.
Choice = Callable[[Tensor, Tensor, int], Tensor]


@torch.inference_mode()
def search(
    generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest, choose: Choice, state: Any = None
) -> Decoded:
    """Grows prefixes from the root and lists the items of the leaves that are left.

    The history is encoded once per user. What is decided costs no step of a generator that normalizes over the trie.

    Args:
        generator: in eval mode.
        trie: on the same device.
        request: what to decode.
        choose: which of the grown prefixes go on; keys of closed ones are -inf.
        state: of the generator, where an item starts from another one than that of ``prefill``.
    """
    steering, batch = Steering(trie, request), request.batch
    nodes = torch.zeros(len(batch), 1, dtype=torch.long, device=batch.history.device)
    scores = torch.zeros(len(batch), 1, device=batch.history.device)
    beams = _Beams(generator, trie, generator.prefill(batch) if state is None else state, len(batch))
    for level in range(trie.num_levels):
        stop_if_abandoned()
        child, child_codes, exists = trie.children(nodes, level)
        grown = scores.unsqueeze(-1) + beams.log_probs(nodes, child_codes, exists)
        if level == trie.num_levels - 1:
            grown = grown - log_group_size(trie, child)
        keys = steering.keys(grown, nodes, child, level)
        chosen = choose(keys, child, level)
        is_child, chosen = chosen != PAD, chosen.clamp(min=0)
        alive = is_child & (keys.flatten(1).gather(1, chosen) > float("-inf"))
        scores = torch.where(alive, grown.flatten(1).gather(1, chosen), float("-inf"))
        # A dead beam stands on some node of its depth, so that look-ups stay in range.
        nodes = torch.where(alive, child.flatten(1).gather(1, chosen), trie.level_starts[level + 1])
        beams.parents = chosen // child.shape[-1]
        if request.observer is not None:
            request.observer(level, nodes, scores)
    return items_of_leaves(trie, nodes, scores, request.k, steering)


class _Beams:
    """The generator's side of a search: its state, which holds only the beams that still have something to choose.

    With normalization over the trie a beam above a single ID is decided: what follows has probability one and costs no step. It
    leaves the state, and the others close up. (On a GPU they stay: counting them would make the host wait.)
    """

    def __init__(self, generator: AutoregressiveGenerator, trie: PrefixTrie, state: Any, num_users: int) -> None:
        self.generator, self.trie, self.state = generator, trie, state
        self.level, self.parents = 0, torch.zeros(num_users, 1, dtype=torch.long, device=trie.device)
        self._slot_of: Tensor | None = None  # the state's slot of each beam of the last level; None: its own
        self._skips = generator.normalization == "trie"

    def log_probs(
        self,
        nodes: Int64[Tensor, "batch beams"],
        child_codes: Int64[Tensor, "batch beams width"],
        exists: Bool[Tensor, "batch beams width"],
    ) -> Float[Tensor, "batch beams width"]:
        """Returns log-probabilities of the children of every beam's node; -inf where the family is padded."""
        undecided = self._undecided_beams(nodes)
        if undecided is None:
            log_probs = self._step(nodes, self.parents, child_codes, exists)
            self._slot_of = None
        else:
            log_probs = torch.where(exists, 0.0, float("-inf"))
            if undecided.shape[1]:
                family = undecided.unsqueeze(-1).expand(-1, -1, exists.shape[-1])
                few = (table.gather(1, family) for table in (child_codes, exists))
                of_few = self._step(nodes.gather(1, undecided), self.parents.gather(1, undecided), *few)
                log_probs = log_probs.scatter(1, family, of_few)
                slots = torch.arange(undecided.shape[1], device=nodes.device).expand_as(undecided)
                self._slot_of = torch.zeros_like(nodes).scatter(1, undecided, slots)
        self.level += 1
        return log_probs

    def _step(self, nodes: Tensor, parents: Tensor, child_codes: Tensor, exists: Tensor) -> Tensor:
        """The same of some beams, which are all that the state goes on with."""
        codes = None
        if self.level:
            at = parents if self._slot_of is None else self._slot_of.gather(1, parents)
            self.state, codes = self.generator.reorder(self.state, at), self.trie.codes(nodes)
        log_probs, self.state = step_children(self.generator, self.state, codes, nodes, child_codes, exists, self.level)
        return log_probs

    def _undecided_beams(self, nodes: Int64[Tensor, "batch beams"]) -> Int64[Tensor, "batch some"] | None:
        """Which beams to step, as places in ``nodes``; decided ones fill up the rows of users who have fewer. None: all."""
        if not self._skips:
            return None
        if nodes.is_cuda:
            return None if self.level < self.trie.num_choices else nodes[:, :0]
        going = self.trie.num_ids_below(nodes) > 1
        some = int(going.sum(dim=1).max())
        if some == nodes.shape[1]:
            return None
        return going.int().argsort(dim=1, descending=True, stable=True)[:, :some]


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
        best, order = keys.flatten(1).topk(min(self.num_beams + 1, keys[0].numel()), dim=1)
        if best.shape[1] > self.num_beams:
            first = best[:, self.num_beams]
            self.dropped = first if self.dropped is None else torch.maximum(self.dropped, first)
        return order[:, : self.num_beams]


def enough_beams(num_beams: int, k: int) -> None:
    """Raises ``ConfigError`` when fewer beams are kept than items are wanted: each ends at one ID."""
    if num_beams < k:
        raise ConfigError(
            "decoding.num_beams",
            expected=f"at least recommend.k = {k}",
            got=num_beams,
            fix="raise it or ask for fewer",
        )
