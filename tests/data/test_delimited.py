"""Separated text: no row is lost, whatever columns are asked for and however the file is written."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.files import read_table
from genrec.data.lib.text_lines import TextFormat
from genrec.data.tables import Tables
from genrec.errors import DataError

ROWS = [(f"u{i // 6}", f"i{i % 7}", str(1_600_000_000 + i)) for i in range(60)]
IDS = [(user, item) for user, item, _ in ROWS]


def lines(separator: str = ",", header: bool = True, end: str = "\n") -> str:
    return end.join(separator.join(row) for row in [*([("user_id", "item_id", "timestamp")] if header else []), *ROWS]) + end


# What titles a shop's csv may hold, as written in the file; a file of 60 rows has the text in rows 10, 40 and 59.
WRITTEN = {
    "inch marks": ['6" pipe', '5" nail', 'a "b" c'],
    "inch marks at the end": ['pipe 6"', 'nail 5"', '7"'],
    "quoted with commas": ['"a, b"', '"c, ""d"""', '""'],
    "backslash quotes": [r'"a \"b\" c"', r'"say \"hi, you\""', '"plain"'],
    "a line end inside": ['"two\nlines"', '"three\n\nlines"', '"last\none"'],
    "text after quotes": ['"Best" buy', '"a"b', '""x'],
    "a blank before quotes": [' "a, b"', ' "c"', 'd'],
    "single quotes": ["rock 'n' roll", "it's", "'"],
    "long": ["x" * 200_000, "y", "z"],
}  # fmt: skip


@pytest.mark.parametrize("columns", [None, ["user_id", "item_id"]], ids=["all", "some"])
@pytest.mark.parametrize("titles", WRITTEN.values(), ids=WRITTEN)
def test_no_row_is_lost_around_quotation_marks(titles, columns, tmp_path):
    texts = dict(zip((10, 40, 59), titles, strict=True))
    body = "".join(f"{user},{item},{texts.get(i, 'plain')},{time}\n" for i, (user, item, time) in enumerate(ROWS))
    (tmp_path / "x.csv").write_text("user_id,item_id,title,timestamp\n" + body, encoding="utf-8")
    notes: list[tuple[str, int]] = []
    table = read_table(tmp_path / "x.csv", columns=columns, notes=notes)
    assert table.select("user_id", "item_id").rows() == IDS
    spanning = sum("\n" in text for text in titles)
    assert sum(count for what, count in notes if "several lines (the first in line 12)" in what) == spanning


def test_tabs_have_no_quoting_unless_the_header_has(tmp_path):
    (tmp_path / "x.tsv").write_text('user_id\titem_id\ttitle\na\tb\t"6 inch\nc\td\t5" nail"\n', encoding="utf-8")
    assert read_table(tmp_path / "x.tsv")["title"].to_list() == ['"6 inch', '5" nail"']
    (tmp_path / "y.tsv").write_text('"user_id"\t"item_id"\n"a"\t"b ""c"""\n', encoding="utf-8")
    assert read_table(tmp_path / "y.tsv").rows() == [("a", 'b "c"')]
    marks = TextFormat(quote="none")
    (tmp_path / "z.csv").write_text('user_id,item_id\n"a,b\nc",d\n', encoding="utf-8")
    assert read_table(tmp_path / "z.csv", form=marks).rows() == [('"a', "b"), ('c"', "d")]


QUOTED_TABS = [
    ('user_id\titem_id\ttime\n"a"\t"x"\t1\n"b"\t"y"\t2\n', True, [("a", "x", 1), ("b", "y", 2)]),  # a header without marks
    ('"a"\t"x"\t1\n"b"\t"y"\t2\n', False, [("a", "x", 1), ("b", "y", 2)]),  # no header
    ('u\ttitle\na\t"x ""big"""\nb\t"y"\n', True, [("a", 'x "big"'), ("b", "y")]),  # one column
    ('u\ttitle\na\t"x"\nb\t5" y\n', True, [("a", '"x"'), ("b", '5" y')]),  # not in every line
    ('"a"\t"x"\n', False, [("a", "x")]),  # one line
]


@pytest.mark.parametrize(("content", "header", "rows"), QUOTED_TABS, ids=range(len(QUOTED_TABS)))
def test_a_column_of_quoted_fields_is_quoting(content, header, rows, tmp_path):
    (tmp_path / "x.txt").write_text(content, encoding="utf-8")
    assert read_table(tmp_path / "x.txt", form=TextFormat(header=header)).rows() == rows


