"""Opens at the start what the first requests would open: the first new item then costs what the second does."""

from __future__ import annotations

from genrec.engine.logs import LOGGER
from genrec.errors import GenRecError
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.requests import RecommendRequest
from genrec.types import ITEM_ID


def warmed(catalogue: Catalogue) -> Catalogue:
    """The same catalogue, after it took in an item that is thrown away and recommended to an empty history.

    Its encoder and tokenizer are in memory then, and no file of the bundle is needed any more. What does not work is told in
    the log: a bundle whose tokenizer takes no new items still recommends.
    """
    name = "warm-up"
    while name in catalogue.table.idx:
        name += "-"
    try:
        grown, _ = catalogue.with_items([{ITEM_ID: name, **({catalogue.table.title: name} if catalogue.table.title else {})}])
        grown.recommend(RecommendRequest(histories=[[]], times=[[]], k=1))
    except Exception as error:  # such as a text model that is not on this machine; who adds an item is told
        LOGGER.warning("the first new item will fail: %s", error)
    try:
        catalogue.recommend(RecommendRequest(histories=[[]], times=[[]], k=min(10, len(catalogue.table))))
    except GenRecError as error:
        LOGGER.warning("the first list failed: %s", error)
    return catalogue
