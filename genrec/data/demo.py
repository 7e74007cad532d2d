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

import numpy as np
import polars as pl

from genrec.data.lib.demo_catalog import make_items
from genrec.data.lib.demo_habits import (
    NUM_TASTES,
    Habits,
    brands_per_taste,
    check_shop,
    draw_cold,
    draw_lengths,
    draw_shelves,
    draw_times,
    name_users,
    rank_within,
)
from genrec.data.lib.demo_world import PATHS_FILE, STATES, WORLD_FILE, Chain, save_chain
from genrec.protocols import RawData
from genrec.types import ITEM_ID, PAD, TIMESTAMP, USER_ID

# Constants of the world, fixed before any model was tuned on it. With other values, results would not be comparable.
STAY = 0.7  # probability of staying with the interest
ADVANCE = 0.85  # of going to the routine's next step while staying
ADVANCE_ELSEWHERE = 0.5  # of going to the next step when turning to another interest
DRIFT = 0.02  # of changing the taste
IMPULSE = 0.02  # of buying from any shelf
INTEREST_SPREAD = 1.5  # Dirichlet parameter of the tastes' shares of interests

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
        check_shop(self)

    def load(self) -> RawData:
        """Generates the shop, then its users' events."""
        items, chain = self._shop()
        tables, paths = zip(*self._purchases(chain), strict=True)
        events = pl.concat(tables)
        user_ids = name_users(self.num_users)
        interactions = events.select(
            user_ids.gather(events["user"]).alias(USER_ID), items[ITEM_ID].gather(events["item"]).alias(ITEM_ID), TIMESTAMP
        )
        states = pl.DataFrame([user_ids, pl.concat(paths)])
        files = {WORLD_FILE: partial(save_chain, chain, items[ITEM_ID]), PATHS_FILE: states.write_parquet}
        return RawData(interactions=interactions, items=items, extra_files=files)

    def _shop(self) -> tuple[pl.DataFrame, Chain]:
        rng = np.random.default_rng([self.seed, 0])
        shelf, taste = draw_shelves(self.num_items, rng)
        popularity = (1.0 + rank_within(shelf * NUM_TASTES + taste, rng)) ** -self.popularity_skew
        arrivals, unsold = draw_cold(self, rng)
        popularity[unsold] = 0.0

        habits = Habits.draw(rng, spread=INTEREST_SPREAD)
        transition = habits.transition(stay=STAY, advance=ADVANCE, advance_elsewhere=ADVANCE_ELSEWHERE, drift=DRIFT)
        liking = popularity * np.where(taste == np.arange(NUM_TASTES)[:, None], self.loyalty, 1.0)  # [tastes, items]
        impulse = liking / liking.sum(axis=1, keepdims=True)
        emission = np.empty((len(transition), self.num_items))
        for state, (planned_shelf, who) in enumerate(zip(habits.shelf_after(0), habits.taste_of_state, strict=True)):
            planned = np.where(shelf == planned_shelf, liking[who], 0.0)
            emission[state] = (1 - IMPULSE) * planned / planned.sum() + IMPULSE * impulse[who]

        items = make_items(shelf, taste, brands_per_taste=brands_per_taste(self.num_items), rng=rng)
        return items, Chain(habits.initial, transition, emission, arrivals)

    def _purchases(self, chain: Chain) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
        """Yields chunks of users: a table of user (row), item (row), timestamp; and a list column of states."""
        for chunk, first in enumerate(range(0, self.num_users, USERS_AT_ONCE)):
            rng = np.random.default_rng([self.seed, 1, chunk])
            count = min(USERS_AT_ONCE, self.num_users - first)
            lengths = draw_lengths(count, self.events_per_user, rng)
            items, states = chain.sample(lengths, rng)
            user, time = np.nonzero(items != PAD)
            table = pl.DataFrame(
                {
                    "user": (first + user).astype(np.uint32),
                    "item": items[user, time],
                    TIMESTAMP: draw_times(lengths, rng)[user, time],
                }
            )
            runs = pl.DataFrame({"user": user, STATES: states[user, time]})
            yield table, runs.group_by("user", maintain_order=True).agg(STATES)[STATES]
