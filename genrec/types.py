"""Shared names and small types: columns, splits, and constructor arguments that genrec supplies."""

from __future__ import annotations

from typing import Final, Literal

# Columns of interactions and items.
USER_ID: Final = "user_id"  # the user's string
ITEM_ID: Final = "item_id"  # the item's string
USER_IDX: Final = "user_idx"  # dense row of the user
ITEM_IDX: Final = "item_idx"  # dense row of the item
TIMESTAMP: Final = "timestamp"  # seconds, any origin
POSITION: Final = "position"  # order within the user, ascending
RATING: Final = "rating"
EVENT_TYPE: Final = "event_type"
WEIGHT: Final = "weight"

# Columns of the recommendations table (docs/architecture.md).
SPLIT: Final = "split"
RANK: Final = "rank"  # 1-based
SCORE: Final = "score"
TIE_START: Final = "tie_start"  # rank at which the group of equal scores starts, 1-based
TIE_SIZE: Final = "tie_size"  # number of listed items in that group

Split = Literal["validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("validation", "test")
SHORT_SPLIT: Final[dict[str, str]] = {"validation": "val", "test": "test"}  # prefix of metric keys: val/recall@10

Normalization = Literal["trie", "codebook"]

# What a decoding strategy asks of a generator: the protocols of genrec/protocols/.
Decodes = Literal["autoregressive", "session", "parallel", "masked", "item_scorer", "text", "any"]

PAD: Final = -1  # an absent item, code or target in padded integer tensors

# Constructor arguments that genrec supplies. They are facts of the artifacts and of the machine, and are never in a yaml.
RUNTIME: Final = frozenset(
    {
        "sids",
        "trie",
        "num_items",
        "train_counts",
        "item_vectors",
        "text_vectors",
        "train_sequences",
        "item_labels",
        "event_counts",
        "catalog",
        "schema",
        "saved",
        "max_history_len",
        "device",
    }
)
