"""The nightly feed: `genrec feed` by state_dir and to a running service, again and again, killed and gone on with."""

from __future__ import annotations

import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from small_bundle import exported
from small_shop import shop

from genrec.cli import main
from genrec.recommender.bundle import open_catalogue
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.feed import Feed, read_feed
from genrec.recommender.item_changes import item_rows
from genrec.recommender.item_table import ItemTable
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.serving.app import create_app
from genrec.serving.limits import Limits
from genrec.serving.service import Service


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("feed"))


def fed(*words: object) -> int:
    return main(["feed", *map(str, words)])


def items_of(bundle: Path) -> pl.DataFrame:
    return pl.read_parquet(bundle / "items.parquet")


def live_of(bundle: Path, state: Path) -> PersistentRecommender:
    return PersistentRecommender(open_catalogue(bundle), Journal(state))


def write(path: Path, rows: Any) -> Path:
    table = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
    table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("written", "price"), [("9,99", 9.99), ("1.299,50", 1299.5), ("1.299", 1299.0), ("-0,5", -0.5), ("12", 12.0), ("", None)]
)
def test_numbers_with_a_decimal_comma(bundle: Path, tmp_path: Path, written: str, price: float | None) -> None:
    (file := tmp_path / "a.csv").write_text(f"sku;title;price\nnew;A thing;{written}\nb;B;8,5\n", encoding="utf-8")
    schema = pl.read_parquet_schema(bundle / "items.parquet")
    read = read_feed(file, schema, item="sku", decimal=",")
    assert not read.wrong
    assert [row["price"] for row in read.rows] == [price, 8.5]
    assert read_feed(file, schema, item="sku").commas == ["price"]


def test_what_a_decimal_comma_and_another_column_of_ids_need(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "a.csv").write_text("sku;title;price\nnew;A thing;9,99\n", encoding="utf-8")
    words = [bundle, file, "--state-dir", tmp_path / "state"]
    assert fed(*words) == 2
    assert "name the column (--item COLUMN)" in capsys.readouterr().err
    assert fed(*words, "--item", "sku") == 2
    assert "give --decimal comma if the comma of price is a decimal comma" in capsys.readouterr().err
    assert fed(*words, "--item", "sku", "--decimal", "comma") == 0
    assert "1 new" in capsys.readouterr().out


