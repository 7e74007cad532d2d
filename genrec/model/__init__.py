"""A trained model and all that it needs: IDs, trie, vectors and decoding strategy; made, opened, grown and saved.

Stages and the recommender open models here and nowhere else, so that both do the same.
It imports no stage, no training code and no web framework.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__, {"Model": "genrec.model.trained"})