FIELDS = st.text(alphabet=st.sampled_from([*"ab1 ,;é'", "\t", "\n", '"']), max_size=6)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=12), quoting=st.sampled_from([0, 1, 2]))
def test_a_written_csv_reads_back_as_by_pythons_module(rows, quoting, tmp_path_factory):
    """An independent reader, and any columns asked for, give the same values."""
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows([("user_id", "item_id", "c"), *rows])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.getvalue().encode())
    expected = [
        [value.strip(" \t\r\n") or None for value in row] for row in list(csv.reader(io.StringIO(text.getvalue())))[1:] if row
    ]
    if any(row == [None, None, None] for row in expected):
        return  # lines of nothing but separators are rows, those of nothing at all are none: not this test's matter
    form = TextFormat(separator=",")
    try:
        table = read_table(path, form=form, columns=["user_id", "item_id", "c"])
    except DataError:
        spanning = any("\n" in value for row in rows for value in row)
        event("lines in quoted text that look like records: asked about, never swallowed")
        if not spanning:
            raise
        return
    filled = [name for i, name in enumerate(("user_id", "item_id", "c")) if any(row[i] for row in expected)]
    assert table.columns == filled
    assert table.height == len(expected)
    for i, name in enumerate(("user_id", "item_id", "c")):
        if name in filled:
            assert table[name].to_list() == [row[i] for row in expected]


# name of the file, its bytes, settings of data=tables that it needs
FILES = {
    "semicolons": ("x.csv", lines(";").encode(), {}),
    "bars": ("x.csv", lines("|").encode(), {}),
    "tabs in a csv": ("x.csv", lines("\t").encode(), {}),
    "two colons": ("x.dat", lines("::").encode(), {}),
    "blanks": ("x.txt", lines("  ").encode(), {}),
    "commas in a txt": ("x.txt", lines(",").encode(), {}),
    "a separator of one's own": ("x.csv", lines("#").encode(), {"separator": "#"}),
    "an odd suffix": ("x.inter_log", lines(";").encode(), {"separator": ";"}),
    "upper case": ("X.CSV", lines().encode(), {}),
    "sep=": ("x.csv", ("sep=;\n" + lines(";")).encode(), {}),
    "a comment": ("x.csv", ("# exported today\n" + lines()).encode(), {}),
    "blank lines": ("x.csv", ("\n" + lines().replace("\nu3", "\n\nu3")).encode(), {}),
    "a separator at line ends": (
        "x.csv",
        lines().replace("\nu", ",\nu").replace("timestamp,", "timestamp").encode()[:-1] + b",\n",
        {},
    ),
    "no header": ("x.csv", lines(header=False).encode(), {"header": False, "columns": ["user_id", "item_id", "timestamp"]}),
    "names instead of the header's": ("x.csv", lines().encode(), {"columns": ["user_id", "item_id", "timestamp"]}),
    "unnamed columns": (
        "x.csv",
        lines(header=False).encode(),
        {"header": False, "user_id": "column_1", "item_id": "column_2", "timestamp": "column_3"},
    ),
    "windows lines": ("x.csv", lines(end="\r\n").encode(), {}),
    "old mac lines": ("x.csv", lines(end="\r").encode(), {}),
    "no last line end": ("x.csv", lines().encode()[:-1], {}),
    "a mark of UTF-8": ("x.csv", lines().encode("utf-8-sig"), {}),
    "UTF-16": ("x.csv", lines().encode("utf-16"), {}),
    "UTF-16 without its mark": ("x.csv", lines().encode("utf-16-le"), {}),
    "blanks around": ("x.csv", lines(" , ").encode(), {}),
    "gzip": ("x.csv.gz", gzip.compress(lines().encode()), {}),
    "gzip without a name": ("x.csv", gzip.compress(lines().encode()), {}),
    "bzip2": ("x.csv.bz2", bz2.compress(lines().encode()), {}),
    "xz": ("x.tsv.xz", lzma.compress(lines("\t").encode()), {}),
    "all quoted": ("x.csv", lines('","').replace("\n", '"\n"').join(['"', ""])[:-1].encode(), {}),
}


