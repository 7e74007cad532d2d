"""Messages of the fusion strategy and the stage that fits it."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_world import ring

from error_cases import Case, Scene
from genrec.baselines.popularity import Popularity
from genrec.baselines.transitions import Transitions
from genrec.baselines.vector_neighbours import VectorNeighbours
from genrec.decoding.fusion import Fusion
from genrec.engine.config import compose
from genrec.errors import ConfigError, DataError
from genrec.stages.calibrate import CalibrateSettings, inputs, sample, targets_among

SCORERS = {"transitions": Transitions()}


def seen_before(scene: Scene) -> Any:
    """Every validation target stands in its history."""
    return sample(ring(num_items=2), CalibrateSettings(), exclude_seen=True)


def proposed_by_nobody(scene: Scene) -> Any:
    return targets_among(np.zeros((3, 2), dtype=np.int64), np.full(3, 7))


CASES = [
    Case("no such member", ConfigError, "got transition;", lambda scene: Fusion(members=("transition",), scorers=SCORERS)),
    Case("a member twice", ConfigError, "['head', 'head']", lambda scene: Fusion(members=("head", "head"))),
    Case("no members", ConfigError, "got []", lambda scene: Fusion(members=())),
    Case("no candidates", ConfigError, "got 0", lambda scene: Fusion(num_candidates=0)),
    Case("state that cannot be kept", ConfigError, "Popularity", lambda scene: Fusion(scorers={"popular": Popularity()})),
    Case("nobody is left", ConfigError, "['head']", lambda scene: Fusion(members=("head",)).fit(object(), ring())),
    Case("nothing to fit", ConfigError, "TrieBeam", lambda scene: inputs(compose(["generator=encdec"]).tree)),
    Case("nobody to fit on", ConfigError, "got 0", lambda scene: CalibrateSettings(num_users=0)),
    Case("nothing may be hit", DataError, "60 drawn", seen_before),
    Case("nobody proposes a target", DataError, "none of 3 users", proposed_by_nobody),
    Case("no neighbours", ConfigError, "got 0", lambda scene: VectorNeighbours(neighbours=0)),
    Case("no temperature", ConfigError, "got 0.0", lambda scene: VectorNeighbours(temperature=0.0)),
    Case("no vectors", ConfigError, "got none", lambda scene: VectorNeighbours().fit(ring())),
]
