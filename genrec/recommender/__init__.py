"""The recommender: opens a package (bundle), answers requests, takes new items, removals and nightly feeds.

It is a library: ``genrec.load`` gives it to Python, ``genrec.serving`` puts it behind HTTP, batch lists use it too.
It imports no stage, no training code and no web framework; requests are dataclasses in ``requests.py``.
"""

from genrec.engine.registry import export_lazily

_REQUESTS = ("BeamRequest", "ExplainRequest", "RecommendRequest", "SimilarRequest")

__getattr__, __dir__ = export_lazily(
    __name__,
    {"Recommender": "genrec.recommender.recommender", **dict.fromkeys(_REQUESTS, "genrec.recommender.requests")},
)
