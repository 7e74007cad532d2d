"""MovieLens as GroupLens distributes it (Harper & Konstan, 2015): ml-100k, ml-latest(-small), ml-1m, ml-10m, ml-20m/25m/32m."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from genrec.data.lib.download import public_file, verify_checksum
from genrec.data.lib.files import read_table, require_file, text_lines
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, RATING, TIMESTAMP, USER_ID

URL = "https://files.grouplens.org/datasets/movielens/{name}.zip"
# The 100k edition marks genres with one 0/1 column each, in this order (its u.genre file).
# fmt: off
GENRES_100K = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]
# fmt: on
INSIDE = {"10m": "ml-10M100K"}
COLUMNS = [USER_ID, ITEM_ID, RATING, TIMESTAMP]


@dataclass(frozen=True, kw_only=True)
class MovieLens:
    """Ratings with times, and movies with ``title`` and ``categories`` (genres).

    Looks for ``<folder>/ml-<edition>/``, then for ``<folder>/ml-<edition>.zip``, then downloads the latter. Movies without
    ratings stay in the catalogue.

    Args:
        edition: which release; the ``latest`` ones change over the years, so quote the counts that ``prepare`` prints.
        folder: where the data is or is downloaded to. Text, not a path, so that
            fingerprints take its name, not its content, which the recorded sha256 of each file guards.
    """

    edition: Literal["100k", "latest-small", "latest", "1m", "10m", "20m", "25m", "32m"]
    folder: str = "data/movielens"

    def load(self) -> RawData:
        """Reads the ratings and the movies.

        Raises:
            DataError: when a file is missing and cannot be downloaded, has changed since its first use, or cannot be read.
        """
        if self.edition == "100k":
            ratings, movies = self._files("u.data", "u.item")
            interactions = _split_lines(ratings, "\t", COLUMNS)
            encoding = "utf-8" if _is_utf8(movies) else "latin-1"
            titles = _split_lines(movies, "|", [ITEM_ID, "title", "released", "video", "url", *GENRES_100K], encoding)
            items = titles.select(
                ITEM_ID,
                "title",
                categories=pl.concat_str(
                    [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K],
                    separator=", ",
                    ignore_nulls=True,
                ),
            )
        elif self.edition in ("1m", "10m"):
            ratings, movies = self._files("ratings.dat", "movies.dat")
            interactions = _split_lines(ratings, "::", COLUMNS)
            encoding = "utf-8" if self.edition == "10m" or _is_utf8(movies) else "latin-1"
            items = _split_lines(movies, "::", [ITEM_ID, "title", "categories"], encoding).with_columns(_genres("categories"))
        else:
            ratings, movies = self._files("ratings.csv", "movies.csv")
            names = dict(zip(("userId", "movieId", "rating", "timestamp"), COLUMNS, strict=True))
            interactions = _read(ratings, names)
            names = {"movieId": ITEM_ID, "title": "title", "genres": "categories"}
            items = _read(movies, names).with_columns(_genres("categories"))
        files = {"interactions": str(ratings), "items": str(movies)}
        return RawData(interactions=interactions, items=items, files=files)

    def _files(self, *names: str) -> list[Path]:
        name = f"ml-{self.edition}"
        unpacked = INSIDE.get(self.edition, name)  # the folder in the zip
        inside = Path(self.folder) / (unpacked if (Path(self.folder) / unpacked).is_dir() else name)
        if not inside.is_dir():
            _unpack(public_file(Path(self.folder) / f"{name}.zip", URL.format(name=name)), unpacked, inside, names)
        return [
            verify_checksum(require_file(inside / file, fix=f"unpack {URL.format(name=name)} in {self.folder}"))
            for file in names
        ]


def _is_utf8(path: Path) -> bool:
    """Whether a file that was published in Latin-1 has been converted: its bytes are UTF-8 and not all ASCII."""
    data = path.read_bytes()
    try:
        return not data.isascii() and bool(data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _unpack(archive: Path, inner: str, folder: Path, names: tuple[str, ...]) -> None:
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        with zipfile.ZipFile(archive) as zipped:
            for name in names:
                with zipped.open(f"{inner}/{name}") as source, (draft / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
        draft.rename(folder)
    except (zipfile.BadZipFile, KeyError) as error:
        got = str(error).strip("'\"")
        raise DataError(archive, expected=f"a zip of {inner}/", got=got, fix="delete it to download it again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _split_lines(path: Path, separator: str, columns: list[str], encoding: str = "utf-8") -> pl.DataFrame:
    """Reads a table of text fields; the separator may be longer than one character, which csv readers do not support."""
    tables = []
    for first, lines in text_lines(path, encoding):
        text = pl.DataFrame({"text": lines}, schema={"text": pl.String}).with_row_index("line", offset=first)
        text = text.filter(pl.col("text") != "").with_columns(fields=pl.col("text").str.split(separator))
        odd = text.filter(pl.col("fields").list.len() != len(columns))
        if odd.height:
            raise DataError(
                f"{path}, line {odd['line'][0]}",
                expected=f"{len(columns)} fields separated by {separator!r}",
                got=repr(odd["text"][0]),
                fix="repair or remove the line",
            )
        tables.append(text.select(pl.col("fields").list.get(i).alias(name) for i, name in enumerate(columns)))
    return pl.concat(tables)


def _read(path: Path, names: dict[str, str]) -> pl.DataFrame:
    return read_table(path, columns=list(names), required=list(names)).select(
        pl.col(name).alias(new) for name, new in names.items()
    )


def _genres(column: str) -> pl.Expr:
    genres = pl.col(column).str.replace_all("|", ", ", literal=True)
    return pl.when(genres != "(no genres listed)").then(genres).alias(column)
