"""What only decoder_only has: one stream of tokens, in which the history's own next items are the cheap targets."""

from __future__ import annotations

from typing import Any

import torch
from small_world import OPTIONS, batch_of, random_histories, scrambled, sids_of
from torch import Tensor

DECODER_ONLY = next(option for option in OPTIONS if option.id == "decoder_only")
SIDS = sids_of(40, (4, 5, 6))
HISTORIES = random_histories(40, [0, 2, 6, 6])
NEXT = [[*row, 7] for row in HISTORIES]


def positions_read(generator: Any, targets: list[list[int]]) -> tuple[list[Tensor], int]:
    """The logits, and how many positions the first block was given for them."""
    sizes: list[int] = []
    hook = generator.blocks[0].register_forward_pre_hook(lambda block, args: sizes.append(args[0].shape[:2].numel()))
    logits = generator.target_logits(batch_of(HISTORIES, targets)).levels
    hook.remove()
    return list(logits), sum(sizes)


def test_one_pass_trains_every_position() -> None:
    generator = DECODER_ONLY.build(SIDS)
    _, read = positions_read(generator, NEXT)
    assert read == len(HISTORIES) * 7 * 3, "rows x states x levels"
    _, read = positions_read(generator, [[(item + 1) % 40 for item in row] for row in NEXT])
    assert read == sum(map(len, NEXT)) * 7 * 3, "other targets end a row each"


def test_targets_that_are_not_the_next_items_are_as_exact() -> None:
    generator = scrambled(DECODER_ONLY.build(SIDS))
    expected, _ = positions_read(generator, NEXT)
    changed = [list(row) for row in NEXT]
    changed[2][3] = (changed[2][3] + 1) % 40
    found, _ = positions_read(generator, changed)
    place = sum(map(len, NEXT[:2])) + 3
    others = torch.arange(len(expected[0])) != place
    for level, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert torch.allclose(ours[others], theirs[others], atol=1e-5), "a target changes no other one"
        shared = SIDS.codes[changed[2][3], :level].tolist() == SIDS.codes[NEXT[2][3], :level].tolist()
        assert torch.allclose(ours[place], theirs[place], atol=1e-5) == shared, "codes after its own first ones"


def test_the_level_tells_the_vocabulary() -> None:
    logits, _ = positions_read(DECODER_ONLY.build(SIDS), NEXT)
    assert [level.shape[1] for level in logits] == [4, 5, 6]


def test_the_history_is_stored_once_per_user() -> None:
    generator = DECODER_ONLY.build(SIDS)
    _, state = generator.step(generator.prefill(batch_of(HISTORIES)), None)
    wide = generator.reorder(state, torch.zeros(len(HISTORIES), 50, dtype=torch.long))
    assert all(ours[0] is theirs[0] for ours, theirs in zip(wide.history, state.history, strict=True))
    assert wide.bias is state.bias
    _, wide = generator.step(wide, torch.zeros(len(HISTORIES), 50, dtype=torch.long))
    assert {key.shape[1] for cache in wide.codes for key in cache.keys} == {50}, "only codes grow with the beams"
