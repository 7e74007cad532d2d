"""What contract suites build: plug-ins again and again, small catalogues, histories, and a generator of arbitrary logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.dataset import Dataset, Sequences
from genrec.core.event_schema import Column, EventSchema, category
from genrec.core.sids import SIDTable, Stream
from genrec.core.trie import PrefixTrie
from genrec.protocols import CollisionContext, TargetLogits, TokenizerInputs
from genrec.types import PAD, Normalization


@dataclass(frozen=True)
class Maker:
    """Makes a plug-in, not yet fitted.

    Args:
        name: stands for the class and its settings.
        build: returns a new one.
    """

    name: str
    build: Callable[[], Any]

    def __call__(self) -> Any:
        return self.build()


class Contract:
    """The tests of one kind of plug-in. A subclass whose name begins with ``Test`` runs them.

    A suite over many plug-ins overrides the fixture ``make``.
    """

    component: ClassVar[type]  # the plug-in's class
    settings: ClassVar[Mapping[str, Any]] = {}  # arguments of its constructor

    @pytest.fixture
    def make(self) -> Maker:
        """Makes the plug-in of this suite."""
        component, settings = self.component, dict(self.settings)
        return Maker(f"{component.__module__}.{component.__qualname__} {settings}", lambda: component(**settings))


def make_inputs(vectors: np.ndarray, *, first: int = 0) -> TokenizerInputs:
    """Items with the given vectors, a two-level category that these decide, and histories that walk among like items.

    Args:
        first: number of the first item in its ``item_id``; items with other numbers are other items.
    """
    finite = np.nan_to_num(np.asarray(vectors, dtype=np.float64), posinf=0, neginf=0)
    names = [f"Root > {'AB'[a]} > {'cd'[b]}" for a, b in (finite[:, [0, -1]] > 0).astype(int)]
    ids = [f"item-{first + i:04}" for i in range(len(vectors))]
    items = pl.DataFrame({"item_id": ids, "categories": names}, schema={"item_id": pl.String, "categories": pl.String})
    train = like_items_together(finite)
    collaborative = finite[:, ::-1] * (np.arange(len(finite)) % 5 > 0)[:, None]  # of like items alike; zero in no history
    content = np.asarray(vectors, np.float32)
    embeddings = {"item": content, "text": content, "collaborative": collaborative.astype(np.float32)}
    return TokenizerInputs(embeddings, items, train)


def like_items_together(vectors: np.ndarray, length: int = 6) -> Sequences:
    """One history an item: its nearest items, in random order; every fifth item is in none."""
    distance = np.square(vectors[:, None] - vectors[None]).sum(-1)
    distance[:, ::5] = np.inf
    random = np.random.default_rng(0)
    rows = [random.permutation(np.argsort(line, kind="stable")[:length][: int(np.isfinite(line).sum())]) for line in distance]
    lengths = [len(row) for row in rows]
    return Sequences(np.concatenate(rows).astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def some(inputs: TokenizerInputs, rows: np.ndarray) -> TokenizerInputs:
    """The inputs of some items, in the given order."""
    embeddings = {name: vectors[rows] for name, vectors in inputs.embeddings.items()}
    return TokenizerInputs(embeddings, inputs.items[rows.tolist()], inputs.train)


def clustered(num_items: int, dim: int = 12, clusters: int = 9, seed: int = 0) -> np.ndarray:
    """Returns vectors [items, dim] around a few centres."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((clusters, dim)) * 3
    return (centers[random.integers(clusters, size=num_items)] + random.standard_normal((num_items, dim))).astype(np.float32)


def make_context(num_items: int, costs: np.ndarray | None = None, counts: np.ndarray | None = None) -> CollisionContext:
    """``costs`` [items, size]: last-level costs that do not depend on the prefix."""
    return CollisionContext(
        item_ids=pl.Series([f"item-{i:04}" for i in range(num_items)]),
        train_counts=np.zeros(num_items, np.int64) if counts is None else counts,
        costs=None if costs is None else (lambda rows, prefix: costs[rows]),
        codebooks="books",
    )


WORDS = [
    "red",
    "blue",
    "green",
    "soap",
    "cream",
    "brush",
    "nail",
    "hair",
    "skin",
    "lotion",
    "oil",
    "gel",
    "spray",
    "mask",
    "wax",
]


