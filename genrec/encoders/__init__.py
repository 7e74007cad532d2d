"""Item encoders: content and training sequences to one vector per item.

An encoder is one file here and one yaml in ``conf/encoder``; what encoders share is in ``lib``. No encoder imports another.
Encoders are fitted on the catalogue and the training part only.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
