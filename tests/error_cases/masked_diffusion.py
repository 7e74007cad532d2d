"""Messages of the loss on hidden codes."""

from __future__ import annotations

from small_world import ArbitraryLogits, sids_of

from error_cases import Case
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.masked_cross_entropy import MaskedCrossEntropy

SIDS = sids_of(20, (4, 5))
TRIE = PrefixTrie.build(SIDS)

CASES = [
    Case("all mass smoothed away", ConfigError, "got 1.0", lambda scene: MaskedCrossEntropy(trie=TRIE, label_smoothing=1.0)),
    Case(
        "a share of masks above one",
        ConfigError,
        "got 1.5",
        lambda scene: MaskedCrossEntropy(trie=TRIE, least_hidden_share=1.5),
    ),
    Case(
        "codes in one order only",
        ConfigError,
        "ArbitraryLogits",
        lambda scene: MaskedCrossEntropy(trie=TRIE).check(ArbitraryLogits(SIDS)),
    ),
]
