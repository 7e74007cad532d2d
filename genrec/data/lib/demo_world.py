"""The probabilities of the demo shop: a hidden Markov chain whose users never buy an item twice, and its exact forward filter.

In state ``s`` a user buys ``x`` with probability proportional to ``emission[s, x]`` among the items on sale and not yet bought.
There are few states, so the distribution of the next item given ANY history can be computed exactly. Ranking by it gives the
Bayes bound: no model that sees histories only is better on average. The latent oracle also sees the hidden state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float32, Int, Int64, UInt8
from safetensors import safe_open
from safetensors.numpy import save_file

from genrec.core.batch import padded_rows
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ArtifactError, DataError
from genrec.types import ITEM_ID, PAD, USER_ID

WORLD_FILE = "demo_world.safetensors"  # the chain; item ids in its metadata
PATHS_FILE = "demo_paths.parquet"  # user_id, states: the hidden path of each user, one state per event
STATES = "states"
CHUNK = 2048  # users filtered at once: bounds memory at CHUNK * items * 8 bytes


@dataclass(frozen=True)
class Chain:
    """A hidden Markov chain over items.

    Args:
        initial: probabilities of the first event's state.
        transition: ``transition[s, r]``: from state ``s`` to ``r`` between two events.
        emission: ``emission[s, x]``, rows sum to 1; items that nobody ever buys are 0 in every row.
        arrivals: items that come on sale only just before each user's LAST event, so that no training part has them.
    """

    initial: Float[np.ndarray, " states"]
    transition: Float[np.ndarray, "states states"]
    emission: Float[np.ndarray, "states items"]
    arrivals: Bool[np.ndarray, " items"]

    def sample(
        self, lengths: Int[np.ndarray, " users"], rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, "users time"], UInt8[np.ndarray, "users time"]]:
        """Draws one path per user: items (``PAD`` after the end) and states (0 after the end).

        Loops over time, not users. An item that the user already has is drawn again, which is drawing from what is left.
        """
        num_users, width = len(lengths), int(lengths.max(initial=0))
        items = np.full((num_users, width), PAD, dtype=np.int32)
        states = np.zeros((num_users, width), dtype=np.uint8)
        earlier = _cumulative(np.where(self.arrivals, 0.0, self.emission))
        final = _cumulative(self.emission)
        moves = _cumulative(self.transition)
        state = _draw(_cumulative(self.initial[None]), np.zeros(num_users, dtype=np.int64), rng)
        for t in range(width):
            if t:
                state = _draw(moves, state, rng)
            states[:, t] = np.where(t < lengths, state, 0)
            for law, todo in ((earlier, np.flatnonzero(t < lengths - 1)), (final, np.flatnonzero(t == lengths - 1))):
                while len(todo):
                    drawn = _draw(law, state[todo], rng)
                    items[todo, t] = drawn
                    todo = todo[(items[todo, :t] == drawn[:, None]).any(axis=1)]
        return items, states


def _cumulative(rows: np.ndarray) -> np.ndarray:
    """Row ``r`` as cumulative probabilities shifted by ``r``, so that one search over the flat array serves all rows."""
    sums = np.cumsum(rows, axis=1)
    return sums / sums[:, -1:] + np.arange(len(rows))[:, None]


def _draw(law: np.ndarray, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    position = np.searchsorted(law.ravel(), row + rng.random(len(row)), side="right")
    return np.minimum(position - row * law.shape[1], law.shape[1] - 1)


@dataclass(frozen=True)
class World:
    """The demo world restricted to one prepared dataset: its items are columns, its users are rows.

    Both predictions use which items are on sale at the user's next event, and that nobody buys an item twice.

    Args:
        chain: its columns are the dataset's items (those that it lacks are left out, so emission rows may sum to less than 1).
        on_sale: float64 [states], what the rows of the WHOLE emission sum to before the arrivals are on sale.
        states: uint8 [events], the hidden state of every event, users in the dataset's order.
        offsets: int64 [users + 1], where each user's events lie in ``states``.
    """

    chain: Chain
    on_sale: np.ndarray
    states: np.ndarray
    offsets: np.ndarray

    @property
    def num_events(self) -> np.ndarray:
        """int64 [users]: how many events each user makes in all."""
        return np.diff(self.offsets)

    @classmethod
    def load(cls, folder: Path) -> World:
        """Reads the world beside a prepared dataset and lines it up with its items and users by their ids.

        Raises:
            ArtifactError: when the folder holds no demo world.
            DataError: when the dataset lacks events of its users: what was filtered away would be missing from the histories,
                and the filter would no longer be exact.
        """
        folder = Path(folder)
        if not (folder / WORLD_FILE).exists():
            raise ArtifactError(folder / WORLD_FILE, expected="a demo world", got="no file", fix="prepare with data=demo")
        chain, item_ids = load_chain(folder / WORLD_FILE)
        dataset = Dataset.load(folder)
        columns = pl.DataFrame({ITEM_ID: item_ids}).with_row_index("column")
        column = dataset.items.select(ITEM_ID).join(columns, on=ITEM_ID, how="left", maintain_order="left")["column"].to_numpy()
        paths = dataset.users.select(USER_ID).join(
            pl.read_parquet(folder / PATHS_FILE, glob=False), on=USER_ID, how="left", maintain_order="left"
        )
        num_events = paths[STATES].list.len().to_numpy().astype(np.int64)
        if len(short := np.flatnonzero(num_events != dataset.events.lengths)):
            user = int(short[0])
            raise DataError(
                f"{folder}: user {dataset.user_ids[user]}",
                expected=f"all {num_events[user]} events of the demo world",
                got=f"{dataset.events.lengths[user]} events",
                fix="the exact bounds need unfiltered histories: prepare with filters=none",
            )
        return cls(
            chain=replace(chain, emission=chain.emission[:, column], arrivals=chain.arrivals[column]),
            on_sale=chain.emission[:, ~chain.arrivals].sum(axis=1),
            states=paths[STATES].list.explode().to_numpy(),
            offsets=np.concatenate([[0], np.cumsum(num_events)]),
        )

    def predict(
        self, histories: Sequences, users: Int64[np.ndarray, " rows"] | None = None
    ) -> Float32[np.ndarray, "rows items"]:
        """Computes p(next item | history) exactly, by the forward filter.

        No model that sees histories only ranks better on average.

        Args:
            histories: the first events of every user of the dataset, e.g. ``dataset.histories("test")``.
            users: which of them; all by default. The result is dense, so take a sample where there are very many.

        Raises:
            DataError: when a history is impossible in this world.
        """
        return self._predictive(histories, users, self._filter_forward)

    def oracle(
        self, histories: Sequences, users: Int64[np.ndarray, " rows"] | None = None
    ) -> Float32[np.ndarray, "rows items"]:
        """Computes p(next item | history, the true hidden state at its last event), an upper bound for any model."""
        return self._predictive(histories, users, self._reveal_state)

    def _predictive(
        self,
        histories: Sequences,
        users: np.ndarray | None,
        believe: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        rows = np.arange(len(histories)) if users is None else np.asarray(users)
        result = np.empty((len(rows), self.chain.emission.shape[1]), dtype=np.float32)
        for first in range(0, len(rows), CHUNK):
            chunk = rows[first : first + CHUNK]
            lengths = histories.lengths[chunk]
            bought = padded_rows(histories.item_idx, histories.offsets[chunk], lengths)
            belief = believe(chunk, bought, lengths)
            final = lengths >= self.num_events[chunk] - 1
            left = np.where(final[:, None], 1.0, self.on_sale)  # for a user's last event the arrivals are there as well
            for t, here in _steps(lengths):
                left[here] -= self.chain.emission[:, bought[here, t]].T
            next_item = (belief / left) @ self.chain.emission
            next_item[np.ix_(~final, self.chain.arrivals)] = 0.0
            for t, here in _steps(lengths):
                next_item[here, bought[here, t]] = 0.0
            result[first : first + CHUNK] = next_item
        return result

    def _filter_forward(self, users: np.ndarray, bought: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """p(state of the next event | history) [users, states]."""
        belief = np.tile(self.chain.initial, (len(users), 1))
        left = np.tile(self.on_sale, (len(users), 1))
        last = self.num_events[users] - 1
        for t, here in _steps(lengths):
            emitted = self.chain.emission[:, bought[here, t]].T
            arrived = (last[here] <= t)[:, None]
            left[here] += np.where(arrived, 1.0 - self.on_sale, 0.0)
            weight = belief[here] * emitted / left[here] * (arrived | ~self.chain.arrivals[bought[here, t], None])
            total = weight.sum(axis=1, keepdims=True)
            if not (total > 0).all():
                user = int(users[here[np.flatnonzero(total[:, 0] <= 0)[0]]])
                raise DataError(
                    f"user_idx {user}, event {t}",
                    expected="a history that the demo world can make",
                    got=f"item_idx {bought[users == user, t][0]}",
                    fix="keep the order of the events: order=auto",
                )
            belief[here] = weight / total @ self.chain.transition
            left[here] -= emitted
        return belief

    def _reveal_state(self, users: np.ndarray, bought: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """p(state of the next event | true state of the last one) [users, states]."""
        states = self.states[np.maximum(self.offsets[users] + lengths - 1, 0)]
        return np.where((lengths > 0)[:, None], self.chain.transition[states], self.chain.initial)


def _steps(lengths: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(time, rows that have an event then)."""
    return ((t, np.flatnonzero(t < lengths)) for t in range(int(lengths.max(initial=0))))


def save_chain(chain: Chain, item_ids: pl.Series, file: Path) -> None:
    """Writes the chain as safetensors, with the item ids of its columns in the metadata."""
    tensors = {name: np.ascontiguousarray(getattr(chain, name)) for name in ("initial", "transition", "emission", "arrivals")}
    save_file(tensors, file, metadata={ITEM_ID: json.dumps(item_ids.to_list())})


def load_chain(file: Path) -> tuple[Chain, pl.Series]:
    """The chain and the item ids of its columns."""
    with safe_open(file, framework="numpy") as world:
        chain = Chain(**{name: world.get_tensor(name) for name in world.keys()})  # noqa: SIM118 (not a mapping)
        return chain, pl.Series(ITEM_ID, json.loads(world.metadata()[ITEM_ID]), dtype=pl.String)
