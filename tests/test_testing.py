"""The public contract suites: a textbook quantizer of somebody else passes, one that breaks a promise does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITE = """
from genrec.testing import TokenizerContract
from quantizer import {name}


class TestIt(TokenizerContract):
    component = {name}
"""
QUANTIZER = '''
import json
from pathlib import Path
from typing import ClassVar

import numpy as np

from genrec.errors import DataError
from genrec.protocols import TokenizerInputs, Traits


class PQ:
    """Product quantization (Jegou et al. 2011): the vector cut into blocks, k-means in each."""

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=False, reconstructs=True)

    def __init__(self, *, num_levels: int = 4, codebook_size: int = 16, rounds: int = 25) -> None:
        self.num_levels, self.codebook_size, self.rounds = num_levels, codebook_size, rounds

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        random, vectors = np.random.default_rng(0), self._vectors(inputs)
        self.mean, self.books = vectors.mean(axis=0), []
        for block in np.array_split(vectors - self.mean, self.num_levels, axis=1):
            book = block[random.choice(len(block), self.codebook_size, replace=len(block) < self.codebook_size)].copy()
            for _ in range(self.rounds):
                nearest = self._distances(block, book).argmin(axis=1)
                for code in np.unique(nearest):
                    book[code] = block[nearest == code].mean(axis=0)
            self.books.append(book)

    def encode(self, inputs: TokenizerInputs) -> np.ndarray:
        blocks = np.array_split(self._vectors(inputs) - self.mean, self.num_levels, axis=1)
        pairs = zip(blocks, self.books, strict=True)
        return np.stack([self._distances(block, book).argmin(axis=1) for block, book in pairs], axis=1)

    def reconstruct(self, codes: np.ndarray) -> np.ndarray:
        blocks = [np.zeros((len(codes), book.shape[1])) for book in self.books]
        for level in range(codes.shape[1]):
            blocks[level] = self.books[level][codes[:, level]]
        return np.concatenate(blocks, axis=1) + self.mean

    def save(self, folder: Path) -> None:
        state = {"mean": self.mean.tolist(), "books": [book.tolist() for book in self.books]}
        (folder / "pq.json").write_text(json.dumps(state), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        state = json.loads((folder / "pq.json").read_text(encoding="utf-8"))
        self.mean, self.books = np.array(state["mean"]), [np.array(book) for book in state["books"]]

    @staticmethod
    def _distances(block: np.ndarray, book: np.ndarray) -> np.ndarray:
        return np.square(block[:, None] - book[None]).sum(axis=-1)

    @staticmethod
    def _vectors(inputs: TokenizerInputs) -> np.ndarray:
        vectors = inputs.embeddings["item"].astype(np.float64)
        if not np.isfinite(vectors).all():
            item, dim = np.argwhere(~np.isfinite(vectors))[0]
            where = f"vector of {inputs.items['item_id'][int(item)]}, dimension {dim}"
            raise DataError(where, expected="finite numbers", got=float(vectors[item, dim]), fix="check the encoder")
        return vectors
'''
LIAR = (
    QUANTIZER
    + """

class Liar(PQ):
    def restore(self, folder: Path) -> None:
        super().restore(folder)
        self.books = self.books[::-1]
"""
)


def run_suite(folder: Path, source: str, name: str) -> subprocess.CompletedProcess[str]:
    (folder / "quantizer.py").write_text(source, encoding="utf-8")
    (folder / "test_it.py").write_text(SUITE.format(name=name), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "test_it.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_textbook_product_quantizer_passes_all_that_applies(tmp_path: Path) -> None:
    done = run_suite(tmp_path, QUANTIZER, "PQ")
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_a_broken_promise_fails(tmp_path: Path) -> None:
    done = run_suite(tmp_path, LIAR, "Liar")
    assert done.returncode == 1, done.stdout
    assert "test_restored_tokenizer_is_equal" in done.stdout


def test_without_pytest_it_is_one_line() -> None:
    code = "import sys; sys.modules['pytest'] = None; import genrec.testing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert (
        last == "ImportError: genrec.testing: expected the package pytest, got no such package; install it: pip install pytest"
    )
