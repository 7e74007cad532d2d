"""What only latent_reasoning has: chains of thought, their readouts, and their stop."""

from __future__ import annotations

from typing import Any

import torch
from small_world import OPTIONS, Option, all_targets, random_histories, scrambled, sids_of
from torch import Tensor
from torch.nn import functional as F

from genrec.protocols import ReasoningScorer

LAST, MEAN = (next(o for o in OPTIONS if o.id == id) for id in ("latent_reasoning", "latent_reasoning_ensemble"))
SIDS = sids_of(40)
HISTORIES = random_histories(40, [0, 2, 6, 6])
BATCH = all_targets(HISTORIES, 40)


def built(option: Option, **changes: Any) -> Any:
    return scrambled(option.build(SIDS, num_steps=3, **changes))


def test_the_last_thought_or_all_of_them_answer() -> None:
    for option, read in ((LAST, lambda chain: chain[:, -1]), (MEAN, lambda chain: chain.mean(1))):
        generator = built(option)
        assert isinstance(generator, ReasoningScorer)
        (chain,) = generator.chains(BATCH)
        assert chain.shape[1] == 4, "the history's state and three thoughts"
        assert torch.allclose(generator.target_logits(BATCH).item_queries, read(chain), atol=1e-5)


def test_a_thought_is_an_item_without_a_place() -> None:
    """A step equals reading the history with one more token, whose distances are those of its state."""
    generator = built(LAST)
    (chain,) = generator.chains(BATCH)
    items = torch.tensor(HISTORIES[2])
    tokens = torch.cat([generator.start.unsqueeze(0), generator.items(items)])
    thoughts: list[Tensor] = []
    for step in range(3):
        states = chain[10, step]  # the chain after all six items of the third user
        thoughts.append(states + generator.steps[step])
        x = generator.input_norm(torch.cat([tokens, torch.stack(thoughts)]))
        place = torch.arange(7)
        bias = torch.full((2, len(x), len(x)), -torch.inf)
        bias[:, :7, :7] = generator.distance_bias(place, place)
        bias[:, 7:, :7] = generator.distance_bias(place, place)[:, 6:]
        bias[:, 7:, 7:] = torch.zeros(step + 1, step + 1).masked_fill(torch.ones(step + 1, step + 1).triu(1) > 0, -torch.inf)
        x = x.unsqueeze(0)
        for block in generator.blocks:
            x = block(x, bias)
        assert torch.allclose(generator.output_norm(x)[0, -1], chain[10, step + 1], atol=1e-5)


def test_noise_enters_with_the_first_thought() -> None:
    clean, noisy = built(LAST).chains(BATCH, (0.0, 0.1))
    assert torch.equal(clean[:, 0], noisy[:, 0])
    assert ((clean - noisy)[:, 1:].abs().amax((1, 2)) > 1e-3).all()


def test_chains_stop_apart() -> None:
    full = built(LAST)
    (chain,) = full.chains(BATCH)
    log_probs = (chain @ full.item_table().T).log_softmax(-1).detach()
    moved = F.kl_div(log_probs[:, 1:], log_probs[:, :-1], reduction="none", log_target=True).sum(-1)
    limit = float(moved[:, 0].sort().values[8:10].mean())  # between two chains
    stops = [next((k for k in (1, 2) if row[k - 1] < limit), 3) for row in moved.tolist()]
    assert len(set(stops)) > 1
    for option in (LAST, MEAN):
        generator = built(option, stop_kl=limit)
        found = generator.target_logits(BATCH).item_queries
        for row, stop in enumerate(stops):
            expected = chain[row, stop] if option is LAST else chain[row, : stop + 1].mean(0)
            assert torch.allclose(found[row], expected, atol=1e-5)


def test_nothing_is_thought_after_the_last_stop() -> None:
    generator, steps = built(LAST, stop_kl=1e9), []
    generator.blocks[0].attention_norm.register_forward_pre_hook(lambda norm, args: steps.append(args[0].shape[1]))
    generator.score(BATCH)
    assert steps == [7, 1], "the history, then one thought a user"
