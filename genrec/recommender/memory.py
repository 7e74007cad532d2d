"""How much memory a recommender takes."""

from __future__ import annotations

import os
import sys
from itertools import chain
from pathlib import Path

import torch

from genrec.recommender.catalogue import Catalogue


def memory_of(catalogue: Catalogue) -> dict[str, int]:
    """Bytes of each part: ``weights`` (buffers included), ``trie``, ``ids``, ``vectors`` and ``items``, their table and index.

    What PyTorch and the other libraries take is in ``resident`` alone.

    Args:
        catalogue: of items.
    """
    trie, sids, generator = catalogue.trie, catalogue.table.sids, catalogue.generator
    tensors = chain(generator.parameters(), generator.buffers()) if isinstance(generator, torch.nn.Module) else ()
    return {
        "weights": sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values()),
        "trie": 0 if trie is None else trie.num_bytes,
        "ids": 0 if sids is None else sids.codes.nbytes,
        "vectors": sum(rows.nbytes for rows in catalogue.vectors.values()),
        "items": catalogue.table.num_bytes,
    }


def resident() -> int:
    """Bytes that this process has in memory; where the system does not say, the most it ever had; 0 where it says neither."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return _peak()


def _peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
