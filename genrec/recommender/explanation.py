"""Why an item is recommended: its path through the tree of IDs, and the items of the history that support it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from genrec.core.batch import Batch
from genrec.core.dataset import Sequences
from genrec.decoding.lib.candidates import item_log_probs
from genrec.diagnosis.attribution import history_weights
from genrec.errors import ConfigError
from genrec.nn.trie_likelihood import path_choices
from genrec.protocols import AutoregressiveGenerator, ItemScorer
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.histories import Histories
from genrec.recommender.requests import ExplainRequest
from genrec.types import ITEM_ID, SCORE


@dataclass(frozen=True)
class Explanation:
    """What one history contributes to one item.

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
    history = read.sequences
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
