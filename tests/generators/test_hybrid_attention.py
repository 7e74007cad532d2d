"""What only hybrid_attention has: open attention inside an item, and a second way in for what the codes round away."""

from __future__ import annotations

import numpy as np
import torch
from small_world import OPTIONS, batch_of, scrambled
from torch import Tensor

from genrec.core.sids import SIDTable
from genrec.engine.components import instantiate
from genrec.generators.hybrid_attention import HybridAttention
from genrec.protocols import MaskedGenerator, ParallelGenerator

HYBRID = next(option for option in OPTIONS if option.id == "hybrid_attention")
# Items 0 and 1 differ in their last code alone, items 2 and 3 in their vectors alone.
CODES = np.array([[0, 1, 2], [0, 1, 3], [1, 0, 0], [1, 0, 0], [2, 2, 1]])
VECTORS = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.5], [0.3, 0.3]])


def built(num_items: int = 5) -> HybridAttention:
    torch.manual_seed(0)
    sids = SIDTable(CODES[:num_items], (3, 3, 4))
    generator: HybridAttention = instantiate(HYBRID.node(), sids=sids, item_vectors=VECTORS[:num_items])
    return scrambled(generator.eval())


def states(history: list[int]) -> Tensor:
    return built().history_states(batch_of([history]))[0].detach()  # [states, levels, dim]


def test_is_decoded_by_whatever_decodes_parallel() -> None:
    assert isinstance(built(), ParallelGenerator)
    assert isinstance(built(), MaskedGenerator)


def test_every_token_sees_its_whole_item_and_none_behind_it() -> None:
    for one, other in ((0, 1), (2, 3)):
        before, after = states([4, one, 4]), states([4, other, 4])
        assert torch.allclose(before[:2], after[:2], atol=1e-6), "the start and the first item"
        assert ((before[2:] - after[2:]).abs().amax(-1) > 1e-3).all(), "all three tokens of the item, and of the next"


def test_items_that_come_later_need_no_training() -> None:
    """Codes of the same layout, a vector, the same weights: what was there before is predicted as before."""
    old, new = built(4), built(5)
    new.load_state_dict(old.state_dict())
    batch = batch_of([[0, 3], [2], []])
    for before, after in zip(old.level_logits(batch), new.level_logits(batch), strict=True):
        assert torch.equal(before, after)
    assert not torch.allclose(new.level_logits(batch_of([[4]]))[0], new.level_logits(batch_of([[2]]))[0], atol=1e-3)


def test_an_identity_is_added_to_every_code_of_an_item() -> None:
    """Items of equal codes and vectors differ by who they are; one without training events does not."""
    sids = SIDTable(np.array([[0, 1, 2]] * 3), (3, 3, 4))
    facts = {"item_vectors": np.ones((3, 2)), "train_counts": np.array([5, 15, 0])}
    torch.manual_seed(0)
    generator = scrambled(instantiate(HYBRID.node(identity=True), sids=sids, **facts).eval())
    batch = batch_of([[0], [1], [2]])
    first, second, unseen = generator.history_states(batch)[:, 1]
    assert ((first - second).abs().amax(-1) > 1e-3).all(), "all tokens of the item"
    with torch.no_grad():
        generator.item_identity.identity.weight.zero_()
    assert torch.allclose(generator.history_states(batch)[:, 1], unseen.expand(3, -1, -1), atol=1e-6)
