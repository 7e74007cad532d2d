"""Training objectives: what a generator learns from.

An objective is one file here and one yaml in ``conf/objective``; what objectives share is in ``lib``. None imports another.
They turn logits into a loss and never look inside a generator.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
