"""The protocols of plug-ins. They are structural: a class that has the members fits, and needs no base class.

A capability of only some plug-ins is a small protocol of its own; its docstring describes what the capability is used for.

Every constructor takes flat keyword-only arguments. genrec supplies those named in ``RUNTIME``, which are never in a yaml.
Fitted components are made again from their configuration and then given their fitted state with ``restore(folder)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from genrec.protocols.data import DataSource, HoldsOut, RawData, ReadsColumns, Splitter
from genrec.types import RUNTIME

if TYPE_CHECKING:
    from genrec.protocols.baselines import (
        Baseline,
        HasObstacle,
        HasOpenSettings,
        NeedsArtifacts,
        Resettable,
        SavableBaseline,
        SparseScores,
    )
    from genrec.protocols.decoding import (
        Decoded,
        DecodingRequest,
        DecodingStrategy,
        FittedStrategy,
        GrowsWithItems,
        HasBeams,
        HasMoreItems,
        WrapsStrategy,
    )
    from genrec.protocols.encoders import (
        EncodesTexts,
        FitNotes,
        HasConfidence,
        ItemEncoder,
        JoinsSources,
        NamedEncoder,
        text_part,
    )
    from genrec.protocols.generators import (
        AlignedGenerator,
        AsksAboutItems,
        AutoregressiveGenerator,
        Denoised,
        DenoisingGenerator,
        DiffusionScorer,
        DualBranchScorer,
        FillsLast,
        Generator,
        HasCodeHeads,
        HasItemHead,
        HasItemTable,
        HasNormalization,
        HasRuntimes,
        ItemRows,
        ItemScorer,
        MaskedGenerator,
        ParallelGenerator,
        PromptedLanguageModel,
        ReasoningScorer,
        SavesItself,
        SessionGenerator,
        SessionLogits,
        TargetLogits,
        WritesTexts,
        device_of,
    )
    from genrec.protocols.metrics import HitMetric, ListMetric, Logger, MetricInputs
    from genrec.protocols.objectives import FineTuningObjective, FittedObjective, LossTerms, Objective, Sampler, WeighsTargets
    from genrec.protocols.tokenizers import (
        CollisionContext,
        CollisionPolicy,
        HasSource,
        ItemTokenizer,
        LevelCosts,
        Reconstructs,
        StreamTokenizer,
        TokenizerInputs,
        Traits,
    )

__all__ = [
    "RUNTIME",
    "AlignedGenerator",
    "AsksAboutItems",
    "AutoregressiveGenerator",
    "Baseline",
    "CollisionContext",
    "CollisionPolicy",
    "DataSource",
    "Decoded",
    "DecodingRequest",
    "DecodingStrategy",
    "Denoised",
    "DenoisingGenerator",
    "DiffusionScorer",
    "DualBranchScorer",
    "EncodesTexts",
    "FillsLast",
    "FineTuningObjective",
    "FitNotes",
    "FittedObjective",
    "FittedStrategy",
    "Generator",
    "GrowsWithItems",
    "HasBeams",
    "HasCodeHeads",
    "HasConfidence",
    "HasItemHead",
    "HasItemTable",
    "HasMoreItems",
    "HasNormalization",
    "HasObstacle",
    "HasOpenSettings",
    "HasRuntimes",
    "HasSource",
    "HitMetric",
    "HoldsOut",
    "ItemEncoder",
    "ItemRows",
    "ItemScorer",
    "ItemTokenizer",
    "JoinsSources",
    "LevelCosts",
    "ListMetric",
    "Logger",
    "LossTerms",
    "MaskedGenerator",
    "MetricInputs",
    "NamedEncoder",
    "NeedsArtifacts",
    "Objective",
    "ParallelGenerator",
    "PromptedLanguageModel",
    "RawData",
    "ReadsColumns",
    "ReasoningScorer",
    "Reconstructs",
    "Resettable",
    "Sampler",
    "SavableBaseline",
    "SavesItself",
    "ScheduledObjective",
    "SessionGenerator",
    "SessionLogits",
    "SparseScores",
    "Splitter",
    "StreamTokenizer",
    "TargetLogits",
    "TokenizerInputs",
    "Traits",
    "WeighsTargets",
    "WrapsStrategy",
    "WritesTexts",
    "device_of",
    "text_part",
]

# Where the others are: imported when they are asked for, since they bring torch, which reading data does not need.
_PLACES = {
    "decoding": (
        "Decoded",
        "DecodingRequest",
        "DecodingStrategy",
        "FittedStrategy",
        "GrowsWithItems",
        "HasBeams",
        "HasMoreItems",
        "WrapsStrategy",
    ),
    "encoders": ("EncodesTexts", "FitNotes", "HasConfidence", "ItemEncoder", "JoinsSources", "NamedEncoder", "text_part"),
    "baselines": (
        "Baseline",
        "HasObstacle",
        "HasOpenSettings",
        "NeedsArtifacts",
        "Resettable",
        "SavableBaseline",
        "SparseScores",
    ),
    "generators": (
        "AlignedGenerator",
        "AsksAboutItems",
        "AutoregressiveGenerator",
        "Denoised",
        "DenoisingGenerator",
        "DiffusionScorer",
        "DualBranchScorer",
        "FillsLast",
        "Generator",
        "HasCodeHeads",
        "HasItemHead",
        "HasItemTable",
        "HasNormalization",
        "HasRuntimes",
        "ItemRows",
        "ItemScorer",
        "MaskedGenerator",
        "ParallelGenerator",
        "PromptedLanguageModel",
        "ReasoningScorer",
        "SavesItself",
        "SessionGenerator",
        "WritesTexts",
        "SessionLogits",
        "TargetLogits",
        "device_of",
    ),
    "metrics": ("HitMetric", "ListMetric", "Logger", "MetricInputs"),
    "objectives": (
        "FineTuningObjective",
        "FittedObjective",
        "LossTerms",
        "Objective",
        "Sampler",
        "ScheduledObjective",
        "WeighsTargets",
    ),
    "tokenizers": (
        "CollisionContext",
        "CollisionPolicy",
        "HasSource",
        "ItemTokenizer",
        "LevelCosts",
        "Reconstructs",
        "StreamTokenizer",
        "TokenizerInputs",
        "Traits",
    ),
}


def __getattr__(name: str) -> Any:
    module = next((module for module, names in _PLACES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
