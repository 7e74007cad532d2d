"""What the demo shops share: hidden habits of users, popularity within a shelf, and when events happen.

A hidden state is (taste, interest, step), row-major: 4 x 4 x 4 = 64 of them. The interest is a department, and the step says
which of its shelves comes next, in an order that depends on the taste.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Protocol

import numpy as np
import polars as pl

from genrec.data.lib.demo_catalog import DEPARTMENTS, SHELVES, TASTES
from genrec.errors import ConfigError
from genrec.types import USER_ID

NUM_TASTES, NUM_INTERESTS, NUM_STEPS = len(TASTES), len(DEPARTMENTS), len(SHELVES) // len(DEPARTMENTS)
HABITS = list(product(range(NUM_TASTES), range(NUM_INTERESTS), range(NUM_STEPS)))

MIN_EVENTS = 5
YEAR_START, DAY = 1_735_689_600, 86_400  # 2025-01-01; seconds
LAUNCH = YEAR_START + 351 * DAY  # new items go on sale; everybody's last event comes after it, all others before


class ShopSettings(Protocol):
    """What every demo shop can be asked for."""

    @property
    def num_users(self) -> int: ...
    @property
    def num_items(self) -> int: ...
    @property
    def events_per_user(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def loyalty(self) -> float: ...
    @property
    def popularity_skew(self) -> float: ...
    @property
    def new_rate(self) -> float: ...
    @property
    def unsold_rate(self) -> float: ...


def check_shop(shop: ShopSettings, *, min_events: int = MIN_EVENTS) -> None:
    """Refuses settings out of range.

    Args:
        shop: its settings.
        min_events: the shortest history.

    Raises:
        ConfigError: naming the first of them.
    """
    # Every user must have an unseen item to buy at every step, also without the new and the unsold items.
    least = max(NUM_TASTES * len(SHELVES), 4 * int(3 * shop.events_per_user))
    checks = {
        "num_users": (shop.num_users >= 1, "at least 1", "ask for a user"),
        "seed": (shop.seed >= 0, "at least 0", "choose another seed"),
        "events_per_user": (shop.events_per_user > min_events, f"more than {min_events}", "ask for longer histories"),
        "num_items": (shop.num_items >= least, f"at least {least}", "add items or lower data.events_per_user"),
        "loyalty": (1 <= shop.loyalty <= 100, "1 to 100", "1 means that taste does not matter"),
        "popularity_skew": (0 <= shop.popularity_skew <= 2, "0 to 2", "0 means equally popular"),
        "new_rate": (0 <= shop.new_rate <= 0.3, "0 to 0.3", "keep most items on sale"),
        "unsold_rate": (0 <= shop.unsold_rate <= 0.3, "0 to 0.3", "keep most items on sale"),
    }
    for name, (right, expected, fix) in checks.items():
        if not right:
            raise ConfigError(f"data.{name}", expected=expected, got=getattr(shop, name), fix=fix)


@dataclass(frozen=True)
class Habits:
    """What users of each taste do: their orders of shelves and their shares of interests.

    Args:
        routine: ``routine[taste, interest, step]``: the shelf within the department.
        share: ``share[taste, interest]``, rows sum to 1.
    """

    routine: np.ndarray
    share: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, *, spread: float) -> Habits:
        """Draws an order of shelves for each taste and department, and shares of interests.

        Args:
            rng: what it is drawn by.
            spread: Dirichlet parameter of the shares, > 0.
        """
        # In every department each taste has another cyclic order of the shelves (4 steps have 3! = 6 of them).
        cycles = np.array([(0, *rest) for rest in permutations(range(1, NUM_STEPS))])
        routine = np.stack([cycles[rng.permutation(len(cycles))[:NUM_TASTES]] for _ in range(NUM_INTERESTS)], axis=1)
        return cls(routine, rng.dirichlet(np.full(NUM_INTERESTS, spread), NUM_TASTES))

    @property
    def initial(self) -> np.ndarray:
        """[states]: probabilities of the first state."""
        shape = (NUM_TASTES, NUM_INTERESTS, NUM_STEPS)
        initial = np.broadcast_to(self.share[:, :, None], shape) / (NUM_TASTES * NUM_STEPS)
        return initial.ravel().copy()

    def shelf_after(self, steps: int) -> np.ndarray:
        """[states]: the shelf so many steps of the routine later."""
        return np.array([i * NUM_STEPS + self.routine[taste, i, (step + steps) % NUM_STEPS] for taste, i, step in HABITS])

    @property
    def taste_of_state(self) -> np.ndarray:
        return np.array([taste for taste, _, _ in HABITS])

    def transition(self, *, stay: float, advance: float, advance_elsewhere: float, drift: float) -> np.ndarray:
        """[states, states] between two events.

        Args:
            stay: probability of staying with the interest.
            advance: of going to the routine's next step while staying.
            advance_elsewhere: of going to the next step when turning to another interest.
            drift: of changing the taste, which goes with a next step.
        """
        transition = np.zeros((len(HABITS), NUM_TASTES, NUM_INTERESTS, NUM_STEPS))
        for row, (taste, interest, step) in zip(transition, HABITS, strict=True):
            onward = (step + 1) % NUM_STEPS
            turn = self.share[taste].copy()
            turn[interest] = 0.0
            turn *= (1 - stay) / turn.sum()
            row[taste, :, onward] += turn * advance_elsewhere
            row[taste, :, step] += turn * (1 - advance_elsewhere)
            row[taste, interest, onward] += stay * advance
            row[taste, interest, step] += stay * (1 - advance)
            row *= 1 - drift
            row[np.arange(NUM_TASTES) != taste, interest, onward] += drift / (NUM_TASTES - 1)
        return transition.reshape(len(HABITS), -1)


def draw_shelves(num_items: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shelf and taste of each item; every shelf has something for every taste."""
    num_pairs = NUM_TASTES * len(SHELVES)
    pair = np.concatenate([np.arange(num_pairs), rng.integers(0, num_pairs, num_items - num_pairs)])
    shelf, taste = np.divmod(rng.permutation(pair), NUM_TASTES)
    return shelf, taste


