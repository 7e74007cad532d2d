"""The text of an item: its columns joined without HTML, and notes on its words.

Shops export descriptions as they are on the page, so texts often contain tags and entities.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import polars as pl

from genrec.core.words import SCRIPTS
from genrec.errors import ConfigError, DataError
from genrec.types import ITEM_ID


def script_note(texts: Sequence[str]) -> str | None:
    """Returns a note about texts in scripts without blanks between words, or None."""
    foreign = [text for text in texts if not text.isascii()]
    names = {name: sum(1 for text in foreign if script.search(text)) for name, script in SCRIPTS.items()}
    there = [name for name, count in names.items() if count]
    if not there:
        return None
    count = sum(1 for text in foreign if any(SCRIPTS[name].search(text) for name in there))
    return (
        f"{count:,} of {len(texts):,} items hold text without blanks between words ({', '.join(there)}): their characters and "
        "neighbouring characters count as words there"
    )


def rarity_note(texts: Iterable[Sequence[str]]) -> str | None:
    """Returns a note where most words of the texts (lists of words) occur in one text only, or None.

    Occurrences are counted, not the vocabulary: in any language about half of the distinct words occur once.
    """
    places: Counter[str] = Counter()
    in_texts: Counter[str] = Counter()
    for text in texts:
        places.update(text)
        in_texts.update(set(text))
    total = places.total()
    alone = sum(count for word, count in places.items() if in_texts[word] == 1)
    if 2 * alone <= total:
        return None
    return (
        f"most words occur in one item only ({alone:,} of {total:,}), so that the text says little of which items are alike: "
        "check the columns, or use encoder=collaborative"
    )


AUTO: Literal["auto"] = "auto"
Columns = Sequence[str] | Literal["auto"]
SEPARATOR = ". "
SHOWN = 12  # columns that a message names
# Usual names of descriptive columns, letters and digits only; the most informative first, since encoders cut long texts.
NAMES = """
title itemtitle producttitle movietitle booktitle newstitle gametitle videotitle coursetitle headline
name itemname productname prodname fullname displayname songname trackname appname moviename animename coursename poiname
venuename caption 标题 商品标题 商品名称 名称
brand brandname manufacturer author authors bookauthor artist artistname album albumname developer publisher vendor director
directors studio 品牌 作者
categories category categoryname maincategory subcategory subcategories genre genres tags tag producttype producttypename
productgroupname department departmentname topic topics keywords venuecategory venuecategoryname 类目 类别 分类 标签 关键词
description itemdescription productdescription shortdescription longdescription detaildesc desc bodyhtml summary abstract
overview synopsis plot features feature about 描述 简介 详情
"""
_RANK = {name: rank for rank, name in enumerate(NAMES.split())}


def text_columns(items: pl.DataFrame) -> list[str]:
    """Returns the columns with a name of ``NAMES`` that hold text or whole numbers, the most informative first."""
    schema = items.schema  # polars builds it at every access
    ranked = sorted((_RANK[plain], name) for name in schema if (plain := _plain_name(name)) in _RANK)
    return [name for _, name in ranked if _is_text(schema[name], whole_numbers=True)]


def usable_columns(items: pl.DataFrame, columns: Columns) -> tuple[list[str], list[str]]:
    """Splits the columns asked for into those with any value and those without (absent, or empty in every row).

    Args:
        items: the catalogue.
        columns: names, or ``auto``: those that ``text_columns`` finds.

    Raises:
        ConfigError: when nothing usable is left.
    """
    candidates = text_columns(items) if isinstance(columns, str) else list(columns)
    usable = [name for name in candidates if name in items.columns and items[name].null_count() < items.height]
    if not usable:
        there = [name for name in items.columns if name != ITEM_ID]
        text = [name for name, dtype in items.schema.items() if name != ITEM_ID and _is_text(dtype)]
        give = f"give {_setting(text[:SHOWN])}, or choose" if text else "choose"
        raise ConfigError(
            "encoder.columns",
            expected=f"a text column of the items, which have {_names(there)}",
            got="none with a usual name" if isinstance(columns, str) else list(columns),
            fix=f"{give} encoder=collaborative, which needs no text",
        )
    return usable, [name for name in candidates if name not in usable]


def column_note(columns: Columns, usable: Sequence[str], absent: Sequence[str]) -> list[str]:
    """Returns the notes about the columns that were used."""
    if isinstance(columns, str):
        return [f"text columns: {', '.join(usable)}" + (f" (empty: {', '.join(absent)})" if absent else "")]
    return [f"text columns absent or empty: {', '.join(absent)}"] if absent else []


def item_texts(items: pl.DataFrame, columns: Sequence[str]) -> list[str]:
    """Joins the values of ``columns`` in that order; lists are joined with spaces, nulls are left out, HTML is removed.

    Raises:
        DataError: when a column is absent (new items need the columns that the encoder was fitted on).
    """
    absent = [name for name in columns if name not in items.columns]
    if absent:
        raise DataError(
            "items",
            expected=f"columns {', '.join(columns)}, which the encoder was fitted on",
            got=f"no column {', '.join(absent)}",
            fix="add the column (null where unknown)",
        )
    parts = [_as_text(items.schema[name], pl.col(name)) for name in columns]
    joined = pl.concat_str(parts, separator=SEPARATOR, ignore_nulls=True).fill_null("")
    return items.select(joined.str.strip_chars().alias("text"))["text"].to_list()


def _as_text(dtype: pl.DataType, column: pl.Expr) -> pl.Expr:
    text = column.cast(pl.List(pl.String)).list.join(" ") if isinstance(dtype, pl.List | pl.Array) else column.cast(pl.String)
    text = remove_markup(text).str.strip_chars()
    return pl.when(text == "").then(None).otherwise(text)


def _is_text(dtype: pl.DataType, whole_numbers: bool = False) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _is_text(dtype.inner)  # type: ignore[arg-type]
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum) or (whole_numbers and dtype.is_integer())


def _plain_name(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _names(names: Sequence[str]) -> str:
    if not names:
        return "no column but item_id"
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _setting(names: Sequence[str]) -> str:
    """``encoder.columns=[...]`` as it is typed in a shell."""
    if all(re.fullmatch(r"\w+", name) for name in names):
        return f"encoder.columns=[{','.join(names)}]"
    return "'encoder.columns=[" + ",".join(f'"{name}"' for name in names) + "]'"


# Tags are recognized by their names: "x < y and z > w" is text.
_NAMES = (
    "a|abbr|address|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|col|colgroup|dd|del|details|div|"
    "dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|"
    "legend|li|link|main|map|mark|meta|nav|noscript|object|ol|optgroup|option|p|param|picture|pre|q|s|samp|script|section|select|"
    "small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|var|video"
)
# The content of these elements is no text.
_UNSEEN = r"(?is)<script\b[^>]*>.*?</script\s*>|<style\b[^>]*>.*?</style\s*>|<!--.*?-->|<!doctype[^>]*>|<!\[CDATA\[|\]\]>"
_TAG = rf"(?is)</?(?:{_NAMES})(?:\s[^<>]*=[^<>]*|\s*)/?>"
_ENTITY = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});"
_ROUNDS = 3  # text is often escaped twice, rarely more often


def remove_markup(text: pl.Expr) -> pl.Expr:
    """Returns the visible text: tags and comments are replaced by a blank, entities by their characters."""
    for _ in range(_ROUNDS):
        suspect = text.str.contains("[<&]").fill_null(False)
        plain = text.str.replace_all(_UNSEEN, " ").str.replace_all(_TAG, " ")
        plain = pl.when(plain.str.contains(_ENTITY)).then(plain.map_elements(_unescape, pl.String)).otherwise(plain)
        text = pl.when(suspect).then(plain).otherwise(text)
    return text


def _unescape(text: str) -> str:
    return html.unescape(text).replace("\xa0", " ")
