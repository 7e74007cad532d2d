"""Search along a graph of similar items (RPG, arXiv 2506.05781; see docs/methods/rpg.md).

A generator whose levels are independent can score any item at once, so no prefix has to be grown: the search steps from good
items to items with similar codes. What it costs a user does not depend on the size of the catalogue. The graph does (all pairs,
in chunks), and is built once for given weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import best_items, items_of_leaves, leaf_keys, log_group_size, union
from genrec.decoding.lib.search import enough_beams
from genrec.decoding.lib.search_constraints import Steering
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest, ParallelGenerator
from genrec.types import PAD

_LAST = 10  # items of the history whose neighbourhoods are searched first
_PAIRS = 1 << 24  # similarities at a time
_SCORES = 1 << 22  # of users and IDs, where the whole catalogue is scored


@dataclass(frozen=True)
class CodeGraph:
    """The distinct IDs of a catalogue, each with those nearest to it, itself among them.

    IDs are counted from 0 in the order of the trie's leaves: items that share one are one.

    Args:
        trie: that the IDs are from.
        vectors: per level [size, dim], what similarity was measured by.
        codes: [ids, levels].
        neighbours: [ids, neighbours], the most similar first.
    """

    trie: PrefixTrie
    vectors: tuple[Tensor, ...]
    codes: Int64[Tensor, "ids levels"]
    neighbours: Int64[Tensor, "ids neighbours"]

    @classmethod
    def build(cls, trie: PrefixTrie, vectors: tuple[Float[Tensor, "_ dim"], ...], num_neighbours: int) -> CodeGraph:
        """Ranks all pairs by the mean over levels of (1 + cosine of the two codes) / 2."""
        codes = trie.leaf_codes()
        # Codes are few: the cosines of all pairs of them are one small table a level, and the rest is look-ups.
        tables = [(1 + level @ level.T) / (2 * len(vectors)) for level in vectors]
        neighbours = []
        for rows in codes.split(max(_PAIRS // len(codes), 1)):
            similar = torch.zeros(len(rows), len(codes), device=codes.device)
            for level, table in enumerate(tables):
                similar += table[rows[:, level]].index_select(1, codes[:, level])
            neighbours.append(similar.topk(min(num_neighbours, len(codes)), dim=1).indices)
        return cls(trie, tuple(level.clone() for level in vectors), codes, torch.cat(neighbours))  # weights change in place

    def is_of(self, trie: PrefixTrie, vectors: tuple[Float[Tensor, "_ dim"], ...]) -> bool:
        """Returns whether it still is the graph of this catalogue and these weights: the vectors themselves are compared."""
        return self.trie is trie and all(torch.equal(*pair) for pair in zip(self.vectors, vectors, strict=True))


class ParallelGraph:
    """Walks from the neighbours of the history's last items to the best items.

    Each round scores all neighbours of the kept IDs exactly and keeps the best; an answer's scores are those of ``Exhaustive``.
    Departures from the paper: it starts at random items, here the history's neighbourhoods and a fixed random choice compete
    from the first round on; kept items stay until they are beaten; users for whom fewer than ``k`` items are found, as under a
    narrow filter, get the whole catalogue scored, so that there are always ``k`` whenever ``k`` are allowed.

    The graph is kept until weights or catalogue change. A round scores up to ``num_beams`` x ``num_neighbours`` IDs: a walk
    pays where the catalogue is many times that; in a small one ``Exhaustive`` is faster, and exact.

    Args:
        num_beams: IDs kept per user; at least k.
        num_neighbours: of each ID, itself included.
        num_rounds: steps along the graph.
        seed: of the random choice that the walk starts with.

    Raises:
        ConfigError: for settings below 1.
    """

    kind: ClassVar[Literal["parallel"]] = "parallel"

    def __init__(self, *, num_beams: int = 100, num_neighbours: int = 50, num_rounds: int = 3, seed: int = 0) -> None:
        for name, value in {"num_beams": num_beams, "num_neighbours": num_neighbours, "num_rounds": num_rounds}.items():
            if value < 1:
                raise ConfigError(f"decoding.{name}", expected="at least 1", got=value, fix="raise it")
        self.num_beams, self.num_neighbours, self.num_rounds, self.seed = num_beams, num_neighbours, num_rounds, seed
        self._graphs: list[CodeGraph] = []  # at most one; copies with more beams share it

    def check(self, k: int) -> None:
        """Raises ConfigError when fewer IDs than wanted items are kept."""
        enough_beams(self.num_beams, k)

    @torch.inference_mode()
    def decode(self, generator: Any, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch.

        Raises:
            ConfigError: when the levels of the generator are not independent.
        """
        self.check(request.k)
        graph = self.graph(generator, trie)
        log_probs = tuple(logits.float().log_softmax(dim=1) for logits in generator.level_logits(request.batch))
        answer = self._walk(graph, log_probs, request)
        short = ((answer.items != PAD).sum(dim=1) < request.k).nonzero().squeeze(1)
        for users in short.split(max(_SCORES // len(graph.codes), 1)):
            everything = torch.arange(len(graph.codes), device=users.device).expand(len(users), -1)
            theirs, user_log_probs = request.rows(users), tuple(level[users] for level in log_probs)
            steering = Steering(trie, theirs)
            best = _best_ids(graph, user_log_probs, everything, steering, min(theirs.k, len(graph.codes)))
            answer = answer.with_rows(users, _list_items(graph, user_log_probs, best, steering))
        return answer

    @torch.inference_mode()
    def graph(self, generator: Any, trie: PrefixTrie) -> CodeGraph:
        """The graph of a generator's present weights, built if there is none or another.

        Raises:
            ConfigError: when the levels of the generator are not independent.
        """
        if not isinstance(generator, ParallelGenerator):
            got = type(generator).__name__
            fix = "use generator=parallel, or decoding=trie_beam"
            raise ConfigError("decoding", expected="a generator whose levels are independent", got=got, fix=fix)
        if generator.normalization != "codebook":  # over the trie, what a code's probability is depends on the prefix
            got, fix = generator.normalization, "change it, or use decoding=trie_beam"
            raise ConfigError("generator.normalization", expected="codebook for decoding=parallel_graph", got=got, fix=fix)
        vectors = tuple(level.float() for level in generator.code_vectors())
        if not self._graphs or not self._graphs[0].is_of(trie, vectors):
            self._graphs[:] = [CodeGraph.build(trie, vectors, self.num_neighbours)]
        return self._graphs[0]

    def _walk(self, graph: CodeGraph, log_probs: tuple[Tensor, ...], request: DecodingRequest) -> Decoded:
        trie, batch, steering = graph.trie, request.batch, Steering(graph.trie, request)
        device, num_ids = batch.history.device, len(graph.codes)
        chosen = torch.randperm(num_ids, generator=torch.Generator().manual_seed(self.seed))[: self.num_beams].to(device)
        age = torch.arange(_LAST, device=device)
        position = batch.lengths.unsqueeze(1) - 1 - age
        padded = torch.nn.functional.pad(batch.history, (0, 1), value=PAD)  # a batch of empty histories has no column
        last = padded.gather(1, position.clamp(min=0)).masked_fill(position < 0, PAD)
        last = torch.where(last == PAD, PAD, trie.leaf_of[last.clamp(min=0)].long() - trie.level_starts[-2])
        ids = _best_ids(
            graph, log_probs, union([_neighbours_of(graph, last), chosen.expand(len(batch), -1)]), steering, self.num_beams
        )
        for _ in range(self.num_rounds):
            ids = _best_ids(graph, log_probs, union([ids, _neighbours_of(graph, ids)]), steering, self.num_beams)
        return _list_items(graph, log_probs, ids, steering)


def _neighbours_of(graph: CodeGraph, ids: Int64[Tensor, "batch some"]) -> Int64[Tensor, "batch more"]:
    """The neighbours of all of a user's IDs; ``PAD`` has none."""
    return graph.neighbours[ids.clamp(min=0)].masked_fill((ids == PAD).unsqueeze(-1), PAD).flatten(1)


def _scores(
    graph: CodeGraph, log_probs: tuple[Float[Tensor, "batch _"], ...], ids: Int64[Tensor, "batch some"]
) -> Float[Tensor, "batch some"]:
    """The log-probability of an item of each ID; -inf for ``PAD``."""
    codes = graph.codes[ids.clamp(min=0)]
    scores = -log_group_size(graph.trie, _leaves(graph, ids))
    for level, table in enumerate(log_probs):
        scores = scores + table.gather(1, codes[..., level])
    return scores.masked_fill(ids == PAD, float("-inf"))


def _best_ids(
    graph: CodeGraph, log_probs: tuple[Tensor, ...], ids: Int64[Tensor, "batch some"], steering: Steering, number: int
) -> Int64[Tensor, "batch best"]:
    """The IDs with the best items to offer, best first; ``PAD`` where no more have any."""
    keys = leaf_keys(graph.trie, _leaves(graph, ids), _scores(graph, log_probs, ids), steering)
    order = best_items(keys, number)
    return ids.gather(1, order.clamp(min=0)).masked_fill(order == PAD, PAD)


def _list_items(
    graph: CodeGraph, log_probs: tuple[Tensor, ...], ids: Int64[Tensor, "batch some"], steering: Steering
) -> Decoded:
    return items_of_leaves(graph.trie, _leaves(graph, ids), _scores(graph, log_probs, ids), steering.request.k, steering)


def _leaves(graph: CodeGraph, ids: Int64[Tensor, "batch some"]) -> Int64[Tensor, "batch some"]:
    """Their nodes in the trie; some leaf for ``PAD``."""
    return ids.clamp(min=0) + graph.trie.level_starts[-2]