def draw_cold(shop: ShopSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws which items are new (bool [items]) and the rows of those that nobody ever buys."""
    cold = rng.permutation(shop.num_items)
    num_new, num_unsold = round(shop.new_rate * shop.num_items), round(shop.unsold_rate * shop.num_items)
    return np.isin(np.arange(shop.num_items), cold[:num_new]), cold[num_new : num_new + num_unsold]


def brands_per_taste(num_items: int) -> int:
    """How many brands each department has for each taste."""
    return min(2 * -(-num_items // 800), 60)


def name_users(count: int) -> pl.Series:
    """Names of equal length, in the order of their numbers."""
    return pl.Series(USER_ID, [f"user{u + 1:0{len(str(count))}d}" for u in range(count)])


def draw_lengths(count: int, mean: float, rng: np.random.Generator, *, least: int = MIN_EVENTS) -> np.ndarray:
    """Draws numbers of events, int [count], from ``least`` to three times the mean."""
    # A negative binomial has the wide spread of activity that shops observe.
    extra = rng.negative_binomial(3, 3 / (3 + mean - least), count)
    return np.minimum(least + extra, int(3 * mean))


def rank_within(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[items], a random rank from 0 among the items of the same group."""
    order = np.lexsort((rng.random(len(group)), group))
    starts = np.searchsorted(group[order], group[order])
    rank = np.empty(len(group))
    rank[order] = np.arange(len(group)) - starts
    return rank


def draw_times(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [users, time], seconds, strictly increasing: all before the launch but the last, which comes after it."""
    users, width = len(lengths), int(lengths.max())
    before = np.arange(width) < (lengths - 1)[:, None]
    gone = np.cumsum(np.where(before, rng.exponential(size=(users, width)), 0.0), axis=1)
    whole = gone[:, -1:] + rng.exponential(size=(users, 1))
    start = YEAR_START + rng.random((users, 1)) * 270 * DAY
    times = start + gone / whole * (LAUNCH - start - width) + np.arange(width)  # one second at least between two events
    times[np.arange(users), lengths - 1] = LAUNCH + rng.random(users) * 14 * DAY
    return times.astype(np.int64)
