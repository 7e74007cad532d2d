"""Why an item is recommended, and what the search behind a list did.

An explanation is the item's path through the tree of IDs, and the items of the history that support it. The search is shown
level by level: the prefixes that it kept, and an item below each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.dataset import Sequences
from genrec.decoding.fusion import GENERATOR, Fusion
from genrec.decoding.lib.batch_decoding import request_of, widened
from genrec.decoding.lib.candidates import item_log_probs
from genrec.decoding.new_item_quota import NewItemQuota
from genrec.diagnosis.attribution import history_weights
from genrec.errors import ConfigError
from genrec.nn.trie_likelihood import path_choices
from genrec.protocols import AutoregressiveGenerator, DecodingStrategy, ItemScorer
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.histories import Histories
from genrec.recommender.requests import BeamRequest, ExplainRequest
from genrec.types import ITEM_ID, SCORE


@dataclass(frozen=True)
class Explanation:
    """The contributions of one history to one item.

    Args:
        item_id: the item.
        log_prob: log-probability of the item as the next one, by the generator alone: no filter, no preference, no other scorer
            of the ensemble.
        path: a row per level: ``level``, ``code``, ``log_prob`` given the codes before, ``choices`` (codes that exist there).
            None for an item scorer.
        because: ``item_id`` and ``weight`` of the last items of the history, the largest weight first: how many nats the item
            would lose without that one; a negative weight counts against the item.
    """

    item_id: str
    log_prob: float
    path: pl.DataFrame | None
    because: pl.DataFrame


def explain(catalogue: Catalogue, request: ExplainRequest) -> tuple[Explanation, Histories]:
    """Leaves out each of the last items of the history in turn (see ``history_weights``).

    Of a query, what is refused has no part in it: that is guidance, not the generator.

    Args:
        catalogue: of the items.
        request: see there.

    Returns:
        The explanation, and the history as it was looked up.

    Raises:
        DataError: for an id that the catalogue does not have.
        ConfigError: for a generator that gives no likelihood.
    """
    read, (item,) = catalogue.read(request), catalogue.table.rows([request.item_id])
    history = replace(read.sequences, refused=None)  # the generator alone hears what is asked for
    log_prob = float(log_probs(catalogue, history, [item])[0])
    cut = history.of(np.array([0]), catalogue.generator.max_history_len)
    candidate = torch.tensor([[item]])
    weights = history_weights(catalogue.generator, catalogue.trie, cut, candidate, last=request.last)[0][:, 0]
    because = pl.DataFrame({ITEM_ID: catalogue.table.ids(cut[0][len(cut[0]) - len(weights) :]), "weight": weights})
    explanation = Explanation(
        item_id=request.item_id,
        log_prob=log_prob,
        path=_path(catalogue, history, item),
        because=because.sort("weight", descending=True, maintain_order=True),
    )
    return explanation, read


def score_items(catalogue: Catalogue, history: Sequences, items: list[int]) -> pl.DataFrame:
    """Returns ``item_id`` and ``score``, the generator's log-probability of each as the next item, in the order given."""
    return pl.DataFrame({ITEM_ID: catalogue.table.ids(items), SCORE: log_probs(catalogue, history, items)})


def log_probs(catalogue: Catalogue, history: Sequences, items: list[int]) -> np.ndarray:
    """Returns the log-probability of each item after one history, float32 [items].

    Raises:
        ConfigError: for a generator that gives no likelihood.
    """
    generator = catalogue.generator
    if not isinstance(generator, AutoregressiveGenerator | ItemScorer):
        got, fix = type(generator).__name__, "its scores depend on the search; see `recommend`"
        raise ConfigError("score", expected="a generator that says how probable an item is", got=got, fix=fix)
    scores: np.ndarray = item_log_probs(generator, catalogue.trie, _batch(catalogue, history), torch.tensor([items]))[0].numpy()
    return scores


