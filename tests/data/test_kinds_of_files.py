# ruff: noqa: E501  (a table)
"""Every kind of file of the review of the door: it loads right, with at most two flags, or is refused in one line."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from pathlib import Path

import file_kinds as make
import polars as pl
import pytest
from file_kinds import (
    ALL,
    LEAVE_ONE_OUT,
    RIGHT,
    TITLES,
    Kind,
    csv_kind,
    events,
    histories,
    in_file_order,
    put,
    rows,
    with_items,
)

from genrec.cli import main
from genrec.core.dataset import Dataset
from genrec.engine.config import compose
from genrec.engine.stage import Runtime, StageContext
from genrec.errors import GenRecError
from genrec.stages.prepare import STAGE

DAYS = events(step=timedelta(days=1))
ASIN = events("A{}X", "B00{}")
SESSIONS = make.sample_rows(form=lambda items: "[" + ", ".join(items) + "]")

KINDS = [
    # --- sequences and their items
    Kind("S3-Rec Beauty.txt", make.sequence_text, RIGHT, ("data=sequences",), init=False),
    Kind("S3-Rec Beauty.txt, by init", make.sequence_text, RIGHT),
    Kind("S3-Rec item2attributes.json", with_items(make.sequence_text, make.attributes_json), RIGHT, ("data=sequences",), init=False),
    Kind("P5 sequential_data.txt and datamaps.json", with_items(make.sequence_text, make.datamaps), RIGHT, ("data=sequences",),
         init=False),
    csv_kind("SASRec pairs", "", lambda e: (e.user, e.item), separator=" ", suffix=".txt", headless=True, right=in_file_order(ALL),
             flags=("data.header=false", "data.columns=[user_id,item_id]"), init=False),
    Kind("LETTER inter.json and item.json, one line", with_items(make.inter_json(None), make.item_json(None)), RIGHT,
         ("data=sequences",), TITLES, init=False),
    Kind("LETTER inter.json and item.json, pretty", with_items(make.inter_json(2), make.item_json(2)), RIGHT, ("data=sequences",),
         TITLES, init=False),
    Kind("LC-Rec inter.json, by init", make.inter_json(None), RIGHT),
    csv_kind("MicroLens pairs", "", lambda e: (e.user, " ".join(RIGHT[e.user])), separator="\t", suffix=".tsv", headless=True,
             of=[event for event in ALL if event.number == 0], right=RIGHT, flags=("data=sequences",), init=False),
    Kind("lists as json lines", lambda folder: put(folder / "h.jsonl", "".join(
        json.dumps({"user_id": user, "item_id": items}) + "\n" for user, items in RIGHT.items())), RIGHT),
    Kind("lists as text in csv", lambda folder: put(folder / "h.csv", rows(
        [(user, f'"{items}"') for user, items in RIGHT.items()], header="user_id,item_ids")), RIGHT),
    csv_kind("users with separated items", "user_id,item_id", lambda e: (e.user, " ".join(RIGHT[e.user])),
             of=[event for event in ALL if event.number == 0], right=RIGHT),
    csv_kind("users with separated items, as a table", "user_id,item_id", lambda e: (e.user, " ".join(RIGHT[e.user])),
             of=[event for event in ALL if event.number == 0], init=False, refused="read it with data=sequences"),
    csv_kind("users with items between bars", "uid\titem_ids", lambda e: (e.user, "|".join(RIGHT[e.user])), separator="\t",
             suffix=".tsv", of=[event for event in ALL if event.number == 0], right=RIGHT),
    Kind("one json object user -> events", lambda folder: put(folder / "events.json", json.dumps(
        {user: [{"item": item, "ts": 10 + place} for place, item in enumerate(items)] for user, items in RIGHT.items()})), RIGHT),
    # --- samples and fixed splits
    Kind("MiniOneRec csv of samples, three files", make.sample_files, RIGHT, ("data=samples", "split=column"), init=False,
         parts=LEAVE_ONE_OUT),
    Kind("MiniOneRec csv of samples, by init", lambda folder: put(folder / "valid.csv", rows(
        [line for part in SESSIONS.values() for line in part], header="user_id,history_item_id,item_id")), RIGHT),
    Kind("Amazon-2023 last_out, three files", make.fixed_files, RIGHT, ("data.item_id=parent_asin", "split=column"), init=False,
         parts=LEAVE_ONE_OUT),
    Kind("Amazon-M2 sessions", make.amazon_m2, {str(row): items for row, items in enumerate(RIGHT.values())}, ("data=samples",),
         init=False),
    # --- RecBole and friends
    Kind("RecBole .inter and .item", with_items(make.recbole, make.recbole_items), RIGHT, (), TITLES),
    Kind("RecBole .inter and .item, without init", with_items(make.recbole, make.recbole_items), RIGHT, (), TITLES, init=False),
    # --- logs without a header
    csv_kind("Yoochoose clicks.dat", "", lambda e: (e.user, make.iso(e), e.item, 0), suffix=".dat", headless=True,
             flags=("data.header=false", "data.columns=[user_id,timestamp,item_id,category]"), init=False),
    csv_kind("Taobao UserBehavior", "", lambda e: (e.user, e.item, 77, "pv", e.seconds), headless=True,
             flags=("data.header=false", "data.columns=[user_id,item_id,category,event_type,timestamp]"), init=False),
    csv_kind("Gowalla check-ins", "", lambda e: (e.user, make.iso(e), 30.23, -97.79, e.item), separator="\t", suffix=".txt",
             headless=True, flags=("data.header=false", "data.columns=[user_id,timestamp,lat,lon,item_id]"), init=False),
    csv_kind("Amazon ratings-only", "", lambda e: (e.user, e.item, 5.0, e.seconds), headless=True, of=ASIN,
             flags=("data.header=false", "data.columns=[user_id,item_id,rating,timestamp]"), init=False),
    # --- session and click logs with a header
    csv_kind("Diginetica", "session_id;user_id;item_id;timeframe;eventdate",
             lambda e: (e.user, "NA", e.item, 1000 + e.number, "2016-05-09"), separator=";", flags=("--timestamp=timeframe",)),
    csv_kind("Yidian", "uid,vid,show_time", lambda e: (e.user, e.item, e.seconds), flags=("--item=vid",)),
    csv_kind("RetailRocket", "timestamp,visitorid,event,itemid,transactionid",
             lambda e: (e.seconds * 1000, e.user, "view", e.item, None)),
    csv_kind("Tmall", "user_id,item_id,cat_id,merchant_id,brand_id,month,day,action,age_range,gender,province,time",
             lambda e: (e.user, e.item, 1, 2, 3, 11, 11, 0, 5, 1, "GD", e.seconds)),
    csv_kind("KuaiRand", "user_id,video_id,date,hourmin,time_ms,is_click", lambda e: (e.user, e.item, "20210309", 100, e.seconds * 1000, 1)),
    csv_kind("KuaiRec", "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio",
             lambda e: (e.user, e.item, 1, 2, e.time.isoformat(" "), "20210309", float(e.seconds), 0.5)),
    csv_kind("Kion", "user_id,item_id,last_watch_dt,total_dur,watched_pct", lambda e: (e.user, e.item, e.time.date(), 10, 50.0),
             of=DAYS),
    csv_kind("Trivago", "user_id,session_id,timestamp,step,action_type,reference",
             lambda e: (e.user, "s" + e.user, e.seconds, 99 - e.number, "clickout item", e.item), flags=("--item=reference",)),
    csv_kind("GA4 export", "user_pseudo_id,event_timestamp,event_name,item_id",
             lambda e: (f"{e.user}.77", e.seconds * 1_000_000, "view_item", e.item), flags=("--user=user_pseudo_id", "data.ids=verbatim"),
             right={f"{user}.77": items for user, items in RIGHT.items()}),
    csv_kind("Chinese headers", "用户,商品,时间", lambda e: (e.user, e.item, e.seconds), flags=("--user=用户", "--item=商品")),
    # --- ratings and reviews
    csv_kind("MovieLens csv", "userId,movieId,rating,timestamp", lambda e: (e.user, e.item, 4.0, e.seconds)),
    csv_kind("Goodreads csv", "user_id,book_id,is_read,rating,is_reviewed", lambda e: (e.user, e.item, 1, 5, 0),
             right=in_file_order(ALL)),
    Kind("Goodreads json", lambda folder: put(folder / "goodreads.json", make.json_lines([
        {"user_id": e.user, "book_id": e.item, "rating": 5, "date_added": e.time.strftime("%a %b %d %H:%M:%S -0700 %Y")} for e in ALL
    ])), RIGHT),
    csv_kind("Book-Crossing", '"User-ID";"ISBN";"Book-Rating"', lambda e: (f'"{e.user}"', f'"{e.item}"', '"0"'), separator=";",
             right=in_file_order(ALL)),
    csv_kind("Book-Crossing, Latin-1", '"User-ID";"ISBN";"Book-Rating";"Wörter"', lambda e: (f'"{e.user}"', f'"{e.item}"', '"0"', '"é"'),
             separator=";", encoding="latin-1", right=in_file_order(ALL), flags=("data.encoding=latin-1",)),
    csv_kind("Anime", "user_id,anime_id,rating", lambda e: (e.user, e.item, 8), right=in_file_order(ALL), flags=("--item=anime_id",)),
    csv_kind("LastFM user_artists", "userID\tartistID\tweight", lambda e: (e.user, e.item, 13), separator="\t", suffix=".dat",
             right=in_file_order(ALL)),
    Kind("Steam reviews, Python literals", make.steam, histories(DAYS), ("--user=username",)),
    # --- shops
    csv_kind("H&M", "t_dat,customer_id,article_id,price,sales_channel_id",
             lambda e: (e.time.date(), e.user, f"0{e.item}", 0.05, 2), of=DAYS,
             right={user: [f"0{item}" for item in items] for user, items in histories(DAYS).items()}),
    csv_kind("Online Retail", "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
             lambda e: (f"5{e.number}", e.item, "LANTERN", 6, make.us_date(e), 2.5, e.user, "UK"), flags=("data.date_format=month_first",)),
    csv_kind("Shopify orders", "Name,Email,Created at,Lineitem sku,Lineitem quantity",
             lambda e: (f"#{e.number}", e.user, e.time.strftime("%Y-%m-%d %H:%M:%S +0000"), e.item, 1),
             flags=("--user=Email", "--item=Lineitem sku")),
    csv_kind("Instacart, joined", "order_id,user_id,order_number,product_id,add_to_cart_order",
             lambda e: (9 - e.number, e.user, e.number + 1, e.item, 1), flags=("--position=order_number",)),
    csv_kind("Foursquare check-ins", "", lambda e: (e.user, e.item, "4bf", "Arts", 40.7, -74.0, -240,
             e.time.strftime("%a %b %d %H:%M:%S +0000 %Y")), separator="\t", suffix=".txt", headless=True,
             flags=("data.header=false", "data.columns=[user_id,item_id,category_id,category,lat,lon,offset,timestamp]"), init=False),
    csv_kind("Online Retail, customers missing", "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
             lambda e: (f"5{e.number}", e.item, "LANTERN", 6, make.us_date(e), 2.5, None if e.user == "103" else f"{e.user}.0", "UK"),
             flags=("data.date_format=month_first",), right={user: items for user, items in RIGHT.items() if user != "103"}),
    Kind("H&M with articles", with_items(lambda folder: put(folder / "transactions.csv", rows(
        [(e.time.date(), e.user, f"0{e.item}", 0.05) for e in DAYS], header="t_dat,customer_id,article_id,price")), make.articles),
        {user: [f"0{item}" for item in items] for user, items in histories(DAYS).items()}),
    csv_kind("Book-Crossing as commas", "User-ID,ISBN,Book-Rating", lambda e: (e.user, e.item, 0), right=in_file_order(ALL)),
    csv_kind("KuaiRec, some times missing", "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio",
             lambda e: (e.user, e.item, 1, 2, *((None,) * 3 if e.user == "103" else (e.time.isoformat(" "), "20210309", float(e.seconds))),
                        0.5), right={user: items for user, items in RIGHT.items() if user != "103"}),
    csv_kind("al_sid, tabs in a csv", "user_id\titem_id\ttimestamp", lambda e: (e.user, e.item, e.seconds), separator="\t"),
    Kind("MiniOneRec info.txt", with_items(make.events_csv, make.info_txt), RIGHT,
         ("data.items_separator=tab", "data.items_columns=[sid,title,item_id]"), {k: f'{v} 6" x' for k, v in TITLES.items()}, init=False),
    # --- published as they are
    *(Kind(f"MovieLens {edition}", lambda folder, edition=edition: make.movielens(edition, folder), RIGHT,
           (f"data=movielens_{edition.replace('-', '_')}", "data.folder=."), make.FILMS, init=False)
      for edition in ("100k", "latest-small", "latest", "1m", "10m", "25m")),
    *(Kind(f"Amazon {edition} raw", lambda folder, edition=edition: make.amazon(edition, folder), RIGHT,
           (f"data=amazon{edition - 2000}", "data.folder=."), TITLES, init=False) for edition in (2014, 2018, 2023)),
    Kind("MIND", make.mind, RIGHT, ("data=mind", "data.folder=."), TITLES, init=False),
    # --- nested
    Kind("OTTO sessions", make.nested_sessions, RIGHT),
    Kind("OTTO sessions, without init", make.nested_sessions, RIGHT, ("data=nested",), init=False),
    Kind("Million Playlist slices", make.playlists, RIGHT, ("data=nested",), init=False),
    # --- containers
    Kind("Spark folder of parquet", make.spark, RIGHT),
    Kind("Spark folder of csv", lambda folder: make.spark(folder, ".csv"), RIGHT),
    Kind("hive partitions", lambda folder: make.spark(folder, partitions=True), RIGHT),
    Kind(".zip of one table", make.zipped, RIGHT),
    Kind(".zip of two tables, one named", lambda folder: make.zipped(folder, ("ratings.csv", "other.csv")) / "ratings.csv", RIGHT),
    Kind(".zip of two tables", lambda folder: make.zipped(folder, ("ratings.csv", "other.csv")), refused="data.zip/ratings.csv"),
    Kind(".csv.bz2", make.compressed(".bz2", make.bz), RIGHT),
    Kind(".csv.gz", make.compressed(".gz", make.gz), RIGHT),
    Kind(".feather", make.table_file(".feather"), RIGHT),
    Kind(".pkl", make.junk("events.pkl"), refused="pickle"),
    Kind(".xlsx", make.junk("events.xlsx"), refused="save the sheet as csv"),
    Kind(".tfrecord (GRID)", make.junk("part.tfrecord.gz"), refused="parquet"),
    Kind(".csv.zst", make.junk("events.csv.zst"), refused="zstd -d events.csv.zst"),
    Kind("a folder of the hub's layout", lambda folder: make.hub_folder(folder) and None, RIGHT,
         ("data=huggingface", "data.dataset=shop"), init=False),
    # --- text as it comes
    csv_kind("UTF-16", "user_id,item_id,timestamp", lambda e: (e.user, e.item, e.seconds), encoding="utf-16"),
    csv_kind("a mark of the encoding", "user_id,item_id,timestamp", lambda e: (e.user, e.item, e.seconds), encoding="utf-8-sig"),
    csv_kind("upper-case suffix", "user_id,item_id,timestamp", lambda e: (e.user, e.item, e.seconds), suffix=".CSV"),
    Kind("carriage returns only", lambda folder: put(folder / "e.csv", rows(
        [(e.user, e.item, e.seconds) for e in ALL], header="user_id,item_id,timestamp").replace("\n", "\r")), RIGHT),
    Kind("windows line ends", lambda folder: put(folder / "e.csv", rows(
        [(e.user, e.item, e.seconds) for e in ALL], header="user_id,item_id,timestamp").replace("\n", "\r\n")), RIGHT),
    Kind("a ragged line", lambda folder: put(folder / "e.csv", rows(
        [(e.user, e.item, e.seconds) for e in ALL], header="user_id,item_id,timestamp") + "1,2,3,4\n"), refused="line"),
    csv_kind("a comment before the header", "# exported today\nuser_id,item_id,timestamp", lambda e: (e.user, e.item, e.seconds)),
    csv_kind("pandas index", ",user_id,item_id,timestamp", lambda e: (9 - e.number, e.user, e.item, e.seconds)),
    csv_kind("leading zeros", "user_id,item_id,timestamp", lambda e: (f"00{e.user}", e.item, e.seconds),
             right={f"00{user}": items for user, items in RIGHT.items()}),
    csv_kind("ids beyond 64 bits", "user_id,item_id,timestamp", lambda e: (e.user, f"99999999999999999999{e.item}", e.seconds),
             right={user: [f"99999999999999999999{item}" for item in items] for user, items in RIGHT.items()}),
    csv_kind("ids of any script, columns called on and null", "on,null,yes", lambda e: (f"客{e.user}", f"品 {e.item}", e.seconds),
             flags=("--user=on", "--item=null"), right={f"客{user}": [f"品 {item}" for item in items] for user, items in RIGHT.items()}),
    Kind("whole numbers as floats", make.float_ids, RIGHT),
    Kind("json array of records", lambda folder: put(folder / "events.json", json.dumps(
        [{"user_id": e.user, "item_id": e.item, "timestamp": e.seconds} for e in ALL], indent=1)), RIGHT),
]  # fmt: skip


def read(kind: Kind, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Dataset, pl.DataFrame]:
    """The dataset that prepare makes of the kind's files."""
    monkeypatch.chdir(folder)
    written = kind.write(folder)
    file, items = written if isinstance(written, tuple) else (written, None)
    given = [f"data.interactions={file}"] if file else []
    if kind.init:
        typed = ["init", str(file), "--out", "found.yaml", *(["--items", str(items)] if items else []), *kind.flags]
        if (code := main(typed)) != 0:
            raise AssertionError(f"genrec {shlex.join(typed)} ended with {code}")
        overrides = ["data=./found.yaml"]
    else:
        overrides = [*given, *([f"data.items={items}"] if items else []), *kind.flags]
        overrides = overrides if any(flag.startswith("data=") for flag in kind.flags) else ["data=tables", *overrides]
        overrides += [f"data.{part}={beside}" for part, beside in parts_beside(Path(file)).items()] if kind.parts else []
    config = compose([*overrides])
    folder = folder / "dataset"
    folder.mkdir()
    said: list[str] = []
    STAGE.build(StageContext(config=config.tree, inputs={}, folder=folder, work=folder, log=said.append, runtime=Runtime()))
    return Dataset.load(folder), pl.read_parquet(folder / "interactions.parquet")


