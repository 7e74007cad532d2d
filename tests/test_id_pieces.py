"""Pieces of IDs: the unigram model against enumeration, the files of a bundle, and the ranker of examples/ that reads them."""

from __future__ import annotations

import json
import runpy
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_bundle import GENERATORS, TINY

import genrec
from genrec.core.sids import SIDTable
from genrec.recommender.id_pieces import IDPieces, _hashed_runs, _Lattice, write_pieces

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "ranker_on_pieces.py"
SIZES = (5, 5, 6, 6)
RNG = np.random.default_rng(0)
CODES = np.stack([RNG.integers(0, size, 60) for size in SIZES], axis=1)
CODES[:40, 1] = CODES[:40, 0]  # pairs that are worth a piece
COUNTS = RNG.integers(0, 4, 60)
ROWS = 50


def divisions(pieces: IDPieces, word: list[int]) -> dict[tuple[int, ...], float]:
    """All ways to write a word, with their log-probabilities."""
    rows = {span: int(row[0]) for span, row in pieces.number_parts(np.array([word])).items()}
    ways = {}
    for num_cuts in range(len(word)):
        for cuts in combinations(range(1, len(word)), num_cuts):
            ends = (0, *cuts, len(word))
            way = tuple(rows[span] for span in pairwise(ends))
            if -1 not in way:
                ways[way] = float(pieces.log_probs[list(way)].sum())
    return ways


def test_divisions_against_enumeration() -> None:
    pieces = IDPieces.fit(CODES, SIZES, COUNTS, ROWS)
    assert pieces.num_rows == ROWS
    assert {end - start for start, end in pieces.piece_spans} >= {2, 3}
    assert np.exp(pieces.log_probs).sum() == pytest.approx(1.0, abs=0.2)  # what the last pruning took is missing
    expected = np.zeros(pieces.num_rows)
    for word, count, written in zip(CODES.tolist(), COUNTS.tolist(), pieces.encode(CODES), strict=True):
        ways = divisions(pieces, word)
        assert ways[tuple(written)] == pytest.approx(max(ways.values()))
        total = sum(map(np.exp, ways.values()))
        for way, log_prob in ways.items():
            expected[list(way)] += count * np.exp(log_prob) / total
    lattice = _Lattice(pieces.number_parts(CODES), len(SIZES))
    assert np.allclose(lattice.expect(pieces.log_probs, COUNTS), expected)


def test_a_popular_id_is_one_piece_and_a_rare_one_shares_its_pieces() -> None:
    codes = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3], [1, 1, 3]])
    pieces = IDPieces.fit(codes, (2, 2, 4), np.array([50, 1, 1, 1, 0]), 10)
    assert pieces.longer == ((0, (0, 0)), (0, (0, 0, 0)))
    assert pieces.encode(codes) == [[9], [8, 5], [8, 6], [8, 7], [1, 3, 7]]


def test_the_order_of_items_changes_nothing() -> None:
    pieces = IDPieces.fit(CODES, SIZES, COUNTS, ROWS)
    order = RNG.permutation(len(CODES))
    again = IDPieces.fit(CODES[order], SIZES, COUNTS[order], ROWS)
    assert again.longer == pieces.longer
    assert np.allclose(again.log_probs, pieces.log_probs)


def test_hashed_runs() -> None:
    """Rows that a program of somebody else computes likewise: published, so they stay."""
    tokens = np.array([[0, 3, 7], [0, 3, 8]])
    value = 14695981039346656037
    for token in (0, 3):
        value = (value ^ token) * 1099511628211 % 2**64
    (first, second, third), (*same, other) = _hashed_runs(tokens, 1000, prefixes=True)
    assert second == (value ^ value >> 32) % 1000
    assert [first, second] == same
    assert third != other
    assert [len(row) for row in _hashed_runs(tokens, 1000, prefixes=False)] == [2, 2]


def test_the_files_and_the_ranker_that_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever took an item of a first code goes on with that code, which codes can learn of a new item too."""
    item_ids = pl.Series([f"i{item}" for item in range(len(CODES))])
    (tmp_path / "bundle").mkdir()
    write_pieces(SIDTable(CODES, SIZES), item_ids, COUNTS, ROWS, tmp_path / "bundle" / "pieces")
    table = pl.read_parquet(tmp_path / "bundle" / "pieces" / "pieces.parquet")
    vocabulary = json.loads((tmp_path / "bundle" / "pieces" / "vocabulary.json").read_text(encoding="utf-8"))
    assert table["item_id"].equals(item_ids, check_names=False)
    assert vocabulary["columns"] == {"codes": 22, "bigrams": ROWS, "prefixes": ROWS, "pieces": ROWS}
    assert table["codes"].to_list() == (CODES + np.array([0, 5, 10, 16])).tolist()
    assert table["pieces"].to_list() == IDPieces.load(tmp_path / "bundle" / "pieces").encode(CODES)
    assert vocabulary["pieces_per_training_event"] < vocabulary["pieces_per_item"] < 4

    rng = np.random.default_rng(1)
    alike = [np.flatnonzero(CODES[:, 0] == user % 5) for user in range(150)]
    new = alike[0][0]
    rows = [(f"u{user}", f"i{item}") for user in range(150) for item in rng.choice(np.setdiff1d(alike[user], [new]), 6)]
    rows += [("u0", f"i{new}"), ("u5", f"i{new}"), ("u10", f"i{new}")]
    pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").write_csv(tmp_path / "events.csv")
    settings = ["--features", "ids", "codes+pieces", "--epochs", "60", "--seeds", "1", "--dim", "8"]
    runpy.run_path(str(EXAMPLE))["main"]([str(tmp_path / "bundle"), str(tmp_path / "events.csv"), *settings])
    header, *lines = (line.split("  |  ") for line in capsys.readouterr().out.splitlines())
    assert (header[:2], header[-1]) == (["feature", "all (150)"], "new (3)")
    (ids, *by_ids), (pieces, *by_pieces) = lines
    assert (ids, pieces) == ("ids", "codes+pieces")
    assert float(by_pieces[0].split()[0]) > 0.7
    assert float(by_pieces[3].split()[0]) > float(by_ids[3].split()[0]) + 0.1


@pytest.mark.slow
def test_a_bundle_has_the_pieces_of_its_ids(tmp_path: Path) -> None:
    settings = [*TINY, *GENERATORS["encdec"], "generator=encdec", f"paths.runs={tmp_path}", "name=tiny", "export.pieces=30"]
    run = genrec.run(until="export", quiet=True, overrides=settings)
    table = pl.read_parquet(run.path / "bundle" / "pieces" / "pieces.parquet")
    recommender = genrec.load(run.path / "bundle")
    assert recommender.sids is not None
    assert table["item_id"].to_list() == recommender.sids["item_id"].to_list()
    codes = recommender.sids.select("code_0", "code_1", "code_2").to_numpy()
    assert table["codes"].to_list() == (codes + np.array([0, 8, 16])).tolist()
    assert table["pieces"].to_list() == IDPieces.load(run.path / "bundle" / "pieces").encode(codes)
