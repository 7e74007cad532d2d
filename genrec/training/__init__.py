"""Training: the only room that imports Lightning.

``fit`` is the way in: plan of batches, module, validation, checkpoints to resume from exactly.
The order of batches is a function of (seed, epoch) alone; keep it so, resume depends on it.
"""

from genrec.engine.registry import export_lazily

__getattr__, __dir__ = export_lazily(__name__)
