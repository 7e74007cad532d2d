"""What searches find with one trained generator: a table of several decoding strategies against the first of them.

    python tools/compare_decoding.py runs/NAME [--searches exhaustive,trie_beam,parallel_graph,masked_item] [--users 1000]

Each name is a yaml of conf/decoding with its settings as they are; K is 10, seen items by the run's own rule, the users a
seeded sample of the split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from compare_beam_widths import Judge, same_users

from genrec.engine.components import instantiate
from genrec.engine.config import compose
from genrec.engine.runs import Run


def main() -> None:
    """Prints a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--searches", default="exhaustive,trie_beam,parallel_graph,masked_item")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    judge = Judge(Run(options.run), options.split, options.batch, options.users)

    first = None
    print(f"{'search':>16} {'NDCG@10':>9} {'Recall@10':>9} {'same ten':>9} {'users/s':>8}")
    for name in options.searches.split(","):
        strategy = instantiate(compose([f"decoding={name}"]).tree["decoding"], "decoding")
        table, speed = judge.lists(name, strategy, judge.users)
        first = table if first is None else first
        accuracy, same = judge.accuracy(table), same_users(table, first)
        print(f"{name:>16} {accuracy['ndcg']:9.5f} {accuracy['recall']:9.5f} {same:9.2%} {speed:8.1f}", flush=True)


if __name__ == "__main__":
    main()
