from __future__ import annotations

from pathlib import Path

from genrec.data.lib.canonical import canonicalize
from genrec.data.mind import Mind

BEHAVIORS = [
    ("1", "U7", "11/12/2019 9:05:58 AM", "N1 N2", "N5-0 N3-1"),
    ("2", "U8", "11/12/2019 1:00:00 PM", "", "N1-1"),
    ("3", "U7", "11/11/2019 11:59:59 PM", "N1 N2", "N4-1 N2-0 N5-1"),
    ("4", "U9", "11/13/2019 1:00:00 AM", "N3", "N1-0"),
]
NEWS = [(f"N{i}", "sports", "golf", f'Title "{i}"', "An abstract", "https://x", "[]", "[]") for i in range(1, 6)]


def test_clicks_follow_the_history_in_the_order_of_their_times(tmp_path: Path) -> None:
    (tmp_path / "behaviors.tsv").write_text("".join("\t".join(row) + "\n" for row in BEHAVIORS), encoding="utf-8")
    (tmp_path / "news.tsv").write_text("".join("\t".join(row) + "\n" for row in NEWS), encoding="utf-8")
    raw = canonicalize(Mind(folder=tmp_path).load())
    events = raw.interactions.sort("user_id", "position").group_by("user_id", maintain_order=True).agg("item_id")
    assert events.rows() == [("U7", ["N1", "N2", "N4", "N5", "N3"]), ("U8", ["N1"]), ("U9", ["N3"])]
    assert raw.items is not None
    assert raw.items.row(0) == ("N1", 'Title "1"', "sports", "golf", "An abstract")
