"""Trackers, the ``logger`` group: where the figures of a run go.

A tracker is one file here and one yaml in ``conf/logger``; it may import ``tracker.py`` and the library it writes to.
``run_tracking.py`` collects the figures, the same for every tracker.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
