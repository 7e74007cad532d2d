"""The probabilities of the demo shop: a hidden Markov chain whose users never buy an item twice, and its exact forward filter.

In state ``s`` a user buys ``x`` with probability proportional to ``emission[s, x]`` among the items on sale and not yet bought.
There are few states, so the distribution of the next item given ANY history can be computed exactly. Ranking by it gives the
Bayes bound: no model that sees histories only is better on average. The latent oracle also sees the hidden state.

A chain may have columns: values that are drawn with every event (its kind, a rating, a query) or once for a user (an
attribute), by a law of the state and the item. The filter uses the columns that it is asked to use, and sums over the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
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
class Column:
    """A value that comes with every event, drawn given the state and the item.

    Args:
        law: ``law[s, g, v]``: probability of value ``v`` in state ``s`` for an item of group ``g``. One state, or one group,
            stands for all where the value does not depend on it.
        group: the group of each item.
        ahead: whether the value of the next event may be known when recommending; then it depends on the state or the item
            alone.
    """

    law: Float[np.ndarray, "states groups values"]
    group: Int[np.ndarray, " items"]
    ahead: bool = False

    @property
    def tells_state(self) -> bool:
        """Whether the value says something of the state beyond what the item says."""
        return self.law.shape[0] > 1

    def draw(self, states: np.ndarray, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draws a value for each pair of a state and an item."""
        state = states.astype(np.int64) if self.law.shape[0] > 1 else np.zeros(len(states), dtype=np.int64)
        group = self.group[items] if self.law.shape[1] > 1 else np.zeros(len(items), dtype=np.int64)
        rows = self.law.reshape(-1, self.law.shape[2])
        return _draw(_cumulative(rows), state * self.law.shape[1] + group, rng)

    def of_states(self, values: np.ndarray, items: np.ndarray) -> np.ndarray:
        """p(value | state, item) [rows, states or 1]."""
        group = self.group[items] if self.law.shape[1] > 1 else 0
        return self.law[:, group, values].T

    def of_items(self, values: np.ndarray) -> np.ndarray:
        """p(value | item) [rows, items] of a value that does not depend on the state."""
        law = self.law[0][:, values].T
        return law[:, self.group] if self.law.shape[1] > 1 else law


