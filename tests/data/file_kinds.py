"""One small file of every kind that people of this field have, in its public schema, with made-up rows."""

from __future__ import annotations

import bz2
import gzip
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

Histories = dict[str, list[str]]
START = datetime(2021, 3, 9, 12, 0, 0, tzinfo=UTC)
HOUR = 3600


@dataclass(frozen=True)
class Event:
    """One made-up event; ``number`` counts the events of its user from 0."""

    user: str
    item: str
    number: int
    time: datetime

    @property
    def seconds(self) -> int:
        return int(self.time.timestamp())


def events(user: str = "{}", item: str = "{}", users: int = 6, step: timedelta = timedelta(hours=7)) -> list[Event]:
    """Events of some users, shuffled; ids are 101.. and 501.. in the given form, times differ within a user."""
    random = np.random.default_rng(5)
    made = []
    for number in range(users):
        items = random.permutation(12)[: 4 + number % 3]
        for place, which in enumerate(items):
            time = START + step * place + timedelta(minutes=13 * number)
            made.append(Event(user.format(101 + number), item.format(501 + int(which)), place, time))
    return [made[int(place)] for place in random.permutation(len(made))]


def histories(of: Sequence[Event]) -> Histories:
    """What a right reading gives: user -> items, oldest first."""
    found: Histories = {}
    for event in sorted(of, key=lambda event: (event.user, event.number)):
        found.setdefault(event.user, []).append(event.item)
    return found


def in_file_order(of: Sequence[Event]) -> Histories:
    """Histories where the file has no time."""
    found: Histories = {}
    for event in of:
        found.setdefault(event.user, []).append(event.item)
    return found


