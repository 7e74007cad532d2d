"""The eleven stages, one file per verb.

In order: prepare, embed, condition, tokenize, user_tokenize, assign, train, calibrate, recommend, diagnose, evaluate, export.

A stage is a function from artifacts to one artifact. No stage imports another: what they share is in the rooms below.
Raise a stage's version whenever the same settings and inputs would give another result.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