def test_the_same_feed_twice_changes_nothing(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items, state = items_of(bundle), tmp_path / "state"
    first, second, third, *_ = items["item_id"]
    tonight = write(
        tmp_path / "tonight.parquet",
        [
            {"item_id": first, "title": "Another title", "price": 1.25, "colour": "red"},
            {"item_id": second, "title": items["title"][1], "price": items["price"][1], "colour": None},
            {"item_id": "new1", "title": "A new thing", "price": 3.0, "colour": None},
            {"item_id": "new2", "title": "And one more", "price": None, "colour": None},
        ],
    )
    (tmp_path / "gone.txt").write_text(f"{third}\nnobody\n", encoding="utf-8")
    words = [bundle, tonight, "--state-dir", state, "--removed", tmp_path / "gone.txt"]
    assert fed(*words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "columns that the bundle does not have, passed over: colour",
        "2 new, 1 updated, 1 unchanged, 1 taken down, 0 restored",
        "1 ids are not in the catalogue: 'nobody'",
    ]
    kept = (state / "journal.sqlite").read_bytes()
    assert fed(*words) == 0
    assert "0 new, 0 updated, 4 unchanged, 0 taken down, 0 restored; nothing changed" in capsys.readouterr().out
    assert (state / "journal.sqlite").read_bytes() == kept
    live = live_of(bundle, state)
    assert live.removed == [third]
    assert live.items.filter(item_id=first).select("title", "price").row(0) == ("Another title", 1.25)
    assert live.items["item_id"][-2:].to_list() == ["new1", "new2"]
    live.close()


def test_full_catalogues(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a full feed lacks goes only when the flag says so; it comes back by a flag, what people took down does not."""
    items, state = items_of(bundle), tmp_path / "state"
    first, second, third, *_ = items["item_id"]
    whole = write(tmp_path / "whole.csv", items.select("item_id", "title", "price"))
    few = write(tmp_path / "few.csv", items.select("item_id", "title", "price")[2:])

    def run(*words: object) -> list[str]:
        assert fed(bundle, *words, "--state-dir", state) == 0
        live = live_of(bundle, state)
        live.close()
        return live.removed

    (tmp_path / "gone.txt").write_text(second, encoding="utf-8")
    assert run("--removed", tmp_path / "gone.txt") == [second]
    assert run(few) == [second]
    assert run(few, "--full-catalogue") == [first, second]
    assert run(whole) == [first, second]
    assert "2 of these items are taken down and stay so" in capsys.readouterr().out
    assert run(whole, "--restore-returning") == [second], "somebody took it down"
    assert run(whole, "--full-catalogue", "--restore-returning") == [second]
    write(tmp_path / "back.csv", {"item_id": [second, third]})
    assert run("--restore", tmp_path / "back.csv") == []


WRONG: list[tuple[str, list[dict[str, Any]], list[tuple[int, str]]]] = [
    ("numbers", [{"item_id": "a", "price": "1.5"}, {"item_id": "b", "price": "cheap"}, {"item_id": "c", "price": "2,5"}], [
        (2, "'cheap'"), (3, "'2,5'")]),
    ("ids", [{"item_id": item, "title": "t"} for item in ("a", None, "x" * 1001, "a")], [
        (2, "None"), (3, "(1,001 characters)"), (4, "'a'")]),
    ("whole numbers", [{"item_id": "a", "popularity": "3"}, {"item_id": "b", "popularity": "3.5"}], [(2, "'3.5'")]),
    ("text", [{"item_id": "a", "title": "1984"}, {"item_id": "b", "price": "NaNa"}], [(2, "'NaNa'")]),
    ("blank", [{"item_id": "a", "price": " "}, {"item_id": "b", "price": "1e999"}], [(2, "inf")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rows", "wrong"), WRONG, ids=[case[0] for case in WRONG])
def test_every_wrong_row_is_named_and_nothing_done(
    name: str, rows: list[Any], wrong: list[Any], bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "items.csv", rows)
    assert fed(bundle, file, "--state-dir", tmp_path / "state") == 2
    *lines, last = capsys.readouterr().err.splitlines()
    fix = (
        "give --decimal comma if the comma of price is a decimal comma, or correct them"
        if name == "numbers"
        else "correct them"
    )
    assert last == (
        f"{file}: expected rows that fit the bundle, got {len(wrong)} of {len(rows)} that do not; {fix}; nothing was changed"
    )
    assert len(lines) == len(wrong)
    for line, (row, value) in zip(lines, wrong, strict=True):
        assert line.startswith(f"{file}, row {row}")
        assert value in line
    assert not (tmp_path / "state").exists()


def test_what_is_asked_wrongly(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, state = write(tmp_path / "a.csv", {"item_id": ["a"]}), tmp_path / "state"
    for words, told in (
        ([file], "feed: expected --state-dir DIR or --url URL, got neither"),
        ([file, "--state-dir", state, "--url", "http://x"], "got both"),
        (["--state-dir", state], "ITEMS, --removed or --restore, got none of them"),
        (["--state-dir", state, "--removed", file, "--full-catalogue"], "--full-catalogue: expected a file of items"),
        ([file, "--url", "127.0.0.1:1"], "--url: expected the address of a service, got 127.0.0.1:1"),
        ([file, "--url", "http://127.0.0.1:1"], "expected a service at http://127.0.0.1:1"),
        ([file, "--state-dir", state, "--item", "sku"], "'sku'"),
        ([file, "--state-dir", state, "--removed", tmp_path / "none.txt"], "none.txt"),
    ):
        assert fed(bundle, *words) == 2
        assert told in capsys.readouterr().err


@contextmanager
def served(live: PersistentRecommender, bundle: Path) -> Iterator[str]:
    """The service in a thread, at an address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(Service(live, Limits()), bundle, token="s3cret")
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_a_running_service(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state is refused in a line that says how; sent to it, the feed shows at once, and does what it does to a state."""
    items = items_of(bundle)
    first, second, *_ = items["item_id"]
    file = write(tmp_path / "few.parquet", items.select("item_id", "title").with_columns(price=pl.lit(2.5))[1:])
    (tmp_path / "gone.txt").write_text(f"{second}\nnobody", encoding="utf-8")
    live = live_of(bundle, tmp_path / "state")
    with served(live, bundle) as url:
        assert fed(bundle, file, "--state-dir", tmp_path / "state") == 2
        line = capsys.readouterr().err
        assert "send the feed to the service that has it: --url http://HOST:PORT in place of --state-dir" in line
        assert fed(bundle, file, "--url", url) == 2
        assert "expected the admin token of the service, got none; give it by GENREC_ADMIN_TOKEN" in capsys.readouterr().err
        monkeypatch.setenv("GENREC_ADMIN_TOKEN", "s3cret")
        words = [bundle, file, "--url", url, "--full-catalogue", "--removed", tmp_path / "gone.txt"]
        updated = int((items["price"][1:].ne_missing(pl.Series([2.5] * (items.height - 1)))).sum())
        assert fed(*words) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"0 new, {updated} updated, {items.height - 1 - updated} unchanged, 2 taken down, 0 restored",
            "1 ids are not in the catalogue: 'nobody'",
        ]
        assert live.removed == [first, second]
        assert live.items["price"].to_list() == [items["price"][0], *[2.5] * (items.height - 1)]
        assert fed(*words) == 0
        assert "; nothing changed" in capsys.readouterr().out
        whole = write(tmp_path / "whole.parquet", items.select("item_id"))
        assert fed(bundle, whole, "--url", url, "--restore-returning") == 0
        assert live.removed == [second]
    again = live_of(bundle, tmp_path / "state")
    assert again.removed == [second]
    again.close()


class KilledError(BaseException):
    """The process is gone."""


def killed_while(feed: Any, state: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, *, statement: int) -> bool:
    """Whether a feed was still writing at a statement; what a kill leaves then is in ``copy``."""
    real, count = Journal.write, 0

    class Watched:
        def __init__(self, database: Any) -> None:
            self.database = database

        def __getattr__(self, name: str) -> Any:
            return getattr(self.database, name)

        def execute(self, *words: Any) -> Any:
            nonlocal count
            count += 1
            if count == statement:
                shutil.copytree(state, copy)
                raise KilledError
            return self.database.execute(*words)

    def write(journal: Journal, writing: Any) -> None:
        journal._database = Watched(journal._database)  # type: ignore[assignment]
        real(journal, writing)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", write)
        try:
            feed()
        except KilledError:
            return True
    return False


class World:
    """What the shop knows, kept beside: content of every item, and what people took down."""

    def __init__(self, items: pl.DataFrame, seed: int) -> None:
        self.random = random.Random(seed)
        self.content = {row["item_id"]: {"title": row["title"], "price": row["price"]} for row in items.to_dicts()}
        self.gone: set[str] = set()

    def night(self, number: int) -> tuple[list[dict[str, Any]], list[str], list[str]]:
        """Rows of the feed, takedowns and restores."""
        chosen = self.random.sample(sorted(self.content), 8)
        for item_id in chosen[:5]:
            self.content[item_id] = {
                "title": f"title of night {number}" if self.random.random() < 0.4 else self.content[item_id]["title"],
                "price": round(self.random.uniform(1, 50), 2),
            }
        for row in range(self.random.randrange(3)):
            self.content[f"night{number}-{row}"] = {"title": f"soap number {row}", "price": float(number)}
        rows = [{"item_id": item_id, **self.content[item_id]} for item_id in self.content]
        removed = self.random.sample(sorted(self.content), 2)
        restored = self.random.sample(sorted(self.gone), min(1, len(self.gone))) if number % 4 == 3 else []
        self.gone = (self.gone - set(restored)) | set(removed)
        return rows, removed, restored

    def check(self, live: PersistentRecommender, number: int) -> None:
        """Nothing taken down is listed, every update shows."""
        ids = sorted(self.content)
        histories = [self.random.sample(ids, length) for length in (0, 1, 3, 8, 20)]
        for settings in ({}, {"filter": "price < 20"}, {"exclude_seen": False}):
            listed = set(live.recommend(histories, len(ids), **settings)["item_id"])  # type: ignore[arg-type]
            assert not listed & self.gone, f"night {number}: listed takedowns"
            cheap = {item_id for item_id in ids if "filter" not in settings or self.content[item_id]["price"] < 20}
            if "exclude_seen" not in settings:
                assert listed == cheap - self.gone, f"night {number}: {listed ^ (cheap - self.gone)}"
        shown = {row["item_id"]: {"title": row["title"], "price": row["price"]} for row in live.items.to_dicts()}
        assert shown == self.content, f"night {number}: lost updates"
        assert set(live.removed) == self.gone


def nights(world: World, number: int, run: Any, opened: Any, state: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Feeds, takedowns, restores, reloads, kills in the middle of writing; how many kills there were."""
    ids: dict[str, Any] = {}
    kills = 0
    for night in range(number):
        rows, removed, restored = world.night(night)
        full = night % 3 == 0

        def feed(at: Path, told: Any = (rows, removed, restored, full)) -> bool:
            return bool(run(at, *told))

        if night % 2:  # cron runs it again
            following = state.with_name(f"state{night}")
            statement = world.random.randrange(1, 12)
            if killed_while(lambda at=state, f=feed: f(at), state, following, monkeypatch, statement=statement):
                kills, state = kills + 1, following
        feed(state)
        assert not feed(state), f"night {night}: twice is once"
        live = PersistentRecommender(opened(), Journal(state))
        world.check(live, night)
        if night % 5 == 4:
            live.swap(opened())
            world.check(live, night)
        assert live.sids is not None
        now = {item_id: codes for item_id, *codes in live.sids.rows()}
        assert now.items() >= ids.items(), f"night {night}: IDs moved"
        ids = now
        live.close()
    assert len(world.gone) > number // 2
    return kills


def test_thirty_nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 listed takedowns, 0 lost updates, no ID moves; by the library."""
    small = shop(60)
    items = small.table.frame.select("item_id", title=pl.lit("t"), price=pl.int_range(pl.len()).cast(pl.Float64))

    def opened() -> Catalogue:
        return replace(small, table=ItemTable(items, small.table.sids))

    def run(state: Path, rows: Any, removed: list[str], restored: list[str], full: bool) -> bool:
        live = PersistentRecommender(opened(), Journal(state))
        try:
            given = item_rows(rows, live.items.schema)
            return live.feed(Feed(items=given, removed=tuple(removed), restored=tuple(restored), full=full)).anything
        finally:
            live.close()

    assert nights(World(items, seed=1), 30, run, opened, tmp_path / "state", monkeypatch) >= 8


@pytest.mark.slow
def test_thirty_nights_of_a_bundle(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same by the command, with IDs and vectors of a real encoder and tokenizer."""

    def run(state: Path, rows: Any, removed: list[str], restored: list[str], full: bool) -> bool:
        file = write(tmp_path / "tonight.parquet", rows)
        words: list[object] = [bundle, file, "--state-dir", state] + ["--full-catalogue"] * full
        for name, ids in (("removed", removed), ("restore", restored)):
            (tmp_path / f"{name}.txt").write_text("\n".join(ids), encoding="utf-8")
            words += [f"--{name}", tmp_path / f"{name}.txt"]
        assert fed(*words) == 0
        return "; nothing changed" not in capsys.readouterr().out

    world = World(items_of(bundle), seed=2)
    assert nights(world, 30, run, lambda: open_catalogue(bundle), tmp_path / "state", monkeypatch) >= 8
