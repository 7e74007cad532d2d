"""What every objective promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.engine.registry import missing_members
from genrec.engine.signatures import parameters
from genrec.generators.encdec import EncDec
from genrec.protocols import AutoregressiveGenerator, FineTuningObjective, LossTerms, Objective, Sampler
from genrec.testing.worlds import all_targets, random_histories, scrambled, sids_of
from genrec.training.module import Rollouts

NUM_ITEMS = 40
SIDS = sids_of(NUM_ITEMS, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
BATCH = all_targets(random_histories(NUM_ITEMS, [1, 4, 6]), NUM_ITEMS)


class Trained(NamedTuple):
    """An objective, and a generator that it trains."""

    objective: Objective
    generator: Any

    def loss(self, batch: Batch, *, seed: int = 0) -> LossTerms:
        """The loss of a batch; whatever is drawn is drawn from the seed."""
        torch.manual_seed(seed)
        sampler: Sampler | None = Rollouts(TRIE) if isinstance(self.generator, AutoregressiveGenerator) else None
        return self.objective.loss(self.generator, batch, sampler)


class ObjectiveContract:
    """The tests of an objective; ``generator`` makes what it trains (the default: a small ``EncDec``, which writes codes)."""

    component: ClassVar[type]  # the plug-in's class
    settings: ClassVar[Mapping[str, Any]] = {}  # arguments of its constructor
    noise: float = 1e-4  # by how much two losses may differ; more where noise is drawn for padding, too

    def generator(self) -> Any:
        """Returns a generator for the IDs ``SIDS``, in eval mode."""
        torch.manual_seed(0)
        shape: dict[str, Any] = {
            "dim": 16,
            "num_heads": 2,
            "num_history_layers": 1,
            "num_decoder_layers": 1,
            "feedforward_mult": 2,
        }
        return EncDec(sids=SIDS, identity=False, dropout=0.0, max_history_len=6, **shape).eval()

    @pytest.fixture
    def trained(self) -> Trained:
        """The objective of this suite with its generator."""
        runtime, accepted = {"trie": TRIE, "train_counts": np.arange(NUM_ITEMS)}, parameters(self.component)
        supplied = {name: value for name, value in runtime.items() if name in accepted and name not in self.settings}
        return self.ready(self.component(**self.settings, **supplied), self.generator())

    def ready(self, objective: Objective, generator: Any) -> Trained:
        """The two once training has begun."""
        objective.check(generator)
        generator = scrambled(generator)
        if isinstance(objective, FineTuningObjective):
            objective.start(generator)
        return Trained(objective, generator)

    def test_it_is_an_objective(self, trained: Trained) -> None:
        assert missing_members(trained.objective, ("Objective",)) == []

    def test_the_loss_is_a_number_with_a_gradient(self, trained: Trained) -> None:
        terms = trained.loss(BATCH)
        assert terms.total.shape == ()
        assert terms.total.isfinite()
        assert all(part.shape == () and part.isfinite() and not part.requires_grad for part in terms.parts.values())
        terms.total.backward()
        gradients = [parameter.grad for parameter in trained.generator.parameters() if parameter.grad is not None]
        assert gradients, "something learns"
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.abs().sum() > 0 for gradient in gradients)

    def test_the_same_draws_give_the_same_loss(self, trained: Trained) -> None:
        assert torch.equal(trained.loss(BATCH).total, trained.loss(BATCH).total)

    def test_padding_costs_nothing(self, trained: Trained) -> None:
        longer = torch.nn.functional.pad
        assert BATCH.targets is not None
        wide = Batch(
            longer(BATCH.history, (0, 3), value=-1),
            BATCH.lengths,
            longer(BATCH.targets, (0, 3), value=-1),
            None if BATCH.times is None else longer(BATCH.times, (0, 3), value=-1),
        )
        assert torch.allclose(trained.loss(wide).total, trained.loss(BATCH).total, atol=self.noise)

    def test_a_step_against_the_gradient_lowers_the_loss(self, trained: Trained) -> None:
        before = trained.loss(BATCH).total
        before.backward()
        with torch.no_grad():
            square = sum(float(p.grad.square().sum()) for p in trained.generator.parameters() if p.grad is not None)
            for parameter in trained.generator.parameters():
                if parameter.grad is not None:
                    parameter -= 1e-3 / max(square, 1e-12) ** 0.5 * parameter.grad
        assert float(trained.loss(BATCH).total.detach()) < float(before.detach())