def make_items(num_items: int, seed: int = 0) -> pl.DataFrame:
    """Returns items with titles of four words, brands, categories and names of images; some have no brand or image."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "item_id": [f"item-{i:03}" for i in range(num_items)],
            "title": [" ".join(random.choice(WORDS, 4)) for _ in range(num_items)],
            "brand": [random.choice(["Acme", "Bolt", None]) for _ in range(num_items)],  # type: ignore[arg-type]
            "categories": [["Beauty", str(random.choice(WORDS))] for _ in range(num_items)],
            "image": [None if i % 9 == 4 else f"{i}.png" for i in range(num_items)],
        },
        schema_overrides={"brand": pl.String},
    )


def make_train(num_items: int, num_users: int = 80, seed: int = 1) -> Sequences:
    """Returns random walks over items; the last four items of the catalogue never occur."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 9, num_users)
    rows = [(random.integers(num_items) + random.integers(0, 4, n).cumsum()) % max(num_items - 4, 1) for n in lengths]
    flat = np.concatenate(rows).astype(np.int32) if len(rows) else np.zeros(0, np.int32)
    return Sequences(flat, np.concatenate([[0], lengths.cumsum()]).astype(np.int64))


def new_items() -> pl.DataFrame:
    """Returns an item that was not there before."""
    content = {"title": ["red unheard soap"], "brand": [None], "categories": [["Beauty", "soap"]], "image": ["7.png"]}
    return pl.DataFrame({"item_id": ["new_item"], **content}, schema_overrides={"brand": pl.String})


def sids_of(num_items: int, sizes: Sequence[int] = (6, 7, 8), *, seed: int = 0, distinct: bool = True) -> SIDTable:
    """Returns random codes; with ``distinct`` every item has its own."""
    random = np.random.default_rng(seed)
    number = random.choice(int(np.prod(sizes)), num_items, replace=not distinct)
    return SIDTable(np.stack(np.unravel_index(number, tuple(sizes)), axis=1), tuple(sizes))


def stream_of(num_items: int, sizes: Sequence[int] = (5, 3)) -> Stream:
    """Returns random codes of a further stream; every seventh item has none."""
    codes = np.random.default_rng(0).integers(0, sizes, (num_items, len(sizes)))
    codes[::7] = PAD
    return Stream(codes, tuple(sizes))


def sequences_of(rows: Sequence[Sequence[int]]) -> Sequences:
    """Flat sequences."""
    lengths = [len(row) for row in rows]
    flat = np.concatenate([np.asarray(row, np.int32) for row in rows]) if rows else np.zeros(0, np.int32)
    return Sequences(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def batch_of(rows: Sequence[Sequence[int]], targets: Sequence[Sequence[int]] | None = None, *, width: int = 0) -> Batch:
    """Histories, padded to the longest (or further); targets are padded to one state more. The gaps in time look arbitrary."""
    width = max(width, *(len(row) for row in rows))

    def padded(values: Sequence[Sequence[int]], columns: int) -> Tensor:
        return torch.tensor([[*row, *[PAD] * (columns - len(row))] for row in values], dtype=torch.long).view(
            len(values), columns
        )

    return Batch(
        history=padded(rows, width),
        lengths=torch.tensor([len(row) for row in rows]),
        targets=None if targets is None else padded(targets, width + 1),
        times=padded([np.cumsum([3 ** (item % 7) for item in row], dtype=np.int64).tolist() for row in rows], width),
    )


SCHEMA = EventSchema(
    columns=(
        category("event_type", ["buy", "view"]),
        Column(name="rating", kind="number"),
        Column(name="timestamp.gap", kind="time", num_codes=6),
    ),
    request=("event_type", "timestamp.gap"),
    users=(category("age", ["old", "young"]),),
    user_codes=(3, 4),
    text_dim=5,
)


def conditioned(batch: Batch, *, seed: int = 0) -> Batch:
    """Returns the batch with arbitrary columns, requests, texts and users of ``SCHEMA``."""
    random = torch.Generator().manual_seed(seed)
    rows, states = len(batch), batch.history.shape[1] + 1

    def codes(high: int, *shape: int) -> Tensor:
        return torch.randint(1, high, shape, generator=random)

    return replace(
        batch,
        columns={
            "event_type": codes(3, rows, states - 1),
            "rating": torch.randn(rows, states - 1, generator=random),
            "timestamp.gap": codes(6, rows, states - 1),
        },
        request={"event_type": codes(3, rows, states), "timestamp.gap": codes(6, rows, states)},
        given=torch.randn(rows, states, SCHEMA.text_dim, generator=random),
        users={"age": codes(3, rows), "codes": torch.stack([codes(size, rows) for size in SCHEMA.user_codes], dim=1)},
    )


def random_histories(num_items: int, lengths: Sequence[int], *, seed: int = 0) -> list[list[int]]:
    """Returns a history of each length."""
    random = np.random.default_rng(seed)
    return [random.integers(0, num_items, length).tolist() for length in lengths]


def all_targets(rows: Sequence[Sequence[int]], num_items: int) -> Batch:
    """A batch where every state of every row predicts: the next item, and one of the catalogue after the last."""
    return batch_of(rows, [[*row, (sum(row) + 1) % num_items] for row in rows])


def ring(*, num_items: int = 30, num_users: int = 60, seed: int = 0, min_len: int = 4, max_len: int = 12) -> Dataset:
    """A deterministic world: item i is always followed by item i + 1, the last one by the first. Leave-one-out."""
    random = np.random.default_rng(seed)
    lengths = random.integers(min_len, max_len + 1, num_users)
    events = sequences_of([(random.integers(num_items) + np.arange(length)) % num_items for length in lengths])  # type: ignore[misc]
    return Dataset(
        items=pl.DataFrame({"item_id": [f"i{item}" for item in range(num_items)]}),
        users=pl.DataFrame({"user_id": [f"u{user}" for user in range(num_users)]}),
        events=events,
        train_ends=events.offsets[1:] - 2,
        validation_ends=events.offsets[1:] - 1,
        timestamps=3600.0 * np.arange(len(events.item_idx)),
    )


def vectors_of(num_items: int) -> np.ndarray:
    """Returns what an encoder might say of items: float [items, 12]."""
    return np.random.default_rng(0).normal(size=(num_items, 12))


def catalog_of(num_items: int) -> pl.DataFrame:
    """Items with titles of one to four words; every seventh has none."""
    words = ["red", "blue", "shoe", "lamp", "wool", "steel", "small", "large"]
    titles = [" ".join(words[(item * step) % 8] for step in range(1, item % 7 % 4 + 2)) for item in range(num_items)]
    return pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(num_items)],
            "title": [None if item % 7 == 6 else title for item, title in enumerate(titles)],
        }
    )


