"""Weights of targets: the loss is the weighted mean of what each target costs alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_world import Option, all_targets, random_histories, scrambled, sids_of

from genrec.core.trie import PrefixTrie
from genrec.objectives.item_cross_entropy import ItemCrossEntropy
from genrec.objectives.prefix_aware import PrefixAware
from genrec.objectives.sampled_softmax import SampledSoftmax
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.types import PAD

SIDS = sids_of(40, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
BATCH = all_targets(random_histories(40, [2, 3]), 40)


def sid_loss(**settings: Any) -> Callable[[], Any]:
    return lambda: SIDCrossEntropy(trie=TRIE, train_counts=np.ones(40), **settings)


@pytest.mark.parametrize(
    ("generator", "objective"),
    [
        ("encdec", sid_loss()),
        ("encdec", sid_loss(label_smoothing=0.1, codebook_share=1.0)),
        ("hybrid", sid_loss(item_weight=1.0)),
        ("hybrid", sid_loss(item_weight=1.0, distillation_weight=0.5)),
        ("hybrid", sid_loss(item_weight=1.0, item_negatives=30)),
        ("encdec", lambda: PrefixAware(trie=TRIE, prefix_weight=0.0)),
        ("sasrec", lambda: ItemCrossEntropy(label_smoothing=0.1)),
        ("sasrec", lambda: SampledSoftmax(train_counts=np.ones(40), num_negatives=30)),
    ],
)
def test_the_loss_is_a_weighted_mean(generator: str, objective: Callable[[], Any]) -> None:
    changes = {"identity": True, "item_head": True} if generator == "hybrid" else {}
    name = "encdec" if generator == "hybrid" else generator
    model = scrambled(Option(name).build(SIDS, train_counts=np.ones(40), **changes))
    chosen = objective()
    assert BATCH.targets is not None

    def loss(batch: Any) -> torch.Tensor:
        torch.manual_seed(0)  # the sample of a sampled softmax
        return chosen.loss(model, batch).total

    row, state = (BATCH.targets != PAD).nonzero(as_tuple=True)
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 0.25, 4.0])
    alone = []
    for r, s in zip(row, state, strict=True):
        targets = torch.full_like(BATCH.targets, PAD)
        targets[r, s] = BATCH.targets[r, s]
        alone.append(loss(replace(BATCH, targets=targets)))
    expected = (torch.stack(alone) * weights).sum() / weights.sum()
    placed = torch.zeros(BATCH.targets.shape)
    placed[row, state] = weights
    weighted = loss(replace(BATCH, weights=placed))
    assert torch.allclose(weighted, expected, atol=1e-5)
    gradient, expected_gradient = (
        torch.autograd.grad(one, next(model.parameters()), retain_graph=True)[0] for one in (weighted, expected)
    )
    assert torch.allclose(gradient, expected_gradient, atol=1e-5)
    assert not torch.allclose(weighted, loss(BATCH), atol=1e-4)
