"""What the columns of histories, sessions and samples are usually called; letters and digits only, most telling first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from genrec.data.lib.shown import shown_names
from genrec.errors import DataError
from genrec.types import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID

HISTORY, TARGET = "history", "target"
NAMES: Mapping[str, str] = {
    HISTORY: """history historyitemid historyitemids historyids historyitems itemhistory inters previtems previousitems
        pastitems past hist histitems histitemid sequence seq itemsequence itemseq itemids items itemlist
        itemidlist clickeditems basket products productids articles articleids inputids input inputitems context""",
    TARGET: """target targetid targetitem targetitemid nextitem nextitemid labelid label labels itemid item parentasin asin
        output groundtruth positive""",
    USER_ID: "userid user uid reviewerid customerid visitorid sessionid session playlistid pid id",
    ITEM_ID: "itemid item iid aid productid parentasin asin sku trackid trackuri movieid articleid newsid videoid id",
    TIMESTAMP: "timestamp ts time unixtime datetime eventtime timems createdat date",
    EVENT_TYPE: "type eventtype event action behavior",
}  # fmt: skip


def usual(columns: Sequence[str], kind: str) -> str | None:
    """The column that is ``kind`` by its name, or None."""
    plain = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in reversed(columns)}
    return next((plain[name] for name in NAMES[kind].split() if name in plain), None)


def column_of(given: str | None, columns: Sequence[str], kind: str, file: str) -> str:
    """The column that was given, or that is ``kind`` by its name.

    Raises:
        DataError: when there is none.
    """
    name = given if given in columns else None if given else usual(columns, kind)
    if name is None:
        expected = f"a column {given!r}" if given else f"a column that looks like {kind}"
        raise DataError(file, expected=expected, got=f"columns {shown_names(columns)}", fix=f"name it: data.{kind}=COLUMN")
    return name