ALL = events()
RIGHT = histories(ALL)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: as in the review of the door.
        write: makes the files in a folder; returns the interactions' file, or (it, the items' file).
        right: the histories that a right reading gives; empty where it is refused.
        flags: settings beyond the files' names.
        items: item -> title, where there is a table of items that has them.
        refused: what the one line says, where it is refused.
        init: whether ``genrec init`` finds the columns; else ``flags`` are the run's.
        parts: user -> part of each event, where a published split is honoured.
    """

    name: str
    write: Callable[[Path], Any]
    right: Histories = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    items: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    init: bool = True
    parts: dict[str, str] = field(default_factory=dict)


def put(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def rows(lines: Sequence[Sequence[object]], separator: str = ",", header: str | None = None) -> str:
    body = "".join(separator.join("" if value is None else str(value) for value in line) + "\n" for line in lines)
    return (header + "\n" if header else "") + body


def json_lines(records: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


TITLES = {str(501 + number): f"{kind} number {501 + number}" for number, kind in enumerate(["Red soap", "Blue oil", "Wax"] * 4)}


def csv_kind(
    name: str, header: str, line: Callable[[Event], Sequence[object]], *, separator: str = ",", suffix: str = ".csv",
    of: Sequence[Event] = ALL, right: Histories | None = None, encoding: str = "utf-8", headless: bool = False, **more: Any,
) -> Kind:  # fmt: skip
    """A table of events as separated text."""

    def write(folder: Path) -> Path:
        text = rows([line(event) for event in of], separator, None if headless else header)
        return put(folder / f"events{suffix}", text, encoding)

    return Kind(name, write, histories(of) if right is None else right, **more)


def sequence_text(folder: Path) -> Path:
    return put(folder / "Beauty.txt", "".join(f"{user} {' '.join(items)}\n" for user, items in RIGHT.items()))


def with_items(write: Callable[[Path], Path], items: Callable[[Path], Path]) -> Callable[[Path], tuple[Path, Path]]:
    return lambda folder: (write(folder), items(folder))


def inter_json(indent: int | None) -> Callable[[Path], Path]:
    numbered = {user: [int(item) for item in items] for user, items in RIGHT.items()}
    return lambda folder: put(folder / "Shop.inter.json", json.dumps(numbered, indent=indent))


def item_json(indent: int | None) -> Callable[[Path], Path]:
    products = {
        item: {"title": title, "description": "", "brand": "Acme", "categories": "A,B"} for item, title in TITLES.items()
    }
    return lambda folder: put(folder / "Shop.item.json", json.dumps(products, indent=indent))


def sample_rows(user: bool = True, form: Callable[[list[str]], str] = str) -> dict[str, list[list[object]]]:
    """train, valid and test rows: the prefixes of every history."""
    parts: dict[str, list[list[object]]] = {"train": [], "valid": [], "test": []}
    for name, items in RIGHT.items():
        for end in range(1, len(items)):
            part = "test" if end == len(items) - 1 else "valid" if end == len(items) - 2 else "train"
            parts[part].append(([name] if user else []) + [f'"{form(items[:end])}"', items[end]])
    return parts


def sample_files(folder: Path) -> Path:
    for part, lines in sample_rows().items():
        put(folder / f"{part}.csv", rows(lines, header="user_id,history_item_id,item_id"))
    return folder / "train.csv"


LEAVE_ONE_OUT = {user: "t" * (len(items) - 2) + "ve" for user, items in RIGHT.items()}  # train ..., validation, test (e)


def fixed_files(folder: Path) -> Path:
    lines: dict[str, list[Sequence[object]]] = {"train": [], "valid": [], "test": []}
    for event in ALL:
        left = len(RIGHT[event.user]) - event.number
        part = "test" if left == 1 else "valid" if left == 2 else "train"
        history = " ".join(RIGHT[event.user][: event.number])
        lines[part].append((event.user, event.item, 5.0, event.seconds * 1000, history))
    for part, these in lines.items():
        put(folder / f"All_Beauty.{part}.csv", rows(these, header="user_id,parent_asin,rating,timestamp,history"))
    return folder / "All_Beauty.train.csv"


def spark(folder: Path, suffix: str = ".parquet", partitions: bool = False) -> Path:
    table = pl.DataFrame(
        [(event.user, event.item, event.seconds, event.time.date().isoformat()) for event in ALL],
        schema=["user_id", "item_id", "timestamp", "day"],
        orient="row",
    )
    out = folder / "events"
    out.mkdir()
    (out / "_SUCCESS").touch()
    (out / f".part-0{suffix}.crc").write_bytes(b"crc")
    pieces = table.partition_by("day", as_dict=True) if partitions else {(i,): table[i::3] for i in range(3)}
    for (key,), piece in pieces.items():
        inner = out / f"day={key}" if partitions else out
        inner.mkdir(exist_ok=True)
        path = inner / f"part-0000{key}{suffix}"
        piece = piece.drop("day") if partitions else piece
        piece.write_parquet(path) if suffix == ".parquet" else piece.write_csv(path)
    return out


def zipped(folder: Path, members: Sequence[str] = ("ratings.csv",)) -> Path:
    text = rows([(e.user, e.item, e.seconds) for e in ALL], header="user_id,item_id,timestamp")
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for member in members:
            archive.writestr(member, text)
        archive.writestr("__MACOSX/._ratings.csv", "junk")
    return folder / "data.zip"


def compressed(suffix: str, pack: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        text = rows([(e.user, e.item, e.seconds) for e in ALL], header="user_id,item_id,timestamp")
        (folder / f"events.csv{suffix}").write_bytes(pack(text.encode()))
        return folder / f"events.csv{suffix}"

    return write


def table_file(suffix: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        table = pl.DataFrame(
            [(e.user, e.item, e.seconds) for e in ALL], schema=["user_id", "item_id", "timestamp"], orient="row"
        )
        path = folder / f"events{suffix}"
        (table.write_ipc if suffix == ".feather" else table.write_parquet)(path)
        return path

    return write


def junk(name: str) -> Callable[[Path], Path]:
    return lambda folder: put(folder / name, "not read at all")


def nested_sessions(folder: Path) -> Path:
    records = []
    for user, items in RIGHT.items():
        clicks = [{"aid": int(item), "ts": 1661724000278 + 1000 * place, "type": "clicks"} for place, item in enumerate(items)]
        records.append({"session": int(user), "events": clicks})
    return put(folder / "train.jsonl", json_lines(records))


def playlists(folder: Path) -> Path:
    lists = [
        {"name": f"list {user}", "pid": int(user), "tracks": [{"pos": i, "track_uri": item} for i, item in enumerate(items)]}
        for user, items in RIGHT.items()
    ]
    return put(folder / "mpd.slice.0-999.json", json.dumps({"info": {"version": "v1"}, "playlists": lists}, indent=4))


def amazon_m2(folder: Path) -> Path:
    lines = []
    for items in RIGHT.values():
        previous = " ".join(f"'{item}'" for item in items[:-1])
        lines.append((f'"[{previous}]"', items[-1], "DE"))
    return put(folder / "sessions_train.csv", rows(lines, header="prev_items,next_item,locale"))


def steam(folder: Path) -> Path:
    lines = [
        repr(
            {
                "username": event.user,
                "product_id": event.item,
                "hours": 0.5,
                "date": event.time.date().isoformat(),
                "text": "it's",
            }
        )
        for event in events(step=timedelta(days=1))
    ]
    return put(folder / "steam_reviews.json", "\n".join(lines) + "\n")


def recbole(folder: Path) -> Path:
    lines = [(e.user, e.item, 4, e.seconds) for e in ALL]
    return put(folder / "shop.inter", rows(lines, "\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float"))


def recbole_items(folder: Path) -> Path:
    lines = [(item, title, "Soap Oil", "9.5") for item, title in TITLES.items()]
    return put(folder / "shop.item", rows(lines, "\t", "item_id:token\ttitle:token_seq\tclass:token_seq\tprice:float"))


def attributes_json(folder: Path) -> Path:
    return put(folder / "Shop_item2attributes.json", json.dumps({item: [1, int(item) % 3] for item in TITLES}))


def datamaps(folder: Path) -> Path:
    maps = {
        "user2id": {f"A{user}": user for user in RIGHT},
        "item2id": {f"B{item}": item for item in TITLES},
        "id2user": {user: f"A{user}" for user in RIGHT},
        "id2item": {item: f"B{item}" for item in TITLES},
    }
    return put(folder / "datamaps.json", json.dumps(maps, indent=1))


def events_csv(folder: Path, header: str = "user_id,item_id,timestamp") -> Path:
    return put(folder / "events.csv", rows([(e.user, e.item, e.seconds) for e in ALL], header=header))


def gz(data: bytes) -> bytes:
    return gzip.compress(data)


def bz(data: bytes) -> bytes:
    return bz2.compress(data)


def us_date(event: Event) -> str:
    return event.time.strftime("%m/%d/%Y %H:%M")


def iso(event: Event) -> str:
    return event.time.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def movielens(edition: str, folder: Path) -> None:
    """Ratings and movies of an edition, movies in UTF-8."""
    inside = folder / {"10m": "ml-10M100K"}.get(edition, f"ml-{edition}")
    lines = [(e.user, e.item, 5, e.seconds) for e in ALL]
    if edition in ("1m", "10m"):
        put(inside / "ratings.dat", rows(lines, "::"))
        put(inside / "movies.dat", rows([(item, f"Amélie {item}", "Drama|Comedy") for item in TITLES], "::"))
    elif edition == "100k":
        put(inside / "u.data", rows(lines, "\t"))
        put(inside / "u.item", rows([(item, f"Amélie {item}", "", "", "", *"0" * 19) for item in TITLES], "|"), "latin-1")
    else:
        put(inside / "ratings.csv", rows(lines, header="userId,movieId,rating,timestamp"))
        put(inside / "movies.csv", rows([(item, f"Amélie {item}", "Drama") for item in TITLES], header="movieId,title,genres"))


FILMS = {item: f"Amélie {item}" for item in TITLES}


def amazon(edition: int, folder: Path) -> None:
    """Reviews and products of an edition; those of 2014 as json, as copies have them."""
    products = [{"asin": item, "parent_asin": item, "title": title} for item, title in TITLES.items()]
    if edition == 2023:
        records = [{"user_id": e.user, "parent_asin": e.item, "rating": 5.0, "timestamp": e.seconds * 1000} for e in ALL]
        put(folder / "All_Beauty.jsonl", json_lines(records))
        put(folder / "meta_All_Beauty.jsonl", json_lines(products))
        return
    records = [{"reviewerID": e.user, "asin": e.item, "overall": 5.0, "unixReviewTime": e.seconds} for e in ALL]
    category = {2014: "Beauty", 2018: "Industrial_and_Scientific"}[edition]
    put(folder / (f"reviews_{category}_5.json" if edition == 2014 else f"{category}_5.json"), json_lines(records))
    put(folder / f"meta_{category}.json", json_lines(products))


def mind(folder: Path) -> None:
    """Impressions and news: all but the last item of a user are the history."""
    lines = [
        (number, user, "11/11/2019 9:05:58 AM", " ".join(items[:-1]), f"N0-0 {items[-1]}-1")
        for number, (user, items) in enumerate(RIGHT.items())
    ]
    put(folder / "behaviors.tsv", rows(lines, "\t"))
    put(folder / "news.tsv", rows([(item, "news", "us", title, "", "", "[]", "[]") for item, title in TITLES.items()], "\t"))


def hub_folder(folder: Path) -> Path:
    table = pl.DataFrame([(e.user, e.item, e.seconds) for e in ALL], schema=["user_id", "item_id", "timestamp"], orient="row")
    (folder / "shop" / "data").mkdir(parents=True)
    table.write_parquet(folder / "shop" / "data" / "train-00000-of-00001.parquet")
    return folder / "shop"


def info_txt(folder: Path) -> Path:
    return put(folder / "info.txt", rows([(f"<a_1><b_{item}>", f'{title} 6" x', item) for item, title in TITLES.items()], "\t"))


def articles(folder: Path) -> Path:
    lines = [(f"0{item}", title, "Trousers", "soft") for item, title in TITLES.items()]
    return put(folder / "articles.csv", rows(lines, header="article_id,prod_name,product_type_name,detail_desc"))


def float_ids(folder: Path) -> Path:
    table = pl.DataFrame(
        [(e.user, float(e.item), e.seconds) for e in ALL], schema=["user_id", "item_id", "timestamp"], orient="row"
    )
    table.write_parquet(folder / "events.parquet")
    return folder / "events.parquet"
