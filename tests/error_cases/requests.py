"""What requests can ask too much of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import small_shop

from error_cases import Case, Scene
from genrec.errors import ConfigError, DataError
from genrec.recommender.filter_language import allowed_items
from genrec.recommender.item_table import Filters
from genrec.recommender.recommender import Recommender
from genrec.recommender.requests import BeamRequest, RecommendRequest

ITEMS = pl.DataFrame({"item_id": ["a", "b"], "price": ["9,99", None], "tags": [["x"], None], "new": [True, False]})


class Odd:
    """Looks like a table."""

    columns = ("item_id", "title")


def asking(do: Callable[[Recommender], Any]) -> Callable[[Scene], Any]:
    return lambda scene: do(Recommender(small_shop.shop(12)))


def refused(name: str, value: str, do: Callable[[Recommender], Any], error: type = ConfigError) -> Case:
    return Case(name, error, value, asking(do))


CASES = [
    refused("a number for a query", "query: expected words, got 3", lambda shop: shop.recommend(["i1"], query=3)),
    refused("a list for a wish", "wish: expected words, got ['soap']", lambda shop: shop.recommend(["i1"], wish=["soap"])),
    refused("a long wish", "1,001 of them", lambda shop: shop.recommend(["i1"], wish="x" * 1001)),
    refused("a word for guidance", "got 'much'", lambda shop: shop.recommend(["i1"], guidance="much")),
    refused("guidance beyond all", "-100 to 100, got 101", lambda shop: shop.recommend(["i1"], guidance=101)),
    refused("a wish without an encoder", "export.words=true", lambda shop: shop.recommend(["i1"], wish="soap")),
    refused("a query of nobody", "ask by wish", lambda shop: shop.recommend(["i1"], query="soap")),
    refused("guidance without requests", "got one without", lambda shop: shop.recommend(["i1"], guidance=2)),
    *(
        refused(
            f"k={k!r:.20} of {call}",
            f"got {k!r:.30}",
            lambda shop, k=k, call=call, given=given: getattr(shop, call)(given, k),
            ConfigError,
        )
        for call, given in (("recommend", ["i1"]), ("similar", "i1"), ("beams", ["i1"]))
        for k in (0, -1, 2.5, 5.0, None, "3", True, float("nan"), 2**63, 10**30, [3])
    ),
    *(
        refused(f"batch_size={size!r}", f"got {size!r}", lambda shop, size=size: shop.recommend(["i1"], batch_size=size))
        for size in (0, -2, None, 1.5, "8")
    ),
    *(
        refused(f"last={last!r}", f"got {last!r}", lambda shop, last=last: shop.explain(["i1"], "i2", last=last))
        for last in (-1, 1.5, None, "x")
    ),
    *(
        refused(f"filter={text!r}", f"got {text!r}"[:30], lambda shop, text=text, call=call: call(shop, text))
        for text in (["even == true"], {"even": True}, 3, b"even == true")
        for call in (
            lambda shop, text: shop.recommend(["i1"], filter=text),
            lambda shop, text: shop.similar("i1", filter=text),
            lambda shop, text: shop.beams(["i1"], filter=text),
        )
    ),
    *(
        refused(f"steer={steer!r}", value, lambda shop, steer=steer, call=call: getattr(shop, call)(["i1"], steer=steer))
        for steer, value in (
            ("even == true", "'even == true'"),
            ([("even == true", 1.0)], "[('even == true', 1.0)]"),
            ({"even == true": "1"}, "'1'"),
            ({"even == true": True}, "True"),
            ({"even == true": float("nan")}, "nan"),
            ({"even == true": 10**400}, "1000"),
            ({3: 1.0}, "got 3"),
        )
        for call in ("recommend", "beams")
    ),
    *(
        refused(f"quota={quota!r:.30}", value, lambda shop, quota=quota: shop.recommend(["i1"], quota=quota))
        for quota, value in (
            ({"even": 0}, "got 0"),
            ({"even": -(2**70)}, "-1180591620717411303424"),
            ({"even": 1.5}, "1.5"),
            ({"even": True}, "True"),
            ({"even": "2"}, "'2'"),
            ("even", "'even'"),
            ({1: 1}, "got 1"),
        )
    ),
    refused("exclude_seen by a number", "got 1", lambda shop: shop.recommend(["i1"], exclude_seen=1)),  # type: ignore[arg-type]
    refused("exclude_seen by a word", "'no'", lambda shop: shop.beams(["i1"], exclude_seen="no")),  # type: ignore[arg-type]
    refused("a filter by two names", "'b' beside filter", lambda shop: shop.recommend(["i1"], filter="a", only="b")),  # type: ignore[call-arg]
    refused("settings beside a request", "k beside it", lambda shop: shop.recommend(RecommendRequest(histories=[[]]), k=3)),
    refused("a number beside a request", "got 3 beside it", lambda shop: shop.beams(BeamRequest(history=[]), 3)),
    refused("a batch of nobody", "got []", lambda shop: shop.recommend([]), DataError),
    refused("histories by user", "{'u': ['i1']}", lambda shop: shop.recommend({"u": ["i1"]}), DataError),
    refused("a history by item", "{'i1': 1}", lambda shop: shop.recommend([{"i1": 1}]), DataError),
    refused("a set of items", "{'i1'}", lambda shop: shop.recommend([{"i1"}]), DataError),
    refused("a set of histories", "frozenset", lambda shop: shop.recommend(frozenset({"i1"})), DataError),
    refused("a set for one", "{'i1'}", lambda shop: shop.explain({"i1"}, "i2"), DataError),
    refused("bytes", "b'i1'", lambda shop: shop.recommend(b"i1"), DataError),
    refused("no histories", "None", lambda shop: shop.recommend(None), DataError),
    refused("no items to score", "got []", lambda shop: shop.score(["i1"], []), DataError),
    refused("one item to score", "'i2'", lambda shop: shop.score(["i1"], "i2"), DataError),
    refused("no item to be like", "None", lambda shop: shop.similar(None), DataError),  # type: ignore[arg-type]
    refused("a number to be like", "got 5", lambda shop: shop.similar(5), DataError),  # type: ignore[arg-type]
    refused("nothing to add", "got None", lambda shop: shop.add_items(None), DataError),  # type: ignore[arg-type]
    refused("a text to add", "'new'", lambda shop: shop.add_items("new"), DataError),
    refused("one item to add", "{'item_id': 'new'}", lambda shop: shop.add_items({"item_id": "new"}), DataError),
    refused("a number to add", "got 3", lambda shop: shop.add_items(3), DataError),  # type: ignore[arg-type]
    refused("nothing to remove", "got None", lambda shop: shop.remove_items(None), DataError),  # type: ignore[arg-type]
    refused("a table of something else", "Odd", lambda shop: shop.add_items(Odd()), DataError),  # type: ignore[arg-type]
    refused("a mapping to remove", "{'i1': 1}", lambda shop: shop.remove_items({"i1": 1}), DataError),
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