def runtime_of(sids: SIDTable, train_counts: np.ndarray | None = None) -> dict[str, Any]:
    """Returns what genrec supplies to a generator's constructor, by name.

    Args:
        sids: of the catalogue; it gets a further stream.
        train_counts: int64 [items]; None: one training event each.
    """
    return {
        "sids": sids.with_streams({"other": stream_of(sids.num_items)}),
        "trie": PrefixTrie.build(sids),
        "catalog": catalog_of(sids.num_items),
        "num_items": sids.num_items,
        "train_counts": np.ones(sids.num_items) if train_counts is None else train_counts,
        "item_vectors": vectors_of(sids.num_items),
        "text_vectors": vectors_of(sids.num_items),
        "item_labels": {"category": np.arange(sids.num_items) % 3},
        "event_counts": {column.name: np.arange(column.num_codes)[::-1] for column in SCHEMA.columns if column.num_codes},
    }


def scrambled(generator: nn.Module, *, scale: float = 0.2, seed: int = 1) -> Any:
    """Adds noise to every weight: projections that start at zero would hide what is wrong behind them."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=random)  # type: ignore[misc]
    return generator


@dataclass(frozen=True)
class ArbitraryState:
    """A number per user and per beam that stands for all it has seen."""

    user: Tensor
    prefix: Tensor
    level: int = 0


class ArbitraryLogits(nn.Module):
    """An autoregressive generator whose logits are a fixed, patternless function of history and prefix.

    Args:
        scale: of the logits; large values make peaked distributions.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})

    def __init__(self, sids: SIDTable, *, normalization: Normalization = "trie", scale: float = 3.0, seed: int = 0) -> None:
        super().__init__()
        self.sids, self.normalization, self.max_history_len = sids, normalization, 50
        self.scale = nn.Parameter(torch.tensor(scale))
        self.seed = seed

    def target_logits(self, batch: Batch) -> TargetLogits:
        raise NotImplementedError("nothing is trained here")

    def prefill(self, batch: Batch) -> ArbitraryState:
        position = torch.arange(1, batch.history.shape[1] + 1)
        user = ((batch.history + 1) * position * 7919).sum(1) + self.seed * 104729  # padding counts nothing
        return ArbitraryState(user, torch.zeros(len(batch), 1, dtype=torch.long))

    def step(self, state: ArbitraryState, codes: Tensor | None) -> tuple[Tensor, ArbitraryState]:
        prefix = state.prefix if codes is None else (state.prefix * 31 + codes + 1) % 1_000_003
        position = (state.user.unsqueeze(1) + prefix * 613 + state.level * 17).unsqueeze(-1)
        number = ((position + 1) * 2654435761 + torch.arange(self.sids.sizes[state.level]) * 40503) % 2_147_483_647
        number = (number * 48271) % 2_147_483_647  # one step of a linear congruence breaks the ramp over codes
        logits = (number.double() / 2_147_483_647 - 0.5).float() * 2 * self.scale
        return logits, replace(state, prefix=prefix, level=state.level + 1)

    def reorder(self, state: ArbitraryState, index: Tensor) -> ArbitraryState:
        return replace(state, prefix=state.prefix.gather(1, index))
