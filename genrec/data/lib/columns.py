"""Finds which column is the user, the item, the time ..., by names and values, and infers the types of text columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from genrec.data.lib.times import read_times
from genrec.errors import DataError
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, RATING, TIMESTAMP, USER_ID, WEIGHT

# Usual names of each column, letters and digits only, the clearest first.
NAMES: Mapping[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        USER_ID: """userid user uid useridx customerid customer customernumber custid reviewerid visitorid memberid msno
            sessionid session accountid clientid fullvisitorid buyerid email username nickname usr u 用户id 用户""",
        ITEM_ID: """itemid item iid itemidx parentasin asin movieid productid product articleid trackid songid bookid isbn
            newsid gameid appid businessid animeid artistid venueid poiid locationid courseid recipeid beerid stockcode sku
            lineitemsku videoid contentid productcode itemcode goodsid i 商品id 商品""",
        TIMESTAMP: """timestamp time ts unixreviewtime datetime date eventtime tdat createdat eventdate invoicedate orderdate
            purchasedate t 时间 时间戳""",
        POSITION: """position pos order seq index step sequencenumber rank orderno ordernumber addtocartorder rownumber
            rownum""",
        RATING: "rating stars score overall bookrating r 评分",
        EVENT_TYPE: """eventtype event action actiontype behavior behaviour behaviortype eventname interactiontype kind
            eventkind activity verb type 行为""",
        WEIGHT: "weight count quantity playcount plays listencount",
    }.items()
}
OPTIONAL = (RATING, EVENT_TYPE, WEIGHT)
# Words for what people do in a shop.
KINDS = {
    *("view", "views", "click", "clicks", "cart", "buy", "buys", "purchase", "purchases", "order", "fav", "favorite", "like"),
    *("pv", "addtocart", "add_to_cart", "pageview", "page_view", "impression", "transaction", "wishlist", "share", "play"),
}
MANY_KINDS = 100  # a column with more distinct values is no kind of event
_TIME_WORD = re.compile(r"time|date|day|stamp|(^|[^a-z])ts($|[^a-z])|_at$|_dt$|_ts$|At$|when|hour|时间|日期", re.IGNORECASE)
_CLOCK = (6.3e8, 2.0e9)  # seconds since 1970 from 1990 to 2033
_TICKS = (1, 10**3, 10**6, 10**9)
SAMPLE = 20_000  # values that are looked at before a whole column is read as times


@dataclass
class Roles:
    """The roles of the columns of a table of interactions.

    Args:
        mapping: canonical column -> the table's.
        times: the columns that hold times, the chosen one first, with their numbers of distinct values.
        positions: columns that may be a position; they are used only on request.
        notes: why a column with a usual name was not chosen.
    """

    mapping: dict[str, str]
    times: list[tuple[str, int]] = field(default_factory=list)
    positions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plain_name(column: str) -> str:
    """A name without case and signs, as ``NAMES`` has them."""
    return re.sub(r"[\W_]", "", column.lower())


def columns_by_name(columns: Sequence[str], role: str, taken: Sequence[str] = ()) -> list[str]:
    """Returns the columns with a usual name of ``role``, the clearest first."""
    ranks = {name: rank for rank, name in enumerate(NAMES[role])}
    there = [column for column in columns if plain_name(column) in ranks and column not in taken]
    return sorted(there, key=lambda column: ranks[plain_name(column)])


def find_roles(table: pl.DataFrame, mapping: Mapping[str, str], date_format: str = "auto") -> Roles:
    """Finds the role of each column.

    Args:
        table: interactions, null where nothing is.
        mapping: canonical column -> the table's column, as the user sets it.
        date_format: as in ``read_times``.
    """
    roles = Roles(dict(mapping))
    for role in (USER_ID, ITEM_ID):
        if role not in mapping:
            _choose_ids(table, role, roles)
    if TIMESTAMP not in mapping:
        _choose_time(table, roles, date_format)
    taken = list(roles.mapping.values())
    roles.positions = columns_by_name(table.columns, POSITION, taken)
    for role in OPTIONAL:
        names = [] if role in mapping else columns_by_name(table.columns, role, list(roles.mapping.values()))
        fitting = next((name for name in names if _fits_role(table[name], role)), None)
        if role == EVENT_TYPE and fitting is None and role not in mapping:
            free = [name for name in table.columns if name not in roles.mapping.values()]
            fitting = next((name for name in free if _holds_kinds(table[name])), None)
        if fitting is not None:
            roles.mapping[role] = fitting
    return roles


def _choose_ids(table: pl.DataFrame, role: str, roles: Roles) -> None:
    """Chooses the first column with a fitting name; a mostly empty one only where no other column fits."""
    names = columns_by_name(table.columns, role, list(roles.mapping.values()))
    names = [name for name in names if not (table[name].dtype.is_temporal() or table[name].dtype == pl.Boolean)]
    if not names:
        return
    missing = {name: table[name].null_count() / table.height for name in names}
    chosen = next((name for name in names if missing[name] <= 0.05), min(names, key=lambda name: missing[name]))
    if missing[names[0]] > 0.5 and chosen != names[0]:
        roles.notes.append(
            f"{names[0]} is empty in {missing[names[0]]:.0%} of the rows, so {role} is taken from {chosen} "
            f"(--{role.removesuffix('_id')} {names[0]} takes it all the same)"
        )
    else:
        chosen = names[0]
    roles.mapping[role] = chosen


def _choose_time(table: pl.DataFrame, roles: Roles, date_format: str) -> None:
    """Chooses the finest column of times; columns that depend on the user or the item alone come last."""
    taken = list(roles.mapping.values())
    candidates = []
    for name in table.columns:
        if name in taken or not tells_time(table[name], date_format):
            continue
        distinct = table[name].n_unique()
        depends = any(_depends_on(table, name, roles.mapping.get(role)) for role in (USER_ID, ITEM_ID)) and distinct > 1
        ranks = columns_by_name([name], TIMESTAMP)
        rank = NAMES[TIMESTAMP].index(plain_name(name)) if ranks else len(NAMES[TIMESTAMP])
        candidates.append((depends, -distinct, rank, name))
    candidates.sort()
    if not candidates:
        return
    finest = candidates[0]
    near = [c for c in candidates if c[0] == finest[0] and -c[1] >= -0.95 * finest[1]]  # equally fine: the name decides
    chosen = min(near, key=lambda c: (c[2], table.columns.index(c[3])))
    roles.mapping[TIMESTAMP] = chosen[3]
    roles.times = [(chosen[3], -chosen[1]), *((c[3], -c[1]) for c in candidates if c is not chosen)]


def tells_time(column: pl.Series, date_format: str = "auto") -> bool:
    """Whether a column's values are times: dates, text that is dates, numbers that are times since 1970, or are called so."""
    dtype = column.dtype
    if dtype in (pl.Date, pl.Datetime):
        return True
    if not (dtype.is_numeric() or dtype == pl.String) or column.null_count() == len(column):
        return False
    values = column.drop_nulls()
    sample = values.sample(SAMPLE, seed=0) if len(values) > SAMPLE else values
    named = bool(_TIME_WORD.search(column.name)) or bool(columns_by_name([column.name], TIMESTAMP))
    try:
        times = read_times(sample, "{row}", date_format)
    except DataError as error:
        return (
            "day and month" in error.expected or (named and "one unit" in error.expected) or _mostly_times(sample, date_format)
        )
    if times.is_clock:
        return True
    if times.exact is not None and not named:
        return False
    numbers = times.seconds
    if _on_clock(numbers) and (named or dtype.is_integer()) and not column.name.lower().endswith("id"):
        return named or bool(values.n_unique() > 1)
    return named and bool(columns_by_name([column.name], TIMESTAMP)) and values.n_unique() > 1


