"""Generators, which predict the next item, code by code or all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.types import Normalization


@dataclass(frozen=True)
class TargetLogits:
    """Logits at every target of a batch, in the order of ``batch.targets[batch.targets != PAD]``.

    Args:
        items: [targets] item_idx of the targets.
        levels: per level [targets, size], teacher-forced; empty for item scorers.
        item_queries: [targets, dim] of a dense head or an item scorer: an item's logit is its product with that item's row of
            ``generator.item_table()``. None without a head.
        auxiliary: losses of the generator's own by name, weighted, means per target; an objective on codes adds them.
    """

    items: Int64[Tensor, " targets"]
    levels: tuple[Tensor, ...] = ()
    item_queries: Float[Tensor, "targets dim"] | None = None
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Generator(Protocol):
    """A torch module that predicts at every target of a batch in one pass. Capabilities of some are protocols below."""

    needs: ClassVar[frozenset[str]]  # artifact kinds besides the dataset: {"sids"}, {"encoder"}, ...
    max_history_len: int

    def target_logits(self, batch: Batch) -> TargetLogits: ...


@runtime_checkable
class ReadsTargetColumns(Protocol):
    """Its losses read columns of the targets' own events, in training alone: they stand in ``Batch.target_columns``."""

    target_columns: tuple[str, ...]


@runtime_checkable
class AutoregressiveGenerator(Generator, Protocol):
    """Generates codes level by level. The state is opaque; ``step`` number ``l`` gives the logits of level ``l``."""

    normalization: Normalization
    sids: SIDTable

    def prefill(self, batch: Batch) -> Any:
        """Encodes histories once per USER; one (empty) beam each."""
        ...

    def step(self, state: Any, codes: Int64[Tensor, "batch beams"] | None) -> tuple[Float[Tensor, "batch beams size"], Any]:
        """Appends the last chosen code of each beam (None at level 0, where there is one beam) and predicts the next level."""
        ...

    def reorder(self, state: Any, index: Int64[Tensor, "batch beams"]) -> Any:
        """Keeps (or repeats) beams; ``index`` may change their number. What belongs to the user is not copied."""
        ...


