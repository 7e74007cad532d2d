"""What is wrong with columns of events, requests and users, and with weights of targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import torch

from error_cases import Case, Scene
from genrec.core.dataset import Dataset, Sequences
from genrec.core.trie import PrefixTrie
from genrec.data.event_columns import EventColumns, asked_for
from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.item_words import ItemWords
from genrec.errors import ConfigError, DataError
from genrec.model.event_texts import distinct_texts, write_texts
from genrec.objectives.aligned_cross_entropy import AlignedCrossEntropy
from genrec.protocols import RawData
from genrec.testing.worlds import sids_of
from genrec.training.fit import fit
from genrec.training.settings import TrainSettings
from genrec.training.target_weights import target_weights

EVENTS = pl.DataFrame(
    {"event_type": ["view", "buy", "buy"], "none": [None] * 3, "word": ["a", "b", "c"], "weight": [1.0, -2.0, 1.0]}
)
SHOP = Dataset(
    items=pl.DataFrame({"item_id": ["i0", "i1"]}),
    users=pl.DataFrame({"user_id": ["a"]}),
    events=Sequences(np.array([0, 1, 0], np.int32), np.array([0, 3])),
    train_ends=np.array([3]),
    validation_ends=np.array([3]),
    timestamps=np.arange(3.0),
)
COLUMNS = EventColumns(columns={"event_type": "category", "weight": "number", "timestamp": "time"}, request=["event_type"])
WITH_COLUMNS = COLUMNS.added_to(SHOP, EVENTS, None)
MANY = pl.DataFrame({"id": [str(number) for number in range(10_001)]})
MANY_EVENTS = replace(
    SHOP,
    events=Sequences(np.zeros(10_001, np.int32), np.array([0, 10_001])),
    train_ends=np.array([10_001]),
    validation_ends=np.array([10_001]),
)


def added(dataset: Dataset = SHOP, table: pl.DataFrame = EVENTS, **settings: Any) -> Callable[[Scene], Any]:
    return lambda scene: EventColumns(**settings).added_to(dataset, table, None)


def request(name: str, value: Any, columns: EventColumns = COLUMNS) -> Callable[[Scene], Any]:
    return lambda scene: asked_for(columns.added_to(SHOP, EVENTS, None), "test", {name: value})


def weights(targets: Any, weight: Any) -> Callable[[Scene], Any]:
    return lambda scene: target_weights(WITH_COLUMNS, targets, weight)


def users_twice(scene: Scene) -> Any:
    interactions = pl.DataFrame({"user_id": ["a"], "item_id": ["i0"]})
    canonicalize(RawData(interactions, None, users=pl.DataFrame({"user_id": ["a", "b", "a"]})))


def weights_unread(scene: Scene) -> Any:
    """An objective that takes all targets alike."""
    generator, settings = SimpleNamespace(max_history_len=5), TrainSettings(weight="weight")
    place = {"work": scene.path, "device": torch.device("cpu")}
    fit(generator, AlignedCrossEntropy(trie=PrefixTrie.build(sids_of(2))), POSITIVE, None, settings, **place)  # type: ignore[arg-type]


NAN = np.full((1, 2), np.nan)
POSITIVE = COLUMNS.added_to(SHOP, EVENTS.with_columns(weight=pl.Series([1.0, 2.0, 1.0])), None)
EVERYTHING = replace(COLUMNS, request=["event_type", "weight", "timestamp"])
CASES = [
    Case("an id as a column", ConfigError, "got user_id", added(columns={"user_id": "category"})),
    Case("a time that is none", ConfigError, "got time", added(columns={"rating": "time"})),
    Case("a request for nothing", ConfigError, "(there are none), got device", added(request=["device"])),
    Case("a column that is not there", DataError, "got device", added(columns={"device": "category"})),
    Case("a text that is not there", DataError, "events.text", added(text="query")),
    Case("words of no column", ConfigError, "events.text.columns", added(text=ItemWords(columns=[]))),
    Case("words of a column that is not there", DataError, "got title", added(text=ItemWords(columns=["title"]))),
    Case("words that are all rare", DataError, "words of 5 items or more", added(text=ItemWords(columns=["item_id"]))),
    Case("no times", DataError, "got none", added(replace(SHOP, timestamps=None), columns={"timestamp": "time"})),
    Case("no users", DataError, "events.users", added(users={"age": "category"})),
    Case("an empty column", DataError, "events.columns.none", added(columns={"none": "category"})),
    Case("a category of ids", DataError, "got 10,001", added(MANY_EVENTS, MANY, columns={"id": "category"})),
    Case("words as numbers", DataError, "'a' (3 such)", added(columns={"word": "number"})),
    Case("a column that nobody asks for", ConfigError, "got weight", request("weight", 2.0)),
    Case("a time for everybody", ConfigError, "got 5.0", request("timestamp", 5.0, EVERYTHING)),
    Case("a word for a number", ConfigError, "got many", request("weight", "many", EVERYTHING)),
    Case("a kind that there is not", ConfigError, "one of buy, view, got gift", request("event_type", "gift")),
    Case("no targets", ConfigError, "got []", weights([], None)),
    Case("a negative weight", ConfigError, "got -", weights(None, "weight")),
    Case("targets that do not count", ConfigError, "got none", weights(["buy"], {"buy": 0.0})),
    Case("a target that there is not", ConfigError, "buy, view, got rent", weights(["rent"], None)),
    Case("a least number of a kind", ConfigError, "event_type (category)", weights({"event_type": 4}, None)),
    Case("targets that no number reaches", ConfigError, "lower the least number", weights({"weight": 99.0}, None)),
    Case("a weight that is no number", ConfigError, "event_type (category)", weights(None, "event_type")),
    Case("texts of nobody", DataError, "got none", lambda scene: distinct_texts(SHOP)),
    Case(
        "a vector that is none",
        DataError,
        "for 1 texts",
        lambda scene: write_texts(scene.path, np.zeros(3), NAN),
    ),
    Case("weights that nothing reads", ConfigError, "got AlignedCrossEntropy", weights_unread),
    Case("a user twice", DataError, "users, row 3, column user_id", users_twice),
]