def _mostly_times(sample: pl.Series, date_format: str) -> bool:
    """Whether nearly all of some text is dates, and a few values are not."""
    if sample.dtype != pl.String:
        return False
    good = 0
    head = sample.head(200)
    for value in head:
        try:
            good += read_times(pl.Series("t", [value]), "{row}", "day_first" if date_format == "auto" else date_format).is_clock
        except DataError:
            continue
    return good >= 0.9 * len(head)


def _on_clock(numbers: pl.Series) -> bool:
    low, high = numbers.min(), numbers.max()
    return any(low >= _CLOCK[0] * ticks and high <= _CLOCK[1] * ticks for ticks in _TICKS)  # type: ignore[operator]


def _depends_on(table: pl.DataFrame, name: str, key: str | None) -> bool:
    """Whether a column has one value for each value of ``key``, which occur more than once."""
    if key is None or key == name:
        return False
    pairs = table.select(key, name).drop_nulls()
    keys = pairs[key].n_unique()
    return keys < 0.9 * pairs.height and pairs.n_unique() == keys


def _holds_kinds(column: pl.Series) -> bool:
    """Whether most values of a column are words for what people do in a shop."""
    if column.dtype != pl.String:
        return False
    words = set(column.drop_nulls().unique().str.to_lowercase().to_list()) if column.n_unique() <= MANY_KINDS else set()
    return len(words) > 1 and 2 * len(words & KINDS) > len(words)


