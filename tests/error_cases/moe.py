"""Messages of the generator that writes sessions, and of its objective."""

from __future__ import annotations

from typing import Any

from small_world import OPTIONS, sids_of

from error_cases import Case
from genrec.core.trie import PrefixTrie
from genrec.decoding.session import Session
from genrec.errors import ConfigError
from genrec.objectives.session_cross_entropy import SessionCrossEntropy

SIDS = sids_of(20, (4, 5))


def built(name: str, **changes: Any) -> Any:
    return next(option for option in OPTIONS if option.id == name).build(SIDS, **changes)


CASES = [
    Case("no expert", ConfigError, "got 0", lambda scene: built("moe", num_active=0)),
    Case("more experts than there are", ConfigError, "got 5", lambda scene: built("moe", num_active=5)),
    Case("no item", ConfigError, "got 0", lambda scene: built("moe", session_len=0)),
    Case(
        "negative weight of later items",
        ConfigError,
        "got -1.0",
        lambda scene: SessionCrossEntropy(trie=PrefixTrie.build(SIDS), later_weight=-1.0),
    ),
    Case("no beam for a session", ConfigError, "got 0", lambda scene: Session(num_beams=0)),
    Case(
        "no sessions",
        ConfigError,
        "EncDec",
        lambda scene: SessionCrossEntropy(trie=PrefixTrie.build(SIDS)).check(built("encdec")),
    ),
]
