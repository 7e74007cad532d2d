"""Data sources, filters, orders and splits: the plug-ins that read events and items.

A source is one file here and one yaml in ``conf/data``; what sources share is in ``lib``. No plug-in imports another.
Only ``lib.canonical`` decides whether a row can be used.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
