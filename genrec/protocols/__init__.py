"""What a plug-in of each kind must offer. Structural: a class that has the methods fits, no base class needed.

Every constructor takes flat keyword-only arguments. Those named in ``RUNTIME`` are filled in by genrec and never stand in yaml.
Fitted components are made again from their configuration and then given their fitted state with ``restore(folder)``.
"""

from genrec.protocols.data import DataSource, RawData, Splitter
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
from genrec.types import RUNTIME

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
