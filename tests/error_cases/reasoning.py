"""Messages of the generator that thinks and of its learning rules."""

from __future__ import annotations

from typing import Any

from small_world import OPTIONS, sids_of

from error_cases import Case
from genrec.errors import ConfigError
from genrec.objectives.ensemble_reasoning import EnsembleReasoning
from genrec.objectives.progressive_reasoning import ProgressiveReasoning


def generator(name: str = "latent_reasoning", **changes: Any) -> Any:
    return next(option for option in OPTIONS if option.id == name).build(sids_of(20), **changes)


CASES = [
    Case("no step", ConfigError, "got 0", lambda scene: generator(num_steps=0)),
    Case("sharper early steps", ConfigError, "got 0.5", lambda scene: ProgressiveReasoning(annealing=0.5)),
    Case("steps pulled together", ConfigError, "got -0.1", lambda scene: EnsembleReasoning(diversity_weight=-0.1)),
    Case(
        "the mean, taught to be the last",
        ConfigError,
        "progressive_reasoning with mean",
        lambda scene: ProgressiveReasoning().check(generator(readout="mean")),
    ),
    Case(
        "the last, taught to be the mean",
        ConfigError,
        "ensemble_reasoning with last",
        lambda scene: EnsembleReasoning().check(generator()),
    ),
    Case(
        "a generator that does not think",
        ConfigError,
        "ensemble_reasoning with SASRec",
        lambda scene: EnsembleReasoning().check(generator("sasrec")),
    ),
]
