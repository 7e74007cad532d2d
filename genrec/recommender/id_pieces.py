"""Pieces of semantic IDs, as features for a ranker of one's own (arXiv 2306.08121; see docs/methods/id_pieces.md).

A symbol is one code at one level, an item's ID a word of as many symbols as there are levels. A unigram model of pieces (runs
of symbols) is fitted on the words, each counted as often as its item was taken in training: popular IDs become one piece, which
a ranker can learn by heart, and rare ones stay a few pieces that they share with others. An item's feature is the sum of its
pieces' rows in a table of the ranker.

The model is ours and not that of ``tokenizers``, whose trainer gave another vocabulary in each process: here the same counts
give the same pieces. Symbols know their level, so all ways to divide an ID are computed for all IDs at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from genrec.core.sids import SIDTable
from genrec.errors import ConfigError
from genrec.types import ITEM_ID

FOLDER, PIECES_FILE, VOCABULARY_FILE = "pieces", "pieces.parquet", "vocabulary.json"
MIN_COUNT = 2  # training events of a longer piece
ROUNDS = 2  # of expectation and maximization between two prunings
SURVIVING = 0.75  # share of the longer pieces that a pruning leaves
RARE = 0.01  # expected count of a symbol at least, so that IDs without events have pieces too
NONE = -1

Span = tuple[int, int]


@dataclass(frozen=True)
class IDPieces:
    """A vocabulary of pieces with their probabilities.

    Args:
        sizes: codes of each level.
        longer: pieces of several symbols: the level that each begins at, and its codes. Row ``num_symbols + i`` of a ranker's
            table is ``longer[i]``; the rows before are the symbols, level by level.
        log_probs: [rows] of the pieces.
    """

    sizes: tuple[int, ...]
    longer: tuple[tuple[int, tuple[int, ...]], ...]
    log_probs: Float[np.ndarray, " rows"]

    @property
    def num_symbols(self) -> int:
        return sum(self.sizes)

    @property
    def num_rows(self) -> int:
        return self.num_symbols + len(self.longer)

    @classmethod
    def fit(cls, codes: Int[np.ndarray, "items levels"], sizes: Sequence[int], counts: np.ndarray, num_rows: int) -> IDPieces:
        """Fits a vocabulary.

        Args:
            codes: of the items.
            sizes: codes of each level.
            counts: [items] training events.
            num_rows: pieces at most; where the IDs have fewer that were taken twice, there are fewer.

        Raises:
            ConfigError: where there are fewer rows than symbols.
        """
        sizes = tuple(int(size) for size in sizes)
        if num_rows < sum(sizes):
            expected = f"at least {sum(sizes)}, a row for each code of each level"
            raise ConfigError("export.pieces", expected=expected, got=num_rows, fix="raise it")
        words, word = np.unique(codes, axis=0, return_inverse=True)
        weights = np.bincount(word.ravel(), counts, minlength=len(words))
        longer: list[tuple[int, tuple[int, ...]]] = []
        examples = []  # of each longer piece, a word that has it
        for start, end in _spans(len(sizes)):
            if end - start > 1:
                parts, first, part = np.unique(words[:, start:end], axis=0, return_index=True, return_inverse=True)
                frequent = np.bincount(part.ravel(), weights, minlength=len(parts)) >= MIN_COUNT
                longer += [(start, tuple(piece)) for piece in parts[frequent].tolist()]
                examples.append(first[frequent])
        pieces = cls(sizes, tuple(longer), np.zeros(sum(sizes) + len(longer)))
        lattice = _Lattice(pieces.number_parts(words), len(sizes))
        log_probs = lattice.maximize(lattice.initial(weights, pieces.num_rows), pieces.num_symbols)
        example = np.concatenate([np.zeros(pieces.num_symbols, dtype=np.int64), *examples])
        while True:
            for _ in range(ROUNDS):
                expected_counts = lattice.expect(log_probs, weights)
                log_probs = lattice.maximize(expected_counts, pieces.num_symbols)
            alive = np.flatnonzero(np.isfinite(log_probs[pieces.num_symbols :])) + pieces.num_symbols
            surplus = len(alive) - (num_rows - pieces.num_symbols)
            if surplus <= 0:
                break
            worth = expected_counts[alive] * lattice.gains(log_probs, pieces.piece_spans, example)[alive]
            least = np.argsort(worth, kind="stable")[: min(surplus, max(1, round(len(alive) * (1 - SURVIVING))))]
            log_probs[alive[least]] = -np.inf
        finite = np.isfinite(log_probs)
        survivors = tuple(piece for piece, alive_piece in zip(longer, finite[pieces.num_symbols :], strict=True) if alive_piece)
        return cls(sizes, survivors, log_probs[finite])

    def encode(self, codes: Int[np.ndarray, "items levels"]) -> list[list[int]]:
        """Returns the pieces of each ID in order: of all ways to divide it, the likeliest."""
        words, word = np.unique(codes, axis=0, return_inverse=True)
        divided = _Lattice(self.number_parts(words), len(self.sizes)).divide(self.log_probs)
        return [divided[row] for row in word.ravel().tolist()]

    def number_parts(self, words: Int[np.ndarray, "words levels"]) -> dict[Span, Int[np.ndarray, " words"]]:
        """Returns of each part of each word its row, or ``NONE`` where it is no piece."""
        offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        parts: dict[Span, np.ndarray] = {}
        for start, end in _spans(len(self.sizes)):
            if end - start == 1:
                parts[start, end] = words[:, start] + offsets[start]
                continue
            rows = self._rows_of_span.get((start, end), np.empty(0, dtype=np.int64))
            pieces = np.array([self.longer[row - self.num_symbols][1] for row in rows], dtype=words.dtype)
            both = np.concatenate([pieces.reshape(-1, end - start), words[:, start:end]])
            _, number = np.unique(both, axis=0, return_inverse=True)
            number = number.ravel()
            row_of = np.full(number.max() + 1, NONE)
            row_of[number[: len(rows)]] = rows
            parts[start, end] = row_of[number[len(rows) :]]
        return parts

    @cached_property
    def piece_spans(self) -> list[Span]:
        """Returns the levels of the longer pieces: the first, and the one after the last."""
        return [(start, start + len(codes)) for start, codes in self.longer]

    @cached_property
    def _rows_of_span(self) -> dict[Span, Int[np.ndarray, " rows"]]:
        rows: dict[Span, list[int]] = {}
        for row, span in enumerate(self.piece_spans, self.num_symbols):
            rows.setdefault(span, []).append(row)
        return {span: np.array(numbers) for span, numbers in rows.items()}

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Writes ``vocabulary.json``."""
        vocabulary = {
            "sizes": list(self.sizes),
            "rows": self.num_rows,
            **facts,
            "longer": [[start, list(codes)] for start, codes in self.longer],
            "log_probs": [round(float(value), 6) for value in self.log_probs],
        }
        (folder / VOCABULARY_FILE).write_text(json.dumps(vocabulary), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> IDPieces:
        """Reads the vocabulary of a bundle's ``pieces`` folder, to encode items that came later."""
        vocabulary = json.loads((folder / VOCABULARY_FILE).read_text(encoding="utf-8"))
        longer = tuple((start, tuple(codes)) for start, codes in vocabulary["longer"])
        return cls(tuple(vocabulary["sizes"]), longer, np.array(vocabulary["log_probs"]))


class _Lattice:
    """All ways to divide some words into pieces.

    Args:
        parts: of each span, the row of each word's part, or ``NONE``.
        num_levels: symbols of a word.
    """

    def __init__(self, parts: Mapping[Span, Int[np.ndarray, " words"]], num_levels: int) -> None:
        self.parts, self.num_levels = parts, num_levels
        self.num_words = len(parts[0, 1])

    def initial(self, weights: np.ndarray, num_rows: int) -> Float[np.ndarray, " rows"]:
        """Returns how often each piece stands anywhere."""
        return sum((self._count(rows, weights, num_rows) for rows in self.parts.values()), np.zeros(num_rows))

    def expect(self, log_probs: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, " rows"]:
        """Returns how often each piece is expected in the divisions of all words."""
        scores = np.append(log_probs, -np.inf)  # row NONE
        ahead, behind = ([np.full(self.num_words, -np.inf) for _ in range(self.num_levels + 1)] for _ in range(2))
        ahead[0][:] = behind[-1][:] = 0.0
        for start, end in sorted(self.parts, key=lambda span: span[1]):
            ahead[end] = np.logaddexp(ahead[end], ahead[start] + scores[self.parts[start, end]])
        for start, end in sorted(self.parts, key=lambda span: -span[0]):
            behind[start] = np.logaddexp(behind[start], behind[end] + scores[self.parts[start, end]])
        expected = np.zeros(len(log_probs))
        for (start, end), rows in self.parts.items():
            shares = np.exp(ahead[start] + scores[rows] + behind[end] - ahead[-1])
            expected += self._count(rows, weights * shares, len(log_probs))
        return expected

    @staticmethod
    def maximize(expected: Float[np.ndarray, " rows"], num_symbols: int) -> Float[np.ndarray, " rows"]:
        """Returns log-probabilities in proportion to expected counts; a longer piece that is never expected is dropped."""
        counts = expected.copy()
        counts[:num_symbols] = np.maximum(counts[:num_symbols], RARE)
        with np.errstate(divide="ignore"):
            return np.log(counts) - np.log(counts.sum())

    def gains(self, log_probs: np.ndarray, spans: Sequence[Span], example: np.ndarray) -> Float[np.ndarray, " rows"]:
        """Returns what a use of each longer piece gains over the best way to write the same with others."""
        scores = np.append(log_probs, -np.inf)
        best: dict[Span, np.ndarray] = {}
        divided: dict[Span, np.ndarray] = {}
        for start, end in self.parts:  # short spans come first
            alone = scores[self.parts[start, end]]
            if end - start > 1:
                ways = [best[start, middle] + best[middle, end] for middle in range(start + 1, end)]
                divided[start, end] = np.max(ways, axis=0)
                alone = np.maximum(alone, divided[start, end])
            best[start, end] = alone
        num_symbols = len(log_probs) - len(spans)
        others = np.array([divided[span][word] for span, word in zip(spans, example[num_symbols:].tolist(), strict=True)])
        return np.concatenate([np.zeros(num_symbols), log_probs[num_symbols:] - others])

    def divide(self, log_probs: np.ndarray) -> list[list[int]]:
        """Returns the rows of each word's likeliest division; of equals the one with the longest last piece."""
        scores = np.append(log_probs, -np.inf)
        best = np.full((self.num_words, self.num_levels + 1), -np.inf)
        before = np.zeros((self.num_words, self.num_levels + 1), dtype=np.int64)
        row = np.full((self.num_words, self.num_levels + 1), NONE)
        best[:, 0] = 0.0
        for start, end in sorted(self.parts, key=lambda span: (span[1], span[0])):
            score = best[:, start] + scores[self.parts[start, end]]
            better = score > best[:, end]
            best[better, end], before[better, end] = score[better], start
            row[better, end] = self.parts[start, end][better]
        words: list[list[int]] = []
        for rows, starts in zip(row.tolist(), before.tolist(), strict=True):
            pieces, end = [], self.num_levels
            while end:
                pieces.append(rows[end])
                end = starts[end]
            words.append(pieces[::-1])
        return words

    @staticmethod
    def _count(rows: np.ndarray, weights: np.ndarray, num_rows: int) -> np.ndarray:
        return np.bincount(rows + 1, weights, minlength=num_rows + 1)[1:]  # without NONE


def write_pieces(sids: SIDTable, item_ids: pl.Series, counts: np.ndarray, num_rows: int, folder: Path) -> IDPieces:
    """Writes ``pieces.parquet`` and ``vocabulary.json``.

    The table has a row an item: ``item_id``; ``codes``, a number for each code of each level; ``bigrams`` and ``prefixes``,
    hashed to ``num_rows``; and ``pieces``. The number that tells colliding items apart is no symbol, because it says nothing of
    an item.

    Args:
        sids: the IDs.
        item_ids: of the rows of the table.
        counts: [items] training events.
        num_rows: of the table of pieces.
        folder: gets the files.

    Raises:
        ConfigError: where there are fewer rows than codes.
    """
    codes, sizes = sids.content_codes.codes, sids.content_codes.sizes
    pieces = IDPieces.fit(codes, sizes, counts, num_rows)
    divided = pieces.encode(codes)
    tokens = sids.content_codes.tokens
    folder.mkdir()
    columns = {
        ITEM_ID: item_ids,
        "codes": pl.Series(tokens.tolist(), dtype=pl.List(pl.Int32)),
        "bigrams": pl.Series(_hashed_runs(tokens, num_rows, prefixes=False), dtype=pl.List(pl.Int32)),
        "prefixes": pl.Series(_hashed_runs(tokens, num_rows, prefixes=True), dtype=pl.List(pl.Int32)),
        "pieces": pl.Series(divided, dtype=pl.List(pl.Int32)),
    }
    pl.DataFrame(columns).write_parquet(folder / PIECES_FILE)
    lengths = np.array([len(rows) for rows in divided])
    facts = {
        "columns": {
            "codes": sum(sizes),
            "bigrams": num_rows,
            "prefixes": num_rows,
            "pieces": pieces.num_rows,
        },
        "whole_id_rate": round(float((lengths == 1).mean()), 6),  # such an item's feature is a row of its own
        "pieces_per_item": round(float(lengths.mean()), 6),
        "pieces_per_training_event": round(float(np.average(lengths, weights=counts)), 6) if counts.sum() else None,
    }
    pieces.save(folder, facts)
    return pieces


def _spans(num_levels: int) -> list[Span]:
    """Returns the parts of a word, short ones first."""
    return sorted(combinations(range(num_levels + 1), 2), key=lambda span: (span[1] - span[0], span[0]))


def _hashed_runs(tokens: Int[np.ndarray, "items levels"], num_rows: int, *, prefixes: bool) -> list[list[int]]:
    """Returns a row for each prefix, or for each pair of neighbours: FNV-1a over the tokens, folded, modulo the rows."""
    num_levels = tokens.shape[1]
    spans = [(0, end) for end in range(1, num_levels + 1)] if prefixes else [(at, at + 2) for at in range(num_levels - 1)]
    columns = []
    for start, end in spans:
        value = np.full(len(tokens), 14695981039346656037, dtype=np.uint64)
        for column in tokens[:, start:end].T.astype(np.uint64):
            value = (value ^ column) * np.uint64(1099511628211)
        columns.append((value ^ (value >> np.uint64(32))) % np.uint64(num_rows))
    return np.stack(columns, axis=1).astype(np.int64).tolist() if columns else [[] for _ in tokens]
