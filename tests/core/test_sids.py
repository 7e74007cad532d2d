from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import sids_of, stream_of

from genrec.core.sids import LAYOUT_FILE, TABLE_FILE, SIDTable, Stream
from genrec.errors import ArtifactError, DataError


def test_tokens_are_one_vocabulary() -> None:
    table = sids_of(50, (4, 5, 6))
    assert table.level_offsets.tolist() == [0, 4, 9, 15]
    assert table.num_tokens == 15
    for level in range(3):
        tokens = table.tokens[:, level]
        assert ((tokens >= table.level_offsets[level]) & (tokens < table.level_offsets[level + 1])).all()
    assert (table.tokens - table.level_offsets[:-1] == table.codes).all()


def test_layout_is_what_a_generator_depends_on() -> None:
    table = sids_of(20)
    more = SIDTable(np.concatenate([table.codes, table.codes[:1]]), table.sizes)
    assert more.layout == table.layout
    assert more.table != table.table
    for other in (
        SIDTable(table.codes, (6, 7, 9)),
        SIDTable(table.codes, table.sizes, collision_level=2),
        SIDTable(table.codes, table.sizes, codebooks="other"),
    ):
        assert other.layout != table.layout
        assert other.table != table.table
    assert SIDTable(table.codes[::-1], table.sizes).table != table.table, "rows belong to items"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_unique_rate(rows: list[tuple[int, int]]) -> None:
    table = SIDTable(np.asarray(rows), (3, 3))
    for levels in (1, 2, None):
        counts = Counter(row[:levels] for row in rows)
        expected = sum(counts[row[:levels]] == 1 for row in rows) / len(rows)
        assert table.unique_rate(levels) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("codes", "value"),
    [([[0, 1], [0, 4]], "got 4"), ([[0, 1], [-1, 2]], "got -1"), ([[0, 1, 2]], "(1, 3)"), ([[0, 2**32]], str(2**32))],
)
def test_codes_out_of_range(codes: list[list[int]], value: str) -> None:
    with pytest.raises(DataError) as caught:
        SIDTable(np.asarray(codes), (4, 4))
    assert value in str(caught.value)


def test_save_and_load(tmp_path: Path) -> None:
    table = SIDTable(sids_of(9).codes, (6, 7, 8), collision_level=2, codebooks="abc")
    table.save(tmp_path, [f"i{item}" for item in range(9)])
    again = SIDTable.load(tmp_path)
    assert (again.codes == table.codes).all()
    assert again.facts() == table.facts()


def test_a_table_of_other_codes_is_refused(tmp_path: Path) -> None:
    sids_of(9).save(tmp_path, list("abcdefghi"))
    facts = json.loads((tmp_path / LAYOUT_FILE).read_text(encoding="utf-8"))
    (tmp_path / LAYOUT_FILE).write_text(json.dumps(facts | {"table": "0123"}), encoding="utf-8")
    with pytest.raises(ArtifactError, match="expected table 0123"):
        SIDTable.load(tmp_path)
    (tmp_path / TABLE_FILE).unlink()
    with pytest.raises(ArtifactError, match="no file"):
        SIDTable.load(tmp_path)


def test_streams_are_kept_beside_the_codes(tmp_path: Path) -> None:
    table = sids_of(9).with_streams({"text": stream_of(9), "image": Stream(np.zeros((9, 1), int), (2,))})
    table.save(tmp_path, [f"i{item}" for item in range(9)])
    again = SIDTable.load(tmp_path)
    assert list(again.streams) == ["text", "image"]
    for name, stream in table.streams.items():
        assert (again.streams[name].codes == stream.codes).all()
        assert again.streams[name].sizes == stream.sizes
    assert (again.codes == table.codes).all()
    assert again.layout == table.layout != sids_of(9).layout
    turned = table.with_streams(table.streams | {"image": Stream(np.ones((9, 1), int), (2,))})
    assert (turned.layout == table.layout, turned.table == table.table) == (True, False)
    assert table.with_items(table.codes[:1]).streams == {}, "theirs are told anew"


def test_tokens_of_a_stream() -> None:
    stream = Stream(np.array([[1, 2], [-1, -1]]), (3, 4))
    assert stream.tokens.tolist() == [[1, 5], [-1, -1]]
    assert stream.num_tokens == 7
    with pytest.raises(DataError, match="got -2"):
        Stream(np.array([[-2]]), (3,))


def test_codes_that_say_what_an_item_is_like() -> None:
    table = SIDTable(sids_of(9).codes, sids_of(9).sizes, collision_level=1)
    assert (table.content_codes.codes == table.codes[:, [0, 2]]).all()
    assert table.content_codes.sizes == (table.sizes[0], table.sizes[2])
    assert (sids_of(9).content_codes.codes == sids_of(9).codes).all()
    content = Stream(table.codes[:, :1], table.sizes[:1])
    assert table.with_streams({"content": content}).content_codes.sizes == content.sizes