def parts_beside(file: Path) -> dict[str, Path]:
    return {"validation": Path(str(file).replace("train", "valid")), "test": Path(str(file).replace("train", "test"))}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_loads_right_or_is_refused_in_one_line(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind.refused:
        try:
            dataset, _ = read(kind, tmp_path, monkeypatch)
        except GenRecError as error:
            line = str(error)
        except AssertionError:
            line = capsys.readouterr().err.strip()
        else:
            raise AssertionError(f"it loads: {dataset.num_users} users, {dataset.num_items} items")
        assert len(line.splitlines()) == 1
        assert kind.refused in line
        return
    dataset, interactions = read(kind, tmp_path, monkeypatch)
    items = dataset.item_ids.to_list()
    found = {user: [items[item] for item in dataset.events[row]] for row, user in enumerate(dataset.user_ids)}
    assert found == kind.right
    if kind.items:
        assert dict(zip(items, dataset.items["title"], strict=True)) == kind.items
    if kind.parts:
        parts = {"train": "t", "validation": "v", "test": "e"}
        of_user = interactions.group_by("user_id").agg(pl.col("part").cast(pl.String).replace(parts).str.join(""))
        assert dict(of_user.iter_rows()) == kind.parts


def test_the_counts() -> None:
    refused = [kind for kind in KINDS if kind.refused]
    loaded = [kind for kind in KINDS if not kind.refused]
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert len(loaded) >= 45
    assert all(len(kind.flags) <= 2 for kind in loaded)
    assert len(refused) <= 10
