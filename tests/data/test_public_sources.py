"""Amazon and MovieLens: small files in their exact raw formats, and what is downloaded is recorded and verified."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from genrec.data.amazon import EDITIONS, Amazon, _price
from genrec.data.lib import download
from genrec.data.lib.canonical import canonicalize
from genrec.data.movielens import MovieLens
from genrec.errors import DataError


def write_gz(path: Path, lines: list[str]) -> None:
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))


def test_amazon_2014(tmp_path):
    review = {
        "reviewerID": "A1",
        "asin": "0007",
        "helpful": [3, 4],
        "reviewText": "Oily.",
        "overall": 1.0,
        "unixReviewTime": 1391040000,
    }
    write_gz(tmp_path / "reviews_Beauty_5.json.gz", [json.dumps(review), json.dumps(review | {"asin": "B9"})])
    product = {
        "asin": "0007",
        "title": "Rock &amp; Roll \\d 'brush'",
        "price": 7.5,
        "brand": "ACME",
        "categories": [["Beauty", "Tools &amp; More"], ["Other"]],
        "description": "Long\n\ntext",
    }
    lines = [repr(product), "{'asin': 'B000', 'title': 'bare \\d'}", repr({"asin": "0007", "title": "again"})]
    write_gz(tmp_path / "meta_Beauty.json.gz", lines)
    raw = canonicalize(Amazon(edition=2014, category="Beauty", folder=str(tmp_path)).load())
    assert raw.interactions.drop("row").rows() == [("A1", "0007", 1391040000.0, 1.0), ("A1", "B9", 1391040000.0, 1.0)]
    assert raw.items is not None
    assert raw.items.rows() == [
        ("0007", "Rock & Roll \\d 'brush'", "ACME", "Beauty > Tools & More", 7.5, "Long\n\ntext"),
        ("B000", "bare \\d", None, None, None, None),
        ("B9", None, None, None, None, None),
    ]
    assert [count for _, count in raw.notes] == [1, 1]
    assert raw.files["items"] == str(tmp_path / "meta_Beauty.json.gz")


def test_amazon_2014_products_as_json(tmp_path):
    write_gz(tmp_path / "reviews_Beauty_5.json.gz", ['{"reviewerID": "a", "asin": "b", "overall": 1, "unixReviewTime": 1}'])
    write_gz(
        tmp_path / "meta_Beauty.json.gz", ['{"asin": "b", "title": "Soap", "price": null}', "{'asin': 'c', 'title': None}"]
    )
    raw = Amazon(edition=2014, category="Beauty", folder=str(tmp_path)).load()
    assert raw.items is not None
    assert raw.items["title"].to_list() == ["Soap", None]


def test_amazon_2014_literals_are_never_run(tmp_path):
    write_gz(tmp_path / "reviews_Beauty_5.json.gz", ['{"reviewerID": "a", "asin": "b", "overall": 1, "unixReviewTime": 1}'])
    write_gz(tmp_path / "meta_Beauty.json.gz", ["{'asin': 'b'}", f"open({str(tmp_path / 'ran')!r}, 'w')"])
    with pytest.raises(DataError, match=r"meta_Beauty.json.gz, line 2: expected a Python literal \(a dict\), got .open\("):
        Amazon(edition=2014, category="Beauty", folder=str(tmp_path)).load()
    assert not (tmp_path / "ran").exists()


def test_amazon_2018(tmp_path):
    review = {
        "overall": 5.0,
        "verified": True,
        "reviewTime": "01 1, 2018",
        "reviewerID": "A2",
        "asin": "B1",
        "style": {"Size:": "L"},
        "unixReviewTime": 1514764800,
    }
    write_gz(tmp_path / "Scientific_5.json.gz", [json.dumps(review)])
    product = {
        "category": ["Industrial &amp; Scientific", "Tapes"],
        "description": ["One.", "", "Two."],
        "title": "Tape",
        "brand": "",
        "price": "$12.99 - $15",
        "asin": "B1",
        "rank": [">#1"],
    }
    write_gz(tmp_path / "meta_Scientific.json.gz", [json.dumps(product)])
    raw = canonicalize(Amazon(edition=2018, category="Scientific", folder=str(tmp_path)).load())
    assert raw.interactions.drop("row").rows() == [("A2", "B1", 1514764800.0, 5.0)]
    assert raw.items is not None
    assert raw.items.rows() == [("B1", "Tape", None, "Industrial & Scientific > Tapes", 12.99, "One. Two.")]
    assert not raw.notes


def test_amazon_2023(tmp_path):
    review = {
        "rating": 4.0,
        "title": "Nice",
        "text": "!",
        "images": [],
        "asin": "B0VAR",
        "parent_asin": "B0PAR",
        "user_id": "AE",
        "timestamp": 1588687728923,
        "helpful_vote": 0,
        "verified_purchase": True,
    }
    (tmp_path / "All_Beauty.jsonl").write_text(json.dumps(review) + "\n", encoding="utf-8")  # unpacked by hand
    product = {
        "main_category": "All Beauty",
        "title": "Brush",
        "features": [],
        "description": ["Soft"],
        "price": None,
        "store": "Howard",
        "categories": [],
        "details": {"UPC": "1"},
        "parent_asin": "B0PAR",
    }
    write_gz(tmp_path / "meta_All_Beauty.jsonl.gz", [json.dumps(product)])
    raw = canonicalize(Amazon(edition=2023, category="All_Beauty", folder=str(tmp_path)).load())
    assert raw.interactions.drop("row").rows() == [("AE", "B0PAR", 1588687728.923, 4.0)]
    assert raw.items is not None
    assert raw.items.rows() == [("B0PAR", "Brush", "Howard", None, None, "Soft")]


def test_amazon_with_fields_missing_or_broken(tmp_path):
    (tmp_path / "Soap.jsonl").write_text('{"user_id": "a", "asin": "b", "rating": 1, "timestamp": 1}\n', encoding="utf-8")
    (tmp_path / "meta_Soap.jsonl").write_text('{"parent_asin": "b"}\n{"asin": "c"}\n', encoding="utf-8")
    source = Amazon(edition=2023, category="Soap", folder=str(tmp_path))
    with pytest.raises(DataError, match=r"Soap.jsonl: expected a column 'parent_asin', got columns user_id, asin"):
        source.load()
    (tmp_path / "Soap.jsonl.sha256").unlink()
    (tmp_path / "Soap.jsonl").write_text(
        '{"user_id": "a", "parent_asin": "b", "rating": 1, "timestamp": "now"}\n', encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"meta_Soap.jsonl, row 2, column parent_asin: expected an id, got None"):
        source.load()
    (tmp_path / "meta_Soap.jsonl").write_text('{"parent_asin": "b"}\n', encoding="utf-8")
    (tmp_path / "meta_Soap.jsonl.sha256").unlink()
    with pytest.raises(
        DataError, match=r"Soap.jsonl, row 1, column timestamp: expected a time: a number, a date, or ISO text, got 'now'"
    ):
        canonicalize(source.load())


@pytest.mark.parametrize(
    ("text", "price"),
    [("$1,234.50", 1234.5), ("from 3.99", 3.99), ("$5 - $9", 5.0), ("", None), (".a-box{", None), (None, None), (7, 7.0)],
)
def test_prices(text, price):
    assert _price(text) == price


RATINGS = [("1", "10", "4.0", "100"), ("1", "20", "3.5", "90"), ("2", "10", "5.0", "80")]
WANTED = [("1", "10", 100.0, 4.0), ("1", "20", 90.0, 3.5), ("2", "10", 80.0, 5.0)]


def movielens_files(edition: str) -> dict[str, bytes]:
    if edition == "100k":
        flags = ["0"] * 19
        one = "|".join(["10", "Amélie (2001)", "01-Jan-2001", "", "http://x", *flags[:3], "1", "0", "1", *flags[6:]])
        two = "|".join(["20", "unknown", "", "", "", *flags])
        return {
            "u.data": "".join("\t".join(row) + "\n" for row in RATINGS).encode(),
            "u.item": f"{one}\n{two}\n".encode("latin-1"),
        }
    if edition in ("1m", "10m"):
        return {
            "ratings.dat": "".join("::".join(row) + "\n" for row in RATINGS).encode(),
            "movies.dat": "10::Amélie (2001)::Animation|Comedy\n20::Two: a::b\n".replace("a::b", "a::Drama").encode("latin-1"),
        }
    return {
        "ratings.csv": "\n".join(["userId,movieId,rating,timestamp", *map(",".join, RATINGS)]).encode(),
        "movies.csv": 'movieId,title,genres\n10,"Amélie, The (2001)",Animation|Comedy\n20,Two,(no genres listed)\n'.encode(),
    }


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("encoding", ["as published", "utf-8"])
@pytest.mark.parametrize("edition", ["100k", "latest-small", "latest", "1m", "10m", "25m"])
def test_movielens(edition, encoding, zipped, tmp_path):
    files = movielens_files(edition)
    if encoding == "utf-8" or edition == "10m":  # copies in UTF-8 are common
        files = {name: content.decode("latin-1").encode() if ".csv" not in name else content for name, content in files.items()}
    name = "ml-10M100K" if edition == "10m" else f"ml-{edition}"
    if zipped:
        with zipfile.ZipFile(tmp_path / f"ml-{edition}.zip", "w") as archive:
            for file, content in files.items():
                archive.writestr(f"{name}/{file}", content)
    else:
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
    raw = canonicalize(MovieLens(edition=edition, folder=str(tmp_path)).load())
    assert raw.interactions.drop("row").rows() == WANTED
    assert raw.items is not None
    assert raw.items.columns == ["item_id", "title", "categories"]
    assert raw.items["item_id"].to_list() == ["10", "20"]
    assert "Amélie" in raw.items["title"][0]
    assert raw.items["categories"][0] == "Animation, Comedy"
    if edition == "latest-small":
        assert raw.items["categories"][1] is None


def test_movielens_with_a_broken_line(tmp_path):
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ratings.dat").write_text("1::2::3::4\n1:2:3:4\n", encoding="utf-8")
    (tmp_path / "ml-1m" / "movies.dat").write_text("2::Two::Drama\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"ratings.dat, line 2: expected 4 fields separated by '::', got '1:2:3:4'"):
        MovieLens(edition="1m", folder=str(tmp_path)).load()


def test_movielens_with_a_broken_zip(tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(b"half")
    with pytest.raises(DataError, match=r"ml-1m.zip: expected a zip of ml-1m/"):
        MovieLens(edition="1m", folder=str(tmp_path)).load()
    assert not list(tmp_path.glob("*.part"))


def test_a_download_is_announced_recorded_and_verified(tmp_path, capsys):
    (tmp_path / "served.txt").write_text("content", encoding="utf-8")
    url, target = (tmp_path / "served.txt").as_uri(), tmp_path / "data" / "got.txt"
    assert download.public_file(target, url) == target
    told = capsys.readouterr().err
    assert url in told
    assert str(target) in told
    sha = hashlib.sha256(b"content").hexdigest()
    assert (tmp_path / "data" / "got.txt.sha256").read_text(encoding="utf-8") == f"{sha}  got.txt\n"
    assert download.public_file(target, url) == target
    assert not capsys.readouterr().err  # neither fetched nor announced again
    target.write_text("changed", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        download.public_file(target, url)
    assert sha in str(caught.value)
    assert hashlib.sha256(b"changed").hexdigest() in str(caught.value)


def test_without_network_the_file_and_its_place_are_named(tmp_path, monkeypatch):
    def refuse(url, timeout):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    with pytest.raises(DataError) as caught:
        Amazon(edition=2014, category="Beauty", folder=str(tmp_path / "new")).load()
    message = str(caught.value)
    assert str(tmp_path / "new" / "reviews_Beauty_5.json.gz") in message
    assert EDITIONS[2014].reviews.format(category="Beauty") in message
    assert "Network is unreachable" in message
    assert "\n" not in message
    assert not list((tmp_path / "new").iterdir())


def test_the_literal_reader_is_the_safe_one():
    assert ast.literal_eval("{'a': 1}") == EDITIONS[2014].parse("{'a': 1}\n")
    with pytest.raises(ValueError, match=r"malformed"):
        EDITIONS[2014].parse("__import__('os').getcwd()")
