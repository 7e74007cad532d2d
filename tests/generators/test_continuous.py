"""ContRec: the schedule of noise, the sampler on a denoiser whose answers are clear, guidance, and later items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_world import all_targets, batch_of, scrambled, vectors_of
from torch.nn import functional as F

from genrec.generators.continuous import NOISE_TIMES, STATELESS, Continuous, signal_shares
from genrec.nn.components import principal_axes
from genrec.objectives.denoising import Denoising, dispersion

NUM_ITEMS = 30


def continuous(vectors: np.ndarray | None = None, **changes: Any) -> Continuous:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"dim": 16, "num_layers": 1, "dropout": 0.0, "max_history_len": 6, **changes}
    return Continuous(item_vectors=vectors_of(NUM_ITEMS) if vectors is None else vectors, **settings).eval()


def test_whitening() -> None:
    vectors = vectors_of(NUM_ITEMS) @ np.diag([9.0, 4.0, *[1.0] * 9, 0.0])
    mean, axes = principal_axes(vectors, 64, whiten=True)
    white = (vectors.astype(np.float32) - mean) @ axes
    squares = white.T @ white / NUM_ITEMS
    assert np.allclose(squares[:11, :11], np.eye(11), atol=1e-3)
    assert (white[:, 11] == 0).all(), "a direction without spread is not blown up"
    mean, axes = principal_axes(vectors, 2, whiten=False)
    first, second = np.square((vectors - mean) @ axes).mean(0)
    assert (first + second) / 2 == pytest.approx(1.0, rel=1e-4)
    assert first > second


def test_the_schedule_of_noise() -> None:
    shares = signal_shares()
    assert (shares.diff() < 0).all()
    assert shares[0] > 0.99
    assert shares[-1] == pytest.approx(np.exp(-(0.1 + 9.9 / 2)), rel=1e-4)  # the integral of the rates


@pytest.mark.parametrize("num_steps", [1, 2, 10])
def test_the_sampler_arrives_where_the_denoiser_points(num_steps: int) -> None:
    """A denoiser that always answers with one vector for a state, whatever the noise."""
    generator = continuous(num_steps=num_steps, guidance=0.0)
    denoiser = generator.denoiser
    assert denoiser is not None
    answer = torch.randn(16, 12)
    denoiser.forward = lambda noisy, states, time: states @ answer  # type: ignore[method-assign]
    states = torch.randn(5, 16)
    assert torch.allclose(generator._generate(denoiser, states), states @ answer, atol=1e-5)


def test_guidance_goes_beyond_the_answer_without_a_state() -> None:
    plain, guided = (continuous(num_steps=1, num_samples=1, guidance=guidance) for guidance in (0.0, 2.0))
    guided.load_state_dict(plain.state_dict())
    states = torch.randn(3, 16)
    assert plain.denoiser is not None
    assert guided.denoiser is not None
    with_state, without = (plain._generate(plain.denoiser, rows) for rows in (states, plain.denoiser.nothing.expand(3, 16)))
    assert torch.allclose(guided._generate(guided.denoiser, states), 3 * with_state - 2 * without, atol=1e-4)


def test_a_score_is_a_function_of_the_history() -> None:
    generator = scrambled(continuous())
    alone, together = generator.score(batch_of([[1, 4]])), generator.score(batch_of([[2], [1, 4]]))
    assert torch.allclose(alone[0], together[1], atol=1e-5)
    assert alone.abs().max() <= 10.0 + 1e-4, "cosines by .1"


def test_every_tenth_target_has_no_state() -> None:
    generator, batch = scrambled(continuous()), all_targets([[1, 2, 3, 4, 5], [6, 7, 8, 9, 1]], NUM_ITEMS)
    torch.manual_seed(0)
    before = generator.denoised(batch).restored
    with torch.no_grad():
        generator.history.start.add_(torch.randn(1, 16))
    torch.manual_seed(0)
    moved = (generator.denoised(batch).restored - before).abs().amax(1) > 1e-6
    assert moved.tolist() == [row % STATELESS != 0 for row in range(12)]
    assert len(signal_shares()) == NOISE_TIMES


def test_later_items_change_no_score() -> None:
    """The whitening is that of training."""
    generator = scrambled(continuous())
    more = np.concatenate([vectors_of(NUM_ITEMS), 50 + np.random.default_rng(1).normal(size=(3, 12))])
    grown = continuous(more)
    grown.load_state_dict(generator.state_dict())
    batch = batch_of([[1, 4, 3]])
    assert torch.allclose(grown.score(batch)[:, :NUM_ITEMS], generator.score(batch), atol=1e-5)


def test_dispersion_is_least_for_features_that_spread() -> None:
    assert dispersion(torch.ones(3, 4)).item() == pytest.approx(0.0)
    assert dispersion(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])).item() == pytest.approx(-4.0)
    features = torch.randn(6, 8, requires_grad=True)
    near = F.normalize(features.detach(), dim=-1)
    expected = (
        torch.stack([-(near[a] - near[b]).square().sum() for a in range(6) for b in range(6) if a != b]).exp().mean().log()
    )
    assert dispersion(features).item() == pytest.approx(expected.item(), rel=1e-5)


def test_regression_has_no_noise_and_nothing_to_spread() -> None:
    generator = scrambled(continuous(head="regression"))
    batch = all_targets([[1, 2, 3]], NUM_ITEMS)
    answer = generator.denoised(batch)
    assert answer.hidden is None
    assert torch.equal(answer.restored, generator.denoised(batch).restored)
    terms = Denoising().loss(generator, batch)
    assert list(terms.parts) == ["error"]
    assert terms.total.item() == pytest.approx((answer.restored - answer.clean).square().mean().item())
    queries = generator.target_logits(batch).item_queries
    assert queries is not None
    assert torch.allclose(queries, 10 * F.normalize(answer.restored, dim=-1), atol=1e-5)
