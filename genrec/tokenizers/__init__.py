"""Item tokenizers: vectors, columns or sequences to codes, and the policies for items that share all codes.

A tokenizer is one file here and one yaml in ``conf/tokenizer``; what tokenizers share is in ``lib``. None imports another.
``genrec new tokenizer`` writes one; the contracts in ``genrec.testing`` hold for each.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
