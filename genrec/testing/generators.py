"""What every generator promises."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.full_ranking import FullRanking
from genrec.decoding.lib.batch_decoding import recommend_users
from genrec.decoding.trie_beam import TrieBeam
from genrec.engine.signatures import parameters
from genrec.objectives.item_cross_entropy import ItemCrossEntropy
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.protocols import AutoregressiveGenerator, Generator, HasCodeHeads, HasItemHead, ItemScorer, LooksUpItems, Objective
from genrec.testing.worlds import (
    SCHEMA,
    all_targets,
    batch_of,
    conditioned,
    random_histories,
    ring,
    runtime_of,
    scrambled,
    sids_of,
)
from genrec.training.fit import fit
from genrec.training.settings import TrainSettings
from genrec.types import PAD

NUM_ITEMS = 40
SIDS = sids_of(NUM_ITEMS, (4, 5, 6))
TRIE = PrefixTrie.build(SIDS)
HISTORIES = random_histories(NUM_ITEMS, [0, 1, 4, 6])


class GeneratorMaker(Protocol):
    """Makes generators in eval mode, with their initial weights, and what they learn by."""

    def build(
        self,
        sids: SIDTable,
        *,
        train_counts: np.ndarray | None = None,
        seed: int = 0,
        learning: bool = False,
        schema: EventSchema | None = None,
    ) -> Any:
        """Returns a new generator; ``learning``: large enough for the world of 20 items; ``schema``: for data with columns."""
        ...

    def objective(self, trie: PrefixTrie, generator: Generator) -> Objective: ...


@dataclass(frozen=True)
class ClassMaker:
    """Makes generators of one class.

    Args:
        component: the class.
        settings: arguments of its constructor, besides what genrec supplies.
        larger: other settings, for learning.
        trained_by: trie -> objective.
    """

    component: type
    settings: Mapping[str, Any]
    larger: Mapping[str, Any]
    trained_by: Callable[[PrefixTrie], Objective] | None

    def build(
        self,
        sids: SIDTable,
        *,
        train_counts: np.ndarray | None = None,
        seed: int = 0,
        learning: bool = False,
        schema: EventSchema | None = None,
    ) -> Any:
        torch.manual_seed(seed)
        settings = {**self.settings, **(self.larger if learning else {})}
        runtime, accepted = runtime_of(sids, train_counts) | {"schema": schema}, parameters(self.component)
        supplied = {name: value for name, value in runtime.items() if name in accepted and name not in settings}
        return self.component(**settings, **supplied).eval()

    def objective(self, trie: PrefixTrie, generator: Generator) -> Objective:
        has_head = isinstance(generator, HasItemHead) and generator.has_item_head
        if self.trained_by is not None:
            objective = self.trained_by(trie)
        elif isinstance(generator, ItemScorer):
            objective = ItemCrossEntropy()
        else:
            objective = SIDCrossEntropy(trie=trie, item_weight=float(has_head))
        objective.check(generator)
        return objective


def everything(generator: Any, batch: Batch) -> Tensor:
    """Returns all logits of all targets side by side, [targets, any]."""
    logits = generator.target_logits(batch)
    parts = list(logits.levels)
    if logits.item_queries is not None:
        parts.append(logits.item_queries @ generator.item_table().T)
    return torch.cat(parts, dim=1).detach()


def next_logits(generator: Any, batch: Batch, items: Tensor) -> Tensor:
    """The same for the next item of each history, the way decoding computes it."""
    if isinstance(generator, ItemScorer):
        return generator.score(batch).detach()
    parts, state, codes = [], generator.prefill(batch), None
    for level in range(SIDS.num_levels):
        logits, state = generator.step(state, codes)
        parts.append(logits[:, 0])
        codes = torch.from_numpy(SIDS.codes)[items, level].long().unsqueeze(1)
    return torch.cat(parts, dim=1).detach()


def _with_columns(make: GeneratorMaker) -> Any:
    """A generator for data with columns; skips the test where it does not read any."""
    generator = make.build(SIDS, schema=SCHEMA)
    if not any("conditions." in name for name, _ in generator.named_parameters()):
        pytest.skip("takes no columns (parameter schema of its constructor)")
    return generator


class GeneratorContract:
    """The tests of a generator. Shipped objectives train it unless ``trained_by`` says by what it is trained."""

    component: ClassVar[type]  # the plug-in's class
    settings: ClassVar[Mapping[str, Any]] = {}  # arguments of its constructor, for histories of 6 items
    larger: ClassVar[Mapping[str, Any]] = {}  # others, with which it learns a world of 20 items in 30 epochs
    trained_by: ClassVar[Callable[[PrefixTrie], Objective] | None] = None

    @pytest.fixture
    def make(self) -> GeneratorMaker:
        """Makes the generator of this suite."""
        return ClassMaker(self.component, self.settings, self.larger, inspect.getattr_static(self, "trained_by"))

    def test_is_a_generator(self, make: GeneratorMaker) -> None:
        generator = make.build(SIDS)
        assert isinstance(generator, Generator)
        assert isinstance(generator, AutoregressiveGenerator) != isinstance(generator, ItemScorer)
        assert generator.needs <= {"sids", "encoder"}
        assert generator.max_history_len >= 6, "choose settings for histories of 6 items: the tests have no longer ones"

    def test_one_pass_equals_one_history_at_a_time(self, make: GeneratorMaker) -> None:
        """What is trained (teacher-forced, all positions at once) is what is decoded (cached, step by step)."""
        generator = scrambled(make.build(SIDS))
        batch = all_targets(HISTORIES, NUM_ITEMS)
        assert batch.targets is not None
        row, state = (batch.targets != PAD).nonzero(as_tuple=True)
        prefixes = batch_of([HISTORIES[r][:s] for r, s in zip(row.tolist(), state.tolist(), strict=True)])
        items = batch.targets[row, state]
        assert torch.equal(generator.target_logits(batch).items, items)
        stepped = next_logits(generator, prefixes, items)
        assert torch.allclose(everything(generator, batch)[:, : stepped.shape[1]], stepped, atol=1e-4)

    def test_beams_are_reordered_with_their_past(self, make: GeneratorMaker) -> None:
        generator = scrambled(make.build(SIDS))
        if not isinstance(generator, AutoregressiveGenerator):
            pytest.skip("has no beams")
        batch, first = batch_of(HISTORIES), torch.tensor([[0, 1, 2]] * len(HISTORIES))
        with torch.inference_mode():
            _, state = generator.step(generator.prefill(batch), None)
            wide, state = generator.step(generator.reorder(state, torch.zeros_like(first)), first)
            index = torch.tensor([[2, 0]] * len(HISTORIES))
            last, _ = generator.step(generator.reorder(state, index), torch.tensor([[3, 1]] * len(HISTORIES)))
            for beam, (code, then) in enumerate([(2, 3), (0, 1)]):
                _, state = generator.step(generator.prefill(batch), None)
                logits, state = generator.step(state, torch.full((len(HISTORIES), 1), code))
                assert torch.allclose(logits[:, 0], wide[:, code], atol=1e-5)
                logits, _ = generator.step(state, torch.full((len(HISTORIES), 1), then))
                assert torch.allclose(logits[:, 0], last[:, beam], atol=1e-5)

    def test_a_step_is_its_hidden_state_and_the_head(self, make: GeneratorMaker) -> None:
        generator = scrambled(make.build(SIDS))
        if not isinstance(generator, HasCodeHeads):
            pytest.skip("has no linear code heads (HasCodeHeads)")
        state, codes = generator.prefill(batch_of(HISTORIES)), None
        for level in range(SIDS.num_levels):
            logits, after = generator.step(state, codes)
            hidden, state = generator.hidden_step(state, codes)
            assert torch.allclose(generator.code_head(level)(hidden), logits, atol=1e-6)
            codes = logits.argmax(-1)
            again, _ = generator.step(after, codes) if level + 1 < SIDS.num_levels else (None, None)
            if again is not None:
                assert torch.allclose(generator.step(state, codes)[0], again, atol=1e-6)

    def test_looked_up_vectors_are_those_of_the_table(self, make: GeneratorMaker) -> None:
        generator = scrambled(make.build(SIDS, train_counts=np.arange(NUM_ITEMS)))
        if not isinstance(generator, LooksUpItems) or (isinstance(generator, HasItemHead) and not generator.has_item_head):
            pytest.skip("looks no items up (LooksUpItems)")
        items = torch.tensor([[3, 1], [3, 0]])
        assert torch.allclose(generator.lookup(items), generator.item_table()[items], atol=1e-6)

    def test_later_items_do_not_change_earlier_targets(self, make: GeneratorMaker) -> None:
        generator = scrambled(make.build(SIDS))
        history = random_histories(NUM_ITEMS, [6], seed=5)[0]
        changed = [*history[:3], (history[3] + 1) % NUM_ITEMS, *history[4:]]
        targets = [[1, 2, 3, 4, 5, 6, 7]]
        before, after = (everything(generator, batch_of([row], targets)) for row in (history, changed))
        assert torch.allclose(before[:4], after[:4], atol=1e-5)
        assert ((before[4:] - after[4:]).abs().amax(1) > 1e-3).all(), "every later target sees the change"

    def test_neighbours_and_padding_change_nothing(self, make: GeneratorMaker) -> None:
        generator = scrambled(make.build(SIDS))
        together = everything(generator, all_targets(HISTORIES, NUM_ITEMS)).split([len(row) + 1 for row in HISTORIES])
        for row, expected in zip(HISTORIES, together, strict=True):
            targets = [[*row, (sum(row) + 1) % NUM_ITEMS]]
            for width in (len(row), len(row) + 3):
                assert torch.allclose(everything(generator, batch_of([row], targets, width=width)), expected, atol=1e-5)

    def test_only_wanted_targets_are_predicted(self, make: GeneratorMaker) -> None:
        """A window's context carries no targets of its own."""
        generator = scrambled(make.build(SIDS))
        whole = batch_of([[3, 1, 4, 1]], [[3, 1, 4, 1, 5]])
        part = batch_of([[3, 1, 4, 1]], [[PAD, PAD, 4, PAD, 5]])
        assert generator.target_logits(part).items.tolist() == [4, 5]
        assert torch.allclose(everything(generator, part), everything(generator, whole)[[2, 4]], atol=1e-5)

    # --- columns of events, requests and users ------------------------------------------------------------------------

    def test_columns_start_without_effect(self, make: GeneratorMaker) -> None:
        """With weights of zero, whatever is known beside the items changes nothing."""
        plain, generator = make.build(SIDS), _with_columns(make)
        batch = all_targets(HISTORIES, NUM_ITEMS)
        fresh = generator.load_state_dict(plain.state_dict(), strict=False)
        assert fresh.unexpected_keys == []
        assert all("conditions." in name for name in fresh.missing_keys)
        assert torch.allclose(everything(generator, conditioned(batch)), everything(plain, batch), atol=1e-6)

    def test_columns_are_decoded_as_they_are_trained(self, make: GeneratorMaker) -> None:
        generator = scrambled(_with_columns(make))
        batch = conditioned(all_targets(HISTORIES, NUM_ITEMS))
        assert batch.targets is not None
        row, state = (batch.targets != PAD).nonzero(as_tuple=True)
        items = batch.targets[row, state]
        stepped = next_logits(generator, batch.at_states(row, state), items)
        assert torch.allclose(everything(generator, batch)[:, : stepped.shape[1]], stepped, atol=1e-4)

    def test_each_condition_reaches_its_predictions_alone(self, make: GeneratorMaker) -> None:
        """A column of an event: those after it. A request, a text: their own. A user: all of the row, and no other row."""
        generator = scrambled(_with_columns(make))
        rows = random_histories(NUM_ITEMS, [5, 5], seed=3)
        batch = conditioned(all_targets(rows, NUM_ITEMS))  # targets 0 to 5 of the first row, then those of the second
        assert batch.given is not None
        before = everything(generator, batch)

        def changed(other: Batch) -> list[int]:
            return ((everything(generator, other) - before).abs().amax(1) > 1e-4).nonzero().flatten().tolist()

        for name in batch.columns:
            values = batch.columns[name].clone()
            values[0, 3] = values[0, 3] + 1 if values.dtype.is_floating_point else 1 + values[0, 3] % 2
            assert changed(replace(batch, columns={**batch.columns, name: values})) == [4, 5], name
        for name in batch.request:
            values = batch.request[name].clone()
            values[0, 2] = 1 + values[0, 2] % 2
            assert changed(replace(batch, request={**batch.request, name: values})) == [2], name
        text = batch.given.clone()
        text[0, 2] += 1
        assert changed(replace(batch, given=text)) == [2]
        for name in batch.users:
            values = batch.users[name].clone()
            values[0] = (values[0] + 1) % 2
            assert changed(replace(batch, users={**batch.users, name: values})) == [0, 1, 2, 3, 4, 5], name

    def test_gradient_reaches_every_parameter(self, make: GeneratorMaker) -> None:
        generator = scrambled(make.build(SIDS, train_counts=np.full(NUM_ITEMS, 3)))
        make.objective(TRIE, generator).loss(generator, all_targets(HISTORIES, NUM_ITEMS)).total.backward()
        dead = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert dead == []

    def test_save_and_load(self, make: GeneratorMaker, tmp_path: Path) -> None:
        """As the train stage does it: config, then weights; the counts behind a gate come with the weights."""
        counts = np.arange(NUM_ITEMS)
        generator = scrambled(make.build(SIDS, train_counts=counts))
        weights = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
        save_file(weights, tmp_path / "model.safetensors")
        again = make.build(SIDS, train_counts=np.zeros(NUM_ITEMS), seed=1)
        again.load_state_dict(load_file(tmp_path / "model.safetensors"))
        batch = all_targets(HISTORIES, NUM_ITEMS)
        assert torch.equal(everything(again, batch), everything(generator, batch))

    def test_learns_a_deterministic_world(self, make: GeneratorMaker, tmp_path: Path) -> None:
        """Item i is always followed by item i + 1."""
        world, sids = ring(num_items=20, num_users=80), sids_of(20, (4, 5, 6))
        trie = PrefixTrie.build(sids)
        generator = make.build(sids, train_counts=world.train_counts, learning=True)
        settings = TrainSettings(
            epochs=30, lr=1e-2, warmup_steps=5, batch_states=200, num_validations=1, validation_users=5, weight_decay=0.0
        )
        objective = make.objective(trie, generator)
        fit(
            generator,
            objective,
            world,
            trie,
            settings,
            work=tmp_path,
            device=torch.device("cpu"),
            progress=False,
            log=lambda line: None,
        )
        strategy: Any = FullRanking() if isinstance(generator, ItemScorer) else TrieBeam(num_beams=10)
        histories, users = world.histories("test"), np.arange(world.num_users)
        table = recommend_users(generator, strategy, trie, histories, users, k=1, exclude_seen=False, batch_size=80)
        assert (table["item_idx"].to_numpy() == world.targets("test").item_idx).mean() > 0.9
