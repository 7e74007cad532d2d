"""Collision policies: how items that share all codes get their IDs.

A policy is one file here and one yaml in ``conf/collision``; all of them start from ``tokenizers.lib.free_codes``.
Each states what it does for items that come later.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