@dataclass(frozen=True)
class Chain:
    """A hidden Markov chain over items.

    Args:
        initial: probabilities of the first event's state.
        transition: ``transition[s, r]``: from state ``s`` to ``r`` between two events.
        emission: ``emission[s, x]``, rows sum to 1; items that nobody ever buys are 0 in every row.
        arrivals: items that come on sale only just before each user's LAST event, so that no training part has them.
        columns: by name, what is drawn with every event beside its item.
        attributes: by name, ``law[s, v]``: probability of value ``v`` of a user whose first event's state is ``s``.
    """

    initial: Float[np.ndarray, " states"]
    transition: Float[np.ndarray, "states states"]
    emission: Float[np.ndarray, "states items"]
    arrivals: Bool[np.ndarray, " items"]
    columns: Mapping[str, Column] = field(default_factory=dict)
    attributes: Mapping[str, Float[np.ndarray, "states values"]] = field(default_factory=dict)

    def of_items(self, columns: np.ndarray) -> Chain:
        """Returns the chain of some items in that order."""
        events = {name: replace(column, group=column.group[columns]) for name, column in self.columns.items()}
        return replace(self, emission=self.emission[:, columns], arrivals=self.arrivals[columns], columns=events)

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
        values: of each column of the chain, [events]; of each attribute, [users].
    """

    chain: Chain
    on_sale: np.ndarray
    states: np.ndarray
    offsets: np.ndarray
    values: Mapping[str, np.ndarray] = field(default_factory=dict)

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
            chain=chain.of_items(column),
            on_sale=chain.emission[:, ~chain.arrivals].sum(axis=1),
            states=paths[STATES].list.explode().to_numpy(),
            offsets=np.concatenate([[0], np.cumsum(num_events)]),
            values={name: paths[name].list.explode().to_numpy() for name in chain.columns}
            | {name: paths[name].to_numpy() for name in chain.attributes},
        )

    def bounds(self, given: Collection[str] = ()) -> dict[str, Callable[[Sequences, np.ndarray], np.ndarray]]:
        """Returns what the next items can be ranked by, by name: each set of columns that says what one of them is worth.

        ``bayes`` sees item ids only. ``bayes with X`` also sees the column X of the history; ``with users`` the attributes of
        the user; ``with next X`` the value of X that the next event will have, such as its query; ``with all`` everything.
        The ``oracle`` sees the hidden state at the last event as well.

        Args:
            given: columns of which each of them knows the next value; the kind of event, where those of a kind are evaluated.
        """
        columns, attributes = self.chain.columns, self.chain.attributes
        ahead = [name for name, column in columns.items() if column.ahead]
        use = {"": (), **{f" with {name}": (name,) for name, column in columns.items() if column.tells_state}}
        sets = {name: (seen, tuple(given)) for name, seen in use.items()}
        if attributes:
            sets[" with users"] = (tuple(attributes), tuple(given))
        sets |= {f" with next {name}": ((name,), (*given, name)) for name in ahead if name not in given}
        if len(sets) > 1:
            sets[" with all"] = ((*columns, *attributes), tuple(ahead))
        bayes = {f"bayes{name}": partial(self.predict, use=seen, given=coming) for name, (seen, coming) in sets.items()}
        return bayes | {"oracle": partial(self.oracle, given=ahead)}

    def predict(
        self,
        histories: Sequences,
        users: Int64[np.ndarray, " rows"] | None = None,
        *,
        use: Collection[str] = (),
        given: Collection[str] = (),
    ) -> Float32[np.ndarray, "rows items"]:
        """Computes p(next item | history, what is used of the columns) exactly, by the forward filter.

        No model that sees as much ranks better on average.

        Args:
            histories: the first events of every user of the dataset, e.g. ``dataset.histories("test")``.
            users: which of them; all by default. The result is dense, so take a sample where there are very many.
            use: columns whose values at the events of the history count, and attributes of the users. The filter sums over
                the others.
            given: columns whose value at the next event is known when recommending.

        Raises:
            DataError: when a history is impossible in this world.
        """
        return self._predictive(histories, users, partial(self._filter_forward, use=use), given)

    def oracle(
        self, histories: Sequences, users: Int64[np.ndarray, " rows"] | None = None, *, given: Collection[str] = ()
    ) -> Float32[np.ndarray, "rows items"]:
        """Computes p(next item | history, the true hidden state at its last event), an upper bound for any model."""
        return self._predictive(histories, users, self._reveal_state, given)

    def _predictive(
        self,
        histories: Sequences,
        users: np.ndarray | None,
        believe: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
        given: Collection[str],
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
            of_states, of_items = self._likelihood_of_given(given, self.offsets[chunk] + lengths)
            next_item = (belief * of_states / left) @ self.chain.emission * of_items
            next_item[np.ix_(~final, self.chain.arrivals)] = 0.0
            for t, here in _steps(lengths):
                next_item[here, bought[here, t]] = 0.0
            result[first : first + CHUNK] = next_item / next_item.sum(axis=1, keepdims=True) if given else next_item
        return result

    def _likelihood_of_given(self, given: Collection[str], events: np.ndarray) -> tuple[np.ndarray | float, np.ndarray | float]:
        """p(values of these events | state), and that given the item, where the state does not matter."""
        of_states: np.ndarray | float = 1.0
        of_items: np.ndarray | float = 1.0
        for name in given:
            column, values = self.chain.columns[name], self.values[name][events]
            if column.tells_state:
                of_states = of_states * column.law[:, 0, values].T
            else:
                of_items = of_items * column.of_items(values)
        return of_states, of_items

    def _filter_forward(
        self, users: np.ndarray, bought: np.ndarray, lengths: np.ndarray, use: Collection[str] = ()
    ) -> np.ndarray:
        """p(state of the next event | history) [users, states]."""
        belief = np.tile(self.chain.initial, (len(users), 1))
        for name in self.chain.attributes.keys() & set(use):
            belief = belief * self.chain.attributes[name][:, self.values[name][users]].T
        seen = {name: column for name, column in self.chain.columns.items() if name in use and column.tells_state}
        if use:
            belief /= belief.sum(axis=1, keepdims=True)
        left = np.tile(self.on_sale, (len(users), 1))
        last = self.num_events[users] - 1
        for t, here in _steps(lengths):
            items = bought[here, t]
            emitted = self.chain.emission[:, items].T
            arrived = (last[here] <= t)[:, None]
            left[here] += np.where(arrived, 1.0 - self.on_sale, 0.0)
            weight = belief[here] * emitted / left[here] * (arrived | ~self.chain.arrivals[items, None])
            for name, column in seen.items():
                weight *= column.of_states(self.values[name][self.offsets[users[here]] + t], items)
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
    tensors = {name: getattr(chain, name) for name in ("initial", "transition", "emission", "arrivals")}
    for name, column in chain.columns.items():
        tensors |= {f"columns/{name}/{part.name}": np.asarray(getattr(column, part.name)) for part in fields(column)}
    tensors |= {f"attributes/{name}": law for name, law in chain.attributes.items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    save_file(arrays, file, metadata={ITEM_ID: json.dumps(item_ids.to_list())})


def load_chain(file: Path) -> tuple[Chain, pl.Series]:
    """The chain and the item ids of its columns."""
    with safe_open(file, framework="numpy") as world:
        tensors = {name: world.get_tensor(name) for name in world.keys()}  # noqa: SIM118 (not a mapping)
        item_ids = pl.Series(ITEM_ID, json.loads(world.metadata()[ITEM_ID]), dtype=pl.String)
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name in [name for name in tensors if "/" in name]:
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = tensors.pop(name)
    names = sorted({name.rpartition("/")[0] for name in parts.get("columns", {})})
    columns = {}
    for name in names:
        law, group, ahead = (parts["columns"][f"{name}/{part.name}"] for part in fields(Column))
        columns[name] = Column(law, group, ahead=bool(ahead))
    return Chain(**tensors, columns=columns, attributes=parts.get("attributes", {})), item_ids
