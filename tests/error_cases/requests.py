"""What requests can ask too much of."""

from __future__ import annotations

import polars as pl

from error_cases import Case
from genrec.decoding.predicate import allowed_items
from genrec.errors import ConfigError
from genrec.serving.filters import Filters

ROOMS = ("serving/filters.py", "decoding/predicate.py")
ITEMS = pl.DataFrame({"item_id": ["a", "b"], "price": ["9,99", None], "tags": [["x"], None], "new": [True, False]})


CASES = [
    Case(
        "too dear a filter",
        ConfigError,
        "2 tests of 2 items",
        lambda scene: Filters(ITEMS).check_cost(["new is null or price is null"], 0.1),
    ),
    Case("text where a number is compared", ConfigError, "'9,99'", lambda scene: allowed_items("price < 20", ITEMS)),
    Case("a list compared", ConfigError, 'write "x" in tags', lambda scene: allowed_items("tags == 'x'", ITEMS)),
    Case("a number for true", ConfigError, "got 1", lambda scene: allowed_items("new == 1", ITEMS)),
    Case("no column", ConfigError, "prise", lambda scene: allowed_items("prise < 20", ITEMS)),
    Case("open quotes", ConfigError, "'9", lambda scene: allowed_items("price == '9", ITEMS)),
    Case("too long a filter", ConfigError, "10,002 characters", lambda scene: allowed_items(" " * 9_994 + "new == x", ITEMS)),
    Case(
        "an order that there is not",
        ConfigError,
        "size < 'XL'",
        lambda scene: allowed_items("size < 'XL'", pl.DataFrame({"size": pl.Series(["S"], dtype=pl.Enum(["S", "M"]))})),
    ),
]
