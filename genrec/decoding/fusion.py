"""Several scorers as one: the union of their candidates, each scored exactly by all of them.

COBRA's BeamFusion in general form (see docs/methods/fusion.md). There, a beam's probability and a cosine are multiplied as two
softmaxes with hand-set temperatures, over the candidates of the beam alone. Here any number of scorers take part, every
candidate has every scorer's log-probability over the whole catalogue, and the weights are fitted on validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.dataset import Dataset
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import best_items, bias_of, item_log_probs, rank_items, ranking_keys, union
from genrec.decoding.lib.guidance import RequestGuidance, asks, guided
from genrec.decoding.lib.plain_strategies import BeamSearch, ScoreRanking
from genrec.decoding.lib.smoothed_baseline import Smoothed, precise
from genrec.errors import ConfigError, did_you_mean
from genrec.protocols import (
    AutoregressiveGenerator,
    Decoded,
    DecodingRequest,
    DecodingStrategy,
    Generator,
    HasItemHead,
    HasOpenSettings,
    ItemScorer,
    SavableBaseline,
)
from genrec.types import PAD

GENERATOR, HEAD = "generator", "head"  # scorers that the generator itself provides
STATE_FILE = "calibration.json"


@dataclass(frozen=True)
class Candidates:
    """The items that any scorer of the ensemble proposes, with the log-probabilities of all scorers.

    Args:
        items: [batch, candidates], distinct; ``PAD`` at the end.
        log_probs: over the whole catalogue, by each scorer in the order of ``Fusion.active``; -inf at ``PAD``.
    """

    items: Int64[Tensor, "batch candidates"]
    log_probs: Float[Tensor, "batch candidates members"]


class Fusion:
    """Ranks by a weighted sum of the scorers' log-probabilities: a product of experts.

    A scorer proposes its best items after filters, bias and seen items, so ``k`` items are found whenever ``k`` are allowed.
    The answer's scores are the weighted sums (plus the bias): no probabilities, but the same whatever else is allowed. The
    generator costs a beam search and the exact likelihood of all candidates; the other scorers score the whole catalogue.

    Args:
        members: the scorers of the ensemble: "generator" (its IDs; of an item scorer, its scores), "head" (its dense item head,
            where it has one) and names of ``scorers``.
        scorers: baselines (``SavableBaseline``) by name, fitted on the training part; those that ``members`` does not name are
            ignored.
        num_candidates: that each scorer proposes, at least; as many beams are searched.
        guidance: member -> the strength of what is asked for, of the generator and its head (see ``Guided``): its logits are
            ``u + strength * (c - u)`` before they are normalized. A member that is not named here hears the request as it is.
    """

    kind: ClassVar[Literal["any"]] = "any"
    needs: ClassVar[frozenset[str]] = frozenset({"calibration"})

    def __init__(
        self,
        *,
        members: tuple[str, ...] = (GENERATOR, HEAD),
        scorers: Mapping[str, Any] | None = None,
        num_candidates: int = 50,
        guidance: Mapping[str, float] | None = None,
    ) -> None:
        options = (GENERATOR, HEAD, *(scorers or {}))
        for name in members:
            if name not in options:
                fix = did_you_mean(name, options)
                raise ConfigError("decoding.members", expected="generator, head or a scorer", got=name, fix=fix)
        if not members or len(set(members)) < len(members):
            raise ConfigError("decoding.members", expected="one or more, each once", got=list(members), fix="name them again")
        for name, baseline in (scorers or {}).items():
            if not isinstance(baseline, SavableBaseline):
                where, fix = f"decoding.scorers.{name}", "choose Transitions, ItemKNN or VectorNeighbours"
                raise ConfigError(where, expected="a baseline with save and restore", got=type(baseline).__name__, fix=fix)
        if num_candidates < 1:
            raise ConfigError("decoding.num_candidates", expected="at least 1", got=num_candidates, fix="raise it")
        for name, strength in (guidance or {}).items():
            if name not in {GENERATOR, HEAD} & set(members):
                expected, fix = "generator or head, where it is a member", "leave it out, or add it to decoding.members"
                raise ConfigError("decoding.guidance", expected=expected, got=name, fix=fix)
            if not abs(strength) < float("inf"):
                where, fix = f"decoding.guidance.{name}", "choose one from 0 to 4"
                raise ConfigError(where, expected="a finite number", got=strength, fix=fix)
        self.members, self.num_candidates, self.guidance = members, num_candidates, dict(guidance or {})
        self.scorers = {name: Smoothed(baseline) for name, baseline in (scorers or {}).items() if name in members}
        self.active: tuple[str, ...] = members
        self.weights: dict[str, float] = {}

    @property
    def at_hand(self) -> int:
        """The number of items that may be asked for at no further cost."""
        return self.num_candidates

    def check(self, k: int) -> None:
        """Any number of items can be found."""

    # --- fitting ------------------------------------------------------------------------------------------------------

    def fit(
        self, generator: Any, dataset: Dataset, fitted: Callable[[str, SavableBaseline], SavableBaseline] | None = None
    ) -> None:
        """Fits the scorers on the training part, and leaves out the head where the generator has none.

        Args:
            generator: the trained one.
            dataset: to fit on.
            fitted: fits a scorer, given by name, in another way: with settings that it chooses.

        Raises:
            ConfigError: when nobody is left.
        """
        without = not (isinstance(generator, HasItemHead) and generator.has_item_head)
        self.active = tuple(name for name in self.members if not (name == HEAD and without))
        if not self.active:
            fix = "train with generator.item_head=true, or add a scorer"
            raise ConfigError(
                "decoding.members", expected=f"one that {type(generator).__name__} has", got=list(self.members), fix=fix
            )
        for name, scorer in self.scorers.items():
            if fitted is None:
                scorer.fit(dataset)
            else:
                scorer.baseline = fitted(name, scorer.baseline)

    def save(self, folder: Path) -> None:
        """Writes the weights and the fitted scorers."""
        state = {
            "weights": self.weights,
            "smoothings": {name: scorer.smoothing for name, scorer in self.scorers.items()},
            "settings": {name: _settings_of(scorer.baseline) for name, scorer in self.scorers.items()},
        }
        (folder / STATE_FILE).write_text(json.dumps(state, indent=2), encoding="utf-8")
        for name, scorer in self.scorers.items():
            (folder / name).mkdir()
            scorer.save(folder / name)

    def restore(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        self.weights = state["weights"]
        self.active = tuple(self.weights)
        for name, scorer in self.scorers.items():
            scorer.restore(folder / name)
            if chosen := state.get("settings", {}).get(name):  # not in states of before settings were chosen
                assert isinstance(scorer.baseline, HasOpenSettings)  # its own settings were saved
                scorer.baseline.adopt(chosen)
            scorer.smoothing = state["smoothings"][name]

    def with_items(self, num_items: int) -> Fusion:
        """The same fusion for a catalogue with later items, of which the generator knows the codes and the scorers nothing."""
        grown = copy(self)
        grown.scorers = {name: scorer.with_items(num_items) for name, scorer in self.scorers.items()}
        return grown

    # --- decoding -----------------------------------------------------------------------------------------------------

    def search(self, generator: Generator, k: int) -> DecodingStrategy:
        """Returns the strategy that finds the generator's own ``k`` candidates."""
        alone = BeamSearch(num_beams=k) if isinstance(generator, AutoregressiveGenerator) else ScoreRanking()
        return RequestGuidance(alone, self.guidance[GENERATOR]) if GENERATOR in self.guidance else alone

    @torch.inference_mode()
    def candidates(self, generator: Any, trie: PrefixTrie | None, request: DecodingRequest) -> Candidates:
        """Returns the union of what the scorers propose, scored by all of them."""
        number = max(self.num_candidates, request.k)
        tables = {name: table for name in self.active if (table := self._table(name, generator, request.batch)) is not None}
        proposed = [best_items(ranking_keys(table, request), number) for table in tables.values()]
        if GENERATOR in self.active and GENERATOR not in tables:
            search_request = replace(request, k=number, observer=None)
            proposed.append(self.search(generator, number).decode(generator, trie, search_request).items)
        items = union(proposed)
        scored = [
            tables[name].gather(1, items.clamp(min=0))
            if name in tables
            else item_log_probs(self._member(name, generator, request.batch), trie, request.batch, items)
            for name in self.active
        ]
        columns = torch.stack([column.to(precise(items.device)) for column in scored], dim=-1)
        log_probs = columns.masked_fill((items == PAD).unsqueeze(-1), float("-inf"))
        return Candidates(items, log_probs)

    def fused(self, candidates: Candidates) -> Float[Tensor, "batch candidates"]:
        """Returns the weighted sum of the scorers' log-probabilities."""
        weights = candidates.log_probs.new_tensor([self.weights[name] for name in self.active])
        missing = (candidates.items == PAD).unsqueeze(-1)  # 0 times -inf would be no number
        return (candidates.log_probs.masked_fill(missing, 0.0) @ weights).masked_fill(missing.squeeze(-1), float("-inf"))

    @torch.inference_mode()
    def decode(self, generator: Any, trie: PrefixTrie | None, request: DecodingRequest) -> Decoded:
        """Ranks the candidates of every history, by the ensemble and by each scorer alone."""
        candidates = self.candidates(generator, trie, request)
        bias = bias_of(request, candidates.items)

        def by(scores: Tensor) -> Decoded:
            return rank_items(candidates.items, scores + bias, request.k)

        by_scorer = {name: by(candidates.log_probs[..., number]) for number, name in enumerate(self.active)}
        return replace(by(self.fused(candidates)), members=by_scorer)

    def _table(self, name: str, generator: Any, batch: Batch) -> Float[Tensor, "batch items"] | None:
        """Returns a scorer's log-probabilities of all items; None for codes, which are scored candidate by candidate."""
        if name in self.scorers:
            return self.scorers[name].log_probs(batch)
        generator = self._member(name, generator, batch)
        if name == HEAD:
            return generator.item_scores(batch).float().log_softmax(dim=1)
        return generator.score(batch).float().log_softmax(dim=1) if isinstance(generator, ItemScorer) else None

    def _member(self, name: str, generator: Any, batch: Batch) -> Any:
        """Returns the generator as a member hears what the batch asks for."""
        return guided(generator, self.guidance[name]) if name in self.guidance and asks(batch) else generator


def _settings_of(baseline: SavableBaseline) -> dict[str, Any]:
    return dict(baseline.settings) if isinstance(baseline, HasOpenSettings) else {}
