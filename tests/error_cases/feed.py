"""What a nightly feed, and calls that change the catalogue, can be asked wrongly."""

from __future__ import annotations

from error_cases import Case
from error_cases.serving import added, shop
from genrec.errors import ConfigError, DataError

ROOMS = ("serving/new_items.py", "serving/item_table.py", "serving/catalogue.py")

CASES = [
    Case("like what is not there", DataError, "'z'", lambda scene: shop().similar("z")),
    Case("an id that is too long", DataError, "(1,001 characters)", added({"item_id": "x" * 1001})),
    Case("an id of half a character", DataError, "\\ud83d", added({"item_id": "\ud83d"})),
    Case("an id of nothing", DataError, "''", added({"item_id": ""})),
    Case("an id that is a number", DataError, "1193", added({"item_id": 1193})),
    Case("no list of ids", DataError, "'a'", lambda scene: shop().remove_items("a")),
    Case("ids that are numbers", DataError, "got 5", lambda scene: shop().restore_items(["a", 5])),  # type: ignore[list-item]
    Case(
        "updating with a column of its own",
        DataError,
        "titel",
        lambda scene: shop().update_items([{"item_id": "a", "titel": ""}]),
    ),
    Case("items of no status", ConfigError, "gone", lambda scene: shop().items_with("gone")),
]
