"""What an evaluation counts: its targets, lists of any program, candidates, and fitted baselines.

The rules (seen items, ties, k, targets) are made here once and hold for models and baselines alike.
Metrics are in ``genrec.metrics``, intervals in ``genrec.statistics``.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
