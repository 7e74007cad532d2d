"""How often does a comparison of two EQUALLY good models call the difference real? It should be 5 times in 100.

    python tools/benchmarks/null_comparisons.py [comparisons per setting, default 2000]

The scores are NDCG@10 as real ones are: 8 % of 2,000 users have a hit, and they are mostly the same users for both models,
because some users are easy. Each user's latent score is the sum of what is easy about the user, of what this model makes of the
user whatever the seed, of the seed's effect on everybody, and of noise; the rank follows from it. The two models are drawn from
the same distribution, so neither is better, and users differ from comparison to comparison.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from genrec.statistics.paired import DIGITS, compare, pairwise, randomization_p

GAINS = np.append(1 / np.log2(np.arange(2, 12)), 0.0)  # NDCG@10 of a target at ranks 1 to 10, and beyond
HIT_RATE = 0.08


@dataclass(frozen=True)
class World:
    """Standard deviations of the parts of the latent score; that of the users is 1.

    Args:
        taste: of a model and a user, whatever the seed.
        noise: of a model, a user and a seed.
        seed: effect of a seed on all users; at .06 the mean NDCG@10 of seeds spreads by 12 % of its value.
        runs: number of runs of each of the models.
        other_seed: effect of a seed in all models but the first; None: as in the first.
        users: number of users.
    """

    taste: float
    noise: float
    seed: float = 0.0
    runs: tuple[int, ...] = (1, 1)
    other_seed: float | None = None
    users: int = 2000

    def draw(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Model -> scores [users, runs]."""
        easy = generator.standard_normal(self.users)
        width = np.sqrt(1 + self.taste**2 + self.noise**2)
        odds = HIT_RATE * (np.arange(1, 11) / 10) ** 0.6  # of a rank up to 1, 2, ...: hits crowd at the top
        cuts = np.sort(ndtri(1 - odds)) * width
        models = {}
        for number, runs in enumerate(self.runs):
            effect = self.seed if number == 0 or self.other_seed is None else self.other_seed
            latent = (easy + self.taste * generator.standard_normal(self.users))[:, None]
            latent = latent + self.noise * generator.standard_normal((self.users, runs))
            latent = latent + effect * generator.standard_normal(runs)
            models[f"m{number}"] = GAINS[10 - np.searchsorted(cuts, latent, side="right")]
        return models


WORLDS: Mapping[str, World] = {
    "1 run each": World(0.4, 0.3),
    "1 run each, 20,000 users": World(0.4, 0.3, users=20_000),
    "1 run each, models alike": World(0.0, 0.4),
    "3 seeds each, no seed effect": World(0.4, 0.3, 0.0, (3, 3)),
    "3 seeds each, small seed effect": World(0.4, 0.3, 0.02, (3, 3)),
    "3 seeds each, seed effect": World(0.4, 0.3, 0.06, (3, 3)),
    "3 seeds each, large seed effect": World(0.4, 0.3, 0.2, (3, 3)),
    "3 seeds each, models alike, no seed effect": World(0.0, 0.4, 0.0, (3, 3)),
    "3 seeds each, models alike, seed effect": World(0.0, 0.4, 0.06, (3, 3)),
    "3 seeds each, models far apart, no seed effect": World(0.6, 0.15, 0.0, (3, 3)),
    "3 seeds each, models far apart, seed effect": World(0.6, 0.15, 0.06, (3, 3)),
    "LIMIT: 2 seeds each, seed effect": World(0.4, 0.3, 0.06, (2, 2)),
    "5 seeds each, seed effect": World(0.4, 0.3, 0.06, (5, 5)),
    "3 seeds against 5, seed effect": World(0.4, 0.3, 0.06, (3, 5)),
    "LIMIT: 3 seeds against 1 run, seed effect": World(0.4, 0.3, 0.06, (3, 1)),
    "LIMIT: seed effects 2 : 1": World(0.4, 0.3, 0.12, (3, 3), 0.06),
    "LIMIT: seeds move one model only": World(0.4, 0.3, 0.1, (3, 3), 0.0),
    "LIMIT: 1 run each, seed effect": World(0.4, 0.3, 0.06, (1, 1)),
}


def false_positives(world: World, comparisons: int, *, draws: int = 199, seed: int = 0) -> float:
    """Share of comparisons of the first two models with p <= .05."""
    generator = np.random.default_rng(seed)
    num_found = 0
    for _ in range(comparisons):
        first, second = list(world.draw(generator).values())[:2]
        if first.shape[1] == second.shape[1] == 1:  # as `compare` does, but without the bootstrap
            p = randomization_p((first - second)[:, 0].round(DIGITS), draws=draws, seed=int(generator.integers(2**31)))
        else:
            p = compare(first, second).p
        num_found += p <= 0.05
    return num_found / comparisons


def false_families(world: World, comparisons: int, *, draws: int = 199, seed: int = 0) -> float:
    """Share of tables with all pairs of all models in which ANY pair is called real."""
    generator = np.random.default_rng(seed)
    num_found = 0
    for _ in range(comparisons):
        pairs = pairwise(world.draw(generator), draws=draws, seed=int(generator.integers(2**31)))
        num_found += any(pair.significant for pair in pairs)
    return num_found / comparisons


def main(comparisons: int) -> None:
    """Prints a line per world."""
    print(f"{comparisons:,} null comparisons each; one standard error is {100 * (0.05 * 0.95 / comparisons) ** 0.5:.2f} points")
    for name, world in WORLDS.items():
        start = time.perf_counter()
        rate = false_positives(world, comparisons)
        print(f"{name:<50} {rate:7.2%}   {time.perf_counter() - start:5.0f} s", flush=True)
    for name, world in {
        "any of 6 pairs of 4 models, 1 run each, Holm": World(0.4, 0.3, runs=(1,) * 4),
        "any of 6 pairs of 4 models, 3 seeds each, Holm": World(0.4, 0.3, 0.06, (3,) * 4),
    }.items():
        print(f"{name:<50} {false_families(world, comparisons):7.2%}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
