"""Decoding strategies: from a generator's probabilities to catalogue items; only items that exist, each once.

A strategy is one file here and one yaml in ``conf/decoding``; the search they share is in ``lib``. None imports another.
``exhaustive`` is the exact oracle beside every search.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