@runtime_checkable
class HasCodeHeads(AutoregressiveGenerator, Protocol):
    """A generator whose logits of a level are one linear map of a hidden state, so that a search can compute some alone."""

    def hidden_step(
        self, state: Any, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams dim"], Any]:
        """Is ``step`` up to the map: ``step`` gives ``code_head(level)(hidden)``."""
        ...

    def code_head(self, level: int) -> torch.nn.Linear:
        """Returns the map to the logits of ``level``."""
        ...


@dataclass(frozen=True, kw_only=True)
class SessionLogits(TargetLogits):
    """Logits at every item of the sessions that begin at the targets of a batch, in any order.

    Args:
        slots: [items], where in its session each item stands; 0 is the item that it begins with.
        weights: [items], how much each item counts as a target (``Batch.weights``); None: all alike.
    """

    slots: Int64[Tensor, " items"]
    weights: Float[Tensor, " items"] | None = None


@runtime_checkable
class SessionGenerator(AutoregressiveGenerator, Protocol):
    """Writes several items one after another; ``decoding=session`` decodes them all, other strategies the first."""

    session_len: int  # items of a session

    def session_logits(self, batch: Batch) -> SessionLogits:
        """Teacher-forced logits of every item of the sessions that begin at the targets of a batch."""
        ...

    def written(self, state: Any, items: Int64[Tensor, " batch"]) -> Any:
        """Returns the state from which the next item of each session is written.

        Args:
            state: from which these items were: that of ``prefill``, or of this method, before any ``step``.
            items: of each session, at most ``session_len - 1`` times.
        """
        ...


@runtime_checkable
class AlignedGenerator(AutoregressiveGenerator, Protocol):
    """Can also predict IDs from texts and texts from IDs, of items, of histories, and of what users look for."""

    def described(self) -> Int64[Tensor, " described"]:
        """Returns the items that have a text."""
        ...

    def index_logits(self, items: Int64[Tensor, " some"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of described items, given their texts."""
        ...

    def text_logits(self, items: Int64[Tensor, " some"]) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Teacher-forced logits of the words of described items, and the words, given the items' IDs."""
        ...

    def next_text_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """The same of the texts of the next items of histories, those that have one, given the histories' IDs."""
        ...

    def next_index_logits(self, batch: Batch, items: Int64[Tensor, " batch"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of the next items, given the texts of histories."""
        ...

    def search_logits(self, batch: Batch, items: Int64[Tensor, " batch"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of the next items that a query can be made of, given it and perhaps the history."""
        ...

    def preference_logits(self, batch: Batch) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Teacher-forced logits of the words for what users like, and the words, given the histories' IDs."""
        ...


@runtime_checkable
class AsksAboutItems(AlignedGenerator, Protocol):
    """Can also be asked about one item, or which of some it is, given a history: the tasks of P5."""

    rating_column: str | None  # of the events, what users said

    def candidates_logits(self, batch: Batch, items: Int64[Tensor, " batch"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of the next items, given histories and the items among others."""
        ...

    def yes_no_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Teacher-forced logits of yes or no, and the words, given histories and items that came next, or did not."""
        ...

    def rating_logits(self, batch: Batch) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Teacher-forced logits of what users said of the last items of histories, and the words, given those before."""
        ...

    def reason_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Teacher-forced logits of the keywords that items share with their histories, and the words."""
        ...


@runtime_checkable
class WritesTexts(Generator, Protocol):
    """Writes the text of the next item in its own words; ``decoding=grounded_text`` finds items for it."""

    item_counts: Tensor  # [items], training events of each

    def described(self) -> Int64[Tensor, " described"]:
        """Returns the items that have a text."""
        ...

    def item_texts(self, items: Int64[Tensor, " some"]) -> Int64[Tensor, "some words"]:
        """Returns the tokens of items' texts, ``PAD`` behind each."""
        ...

    def write_texts(self, batch: Batch) -> Int64[Tensor, "batch words"]:
        """Writes the text of the next item of each history; ``PAD`` behind each."""
        ...

    def text_states(self, texts: Int64[Tensor, "rows words"]) -> Float[Tensor, "rows dim"]:
        """Returns a vector of each text."""
        ...

    def next_title_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Teacher-forced logits of the words of the next items' texts, and the words, given the texts of histories."""
        ...


@runtime_checkable
class ParallelGenerator(AutoregressiveGenerator, Protocol):
    """Predicts the codes of all levels at once, each independent of the others."""

    def level_logits(self, batch: Batch) -> tuple[Float[Tensor, "batch _"], ...]:
        """Per level, what every ``step`` would give for the next item of each history."""
        ...

    def code_vectors(self) -> tuple[Float[Tensor, "_ dim"], ...]:
        """Per level, a unit vector for each code; codes with near vectors are near in meaning."""
        ...


@runtime_checkable
class MaskedGenerator(Generator, Protocol):
    """Fills in the codes of an item in any order."""

    normalization: Normalization
    sids: SIDTable

    def prefill(self, batch: Batch) -> Any:
        """Encodes histories once per user."""
        ...

    def fill(self, state: Any, codes: Int64[Tensor, "batch beams levels"]) -> tuple[Float[Tensor, "batch beams _"], ...]:
        """Per level, logits given the codes that are there (``PAD`` where none is yet); those of filled levels are not read."""
        ...


@runtime_checkable
class FillsLast(Protocol):
    """A masked generator one of whose levels says nothing to the others: it is filled in when all of them are."""

    last_level: int | None


@runtime_checkable
class DenoisingGenerator(MaskedGenerator, Protocol):
    """A masked generator that learns from codes hidden on purpose."""

    def denoise(
        self, batch: Batch, codes: Int64[Tensor, "targets views levels"]
    ) -> tuple[Float[Tensor, "targets views _"], ...]:
        """What ``fill`` gives at every target of a batch, for several views of each, in one pass over the histories.

        Args:
            batch: with targets.
            codes: what each view shows of its target, ``PAD`` where it is hidden.
        """
        ...


@runtime_checkable
class ItemScorer(Generator, Protocol):
    """Scores the whole catalogue at once."""

    def item_table(self) -> Float[Tensor, "items dim"]:
        """The vectors that queries are multiplied with."""
        ...

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]: ...


@runtime_checkable
class ReasoningScorer(ItemScorer, Protocol):
    """An item scorer that goes some steps of thought from each history state before it answers."""

    readout: Literal["last", "mean"]  # the state that answers, or all of them together

    def chains(self, batch: Batch, noises: tuple[float, ...] = (0.0,)) -> Float[Tensor, "chains targets states dim"]:
        """The history's state and the thoughts after it at every target, in the order of ``TargetLogits``.

        One chain for each of ``noises``: standard deviations of what is added to the states that are fed back.
        """
        ...


@runtime_checkable
class DualBranchScorer(ItemScorer, Protocol):
    """An item scorer whose queries and vectors have two halves: of ids, and of the codes of ``sids``."""

    sids: SIDTable

    def masked_queries(self, batch: Batch) -> Float[Tensor, "targets dim"] | None:
        """The second half of the queries, in the order of ``TargetLogits``, where a part of each history's codes is hidden."""
        ...


@dataclass(frozen=True)
class Denoised:
    """Vectors of the targets that a generator restored.

    Args:
        restored: [targets, width].
        clean: [targets, width], what they should be.
        hidden: [targets, any], features from which they were made; None where there are none to spread.
    """

    restored: Float[Tensor, "targets width"]
    clean: Float[Tensor, "targets width"]
    hidden: Float[Tensor, "targets inner"] | None = None


@runtime_checkable
class DiffusionScorer(ItemScorer, Protocol):
    """An item scorer that generates the vector of the next item."""

    def denoised(self, batch: Batch) -> Denoised:
        """The vectors of a batch's targets, restored from noise."""
        ...


@runtime_checkable
class HasNormalization(Protocol):
    """A generator that writes codes: its scores are probabilities over the trie's paths, or over each level's codebook."""

    normalization: Normalization


@runtime_checkable
class LooksUpItems(Protocol):
    """A generator that gives the vectors of some items without making those of all: what a sampled loss costs by it."""

    def lookup(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Is ``item_table()[items]``, but for dropout, which draws anew."""
        ...

    def item_table(self) -> Float[Tensor, "items dim"]:
        """Returns the vectors that queries are multiplied with."""
        ...


@runtime_checkable
class HasItemTable(Protocol):
    """A generator with a vector for each item: "similar items" are those with near vectors where no encoder has any."""

    def item_table(self) -> Float[Tensor, "items dim"]:
        """Returns the vectors that queries are multiplied with."""
        ...


@runtime_checkable
class HasItemHead(HasItemTable, Protocol):
    """A generator of codes with a dense item head: objectives train the head, and a fusion can use it as a scorer.

    ``has_item_head`` is False where this one was built without (``generator.item_head=false``).
    """

    @property
    def has_item_head(self) -> bool: ...

    def item_scores(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Returns the head's logits of all items."""
        ...


@runtime_checkable
class ItemRows(Protocol):
    """A generator whose weights have a row per item: items that come later get rows of zeros (``extends``, a served bundle)."""

    item_rows: ClassVar[frozenset[str]]  # names in the state dict


@runtime_checkable
class SavesItself(Protocol):
    """A generator that takes more to build than configuration and weights: its constructor takes ``saved``, this folder."""

    def save(self, folder: Path) -> None:
        """Writes what the constructor finds in ``saved`` when the trained generator is opened again."""
        ...


@runtime_checkable
class PromptedLanguageModel(AutoregressiveGenerator, Protocol):
    """A causal language model that writes codes behind a prompt: ``export.runtime=hf_llm`` makes it a plain folder.

    Codes are tokens behind the model's own; an empty beam is the prompt and the codes of the history's items.
    """

    language_model: Any  # a ``genrec.nn.language_model.LanguageModel``

    def history_prompt(self) -> tuple[str, tuple[int, ...]]:
        """Returns what stands before a history's codes when recommending, as text and as tokens."""
        ...


@runtime_checkable
class HasRuntimes(Protocol):
    """A generator that runs elsewhere: ``export.runtime`` takes what is named here, such as ``onnx``."""

    runtimes: ClassVar[frozenset[str]]


def device_of(module: torch.nn.Module) -> torch.device:
    """Where a module's parameters live."""
    return next(module.parameters()).device
