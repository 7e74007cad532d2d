"""genrec: generative recommendation with semantic IDs. Importing it is instant; what is heavy loads when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genrec.engine.aliases import find_former_paths

if TYPE_CHECKING:
    from genrec.api import audit, compare, load, run
    from genrec.recommender.requests import BeamRequest, ExplainRequest, RecommendRequest, SimilarRequest

__version__ = "0.1.0"
__all__ = [
    "BeamRequest",
    "ExplainRequest",
    "RecommendRequest",
    "SimilarRequest",
    "__version__",
    "audit",
    "compare",
    "load",
    "run",
]

find_former_paths()  # what moved inside this package can still be imported from where it was


def __getattr__(name: str) -> Any:
    if name.endswith("Request") and name in __all__:
        import genrec.recommender.requests

        return getattr(genrec.recommender.requests, name)
    if name in __all__:
        import genrec.api

        return getattr(genrec.api, name)
    raise AttributeError(f"module 'genrec' has no attribute {name!r}")
