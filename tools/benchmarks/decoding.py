"""Constrained decoding: ours against what others do, in users a second.

    python tools/benchmarks/decoding.py [--quick] [--threads 2] [--out FOLDER]

Four ways to decode a T5 (``tiger``'s architecture: 4+4 layers, dim 128), all with the SAME weights where it says so:

    trie      ours: ``trie_beam`` on the flat trie
    generate  transformers' ``generate`` with ``prefix_allowed_tokens_fn`` over a trie of Python dictionaries
    scan      our beam search, but every candidate prefix is checked against the whole table of IDs
    cornac    cornac's TIGER of the same size, in its own environment (``make peers``), with weights of its own

and ``encdec`` decoded by ours: the whole system, ours against theirs. Each rival runs at its best batch size of those tried.
The weights are as initialized: none of these methods looks at what they are, and a peaked distribution would cost none of them
less. Then what a filter costs that leaves 1 % of the catalogue (its lists are checked against ``exhaustive``), and the time to
decode one user with ``encdec`` against the size of the catalogue: as shipped (what is decided costs no step, so that small
catalogues are cheaper), with every step taken for every beam (normalization over the codebook), and by the scan.

Rows are printed as they are measured; the last line holds the ratios. With ``--out`` they are also written there, with a plot.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.trie_beam import TrieBeam
from genrec.generators.encdec import EncDec
from genrec.generators.tiger import Tiger
from genrec.protocols import DecodingRequest
from genrec.reports.charts import curve_chart
from genrec.reports.page import render, section

HISTORY, K, SEED = 9, 10, 0  # items of a history (the median of Beauty is 6, the mean 8.9), items wanted
ROOT = Path(__file__).resolve().parents[2]
CORNAC = ROOT / ".venv-cornac" / "bin" / "python"


def catalogue(num_items: int, size: int = 256) -> SIDTable:
    """Three skewed levels and a number that tells items apart: what residual k-means and ``append_level`` give."""
    codes = (np.random.default_rng(SEED).random((num_items, 3)) ** 1.5 * size).astype(np.int64)
    key = (codes[:, 0] * size + codes[:, 1]) * size + codes[:, 2]
    order = np.argsort(key, kind="stable")
    opens = np.append(True, key[order][1:] != key[order][:-1])
    place = np.arange(num_items)
    number = np.empty(num_items, np.int64)
    number[order] = place - np.maximum.accumulate(np.where(opens, place, 0))
    return SIDTable(np.column_stack([codes, number]), (size, size, size, int(number.max()) + 1))


def histories(num_items: int, users: int) -> Batch:
    items = np.random.default_rng(SEED + 1).integers(0, num_items, (users, HISTORY))
    return Batch(torch.from_numpy(items), torch.full((users,), HISTORY))


class ScannedTrie:
    """The trie's interface, answered by comparing prefixes with every row of the table; nodes are prefixes' own numbers.

    Only what ``search`` asks for; nodes have the numbers of the trie it stands for, so that the answers can be compared.
    """

    def __init__(self, trie: PrefixTrie, table: SIDTable) -> None:
        self._trie, self._codes = trie, torch.from_numpy(table.codes).long()
        self._paths = trie.paths(torch.arange(table.num_items))  # [items, depths]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trie, name)

    def children(self, nodes: torch.Tensor, level: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Every code of the level is a candidate of every prefix; real where some item has that prefix and code."""
        size = self.sizes[level]
        child = torch.zeros(*nodes.shape, size, dtype=torch.long)
        for user, row in enumerate(nodes):
            below = self._paths[:, level] == row.unsqueeze(1)  # [beams, items]: the check against the whole table
            beam, item = below.nonzero(as_tuple=True)
            child[user, beam, self._codes[item, level]] = self._paths[item, level + 1]
        return child, torch.arange(size).expand_as(child), child > 0


