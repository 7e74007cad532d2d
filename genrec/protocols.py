"""What a plug-in of each kind must offer. Structural: a class that has the methods fits, no base class needed.

Every constructor takes flat keyword-only arguments. Those named in ``RUNTIME`` are filled in by genrec and never stand in yaml.
Fitted components are made again from their configuration and then given their fitted state with ``restore(folder)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from genrec.batch import Batch
from genrec.dataset import Dataset, Sequences
from genrec.errors import ConfigError
from genrec.sids import SIDTable
from genrec.types import PAD, Decodes, Normalization
from genrec.types import RUNTIME as RUNTIME

# --- data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RawData:
    """What a data source read, in canonical columns, before any filter, order or split.

    Args:
        interactions: ``user_id``, ``item_id``; optional ``timestamp`` and/or ``position``, ``rating``, ``event_type``,
            ``weight``. Row order is the input order; row numbers in errors count from 1 here. Prepare casts and checks.
        items: ``item_id`` and any other columns; None when there is no catalogue beside the interactions.
        notes: (what, how many) of everything the source itself dropped or changed.
        extra_files: file name -> writer, called with the path to write; kept beside the dataset (the demo world's parameters).
        files: what errors about "interactions" and "items" call the two tables: their files.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame | None
    notes: list[tuple[str, int]] = field(default_factory=list)
    extra_files: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class DataSource(Protocol):
    def load(self) -> RawData: ...


class Splitter(Protocol):
    """Decides where each user's training and validation parts end (see ``Dataset``)."""

    def keep(self, users: pl.DataFrame) -> np.ndarray:
        """Tells who stays in the dataset, given ``user_id`` and ``num_events``: bool [users].

        Raises:
            DataError: when there are users it cannot split and its policy is to stop.
        """
        ...

    def split(self, offsets: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Returns absolute train_ends [users], validation_ends [users], and facts (rule, counts)."""
        ...


# --- encoders --------------------------------------------------------------------------------------------------------


class ItemEncoder(Protocol):
    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        """Learns vocabulary, projections, standardization. ``train`` holds training events only; rows of items = item_idx."""
        ...

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        """Finite float32 vectors, also for items that were not there at ``fit`` (matched by ``item_id``, never by row)."""
        ...

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        """Which items this source really knows something about (the others got its documented fallback)."""
        ...

    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...


# --- tokenizers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokenizerInputs:
    """What tokenizers may look at.

    Args:
        embeddings: source name -> [items, dim] float32; ``"item"`` is the encoder's joint vector.
        items: the catalogue rows that the embeddings belong to.
        train: training sequences (item_idx of the FITTED catalogue), or None when only encoding.
    """

    embeddings: Mapping[str, np.ndarray]
    items: pl.DataFrame
    train: Sequences | None = None

    @property
    def num_items(self) -> int:
        return self.items.height

    def of(self, rows: Int[np.ndarray, " rows"]) -> TokenizerInputs:
        """What there is of some items (at least one)."""
        embeddings = {name: vectors[rows] for name, vectors in self.embeddings.items()}
        return replace(self, embeddings=embeddings, items=self.items[rows.tolist()])


@dataclass(frozen=True)
class Traits:
    """What a tokenizer promises; contract tests apply where the trait is promised.

    Args:
        inductive: ``encode`` works for unseen items and row by row.
        ordered: levels go from coarse to fine.
        reconstructs: ``reconstruct`` gives vectors back, better with every level.
    """

    inductive: bool
    ordered: bool
    reconstructs: bool


class ItemTokenizer(Protocol):
    needs: ClassVar[frozenset[str]]  # of {"embeddings", "train"}
    traits: ClassVar[Traits]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        ...

    def fit(self, inputs: TokenizerInputs) -> None: ...
    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]: ...
    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...

    # With traits.reconstructs:
    #   reconstruct(codes [items, any number of leading levels]) -> [items, dim]
    # Where collisions can be repaired by moving items within a level:
    #   level_costs(inputs, prefix [items, depth]) -> [items, sizes[depth]], squared distance of what the prefix leaves over of
    #   each item to every code of the next level
    # With further codes that generators may read but never decode:
    #   encode_streams(inputs) -> name -> Stream of the same items


class CollisionPolicy(Protocol):
    """Turns codes into a table whose items are unique (or, with ``keep``, says that groups exist)."""

    def resolve(self, codes: np.ndarray, sizes: tuple[int, ...], context: CollisionContext) -> SIDTable: ...

    def extend(self, table: SIDTable, codes: np.ndarray, context: CollisionContext) -> SIDTable:
        """Appends items that came later; codes and context are theirs. No ID of the table moves and its layout stays."""
        ...


@dataclass(frozen=True)
class CollisionContext:
    """What a policy may use: training popularity for the order in a group, and the costs of moving items.

    Args:
        item_ids: [items] strings, the stable tie-breaker.
        train_counts: int64 [items].
        costs: callable (rows [n], prefix [n, depth]) -> [n, sizes[depth]] squared distances, or None without codebooks.
        codebooks: hash of the tokenizer's codebooks, passed on to the table.
    """

    item_ids: pl.Series
    train_counts: np.ndarray
    costs: Any = None
    codebooks: str = ""


# --- generators ------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class LossTerms:
    """The loss to minimize and its parts for the log (detached), all means per target."""

    total: Tensor
    parts: Mapping[str, Tensor]


@runtime_checkable
class Generator(Protocol):
    """A torch module that predicts at every target of a batch in one pass."""

    needs: ClassVar[frozenset[str]]  # artifact kinds besides the dataset: {"sids"}, {"encoder"}, ...
    max_history_len: int

    # Where weights have a row per item:
    #   item_rows: ClassVar[frozenset[str]], their names in the state dict; items that come later get rows of zeros
    # Where building one takes more than its configuration and weights:
    #   save(folder), what a constructor that takes ``saved`` finds there when the trained generator is opened again

    def target_logits(self, batch: Batch) -> TargetLogits: ...


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
class SessionGenerator(AutoregressiveGenerator, Protocol):
    """Writes several items one after another, of which decoding asks for the first."""

    def session_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every item of the sessions that begin at the targets of a batch, in any order."""
        ...


@runtime_checkable
class AlignedGenerator(AutoregressiveGenerator, Protocol):
    """Can also tell an item's ID from its text, and its text from its ID."""

    def described(self) -> Int64[Tensor, " described"]:
        """The items that have a text."""
        ...

    def index_logits(self, items: Int64[Tensor, " some"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of described items, given their texts."""
        ...

    def text_logits(self, items: Int64[Tensor, " some"]) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Teacher-forced logits of the words of described items, and the words, given the items' IDs."""
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
class Sampler(Protocol):
    """What a generator would recommend at this step, for objectives that learn from it; training supplies one that decodes."""

    def best(self, generator: Any, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """The ``k`` most probable items that a beam search finds, best first; ``PAD`` where there are fewer."""
        ...

    def drawn(self, generator: Any, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """``k`` distinct items drawn from its distribution, in the order of the draw; others at every step."""
        ...


@runtime_checkable
class Objective(Protocol):
    def check(self, generator: Any) -> None:
        """Raises ConfigError when the two do not fit; called before anything is trained."""
        ...

    def loss(self, generator: Any, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """The loss of a batch; ``sampler`` is there in training, for generators that write codes."""
        ...


@runtime_checkable
class FineTuningObjective(Objective, Protocol):
    """Goes on from a trained generator. Torch modules among its attributes move, and are kept in checkpoints, if it is one."""

    def start(self, generator: Any) -> None:
        """Called with the weights that training starts from, also when it resumes."""
        ...


# --- decoding --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decoded:
    """Ranked items of each user; rows may end early (``PAD``, score -inf).

    Args:
        items: [batch, slots] item_idx, best first; a last tie group is listed whole, so slots >= k.
        scores: [batch, slots], log-probabilities for autoregressive generators.
        tie_start: [batch, slots] 1-based rank at which the entry's group of equal items starts.
        tie_size: [batch, slots] listed size of that group; 1 wherever every item has its own ID.
        members: from strategies that fuse several rankings, each one alone by name.
    """

    items: Int64[Tensor, "batch slots"]
    scores: Float[Tensor, "batch slots"]
    tie_start: Int64[Tensor, "batch slots"]
    tie_size: Int64[Tensor, "batch slots"]
    members: Mapping[str, Decoded] = field(default_factory=dict)

    @classmethod
    def nothing(cls, users: int, device: torch.device) -> Decoded:
        """Empty lists."""
        ranks = torch.empty(users, 0, dtype=torch.long, device=device)
        return cls(ranks, torch.empty(users, 0, device=device), ranks, ranks)

    def rows(self, users: Int64[Tensor, " some"]) -> Decoded:
        """The lists of some users, without members."""
        return Decoded(self.items[users], self.scores[users], self.tie_start[users], self.tie_size[users])

    def with_rows(self, users: Int64[Tensor, " some"], lists: Decoded) -> Decoded:
        """The same answer with other lists for some users; the wider of the two decides the number of slots."""
        width = max(self.items.shape[1], lists.items.shape[1])

        def placed(ours: Tensor, theirs: Tensor, empty: float) -> Tensor:
            ours, theirs = (torch.nn.functional.pad(x, (0, width - x.shape[1]), value=empty) for x in (ours, theirs))
            return ours.index_copy(0, users, theirs.to(ours.dtype))

        return replace(
            self,
            items=placed(self.items, lists.items, PAD),
            scores=placed(self.scores, lists.scores, float("-inf")),
            tie_start=placed(self.tie_start, lists.tie_start, PAD),
            tie_size=placed(self.tie_size, lists.tie_size, PAD),
        )


@dataclass(frozen=True)
class DecodingRequest:
    """What to decode.

    Args:
        batch: the histories.
        k: how many items.
        seen: [batch, any] item_idx never to return (``PAD`` padded), or None: the seen-item rule.
        allowed: takedown or filter, [items] for all users or [batch, items] for each, or None.
        bias: what to add to the items' log-probabilities when ranking, [items] or [batch, items], or None. Scores of the answer
            include it.
        observer: called by strategies that keep beams after each level: (level, nodes [batch, beams], scores [batch, beams]).

    Raises:
        ConfigError: when nothing is allowed to some user (no strategy falls back to the whole catalogue), or a bias is not
            finite.
    """

    batch: Batch
    k: int
    seen: Int64[Tensor, "batch seen"] | None = None
    allowed: Bool[Tensor, " items"] | Bool[Tensor, "batch items"] | None = None
    bias: Float[Tensor, " items"] | Float[Tensor, "batch items"] | None = None
    observer: Callable[[int, Tensor, Tensor], None] | None = None

    def __post_init__(self) -> None:
        if self.allowed is not None and not self.allowed.any(dim=-1).all():
            got = f"none of {self.allowed.shape[-1]}"
            raise ConfigError("filter", expected="at least one allowed item", got=got, fix="loosen the filter")
        if self.bias is not None and not self.bias.isfinite().all():
            wrong = float(self.bias[~self.bias.isfinite()][0])
            raise ConfigError("bias", expected="finite numbers", got=wrong, fix="use a filter to forbid items")

    def rows(self, users: Int64[Tensor, " some"]) -> DecodingRequest:
        """The request of some users of the batch, without an observer."""

        def of(table: Tensor | None, shared: int) -> Tensor | None:
            return table if table is None or table.dim() == shared else table[users]

        batch = self.batch.rows(users)
        return DecodingRequest(batch, self.k, of(self.seen, 0), of(self.allowed, 1), of(self.bias, 1))


@runtime_checkable
class DecodingStrategy(Protocol):
    @property
    def kind(self) -> Decodes:
        """Which generators it fits; a class attribute."""
        ...

    def check(self, k: int) -> None:
        """Raises ConfigError when its settings cannot give ``k`` items."""
        ...

    def decode(self, generator: Any, trie: Any, request: DecodingRequest) -> Decoded:
        """``trie`` is a ``PrefixTrie`` for generators of IDs and None for item scorers."""
        ...

    # With a class attribute ``needs`` that names "calibration", the ``calibrate`` stage fits it, and ``restore(folder)`` gives
    # it its fitted state before it decodes.


# --- baselines -------------------------------------------------------------------------------------------------------


class Floor(Protocol):
    """A recommender without training loops, fitted on the training part only."""

    def fit(self, dataset: Dataset) -> None: ...

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        """Scores of all items for each history (whole histories, oldest first); higher is better."""
        ...


@runtime_checkable
class KeptFloor(Floor, Protocol):
    """A floor whose fitted state can be kept, and whose scores are >= 0: what a fusion takes as a member.

    A class attribute ``needs`` may name artifact kinds besides the dataset: {"encoder"} supplies ``item_vectors``.
    """

    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...

    def with_items(self, num_items: int) -> KeptFloor:
        """The same floor for a catalogue with later items behind, of which it knows nothing; this one stays as it is."""
        ...


def device_of(module: torch.nn.Module) -> torch.device:
    """Where a module's parameters live."""
    return next(module.parameters()).device
