"""What a served catalogue needs: resident bytes an item, and users a second of one core.

    python tools/benchmarks/sizing.py [--items 100000] [--beams 20] [--dim 128] [--ids append_level|item_token]

A made-up catalogue (ids of 10 letters, a title of 40; 3 x 256 codes and a number that tells items apart, or the first
code and a token of the item's own, as ``experiment=best`` has them; vectors of 64 numbers) and an untrained
``encdec``, put together as ``genrec.load`` does it. Rows tell what each part adds to the resident memory; the last line
sums up. Run it once for each size: memory that was let go comes back to the next part.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.core.sids import CONTENT, SIDTable, Stream
from genrec.core.trie import PrefixTrie
from genrec.decoding.trie_beam import TrieBeam
from genrec.generators.encdec import EncDec
from genrec.model.trained import Model
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_table import ItemTable
from genrec.recommender.recommender import Recommender

PAGE, SEED, HISTORY = os.sysconf("SC_PAGE_SIZE"), 0, 9


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * PAGE


def sids_of(num_items: int, size: int = 256) -> SIDTable:
    """Three levels and a number that tells items apart."""
    codes = np.random.default_rng(SEED).integers(0, size, (num_items, 3))
    key = (codes[:, 0] * size + codes[:, 1]) * size + codes[:, 2]
    order = np.argsort(key, kind="stable")
    opens = np.append(True, key[order][1:] != key[order][:-1])
    number = np.empty(num_items, np.int64)
    number[order] = np.arange(num_items) - np.maximum.accumulate(np.where(opens, np.arange(num_items), 0))
    return SIDTable(np.column_stack([codes, number]), (size, size, size, int(number.max()) + 1))


def own_tokens(num_items: int, size: int = 256, spare: int = 256) -> SIDTable:
    """The first of three codes, then a token for each item; histories have all codes."""
    codes = np.random.default_rng(SEED).integers(0, size, (num_items, 3))
    ids = np.column_stack([codes[:, 0], np.arange(num_items)])
    table = SIDTable(ids, (size, num_items + spare), collision_level=1)
    return table.with_streams({CONTENT: Stream(codes, (size, size, size))})


IDS = {"append_level": sids_of, "item_token": own_tokens}


def main() -> None:
    """Prints a row for each part, then the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--beams", type=int, default=20)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--ids", choices=IDS, default="append_level")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = before = resident()
    parts: dict[str, float] = {}

    def kept(name: str, make: Callable[[], Any]) -> Any:
        nonlocal before
        made = make()
        now = resident()
        parts[name], before = (now - before) / options.items, now
        print(json.dumps({"part": name, "bytes_an_item": round(parts[name], 1)}), flush=True)
        return made

    def items() -> pl.DataFrame:
        numbers = pl.int_range(options.items, eager=True).cast(pl.String)
        return pl.DataFrame({"item_id": "B" + numbers.str.zfill(9), "title": numbers.str.zfill(40)})

    sids = kept("ids as a table", lambda: IDS[options.ids](options.items))
    trie = kept("trie", lambda: PrefixTrie.build(sids))
    table = kept("items with a title", lambda: ItemTable(items(), sids))
    kept("item_id -> row", lambda: table.idx)
    vectors = kept("vectors", lambda: {"item": np.ones((options.items, 64), np.float32)})
    encdec = kept(
        "generator",
        lambda: EncDec(
            sids=sids, train_counts=np.ones(options.items), identity=True, dim=options.dim, num_decoder_layers=1, dropout=0.0
        ).eval(),
    )
    catalogue = Catalogue(
        model=Model(generator=encdec, sids=sids, trie=trie, vectors=vectors, strategy=TrieBeam(num_beams=options.beams)),
        table=table,
    )
    recommender = Recommender(catalogue)
    random, done = np.random.default_rng(SEED), 0
    histories = [[table.frame["item_id"][int(item)] for item in random.integers(0, options.items, HISTORY)] for _ in range(64)]
    recommender.recommend(histories)
    begin = time.process_time()  # of the processor: others may use the machine meanwhile
    while time.process_time() - begin < options.seconds:
        recommender.recommend(histories)
        done += len(histories)
    rate = done / (time.process_time() - begin)
    working = (resident() - before) / 1e6
    print(
        f"{options.items:,} items: {sum(parts.values()):.0f} bytes each over {start / 1e6:.0f} MB of program, "
        f"{working:.0f} MB at work; {rate:.0f} users per second of one core at {options.beams} beams, 64 at once, {options.ids}"
    )


if __name__ == "__main__":
    main()
