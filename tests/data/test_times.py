"""Times: every common writing gives the right moment, order is never lost, and what is no time or two times is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.times import read_times
from genrec.errors import DataError
from genrec.protocols import RawData


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]


MOMENTS: dict[str, tuple[list[Any], list[float]]] = {
    "dates": (["2020-01-31", "2020-02-01"], [at(2020, 1, 31), at(2020, 2, 1)]),
    "iso with a zone": (["2020-01-31T10:00:00Z", "2020-01-31T10:00:00+02:00"], [at(2020, 1, 31, 10), at(2020, 1, 31, 8)]),
    "iso with fractions": (["2020-01-31 10:00:00.5", "2020-01-31 10:00:00.25"],
        [at(2020, 1, 31, 10) + 0.5, at(2020, 1, 31, 10) + 0.25]),
    "iso, short and long": (["2020-01-31", "2020-01-31 10:30"], [at(2020, 1, 31), at(2020, 1, 31, 10, 30)]),
    "basic iso": (["20200131T153000Z", "20200201T000001"], [at(2020, 1, 31, 15, 30), at(2020, 2, 1, 0, 0, 1)]),
    "utc in letters": (["2009-12-01 07:45:00 UTC"], [at(2009, 12, 1, 7, 45)]),
    "slashes, year first": (["2020/02/01", "2020/1/31"], [at(2020, 2, 1), at(2020, 1, 31)]),
    "day first": (["01/02/2020", "31/01/2020"], [at(2020, 2, 1), at(2020, 1, 31)]),
    "month first": (["02/01/2020 8:26", "01/31/2020 23:59"], [at(2020, 2, 1, 8, 26), at(2020, 1, 31, 23, 59)]),
    "dots": (["01.02.2020 08:00", "31.01.2020 09:00:01"], [at(2020, 2, 1, 8), at(2020, 1, 31, 9, 0, 1)]),
    "twelve hours": (["1/31/2020 12:05 AM", "1/31/2020 12:05 pm"], [at(2020, 1, 31, 0, 5), at(2020, 1, 31, 12, 5)]),
    "two-digit years": (["31/12/99", "01/01/00", "15/06/69"], [at(1999, 12, 31), at(2000, 1, 1), at(1969, 6, 15)]),
    "day and month alike": (["1/1/2020", "2/2/2020"], [at(2020, 1, 1), at(2020, 2, 2)]),
    "ctime": (["Tue Apr 03 18:00:09 +0000 2012", "Tue Apr  3 18:00:10 2012"],
        [at(2012, 4, 3, 18, 0, 9), at(2012, 4, 3, 18, 0, 10)]),
    "mail": (["Tue, 03 Apr 2012 18:00:09 GMT", "Tue, 3 Apr 2012 18:00:09 -0500"],
        [at(2012, 4, 3, 18, 0, 9), at(2012, 4, 3, 23, 0, 9)]),
    "web server": (["03/Apr/2012:18:00:09 +0100"], [at(2012, 4, 3, 17, 0, 9)]),
    "browser": (["Fri Dec 31 2021 10:00:00 GMT+0100 (CET)"], [at(2021, 12, 31, 9)]),
    "names of months": (["Apr 3, 2012", "May 12, 2012 5:06 pm", "4 July 2012"],
        [at(2012, 4, 3), at(2012, 5, 12, 17, 6), at(2012, 7, 4)]),
    "chinese": (["2020年1月3日 10:00", "2020年11月3日"], [at(2020, 1, 3, 10), at(2020, 11, 3)]),
    "compact days": ([20200131, 20200201], [at(2020, 1, 31), at(2020, 2, 1)]),
    "compact text": (["20200131180009", "20200201000000"], [at(2020, 1, 31, 18, 0, 9), at(2020, 2, 1)]),
    "compact with milliseconds": ([20200131180009250, 20200201000000000], [at(2020, 1, 31, 18, 0, 9) + 0.25, at(2020, 2, 1)]),
    "compact as floats": ([20200131.0, None, 20200201.0], [at(2020, 1, 31), None, at(2020, 2, 1)]),
    "seconds": (["1600000000", " 1600000001 "], [1.6e9, 1.6e9 + 1]),
    "any numbers": ([3, 1, 2], [3.0, 1.0, 2.0]),
    "decimals": ([Decimal("1.5"), Decimal("2.25")], [1.5, 2.25]),
    "python dates": ([date(2020, 1, 31)], [at(2020, 1, 31)]),
    "missing": ([None, "", "2020-01-31"], [None, None, at(2020, 1, 31)]),
    "nothing": ([None, None], [None, None]),
}  # fmt: skip


@pytest.mark.parametrize(("values", "moments"), MOMENTS.values(), ids=MOMENTS)
def test_moments(values, moments):
    assert read_times(pl.Series("t", values), "x{row}").seconds.to_list() == moments


NS = 1_600_000_000_000_000_000
FINE: dict[str, pl.Series] = {
    "integers": pl.Series([NS + 200, NS + 100, NS]),
    "unsigned": pl.Series([2**63 + 200, 2**63 + 100, 2**63], dtype=pl.UInt64),
    "text": pl.Series([f"{NS + 200}", f"{NS + 100}", f"{NS}"]),
    "nanoseconds": pl.Series([NS + 200, NS + 100, NS]).cast(pl.Datetime("ns")),
    "text with fractions": pl.Series([f"2020-01-01T00:00:00.00000000{digit}Z" for digit in (3, 2, 1)]),
    "seconds with fractions": pl.Series(["1600000000.123456783", "1600000000.123456782", "1600000000.123456781"]),
}  # fmt: skip


@pytest.mark.parametrize("times", FINE.values(), ids=FINE)
def test_order_is_kept_beyond_the_precision_of_floats(times, prepare, tmp_path):
    table = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["third", "second", "first"], "timestamp": times})
    table.write_parquet(tmp_path / "x.parquet")
    dataset = prepare({"interactions": str(tmp_path / "x.parquet")}).dataset
    assert dataset.item_ids.gather(dataset.events.item_idx).to_list() == ["first", "second", "third"]
    assert dataset.facts["order"]["tied_events"] == 0


AMBIGUOUS = {
    "us or british": (["01/02/2020", "03/04/2020"], ["day_first", "month_first"]),
    "dashes": (["01-02-2020 10:00", "03-04-2020 11:00"], ["day_first", "month_first"]),
    "dots": (["01.02.2020", "12.11.2020"], ["day_first", "month_first"]),
    "two-digit years": (["01/02/03", "04/05/06"], ["day_first", "month_first", "year_first"]),
    "days above twelve, years too": (["31.12.20", "30.11.19"], ["day_first", "year_first"]),
    "named months": (["03-Apr-12", "04-May-11"], ["day_first", "year_first"]),
}


@pytest.mark.parametrize(("values", "readings"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_dates_that_can_be_read_in_two_ways_are_asked_about(values, readings):
    with pytest.raises(DataError, match="can be distinguished") as caught:
        read_times(pl.Series("t", values), "x{row}", settings=True)
    for reading in readings:
        assert f"data.date_format={reading}" in str(caught.value)
    moments = [read_times(pl.Series("t", values), "x{row}", reading).seconds.to_list() for reading in readings]
    assert len({tuple(own) for own in moments}) == len(readings)
    with pytest.raises(DataError, match="write all dates alike"):
        read_times(pl.Series("t", values), "x{row}")


CHOSEN = [
    ("month_first", ["01/02/2020", "03/04/2020"], [at(2020, 1, 2), at(2020, 3, 4)]),
    ("day_first", ["01/02/2020", "03/04/2020"], [at(2020, 2, 1), at(2020, 4, 3)]),
    ("year_first", ["01/02/03", "04/05/06"], [at(2001, 2, 3), at(2004, 5, 6)]),
    ("number", [20200131, 20200201], [20200131.0, 20200201.0]),
    ("number", ["20200131", "20200201"], [20200131.0, 20200201.0]),
    ("%Y-%d-%m", ["2020-31-01", "2020-01-02"], [at(2020, 1, 31), at(2020, 2, 1)]),
    ("%d.%m.%y %H:%M", ["31.01.20 10:30"], [at(2020, 1, 31, 10, 30)]),
]


@pytest.mark.parametrize(("date_format", "values", "moments"), CHOSEN)
def test_a_format_that_is_given_decides(date_format, values, moments):
    assert read_times(pl.Series("t", values), "x{row}", date_format).seconds.to_list() == moments


REFUSED: dict[str, tuple[pl.Series, str]] = {
    "no time": (pl.Series(["2020-01-31", "31st"]), "row 2.*'31st'"),
    "no such day": (pl.Series(["2020-02-30"]), "row 1.*'2020-02-30'"),
    "no such hour": (pl.Series(["2020-02-01 25:00"]), "'2020-02-01 25:00'"),
    "numbers and dates": (pl.Series(["1600000000", "2020-01-31"]), "row 2.*'2020-01-31'"),
    "both orders": (pl.Series(["13/01/2020", "01/13/2020"]), "one order.*'13/01/2020'.*'01/13/2020'"),
    "seconds and milliseconds": (pl.Series([1_600_000_000, 1_600_000_000_000, 1_600_000_000_001]), "row 1.*1600000000 "),
    "times of day": (pl.Series([time(10, 0)]), "Time"),
    "text of times of day": (pl.Series(["10:00:00"]), "'10:00:00'"),
    "durations": (pl.Series([1]).cast(pl.Duration("ms")), "Duration"),
    "truth values": (pl.Series([True]), "Boolean"),
    "lists": (pl.Series([[1]]), "List"),
    "objects": (pl.Series([{"a": 1}]), "Struct"),
    "bytes": (pl.Series([b"1"]), "Binary"),
    "infinity": (pl.Series([1.0, float("inf")]), "row 2.*inf"),
    "another zone": (pl.Series(["2020-01-01 00:00:00 Europe/Berlin"]), "Europe/Berlin"),
}


@pytest.mark.parametrize(("values", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_time_is_refused_in_one_line(values, told):
    table = pl.DataFrame({"user_id": ["u"] * len(values), "item_id": ["i"] * len(values), "timestamp": values})
    with pytest.raises(DataError, match=told) as caught:
        canonicalize(RawData(interactions=table, items=None, columns={"timestamp": "seen_at"}))
    assert "column seen_at" in str(caught.value)


def test_without_times_prepare_warns(prepare, csv):
    path = csv("user_id,item_id,seen", *(f"u,{i},2020-01-0{i}" for i in range(1, 6)))
    assert "WARNING: no time and no position" in prepare({"interactions": path}).said
    assert "WARNING" not in prepare({"interactions": path}, order={"by": "input_order"}).said
    assert "WARNING" not in prepare({"interactions": path, "timestamp": "seen"}).said


def test_a_day_as_time_warns(prepare, csv):
    path = csv("user_id,item_id,timestamp", *(f"u,{i},2020-01-01" for i in range(5)))
    assert "WARNING: 5 of 5 events share their time" in prepare({"interactions": path}).said
