"""Messages of the generators that read more than codes: dense vectors, further streams, groups of items."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_world import OPTIONS, sids_of

from error_cases import Case
from genrec.core.sids import SIDTable, Stream
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError, DataError
from genrec.generators.cobra import Cobra
from genrec.generators.multi_stream import MultiStream
from genrec.tokenizers.multi_stream import MultiStream as MultiStreamTokenizer

SIDS = sids_of(20, (4, 5))


def built(name: str, **changes: Any) -> Any:
    return next(option for option in OPTIONS if option.id == name).build(SIDS, **changes)


def shared_ids() -> Any:
    sids = SIDTable(np.array([[1, 2], [0, 0], [1, 2]]), (4, 5))
    return Cobra(sids=sids, trie=PrefixTrie.build(sids), item_vectors=np.ones((3, 2)))


CASES = [
    Case("vectors without a temperature", ConfigError, "got 0.0", lambda scene: built("cobra", temperature=0.0)),
    Case("a negative share of vectors", ConfigError, "got -1.0", lambda scene: built("cobra", dense_weight=-1.0)),
    Case("vectors for IDs that are shared", ConfigError, "up to 2 items", lambda scene: shared_ids()),
    Case("one stream only", ConfigError, "got one", lambda scene: MultiStream(sids=SIDS)),
    Case("no history is left", ConfigError, "got 1.0", lambda scene: built("multi_stream", stream_dropout=1.0)),
    Case("one group", ConfigError, "got 1", lambda scene: built("human_priors", num_groups=1)),
    Case("a negative gate", ConfigError, "got -0.1", lambda scene: built("human_priors", gate_weight=-0.1)),
    Case("a prior that nobody has", ConfigError, "got colour", lambda scene: built("human_priors", prior="colour")),
    Case("a stream twice", ConfigError, "['text', 'text']", lambda scene: MultiStreamTokenizer(streams=["text", "text"])),
    Case(
        "streams of other items",
        DataError,
        "got those of 19",
        lambda scene: SIDS.with_streams({"text": Stream(np.zeros((19, 1), int), (2,))}),
    ),
]
