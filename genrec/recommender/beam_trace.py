"""The search behind one list, level by level: the prefixes that it kept, and an item below each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from genrec.decoding.fusion import GENERATOR, Fusion
from genrec.decoding.lib.batch_decoding import request_of, widened
from genrec.decoding.new_item_quota import NewItemQuota
from genrec.errors import ConfigError
from genrec.protocols import DecodingStrategy
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.histories import Histories
from genrec.recommender.requests import BeamRequest
from genrec.types import ITEM_ID

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
    _prefix_search(widened(catalogue.strategy, decoded.k), catalogue.generator, decoded.k).decode(
        catalogue.generator, catalogue.trie, observed_request
    )
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
