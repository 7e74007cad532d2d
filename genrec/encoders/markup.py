"""Takes HTML out of texts: shops export descriptions as they stand on the page."""

from __future__ import annotations

import html

import polars as pl

# A tag is one by its name: "x < y and z > w" is text.
_NAMES = (
    "a|abbr|address|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|col|colgroup|dd|del|details|div|"
    "dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|"
    "legend|li|link|main|map|mark|meta|nav|noscript|object|ol|optgroup|option|p|param|picture|pre|q|s|samp|script|section|select|"
    "small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|var|video"
)
# What is in these is no text.
_UNSEEN = r"(?is)<script\b[^>]*>.*?</script\s*>|<style\b[^>]*>.*?</style\s*>|<!--.*?-->|<!doctype[^>]*>|<!\[CDATA\[|\]\]>"
_TAG = rf"(?is)</?(?:{_NAMES})(?:\s[^<>]*=[^<>]*|\s*)/?>"
_ENTITY = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});"
_ROUNDS = 3  # text that was escaped twice is common, three times is not


def without_markup(text: pl.Expr) -> pl.Expr:
    """The text a reader would see: tags and comments out (a blank in their place), entities as characters."""
    for _ in range(_ROUNDS):
        suspect = text.str.contains("[<&]").fill_null(False)
        plain = text.str.replace_all(_UNSEEN, " ").str.replace_all(_TAG, " ")
        plain = pl.when(plain.str.contains(_ENTITY)).then(plain.map_elements(_unescaped, pl.String)).otherwise(plain)
        text = pl.when(suspect).then(plain).otherwise(text)
    return text


def _unescaped(text: str) -> str:
    return html.unescape(text).replace("\xa0", " ")