@torch.inference_mode()
def _path(catalogue: Catalogue, history: Sequences, item: int) -> pl.DataFrame | None:
    if catalogue.trie is None or catalogue.table.sids is None:
        return None
    choices = path_choices(catalogue.generator, catalogue.trie, _batch(catalogue, history), torch.tensor([[item]]))
    rows = [
        {"level": level, "code": int(code), "log_prob": float(choice.on_path), "choices": int(choice.num_children)}
        for level, (code, choice) in enumerate(zip(catalogue.table.sids.codes[item], choices, strict=True))
    ]
    return pl.DataFrame(rows)


def _batch(catalogue: Catalogue, history: Sequences) -> Batch:
    return Batch.of_histories(history, np.array([0]), catalogue.generator.max_history_len)


SCHEMA: dict[str, Any] = {
    "level": pl.Int64,
    "codes": pl.List(pl.Int64),
    "log_prob": pl.Float64,
    "num_items": pl.Int64,
    ITEM_ID: pl.String,
}


def beams(catalogue: Catalogue, request: BeamRequest) -> tuple[pl.DataFrame, Histories]:
    """Repeats the search for one list with an observer; nothing else about the search changes.

    Args:
        catalogue: of the items.
        request: the list to trace; the beams of some strategies depend on its ``k``.

    Returns:
        A row per level and kept prefix, in the order of the search (under preferences by the best that a prefix may lead to):
        ``level`` from 0, ``codes``, their ``log_prob``, ``num_items`` that the filter leaves below, and ``item_id`` of one of
        them. And the history as it was looked up.

    Raises:
        ConfigError: when the strategy keeps no beams.
    """
    read, allowed = catalogue.read(request), catalogue.allowed_items(request.filter)
    beams_by_level: list[tuple[Tensor, Tensor]] = []
    decoded = request_of(
        catalogue.generator,
        read.sequences,
        np.array([0]),
        k=min(request.k, len(catalogue.table)),
        exclude_seen=catalogue.excludes_seen(request),
        allowed=allowed,
        bias=catalogue.bias(request),
    )
    observed_request = replace(decoded, observer=lambda level, nodes, scores: beams_by_level.append((nodes[0], scores[0])))
    search = _prefix_search(widened(catalogue.strategy, decoded.k), catalogue.generator, decoded.k)
    catalogue.guided(search, request, read.sequences).decode(catalogue.generator, catalogue.trie, observed_request)
    if not beams_by_level or catalogue.trie is None:
        got = type(catalogue.strategy).__name__
        raise ConfigError(
            "beams", expected="a decoding strategy that keeps beams", got=got, fix="export with decoding=trie_beam"
        )
    rows = [
        (level, *row)
        for level, (nodes, scores) in enumerate(beams_by_level)
        for row in _describe_nodes(catalogue, nodes[scores > float("-inf")], scores[scores > float("-inf")], allowed)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row"), read


def _prefix_search(strategy: Any, generator: Any, k: int) -> DecodingStrategy:
    """Returns the part of a strategy that grows prefixes; of a fusion, the search for the generator's candidates."""
    if isinstance(strategy, NewItemQuota):
        return _prefix_search(strategy.strategy, generator, k)
    if isinstance(strategy, Fusion) and GENERATOR in strategy.active:
        return strategy.search(generator, max(strategy.num_candidates, k))
    search: DecodingStrategy = strategy
    return search


def _describe_nodes(
    catalogue: Catalogue, nodes: Tensor, scores: Tensor, allowed: Tensor | None
) -> list[tuple[list[int], float, int, str]]:
    """Returns codes, log-probability, number of allowed items and the first of these, for nodes of one depth."""
    trie = catalogue.trie
    assert trie is not None
    rows = []
    for node, score in zip(nodes.tolist(), scores.tolist(), strict=True):
        below = trie.items[trie.first_item[node] : trie.end_item[node]].long()
        below = below if allowed is None else below[allowed[below]]
        codes, above = [], node
        while above:
            codes.append(int(trie.code[above]))
            above = int(trie.parent[above])
        rows.append((codes[::-1], score, len(below), catalogue.table.ids([int(below[0])])[0]))
    return rows
