"""Baselines: recommenders without a training loop, which every model is compared with.

A baseline is one file here, named in ``conf/evaluate``; what baselines share is in ``lib``. None imports another.
They are fitted on the training part only, and their open settings are chosen on validation.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
