"""genrec: generative recommendation with semantic IDs. Importing it is instant; what is heavy loads when it is used."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrec.engine.aliases import find_former_paths

if TYPE_CHECKING:
    from genrec.api import audit, compare, load, run
    from genrec.core.sids import SIDTable
    from genrec.core.trie import PrefixTrie
    from genrec.engine.component_objects import configured
    from genrec.engine.runs import Run
    from genrec.errors import ArtifactError, ConfigError, DataError, GenRecError
    from genrec.model.trained import Model
    from genrec.recommender.recommender import Recommender
    from genrec.recommender.requests import BeamRequest, ExplainRequest, RecommendRequest, SimilarRequest

__version__ = "0.1.0"
_HOMES = {
    "ArtifactError": "genrec.errors",
    "BeamRequest": "genrec.recommender.requests",
    "ConfigError": "genrec.errors",
    "DataError": "genrec.errors",
    "ExplainRequest": "genrec.recommender.requests",
    "GenRecError": "genrec.errors",
    "Model": "genrec.model.trained",
    "PrefixTrie": "genrec.core.trie",
    "RecommendRequest": "genrec.recommender.requests",
    "Recommender": "genrec.recommender.recommender",
    "Run": "genrec.engine.runs",
    "SIDTable": "genrec.core.sids",
    "SimilarRequest": "genrec.recommender.requests",
    "audit": "genrec.api",
    "compare": "genrec.api",
    "configured": "genrec.engine.component_objects",
    "load": "genrec.api",
    "run": "genrec.api",
}
__all__ = [
    "ArtifactError",
    "BeamRequest",
    "ConfigError",
    "DataError",
    "ExplainRequest",
    "GenRecError",
    "Model",
    "PrefixTrie",
    "RecommendRequest",
    "Recommender",
    "Run",
    "SIDTable",
    "SimilarRequest",
    "__version__",
    "audit",
    "compare",
    "configured",
    "load",
    "run",
]

find_former_paths()  # what moved inside this package can still be imported from where it was


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _rooms():
        return importlib.import_module(f"genrec.{name}")
    raise AttributeError(f"module 'genrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_rooms()})


def _rooms() -> list[str]:
    """The packages inside this one: ``genrec.metrics.ndcg`` works without another import."""
    return [file.parent.name for file in Path(__file__).parent.glob("*/__init__.py")]
