"""Amazon reviews in their raw public formats: the editions of 2014, 2018 and 2023 (McAuley et al.)."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from genrec.data.lib.download import public_file, verify_checksum
from genrec.data.lib.files import read_table, records
from genrec.data.lib.json_files import python_literal
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, RATING, TIMESTAMP, USER_ID


@dataclass(frozen=True)
class Edition:
    """Describes one release: where its files are and what its fields are called.

    Args:
        reviews: URL of the reviews of a category.
        meta: URL of the product data of a category.
        columns: canonical column -> field of a review.
        key: the product's id in both files.
        brand: field of the product data.
        categories: field of the product data.
        ticks: units of the review time per second.
        parse: reads a line of the product data.
    """

    reviews: str
    meta: str
    columns: Mapping[str, str]
    key: str
    brand: str
    categories: str
    ticks: int
    parse: Callable[[str], Any]


def _parse_literal(line: str) -> Any:
    """Parses a line as a Python literal, or as json, which some copies of the files hold."""
    try:
        return json.loads(line) if line.startswith('{"') else python_literal(line)
    except ValueError:
        return python_literal(line)


_SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_V2 = "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2"
_V3 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
_REVIEW_2014 = {USER_ID: "reviewerID", ITEM_ID: "asin", RATING: "overall", TIMESTAMP: "unixReviewTime"}
_REVIEW_2023 = {USER_ID: "user_id", ITEM_ID: "parent_asin", RATING: "rating", TIMESTAMP: "timestamp"}

EDITIONS: Mapping[int, Edition] = {
    2014: Edition(
        reviews=f"{_SNAP}/reviews_{{category}}_5.json.gz",
        meta=f"{_SNAP}/meta_{{category}}.json.gz",
        columns=_REVIEW_2014,
        key="asin",
        brand="brand",
        categories="categories",  # a list of paths
        ticks=1,
        parse=_parse_literal,  # product lines are Python literals, not json
    ),
    2018: Edition(
        reviews=f"{_V2}/categoryFilesSmall/{{category}}_5.json.gz",
        meta=f"{_V2}/metaFiles2/meta_{{category}}.json.gz",
        columns=_REVIEW_2014,
        key="asin",
        brand="brand",
        categories="category",  # one path
        ticks=1,
        parse=json.loads,
    ),
    2023: Edition(
        reviews=f"{_V3}/review_categories/{{category}}.jsonl.gz",
        meta=f"{_V3}/meta_categories/meta_{{category}}.jsonl.gz",
        columns=_REVIEW_2023,  # variants of a product count as one: the product data has one line per parent
        key="parent_asin",
        brand="store",
        categories="categories",  # one path
        ticks=1000,
        parse=json.loads,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Amazon:
    """Reviews as interactions, products as items with ``title``, ``brand``, ``categories``, ``price`` and ``description``.

    The reviews of 2014 and 2018 are the published 5-core files, those of 2023 are all (use ``filters.k_core=5``). The product
    files hold many products that nobody reviewed; ``filters.k_core=1`` (or 5) leaves them out of the catalogue.
    Texts are HTML-unescaped; a reviewed product without product data is kept without text, and counted.

    Args:
        edition: 2014, 2018 or 2023.
        category: as in the file names, e.g. ``Beauty`` (2014), ``Industrial_and_Scientific`` (2018), ``All_Beauty`` (2023).
        folder: where the files are (gzipped or not) or are downloaded to. Text, not a path, so that
            fingerprints take its name, not its content, which the recorded sha256 of each file guards.
    """

    edition: Literal[2014, 2018, 2023]
    category: str
    folder: str = "data/amazon"

    def load(self) -> RawData:
        """Reads reviews and products."""
        return self.load_with(())

    def load_with(self, columns: Sequence[str]) -> RawData:
        """Reads reviews and products, and further fields of the reviews (``verified``, ``style``) where they are there.

        Raises:
            DataError: when a file is missing and cannot be downloaded, has changed since its first use, or cannot be read.
        """
        edition = EDITIONS[self.edition]
        reviews, meta = self._file(edition.reviews), self._file(edition.meta)
        interactions = self._reviews(reviews, edition, columns)
        items = pl.DataFrame(list(_products(meta, edition)), schema=_SCHEMA, orient="row")
        notes = []
        first = items[ITEM_ID].is_first_distinct()
        if not first.all():
            notes.append(("repeated product lines left out (the first is kept)", int((~first).sum())))
            items = items.filter(first)
        reviewed = interactions.select(pl.col(ITEM_ID).unique(maintain_order=True))
        unknown = reviewed.join(items, on=ITEM_ID, how="anti", maintain_order="left")
        if unknown.height:
            notes.append(("reviewed products without product data, kept without text", unknown.height))
            items = pl.concat([items, unknown], how="diagonal")
        files = {"interactions": str(reviews), "items": str(meta)}
        return RawData(interactions=interactions, items=items, notes=notes, files=files)

    def _file(self, url: str) -> Path:
        url = url.format(category=self.category)
        target = Path(self.folder) / url.rpartition("/")[2]
        plain = target.with_suffix("")
        return verify_checksum(plain) if plain.exists() else public_file(target, url)

    @staticmethod
    def _reviews(path: Path, edition: Edition, further: Sequence[str]) -> pl.DataFrame:
        fields = list(edition.columns.values())
        names = dict(edition.columns) | {name: name for name in further if name not in edition.columns}
        table = read_table(path, columns=list(names.values()), required=fields)
        table = table.select(pl.col(field).alias(name) for name, field in names.items() if field in table.columns)
        if edition.ticks == 1:
            return table
        # A value that is no number stays as it is: a later check names its row.
        seconds = (pl.col(TIMESTAMP).cast(pl.Float64, strict=False) / edition.ticks).cast(pl.String)
        return table.with_columns(pl.coalesce(seconds, pl.col(TIMESTAMP)))


_SCHEMA = {
    ITEM_ID: pl.String,
    "title": pl.String,
    "brand": pl.String,
    "categories": pl.String,
    "price": pl.Float64,
    "description": pl.String,
}


def _products(path: Path, edition: Edition) -> Iterator[tuple[Any, ...]]:
    what = "a Python literal (a dict)" if edition.parse is _parse_literal else "a json object"
    for row, product in enumerate(records(path, edition.parse, what), 1):
        key = product.get(edition.key)
        if not isinstance(key, str) or not key:
            raise DataError(f"{path}, row {row}, column {edition.key}", expected="an id", got=key, fix="remove the line")
        yield (
            key,
            _text(product.get("title")),
            _text(product.get(edition.brand)),
            _path(product.get(edition.categories)),
            _price(product.get("price")),
            _text(product.get("description")),
        )


def _text(value: Any) -> str | None:
    parts = value if isinstance(value, list) else [value]
    texts = (html.unescape(part).strip() for part in parts if isinstance(part, str))
    return " ".join(filter(None, texts)) or None


def _path(value: Any) -> str | None:
    """Returns the first category path, written ``A > B > C``."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    names = [html.unescape(name).strip() for name in value if isinstance(name, str)] if isinstance(value, list) else []
    return " > ".join(names) or None


def _price(value: Any) -> float | None:
    """Returns the first amount in the value: 2018 writes "$12.99" or a range, and some lines hold page code instead."""
    if isinstance(value, int | float):
        return float(value)
    amount = re.match(r"\s*(?:from\s*)?\$?\s*(\d[\d,]*(?:\.\d+)?)", value) if isinstance(value, str) else None
    return float(amount[1].replace(",", "")) if amount else None