def users_per_second(decode: Callable[[Batch], Any], batch: Batch, batch_size: int, seconds: float) -> float:
    """Decodes batches until the time is over (at least one, after one that is not counted)."""
    parts = batch.split(batch_size)
    decode(parts[0])
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds or not done:
        part = parts[(done // batch_size) % len(parts)]
        decode(part)
        done += len(part)
    return done / spent


def generating(tiger: Tiger, table: SIDTable, num_beams: int) -> Callable[[Batch], torch.Tensor]:
    """transformers' own beam search over the same weights, constrained as its documentation says."""
    from transformers import T5ForConditionalGeneration

    config = tiger.t5.config
    config.decoder_start_token_id, config.tie_word_embeddings = tiger.start_token, True
    model: Any = T5ForConditionalGeneration(config)
    state = tiger.t5.state_dict()
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    model.eval()
    children: dict[tuple[int, ...], list[int]] = {}
    for row in (table.codes + table.level_offsets[:-1]).tolist():
        for depth in range(len(row)):
            family = children.setdefault(tuple(row[:depth]), [])
            if not family or row[depth] not in family:
                family.append(row[depth])

    def allowed(_: int, written: torch.Tensor) -> list[int]:
        return children.get(tuple(written[1:].tolist()), [tiger.pad_token])

    def decode(batch: Batch) -> torch.Tensor:
        tokens = tiger.tokens[batch.history].flatten(1)
        tokens = torch.cat([torch.full((len(batch), 1), tiger.start_token), tokens], dim=1)
        with torch.inference_mode():
            return model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                num_beams=num_beams,
                num_return_sequences=K,
                max_new_tokens=table.num_levels,
                min_new_tokens=table.num_levels,
                prefix_allowed_tokens_fn=allowed,
                do_sample=False,
            )

    return decode


def ways(table: SIDTable, num_beams: int, quick: bool) -> dict[str, tuple[Callable[[Batch], Any], Sequence[int]]]:
    trie = PrefixTrie.build(table)
    torch.manual_seed(SEED)
    tiger = Tiger(sids=table).eval()
    encdec = EncDec(sids=table, identity=False, dropout=0.0).eval()
    strategy = TrieBeam(num_beams=num_beams)
    scanned = ScannedTrie(trie, table)

    def ours(generator: Any, tree: Any) -> Callable[[Batch], Any]:
        return lambda batch: strategy.decode(generator, tree, DecodingRequest(batch, K))

    one = histories(table.num_items, 4)
    same = ours(tiger, trie)(one).items.equal(ours(tiger, scanned)(one).items)
    assert same, "the scan must give the trie's answer, or it measures something else"
    return {
        "encdec trie": (ours(encdec, trie), (64,) if quick else (1, 32, 64, 128)),
        "T5 trie": (ours(tiger, trie), (16,) if quick else (1, 8, 16, 32)),
        "T5 scan": (ours(tiger, scanned), (16,) if quick else (1, 8, 16, 32)),
        "T5 generate": (generating(tiger, table, num_beams), (1,) if quick else (1, 4, 16)),
    }


def beam_rates(table: SIDTable, seconds: float) -> Iterator[tuple[int, int, float]]:
    """(beams, batch, users a second) of ``encdec``."""
    trie = PrefixTrie.build(table)
    torch.manual_seed(SEED)
    encdec = EncDec(sids=table, identity=False, dropout=0.0).eval()
    for num_beams in (10, 50, 200):
        strategy = TrieBeam(num_beams=num_beams)
        for size in (1, 256):

            def decode(batch: Batch, strategy: TrieBeam = strategy) -> None:
                strategy.decode(encdec, trie, DecodingRequest(batch, K))

            yield num_beams, size, users_per_second(decode, histories(table.num_items, 256), size, seconds)


def filter_rates(table: SIDTable, num_beams: int, seconds: float) -> dict[str, float]:
    """Users a second of ``encdec`` without a filter, with one of 1 % for everybody, and with one of 1 % for each user."""
    trie, random = PrefixTrie.build(table), torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    encdec, strategy, batch_size = EncDec(sids=table, identity=False, dropout=0.0).eval(), TrieBeam(num_beams=num_beams), 64
    own = torch.rand(batch_size, table.num_items, generator=random) < 0.01
    filters = {"none": None, "shared": own[0], "own": own}
    few = histories(table.num_items, 8)
    for name, allowed in filters.items():
        request = DecodingRequest(few, K, allowed=own[:8] if name == "own" else allowed)
        exact, found = (way.decode(encdec, trie, request) for way in (Exhaustive(), TrieBeam(num_beams=table.num_items)))
        assert torch.allclose(exact.scores, found.scores, atol=1e-5), f"filter {name}: wide beams must be exact"

    def decode(allowed: torch.Tensor | None) -> Callable[[Batch], Any]:
        return lambda batch: strategy.decode(encdec, trie, DecodingRequest(batch, K, allowed=allowed))

    rates: dict[str, list[float]] = {name: [] for name in filters}
    for _ in range(3):  # side by side, so that a busy machine is busy for all
        for name, allowed in filters.items():
            rates[name].append(
                users_per_second(decode(allowed), histories(table.num_items, 4 * batch_size), batch_size, seconds)
            )
    return {name: float(np.median(values)) for name, values in rates.items()}


def cornac_users_per_second(num_items: int, num_beams: int, threads: int) -> float | None:
    """In the peers' environment; None where there is none."""
    if not CORNAC.exists():
        return None
    script = ROOT / "tools" / "peers" / "cornac_decoding.py"
    completed = subprocess.run(
        [str(CORNAC), str(script), str(num_items), str(num_beams), str(threads), str(HISTORY)], capture_output=True, text=True
    )
    if completed.returncode:
        raise SystemExit(f"cornac: {completed.stderr[-2000:]}")
    return float(json.loads(completed.stdout.splitlines()[-1])["users_per_second"])


@dataclass
class OneUser:
    """Decodes one user at a time with ``encdec`` over a catalogue of 1,024 codes a level, and knows what its trie costs.

    Args:
        num_items: size of the catalogue.
        way: "trie", "every step" (no beam is ever decided) or "scan" (every prefix against the whole table).
        num_beams: of the search.
    """

    num_items: int
    way: str
    num_beams: int

    def __post_init__(self) -> None:
        table = catalogue(self.num_items, 1024)
        start = time.perf_counter()
        trie: Any = PrefixTrie.build(table)
        built = time.perf_counter() - start
        size = trie.num_bytes / self.num_items
        with tempfile.TemporaryDirectory() as folder:
            trie.save(Path(folder))
            start = time.perf_counter()
            trie = PrefixTrie.load(Path(folder))  # mapped: the searches below read what they need
            loaded = time.perf_counter() - start
        torch.manual_seed(SEED)
        self.facts = {"build_seconds": built, "load_ms": loaded * 1e3, "bytes_per_item": size}
        self.encdec = EncDec(
            sids=table, identity=False, dropout=0.0, normalization="trie" if self.way == "trie" else "codebook"
        ).eval()
        self.trie = ScannedTrie(trie, table) if self.way == "scan" else trie
        self.users = histories(self.num_items, 40).split(1)
        self.strategy, self.milliseconds = TrieBeam(num_beams=self.num_beams), list[float]()

    def decode(self, user: int) -> None:
        """Decodes a user, and notes the time."""
        start = time.perf_counter()
        self.strategy.decode(self.encdec, self.trie, DecodingRequest(self.users[user], K))
        self.milliseconds.append((time.perf_counter() - start) * 1e3)


def growth(sizes: Sequence[int], num_beams: int) -> list[OneUser]:
    """Decodes users with every catalogue in turn, so that whatever else the machine does falls on all of them alike."""
    ways = ("trie", "every step", "scan")  # a scan is linear: a million items take ten times as long as 100,000
    all_of_them = [OneUser(size, way, num_beams) for size in sizes for way in ways if way != "scan" or size <= 100_000]
    for warm_up in (True, False):
        for user in range(5 if warm_up else 40):
            for one in all_of_them:
                one.decode(user)
        if warm_up:
            for one in all_of_them:
                one.milliseconds.clear()
    return all_of_them


def main() -> None:
    """Prints a row each, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one batch size each, small catalogues: under a minute on two cores"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--beams", type=int, default=50)
    parser.add_argument("--items", type=int, default=12_101)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []

    def tell(**row: Any) -> None:
        rows.append(row | {"threads": options.threads, "load": round(os.getloadavg()[0], 1)})
        print(json.dumps({key: round(x, 3) if isinstance(x, float) else x for key, x in rows[-1].items()}), flush=True)

    table, best = catalogue(options.items), {}
    for name, (decode, sizes) in ways(table, options.beams, options.quick).items():
        for size in sizes:
            rate = users_per_second(decode, histories(options.items, 256), size, 3.0 if options.quick else 12.0)
            best[name] = max(rate, best.get(name, 0.0))
            tell(way=name, items=options.items, beams=options.beams, batch=size, users_per_second=rate)
    if (rate := None if options.quick else cornac_users_per_second(options.items, options.beams, options.threads)) is not None:
        best["T5 cornac"] = rate
        tell(way="T5 cornac", items=options.items, beams=options.beams, batch=1, users_per_second=rate)
    for num_items in () if options.quick else (options.items, 1_000_000):
        for num_beams, size, rate in beam_rates(catalogue(num_items), 4.0):
            tell(way="encdec trie", items=num_items, beams=num_beams, batch=size, users_per_second=rate)
    filtered = filter_rates(table, options.beams, 1.0 if options.quick else 6.0)
    for name, rate in filtered.items():
        tell(way=f"encdec trie, filter {name}", items=options.items, beams=options.beams, batch=64, users_per_second=rate)
    measured = growth((10_000, 100_000) if options.quick else (10_000, 100_000, 1_000_000, 10_000_000), options.beams)
    steps = {(one.way, one.num_items): np.array(one.milliseconds) for one in measured}
    for one in measured:
        times = {f"p{q}_ms": float(np.percentile(one.milliseconds, q)) for q in (50, 99)}
        tell(way=f"encdec, {one.way}", items=one.num_items, beams=options.beams, batch=1, **one.facts, **times)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "decoding.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        plot(steps, options.out / "decoding.html")
    sizes = sorted({items for _, items in steps})
    ratios = {
        f"T5: trie / {name[3:]}": best["T5 trie"] / rate
        for name, rate in best.items()
        if name not in ("encdec trie", "T5 trie")
    }
    ratios |= {
        f"whole: encdec / {name}": best["encdec trie"] / rate
        for name, rate in best.items()
        if name in ("T5 generate", "T5 cornac")
    }
    ratios |= {f"cost of a 1 % filter, {name}": filtered["none"] / filtered[name] for name in ("shared", "own")}
    grown = f"{sizes[-1]:,} / {sizes[0]:,} items"  # the median over users, each with both catalogues in turn
    ratios |= {
        f"{grown}, {way}": float(np.median(steps[way, sizes[-1]] / steps[way, sizes[0]])) for way in ("trie", "every step")
    }
    ratios |= {"100,000 / 10,000 items, scan": float(np.median(steps["scan", 100_000] / steps["scan", 10_000]))}
    print(", ".join(f"{name} = {value:.2f}" for name, value in ratios.items()))


def plot(steps: dict[tuple[str, int], np.ndarray], path: Path) -> None:
    """A page with milliseconds a user against the size of the catalogue."""
    curves = {
        f"{way}, ms a user": (kind, {float(items): float(np.median(ms)) for (name, items), ms in steps.items() if name == way})
        for way, kind in (("trie", "model"), ("every step", "bound"), ("scan", "baseline"))
    }
    chart = curve_chart("Milliseconds a user, by items in the catalogue", curves)
    path.write_text(
        render("Constrained decoding", lead="The cost of a decoded user.", body=section("Catalogue size", chart)),
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
