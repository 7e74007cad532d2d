"""Whether transformers' ``generate`` gives the lists that genrec gives.

python tools/compare_language_model_lists.py BUNDLE --histories FILE

The bundle: ``genrec export ... generator=lc_rec export.runtime=hf_llm decoding=trie_beam``. Lists agree when their scores do,
place by place, and their items do wherever the scores of two places are further apart than that. A list may also differ where
two prefixes tie within rounding at the last beam. The last line is the answer; the exit code is 1 where one does not agree.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from compare_onnx_lists import agree

import genrec

ROOT = Path(__file__).resolve().parents[1]
K = 10


def compared(bundle: Path, histories: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Both lists of every history: how many agree, how many are equal item by item, the largest difference of scores."""
    example = runpy.run_path(str(ROOT / "examples" / "language_model_lists.py"))
    recommender = example["LanguageModelRecommender"](bundle / "hf_llm")
    start = time.perf_counter()
    theirs: list[list[tuple[str, float]]] = []
    for place in range(0, len(histories), 32):
        theirs += recommender.recommend(histories[place : place + 32], K)
    middle = time.perf_counter()
    ours: list[list[tuple[str, float]]] = [[] for _ in histories]
    for history, _, item_id, score in genrec.load(bundle).recommend(histories, K).iter_rows():
        ours[history].append((item_id, score))
    end = time.perf_counter()
    apart = [abs(x[1] - y[1]) for one, two in zip(ours, theirs, strict=True) for x, y in zip(one, two, strict=False)]
    return {
        "users": len(histories),
        "agree": sum(agree(one, two) for one, two in zip(ours, theirs, strict=True)),
        "same_items": sum([x[0] for x in one] == [y[0] for y in two] for one, two in zip(ours, theirs, strict=True)),
        "largest_difference": max(apart, default=0.0),
        "transformers_seconds": middle - start,
        "genrec_seconds": end - middle,
    }


def main() -> int:
    """Compares, and prints one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--histories", type=Path, required=True, help="interactions parquet: user_id, item_id, oldest first")
    parser.add_argument("--users", type=int, default=1000)
    options = parser.parse_args()
    rows = pl.read_parquet(options.histories, columns=["user_id", "item_id"], glob=False)
    users = rows.group_by("user_id", maintain_order=True).agg("item_id")["item_id"].to_list()
    drawn = np.random.default_rng(0).permutation(len(users))[: options.users]
    counts = compared(options.bundle, [users[user] for user in drawn])
    print(json.dumps({key: round(value, 7) if isinstance(value, float) else value for key, value in counts.items()}))
    return int(counts["agree"] < counts["users"])


if __name__ == "__main__":
    sys.exit(main())
