"""rq_kmeans on catalogues that do not fit: seconds to fit, items encoded a second, memory, and whether the codes are exact.

    python tools/benchmarks/million_items.py [--fit 250000,500000,1000000] [--encode 1000000] [--dim 384] [--codes 1024]

Vectors lie in a file and are mapped from it. They are what embeddings look like to k-means: a mixture of clusters of clusters
with a decaying spectrum, not white noise (which every codebook serves equally badly). Each size runs in a process of its own,
so that its peak memory is its own; ``anonymous`` is what the process allocated, ``resident`` counts mapped pages of the file,
too. The codes of a sample of items are compared with a loop in float64 that follows the same chain.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

CHUNK, LEVELS, CHECKED = 1 << 16, 3, 2000


def write_vectors(path: Path, rows: int, dim: int) -> None:
    """``rows`` unit vectors; the first of them are the same whatever ``rows``."""
    scale = np.arange(1, dim + 1) ** -0.5
    fixed = np.random.default_rng(0)
    coarse, fine = fixed.standard_normal((200, dim)) * scale, fixed.standard_normal((20_000, dim)) * scale * 0.7
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, dim))
    for start in range(0, rows, CHUNK):
        random = np.random.default_rng(start + 1)
        count = min(CHUNK, rows - start)
        cluster = random.integers(len(fine), size=count)
        noise = random.standard_normal((count, dim), dtype=np.float32) * (0.5 * scale).astype(np.float32)
        chunk = coarse[cluster % len(coarse)] + fine[cluster] + noise
        target[start : start + count] = chunk / np.linalg.norm(chunk, axis=1, keepdims=True)


class PeakMemory:
    """The largest anonymous and resident memory, in GiB, while the block runs."""

    def __enter__(self) -> PeakMemory:
        self.anonymous = self.resident = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
            self.anonymous = max(self.anonymous, int(status["RssAnon"].split()[0]) / 2**20)
            self.resident = max(self.resident, int(status["VmRSS"].split()[0]) / 2**20)


def one_size(path: Path, fit_rows: int, encode_rows: int, codes: int) -> dict[str, float]:
    """Runs in a process of its own."""
    from genrec.protocols import TokenizerInputs
    from genrec.tokenizers.rq_kmeans import RQKMeans

    vectors = np.load(path, mmap_mode="c")

    def inputs(rows: int) -> TokenizerInputs:
        return TokenizerInputs({"item": vectors[:rows]}, pl.DataFrame({"item_id": pl.arange(rows, eager=True).cast(pl.String)}))

    tokenizer = RQKMeans(num_levels=LEVELS, codebook_size=codes)
    figures: dict[str, float] = {"items": fit_rows}
    with PeakMemory() as memory:
        start = time.perf_counter()
        tokenizer.fit(inputs(fit_rows))
        figures["fit_seconds"] = time.perf_counter() - start
    figures |= {"fit_anonymous_gib": memory.anonymous, "fit_resident_gib": memory.resident}
    if encode_rows:
        everything = inputs(encode_rows)
        with PeakMemory() as memory:
            start = time.perf_counter()
            encoded = tokenizer.encode(everything)
            seconds = time.perf_counter() - start
        figures |= {"encoded": encode_rows, "encoded_per_second": encode_rows / seconds}
        figures |= {"encode_anonymous_gib": memory.anonymous, "encode_resident_gib": memory.resident}
        rows = np.sort(np.random.default_rng(0).choice(encode_rows, CHECKED, replace=False))
        residual = vectors[rows].astype(np.float64) - tokenizer._center.double().numpy()
        exact = np.ones(len(rows), dtype=bool)
        for level, codebook in enumerate(table.double().numpy() for table in tokenizer.codebooks):
            distance = np.square(residual).sum(1, keepdims=True) - 2 * residual @ codebook.T + np.square(codebook).sum(1)
            chosen = distance[np.arange(len(rows)), encoded[rows, level]]
            exact &= chosen <= distance.min(1) + 1e-5  # float32 distances of unit vectors are right to 1e-6
            residual -= codebook[encoded[rows, level]]
            residual /= np.linalg.norm(residual, axis=1, keepdims=True)
        figures["exact_rate"] = float(exact.mean())
        figures["used"] = float(np.mean([len(np.unique(column)) / codes for column in encoded.T]))
        figures["distinct_ids"] = len(np.unique(encoded @ np.array([codes**2, codes, 1]))) / encode_rows
        outcome = tokenizer.reconstruct(encoded[rows])
        figures["error_left"] = float(
            np.square(vectors[rows] - outcome).sum() / np.square(vectors[rows] - vectors[rows].mean(0)).sum()
        )
    return figures


def main() -> None:
    """Prints one JSON object a size, then how the seconds grow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", default="250000,500000,1000000", help="catalogue sizes to fit, ascending")
    parser.add_argument("--encode", type=int, default=1_000_000, help="items to encode with the last of them")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--codes", type=int, default=1024)
    parser.add_argument("--folder", type=Path, default=None, help="where the vectors are written (and removed)")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_size(Path(options.one[0]), int(options.one[1]), int(options.one[2]), options.codes)))
        return
    sizes = [int(size) for size in options.fit.split(",")]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "vectors.npy"
        write_vectors(path, max(*sizes, options.encode), options.dim)
        print(f"{options.dim} dimensions, {LEVELS} x {options.codes} codes, {os.cpu_count()} cores")
        fitted = []
        for size in sizes:
            command = [sys.executable, __file__, "--codes", str(options.codes)]
            one = ["--one", str(path), str(size), str(options.encode if size == sizes[-1] else 0)]
            fitted.append(json.loads(subprocess.run([*command, *one], check=True, stdout=subprocess.PIPE).stdout))
            print(
                json.dumps({"load": round(os.getloadavg()[0], 1)} | {key: round(x, 3) for key, x in fitted[-1].items()}),
                flush=True,
            )
    growth = [
        f"{later['fit_seconds'] / first['fit_seconds']:.2f} x the seconds for {later['items'] / first['items']:.1f} x the items"
        for first, later in pairwise(fitted)
    ]
    print("; ".join(growth) or "one size only")


if __name__ == "__main__":
    main()
