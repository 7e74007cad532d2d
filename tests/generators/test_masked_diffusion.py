"""What only masked_diffusion has: any codes given any others, all targets and views in one pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from small_world import OPTIONS, all_targets, batch_of, random_histories, ring, scrambled, sids_of

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import recommend_users
from genrec.decoding.masked_item import MaskedItem
from genrec.engine.components import instantiate
from genrec.protocols import AutoregressiveGenerator, DenoisingGenerator, MaskedGenerator
from genrec.training.fit import fit
from genrec.training.settings import TrainSettings
from genrec.types import PAD

MASKED = next(option for option in OPTIONS if option.id == "masked_diffusion")
SIDS = sids_of(40, (4, 5, 6))
HISTORIES = random_histories(40, [0, 1, 4, 6])


def shown(num_rows: int, num_views: int, *, seed: int = 0) -> torch.Tensor:
    """Codes of random items, some of them hidden."""
    random = torch.Generator().manual_seed(seed)
    codes = torch.from_numpy(SIDS.codes).long()[torch.randint(40, (num_rows, num_views), generator=random)]
    return codes.masked_fill(torch.rand(codes.shape, generator=random) < 0.5, PAD)


def test_is_decoded_in_any_order_and_level_by_level() -> None:
    generator = MASKED.build(SIDS)
    assert isinstance(generator, DenoisingGenerator)
    assert isinstance(generator, MaskedGenerator)
    assert isinstance(generator, AutoregressiveGenerator)


def test_what_is_trained_is_what_fills_in() -> None:
    """Every view of every target of a batch at once, and each history alone with the views as beams."""
    generator = scrambled(MASKED.build(SIDS))
    batch = all_targets(HISTORIES, 40)
    assert batch.targets is not None
    row, state = (batch.targets != PAD).nonzero(as_tuple=True)
    codes = shown(len(row), 5)
    prefixes = batch_of([HISTORIES[r][:s] for r, s in zip(row.tolist(), state.tolist(), strict=True)])
    filled = generator.fill(generator.prefill(prefixes), codes)
    for ours, theirs in zip(generator.denoise(batch, codes), filled, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_each_level_reads_all_others() -> None:
    generator = scrambled(MASKED.build(SIDS))
    state = generator.prefill(batch_of(HISTORIES))
    everything = torch.tensor([[[1, 2, 3]]] * len(HISTORIES))
    before = generator.fill(state, everything)
    for level in range(3):
        changed = everything.clone()
        changed[..., level] = 0
        for other, (ours, theirs) in enumerate(zip(before, generator.fill(state, changed), strict=True)):
            assert other == level or ((ours - theirs).abs().amax(-1) > 1e-3).all()
        hidden = everything.clone()
        hidden[..., level] = PAD
        assert ((before[level] - generator.fill(state, hidden)[level]).abs().amax(-1) > 1e-3).all(), "a mask is no code"


def test_learns_a_deterministic_world_in_any_order(tmp_path: Path) -> None:
    """With random masks; the contract suite trains with guided ones and decodes level by level."""
    world, sids = ring(num_items=20, num_users=80), sids_of(20, (4, 5, 6))
    trie, generator = PrefixTrie.build(sids), MASKED.build(sids, dim=32)
    objective = instantiate(MASKED.tree["objective"] | {"mask": "random"}, "objective", trie=trie)
    settings = TrainSettings(
        epochs=12, lr=1e-2, warmup_steps=5, batch_states=200, num_validations=1, validation_users=5, weight_decay=0.0
    )
    device = torch.device("cpu")
    fitted = fit(
        generator, objective, world, trie, settings, work=tmp_path, device=device, progress=False, log=lambda line: None
    )
    assert "val/ndcg@10" in fitted.best
    histories, users = world.histories("test"), np.arange(world.num_users)
    strategy = MaskedItem(num_beams=5)
    table = recommend_users(generator, strategy, trie, histories, users, k=1, exclude_seen=False, batch_size=80)
    assert (table["item_idx"].to_numpy() == world.targets("test").item_idx).mean() > 0.9


def test_the_number_of_a_collision_comes_last_where_there_is_one() -> None:
    numbered = replace(SIDS, collision_level=2)
    assert MASKED.build(numbered, number_last=True).last_level == 2
    assert MASKED.build(numbered, number_last=False).last_level is None
    assert MASKED.build(SIDS, number_last=True).last_level is None
