"""The central objects: the dataset, a batch, the semantic-ID table and the prefix trie.

Each is the only owner of its data: no other module counts levels, builds trees or slices histories.
Nothing here knows a plug-in, a stage or a file format. Change it with care: every room above reads these objects.
"""

import importlib
from typing import Any

_HOMES = {
    "Batch": "genrec.core.batch",
    "Dataset": "genrec.core.dataset",
    "EventSchema": "genrec.core.event_schema",
    "PrefixTrie": "genrec.core.trie",
    "SIDTable": "genrec.core.sids",
    "Sequences": "genrec.core.dataset",
    "Stream": "genrec.core.sids",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:  # the trie brings torch, so nothing is imported before it is used
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