@pytest.mark.parametrize("chunk", [None, 97], ids=["whole", "pieces"])
@pytest.mark.parametrize(("name", "content", "given"), FILES.values(), ids=FILES)
def test_one_table_however_it_is_written(name, content, given, chunk, tmp_path, monkeypatch):
    if chunk:
        monkeypatch.setattr("genrec.data.lib.text_lines.CHUNK_BYTES", chunk)
    (tmp_path / name).write_bytes(content)
    raw = canonicalize(Tables(interactions=tmp_path / name, **given).load())
    assert raw.interactions.select("user_id", "item_id").rows() == IDS
    assert raw.interactions["timestamp"].to_list() == [float(time) for _, _, time in ROWS]


ENCODED = {
    "cp1252": "Käse für 5 €",
    "latin-1": "Käse für fünf",
    "gb18030": "便携式蓝牙音箱",
    "shift_jis": "ブルートゥース",
    "cp1251": "Чайник",
    "utf-16": "Käse 便携",
}


@pytest.mark.parametrize(("encoding", "title"), ENCODED.items(), ids=ENCODED)
def test_an_encoding_that_is_given_is_used(encoding, title, tmp_path):
    (tmp_path / "i.csv").write_bytes(f"item_id,title\n1,{title}\n".encode(encoding))
    assert read_table(tmp_path / "i.csv", form=TextFormat(encoding=encoding))["title"].to_list() == [title]
    if encoding != "utf-16":
        with pytest.raises(DataError, match=r"i.csv, line 2: expected utf-8 text, got byte 0x.. in .*set data.items_encoding="):
            read_table(tmp_path / "i.csv", form=TextFormat(settings="data.items_"))


def test_utf8_that_is_said_to_be_latin1_is_utf8(tmp_path):
    (tmp_path / "i.csv").write_text("item_id,title\n1,Les Misérables\n", encoding="utf-8")
    assert read_table(tmp_path / "i.csv", form=TextFormat(encoding="latin-1"))["title"].to_list() == ["Les Misérables"]


def test_a_decimal_comma(tmp_path):
    (tmp_path / "x.csv").write_text(
        "user_id;item_id;rating;timestamp\na;1,5;4,5;1.600.000.000\na;b;1.000,25;1600000001\n", encoding="utf-8"
    )
    source = Tables(interactions=tmp_path / "x.csv", decimal=",")
    table = canonicalize(source.load()).interactions
    assert table["rating"].to_list() == [4.5, 1000.25]
    assert table["item_id"].to_list() == ["1,5", "b"]
    assert table["timestamp"].to_list() == [1_600_000_000.0, 1_600_000_001.0]
    items = read_table(tmp_path / "x.csv", form=TextFormat(decimal=","), text=["item_id"])
    assert items["rating"].to_list() == [4.5, 1000.25]
    assert items["item_id"].to_list() == ["1,5", "b"]


def test_types_are_those_of_all_values(tmp_path):
    (tmp_path / "i.csv").write_text(
        "item_id,zip,price,stock,new,size\n1,01234,5.5,3,true,5\n2,98765,7,,False,NA\n", encoding="utf-8"
    )
    items = read_table(tmp_path / "i.csv", missing=("NA",))
    assert items.rows() == [(1, "01234", 5.5, 3, True, 5), (2, "98765", 7.0, None, False, None)]


MISLEADING = [
    ("x.csv", "user_id,item_id\na,b\n" + "c," + "d" * 300 + ",e\n", ["line 3", "2 fields", "...'d", "d,e'"]),
    ("x.tsv", "user_id\titem_id\na\tb\tc\n", ["line 2", r"separated by '\t'", r"'a\tb\tc'"]),
    ("x.csv", "user\u00a0id,item_id\na,b\n", [r"'user\xa0id'"]),
    ("x.csv", "1,2\n3,4\n", ["columns 1, 2", "data.header=false and data.columns=[...]"]),
    ("x.jsonl", '{"user_id": 1}\n{"user_id": 1, "x": "' + "y" * 300 + '" "item_id": 2}\n', ["line 2", "character", '"item']),
    ("x.csv", "user_id,it\u0435m_id\na,b\n", ["did you mean it\u0435m_id?", "U+0435"]),  # a Cyrillic letter
    ("x.jsonl", '{"user_id": "a\\ud800", "item_id": 2}\n', ["line 1", "ud800"]),
    ("x.csv", ",".join(f"column{i}" for i in range(9_000)) + "\n" + ",".join("1" * 9_000) + "\n", ["(9,000 in all)"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "told"), MISLEADING, ids=range(len(MISLEADING)))
def test_messages_show_the_fault_on_one_short_line(name, content, told, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        Tables(interactions=Path(tmp_path / name)).load()
    message = str(caught.value)
    assert len(message) < 1_000
    for part in told:
        assert part in message
