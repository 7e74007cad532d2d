"""What can be wrong with what a caller says of events, of the wanted item and of the user."""

from __future__ import annotations

from typing import Any

import small_shop

from error_cases import Case
from genrec.errors import DataError
from genrec.recommender.recommender import Recommender

ITEM = {"item_id": "i1"}


def refused(name: str, value: str, histories: Any, *, trained: bool = True, **settings: Any) -> Case:
    make = small_shop.shop_with_columns if trained else small_shop.shop
    return Case(name, DataError, value, lambda scene: Recommender(make(12)).recommend(histories, **settings))


CASES = [
    refused("an event without an id", "{'time': 3}", [[{"time": 3}]]),
    refused("an event with a number for its id", "{'item_id': 3}", [[{"item_id": 3}]]),
    refused("a number among events", "got 3", [[ITEM, 3]]),
    refused("times of some entries", "got 1", [[ITEM | {"time": 3}, "i2"]]),
    refused("times of some histories", "a history without", [[ITEM | {"time": 3}], ["i2"]]),
    refused("times twice", "got both", [[ITEM | {"time": 3}]], times=[[3]]),
    refused("a word for a time", "'noon'", [[ITEM | {"time": "noon"}]]),
    refused("a list for a word", "['buy']", [[ITEM | {"event_type": ["buy"]}]]),
    refused("a number without end", "got inf", [[ITEM | {"rating": float("inf")}]]),
    refused("a word for a number", "'five'", [[ITEM | {"rating": "five"}]]),
    refused("true for a number", "got True", [[ITEM | {"rating": True}]]),
    refused("a column of no event", "event_type, rating, time), got colour", [[ITEM | {"colour": "red"}]]),
    refused("a column of no request", "event_type, time), got rating", [[]], request={"rating": 5}),
    refused("a column of no user", "(age), got name", [[]], user={"name": "Ann"}),
    refused("a word for a request", "'buy'", [[]], request="buy"),
    refused("a word for the time of a request", "'noon'", [[]], request={"time": "noon"}),
    refused("two times of a request", "got both", [[]], request={"time": 5, "timestamp": 5}),
    refused("requests of others", "got 2", [[]], request=[{}, {}]),
    refused("a column without a schema", "got event_type", [[ITEM | {"event_type": "buy"}]], trained=False),
    refused("a request without a schema", "got time", [[]], request={"time": 5}, trained=False),
    refused("a user without a schema", "got age", [[]], user={"age": "old"}, trained=False),
]
