"""The embedded demo shop: readable items, users with hidden tastes, and exactly known next-item probabilities.

A user has a TASTE, an INTEREST and a STEP in a routine (4 x 4 x 4 = 64 hidden states). The interest is a department, and the
step determines which of its shelves comes next. Each taste visits the shelves in its own order, so that the last item alone
does not determine the next one: the true probabilities given one item of history reach about 74 % of the Bayes bound on
NDCG@10. A user who changes the interest continues there at the same step. Users prefer the brands of their taste, and the taste
changes sometimes. Popularity is skewed, some purchases come from any shelf, and some items are new or never sold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product

import numpy as np
import polars as pl

from genrec.data.lib.demo_catalog import DEPARTMENTS, SHELVES, TASTES, make_items
from genrec.data.lib.demo_world import PATHS_FILE, STATES, WORLD_FILE, Chain, save_chain
from genrec.errors import ConfigError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, PAD, TIMESTAMP, USER_ID

NUM_TASTES, NUM_INTERESTS, NUM_STEPS = len(TASTES), len(DEPARTMENTS), len(SHELVES) // len(DEPARTMENTS)

# Constants of the world, fixed before any model was tuned on it. With other values, results would not be comparable.
STAY = 0.7  # probability of staying with the interest
ADVANCE = 0.85  # of going to the routine's next step while staying
ADVANCE_ELSEWHERE = 0.5  # of going to the next step when turning to another interest
DRIFT = 0.02  # of changing the taste
IMPULSE = 0.02  # of buying from any shelf
INTEREST_SPREAD = 1.5  # Dirichlet parameter of the tastes' shares of interests

MIN_EVENTS = 5
YEAR_START, DAY = 1_735_689_600, 86_400  # 2025-01-01; seconds
LAUNCH = YEAR_START + 351 * DAY  # new items go on sale; everybody's last purchase comes after it, all others before
USERS_AT_ONCE = 50_000  # bounds memory; users of one chunk share a random stream, so another number gives another world


@dataclass(frozen=True, kw_only=True)
class DemoShop:
    """A generated shop whose next-item probabilities are known exactly (``demo_world.World``).

    Deterministic given its arguments; the shop itself (items, probabilities) does not depend on the number of users.

    Args:
        num_users: how many users; the generator handles millions.
        num_items: how many items; the emission table takes ``64 * num_items * 8`` bytes.
        events_per_user: mean number of events of a user, over 5; lengths run from 5 to three times the mean.
        seed: of the world.
        loyalty: how many times likelier an item of the user's own taste is than an equally popular one of another; 1: not.
        popularity_skew: Zipf exponent of popularity among alike items.
        new_rate: share of the items that come on sale just before each user's last event.
        unsold_rate: share of the items that nobody ever buys.

    Raises:
        ConfigError: when a value is out of range.
    """

    num_users: int = 2000
    num_items: int = 800
    events_per_user: float = 20.0
    seed: int = 1
    loyalty: float = 8.0
    popularity_skew: float = 0.8
    new_rate: float = 0.03
    unsold_rate: float = 0.01

    def __post_init__(self) -> None:
        # Every user must have an unseen item to buy at every step, also without the new and the unsold items.
        least = max(NUM_TASTES * len(SHELVES), 4 * self._max_events)
        checks = {
            "num_users": (self.num_users >= 1, "at least 1", "ask for a user"),
            "seed": (self.seed >= 0, "at least 0", "choose another seed"),
            "events_per_user": (self.events_per_user > MIN_EVENTS, f"more than {MIN_EVENTS}", "ask for longer histories"),
            "num_items": (self.num_items >= least, f"at least {least}", "add items or lower data.events_per_user"),
            "loyalty": (1 <= self.loyalty <= 100, "1 to 100", "1 means that taste does not matter"),
            "popularity_skew": (0 <= self.popularity_skew <= 2, "0 to 2", "0 means equally popular"),
            "new_rate": (0 <= self.new_rate <= 0.3, "0 to 0.3", "keep most items on sale"),
            "unsold_rate": (0 <= self.unsold_rate <= 0.3, "0 to 0.3", "keep most items on sale"),
        }
        for name, (right, expected, fix) in checks.items():
            if not right:
                raise ConfigError(f"data.{name}", expected=expected, got=getattr(self, name), fix=fix)

    @property
    def _max_events(self) -> int:
        return int(3 * self.events_per_user)

    def load(self) -> RawData:
        """Generates the shop, then its users' events."""
        items, chain = self._shop()
        tables, paths = zip(*self._purchases(chain), strict=True)
        events = pl.concat(tables)
        user_ids = pl.Series(USER_ID, [f"user{u + 1:0{len(str(self.num_users))}d}" for u in range(self.num_users)])
        interactions = events.select(
            user_ids.gather(events["user"]).alias(USER_ID), items[ITEM_ID].gather(events["item"]).alias(ITEM_ID), TIMESTAMP
        )
        states = pl.DataFrame([user_ids, pl.concat(paths)])
        files = {WORLD_FILE: partial(save_chain, chain, items[ITEM_ID]), PATHS_FILE: states.write_parquet}
        return RawData(interactions=interactions, items=items, extra_files=files)

    def _shop(self) -> tuple[pl.DataFrame, Chain]:
        rng = np.random.default_rng([self.seed, 0])
        num_pairs = NUM_TASTES * len(SHELVES)  # every shelf has something for every taste
        pair = np.concatenate([np.arange(num_pairs), rng.integers(0, num_pairs, self.num_items - num_pairs)])
        shelf, taste = np.divmod(rng.permutation(pair), NUM_TASTES)

        popularity = (1.0 + _rank_within(shelf * NUM_TASTES + taste, rng)) ** -self.popularity_skew
        cold = rng.permutation(self.num_items)
        num_new, num_unsold = round(self.new_rate * self.num_items), round(self.unsold_rate * self.num_items)
        arrivals = np.isin(np.arange(self.num_items), cold[:num_new])
        popularity[cold[num_new : num_new + num_unsold]] = 0.0

        initial, transition, shelf_of_state, taste_of_state = _habits(rng)
        liking = popularity * np.where(taste == np.arange(NUM_TASTES)[:, None], self.loyalty, 1.0)  # [tastes, items]
        impulse = liking / liking.sum(axis=1, keepdims=True)
        emission = np.empty((len(initial), self.num_items))
        for state, (planned_shelf, who) in enumerate(zip(shelf_of_state, taste_of_state, strict=True)):
            planned = np.where(shelf == planned_shelf, liking[who], 0.0)
            emission[state] = (1 - IMPULSE) * planned / planned.sum() + IMPULSE * impulse[who]

        brands_per_taste = min(2 * -(-self.num_items // 800), 60)
        items = make_items(shelf, taste, brands_per_taste=brands_per_taste, rng=rng)
        return items, Chain(initial, transition, emission, arrivals)

    def _purchases(self, chain: Chain) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
        """Yields chunks of users: a table of user (row), item (row), timestamp; and a list column of states."""
        for chunk, first in enumerate(range(0, self.num_users, USERS_AT_ONCE)):
            rng = np.random.default_rng([self.seed, 1, chunk])
            count = min(USERS_AT_ONCE, self.num_users - first)
            # A negative binomial has the wide spread of activity that shops observe.
            extra = rng.negative_binomial(3, 3 / (3 + self.events_per_user - MIN_EVENTS), count)
            lengths = np.minimum(MIN_EVENTS + extra, self._max_events)
            items, states = chain.sample(lengths, rng)
            user, time = np.nonzero(items != PAD)
            table = pl.DataFrame(
                {
                    "user": (first + user).astype(np.uint32),
                    "item": items[user, time],
                    TIMESTAMP: _times(lengths, rng)[user, time],
                }
            )
            runs = pl.DataFrame({"user": user, STATES: states[user, time]})
            yield table, runs.group_by("user", maintain_order=True).agg(STATES)[STATES]


def _rank_within(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[items], a random rank from 0 among the items of the same group."""
    order = np.lexsort((rng.random(len(group)), group))
    starts = np.searchsorted(group[order], group[order])
    rank = np.empty(len(group))
    rank[order] = np.arange(len(group)) - starts
    return rank


def _habits(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns initial [S], transition [S, S], each state's shelf and taste; a state is (taste, interest, step), row-major."""
    # In every department each taste has another cyclic order of the shelves (4 steps have 3! = 6 of them).
    cycles = np.array([(0, *rest) for rest in permutations(range(1, NUM_STEPS))])
    routine = np.stack([cycles[rng.permutation(len(cycles))[:NUM_TASTES]] for _ in range(NUM_INTERESTS)], axis=1)
    share = rng.dirichlet(np.full(NUM_INTERESTS, INTEREST_SPREAD), NUM_TASTES)

    states = list(product(range(NUM_TASTES), range(NUM_INTERESTS), range(NUM_STEPS)))
    shape = (NUM_TASTES, NUM_INTERESTS, NUM_STEPS)
    transition = np.zeros((len(states), *shape))
    for row, (taste, interest, step) in zip(transition, states, strict=True):
        onward = (step + 1) % NUM_STEPS
        turn = share[taste].copy()
        turn[interest] = 0.0
        turn *= (1 - STAY) / turn.sum()
        row[taste, :, onward] += turn * ADVANCE_ELSEWHERE
        row[taste, :, step] += turn * (1 - ADVANCE_ELSEWHERE)
        row[taste, interest, onward] += STAY * ADVANCE
        row[taste, interest, step] += STAY * (1 - ADVANCE)
        row *= 1 - DRIFT
        row[np.arange(NUM_TASTES) != taste, interest, onward] += DRIFT / (NUM_TASTES - 1)
    initial = np.broadcast_to(share[:, :, None], shape) / (NUM_TASTES * NUM_STEPS)
    shelf = [interest * NUM_STEPS + routine[taste, interest, step] for taste, interest, step in states]
    taste_of_state = [taste for taste, _, _ in states]
    return initial.ravel().copy(), transition.reshape(len(states), -1), np.array(shelf), np.array(taste_of_state)


def _times(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [users, time], seconds, strictly increasing: all before the launch but the last, which comes after it."""
    users, width = len(lengths), int(lengths.max())
    before = np.arange(width) < (lengths - 1)[:, None]
    gone = np.cumsum(np.where(before, rng.exponential(size=(users, width)), 0.0), axis=1)
    whole = gone[:, -1:] + rng.exponential(size=(users, 1))
    start = YEAR_START + rng.random((users, 1)) * 270 * DAY
    times = start + gone / whole * (LAUNCH - start - width) + np.arange(width)  # one second at least between two events
    times[np.arange(users), lengths - 1] = LAUNCH + rng.random(users) * 14 * DAY
    return times.astype(np.int64)
