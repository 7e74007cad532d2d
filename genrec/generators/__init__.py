"""Generators: models that predict the next item from a history, code by code, all codes at once, or as scores of items.

A generator is one file here and one yaml in ``conf/generator``; its layers come from ``genrec.nn``. None imports another.
``encdec`` is the default; docs/methods has a page for each.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
