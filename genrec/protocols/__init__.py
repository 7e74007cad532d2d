"""What a plug-in of each kind must offer. Structural: a class that has the methods fits, no base class needed.

Every constructor takes flat keyword-only arguments. Those named in ``RUNTIME`` are filled in by genrec and never stand in yaml.
Fitted components are made again from their configuration and then given their fitted state with ``restore(folder)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from genrec.protocols.data import DataSource, RawData, Splitter
from genrec.types import RUNTIME

if TYPE_CHECKING:
    from genrec.protocols.decoding import Decoded, DecodingRequest, DecodingStrategy
    from genrec.protocols.encoders import ItemEncoder
    from genrec.protocols.floors import Floor, KeptFloor
    from genrec.protocols.generators import (
        AlignedGenerator,
        AutoregressiveGenerator,
        DenoisingGenerator,
        Generator,
        ItemScorer,
        MaskedGenerator,
        ParallelGenerator,
        ReasoningScorer,
        SessionGenerator,
        TargetLogits,
        device_of,
    )
    from genrec.protocols.objectives import FineTuningObjective, LossTerms, Objective, Sampler
    from genrec.protocols.tokenizers import CollisionContext, CollisionPolicy, ItemTokenizer, TokenizerInputs, Traits

__all__ = [
    "RUNTIME",
    "AlignedGenerator",
    "AutoregressiveGenerator",
    "CollisionContext",
    "CollisionPolicy",
    "DataSource",
    "Decoded",
    "DecodingRequest",
    "DecodingStrategy",
    "DenoisingGenerator",
    "FineTuningObjective",
    "Floor",
    "Generator",
    "ItemEncoder",
    "ItemScorer",
    "ItemTokenizer",
    "KeptFloor",
    "LossTerms",
    "MaskedGenerator",
    "Objective",
    "ParallelGenerator",
    "RawData",
    "ReasoningScorer",
    "Sampler",
    "SessionGenerator",
    "Splitter",
    "TargetLogits",
    "TokenizerInputs",
    "Traits",
    "device_of",
]

# Where the others are: imported when they are asked for, since they bring torch, which reading data does not need.
_PLACES = {
    "decoding": ("Decoded", "DecodingRequest", "DecodingStrategy"),
    "encoders": ("ItemEncoder",),
    "floors": ("Floor", "KeptFloor"),
    "generators": (
        "AlignedGenerator",
        "AutoregressiveGenerator",
        "DenoisingGenerator",
        "Generator",
        "ItemScorer",
        "MaskedGenerator",
        "ParallelGenerator",
        "ReasoningScorer",
        "SessionGenerator",
        "TargetLogits",
        "device_of",
    ),
    "objectives": ("FineTuningObjective", "LossTerms", "Objective", "Sampler"),
    "tokenizers": ("CollisionContext", "CollisionPolicy", "ItemTokenizer", "TokenizerInputs", "Traits"),
}


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _PLACES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