def _fits_role(column: pl.Series, role: str) -> bool:
    if role == EVENT_TYPE:
        is_label = column.dtype in (pl.String, pl.Boolean) or column.dtype.is_integer()
        return is_label and 0 < column.drop_nulls().n_unique() <= MANY_KINDS
    return column.dtype.is_numeric() or column.null_count() == len(column)


_GROUPED = r"^[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?$"  # 1.299,50


def infer_types(table: pl.DataFrame, text: Sequence[str] = (), decimal: str = ".") -> pl.DataFrame:
    """Casts each column of text to the type that all of its values have.

    Digits with a zero before them (postal codes, article numbers) stay text.

    Args:
        table: text, null where there is nothing.
        text: columns that stay text.
        decimal: the mark before decimals; ``,`` makes ``1.299,50`` a number.
    """
    return table.with_columns(
        infer_type(table[name], decimal) for name in table.columns if name not in text and table.schema[name] == pl.String
    )


def infer_type(column: pl.Series, decimal: str = ".") -> pl.Series:
    """Casts one column of text to the type that all of its values have."""
    values = column.drop_nulls()
    if values.is_empty():
        return column
    if decimal == "," and values.str.contains(",", literal=True).any() and values.str.contains(_GROUPED).all():
        return replace_decimal_comma(column).cast(pl.Float64)
    head = values.head(1000)
    if head.str.contains(r"^[+-]?\d").all() or head.str.contains(r"^[+-]?\.?\d").all():
        if not values.str.contains(r"^[+-]?0\d").any():
            if values.str.contains(r"^[+-]?\d+$").all():
                integers = column.cast(pl.Int64, strict=False)
                return integers if integers.null_count() == column.null_count() else column
            numbers = column.cast(pl.Float64, strict=False)
            if numbers.null_count() == column.null_count():
                return numbers
    elif values.str.to_lowercase().is_in(["true", "false"]).all():
        return (column.str.to_lowercase() == "true").alias(column.name)
    return column


def replace_decimal_comma(column: pl.Series) -> pl.Series:
    """Rewrites numbers with a decimal comma to a decimal point; other text stays as it is."""
    pointed = pl.col(column.name).str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    is_number = pl.col(column.name).str.contains(_GROUPED)
    return (
        column.to_frame().select(pl.when(is_number).then(pointed).otherwise(pl.col(column.name)).alias(column.name)).to_series()
    )
