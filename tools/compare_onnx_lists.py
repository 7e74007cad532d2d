"""Whether onnxruntime gives the lists that genrec gives: `python tools/compare_onnx_lists.py BUNDLE --histories FILE`.

The bundle: ``genrec export ... export.runtime=onnx decoding=trie_beam decoding.num_beams=20 recommend.k=10``. Lists agree when
their scores do, place by place, and their items do wherever the scores of two places are further apart than that. The last line
tells; the exit code is 1 where some list does not agree.
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

import genrec
from genrec.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
K, TOLERANCE = 10, 1e-4  # nats


def agree(ours: Sequence[tuple[str, float]], theirs: Sequence[tuple[str, float]]) -> bool:
    """Whether two lists are one, but for the order of items whose scores are within the tolerance."""
    (items, scores), (others, other_scores) = (tuple(zip(*rows, strict=True)) or ((), ()) for rows in (ours, theirs))
    if len(items) != len(others) or not np.allclose(scores, other_scores, rtol=0, atol=TOLERANCE):
        return False
    score_of = dict(ours)
    return all(
        one == other or abs(score_of.get(other, scores[-1]) - score_of[one]) <= 2 * TOLERANCE
        for one, other in zip(items, others, strict=True)
    )


def compared(bundle: Path, histories: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Both lists of every history: how many agree, how many are equal item by item, the largest difference of scores.

    Raises:
        ConfigError: for a bundle that does not decode by beams.
    """
    decoding = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))["config"]["decoding"]
    if not decoding["_target_"].endswith(".TrieBeam"):
        expected, fix = "a bundle with decoding=trie_beam", "export it so"
        raise ConfigError(str(bundle), expected=expected, got=decoding["_target_"], fix=fix)
    start = time.perf_counter()
    theirs: list[list[tuple[str, float]]] = []
    example = runpy.run_path(str(ROOT / "examples" / "onnx_decoding.py"))
    other = example["OnnxRecommender"](bundle)
    for place in range(0, len(histories), 64):
        theirs += other.recommend(histories[place : place + 64], K, num_beams=decoding["num_beams"])
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
        "onnx_seconds": middle - start,
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
    summary = compared(options.bundle, [users[user] for user in drawn])
    print(json.dumps({key: round(value, 7) if isinstance(value, float) else value for key, value in summary.items()}))
    return int(summary["agree"] < summary["users"])


if __name__ == "__main__":
    sys.exit(main())
