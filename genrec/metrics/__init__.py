"""Offline metrics of recommendations tables, so other libraries' tables count alike.

A metric is a plug-in of the ``metric`` group: a class in a file of its own, with its formula (``genrec new metric``). The
functions here are the usual ones for tables in memory: ``genrec.metrics.ndcg(table, targets, 10)``.
"""

from genrec.engine.registry import export_lazily
from genrec.metrics.average_precision import average_precision
from genrec.metrics.hit_rate import hit_rate
from genrec.metrics.mrr import mrr
from genrec.metrics.ndcg import ndcg
from genrec.metrics.precision import precision
from genrec.metrics.recall import recall

__all__ = ["average_precision", "hit_rate", "mrr", "ndcg", "precision", "recall"]

__getattr__, __dir__ = export_lazily(__name__)  # the classes of the group
