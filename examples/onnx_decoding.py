"""Recommendations without PyTorch and without genrec: onnxruntime runs the model, numpy walks the trie.

    genrec export ... export.runtime=onnx
    pip install numpy onnxruntime safetensors
    python examples/onnx_decoding.py runs/shop/bundle item001 item002

The search is genrec's own ``trie_beam``: at each level the codes that exist share the probability, and the best prefixes go on.
A prefix below which everything was seen takes no beam. ``genrec/recommender/onnx_graphs.py`` says what the two graphs take and
give.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file


class OnnxRecommender:
    """Ranks the items of a bundle.

    Args:
        bundle: made with ``export.runtime=onnx``.
        threads: of onnxruntime; 0: a core each.
    """

    def __init__(self, bundle: Path, *, threads: int = 0) -> None:
        facts = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
        self.max_history_len: int = facts["facts"]["generator"]["max_history_len"]
        self.normalization: str = facts["facts"]["generator"]["normalization"]
        self.exclude_seen: bool = facts["exclude_seen"]
        with (bundle / "sids" / "sids.jsonl").open(encoding="utf-8") as lines:
            self.ids: list[str] = [json.loads(line)["item_id"] for line in lines]
        self.idx = {item_id: idx for idx, item_id in enumerate(self.ids)}

        self.trie = load_file(bundle / "onnx" / "trie.safetensors")
        self.place = np.argsort(self.trie["items"])  # of each item in the order of the leaves: below a node they stand together
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.history, self.codes = (
            onnxruntime.InferenceSession(str(bundle / "onnx" / name), options, providers=["CPUExecutionProvider"])
            for name in ("history.onnx", "codes.onnx")
        )
        self.kept = [output.name for output in self.history.get_outputs()]
        self.num_levels = len(self.codes.get_outputs())

    def recommend(
        self, histories: Sequence[Sequence[str]], k: int = 10, *, num_beams: int = 20
    ) -> list[list[tuple[str, float]]]:
        """The ``k`` most likely next items of each history, with their log-probabilities.

        Args:
            histories: item ids, oldest first; may be empty lists. Unknown ids are left out.
            k: at most ``num_beams``.
            num_beams: prefixes that are kept.
        """
        rows = [[self.idx[item_id] for item_id in history if item_id in self.idx] for history in histories]
        seen = [np.sort(self.place[list(set(row))] if self.exclude_seen else self.place[:0]) for row in rows]
        leaves, scores = self._search([row[-self.max_history_len :] for row in rows], seen, num_beams)
        lists = []
        for leaf, score, row in zip(leaves, scores, rows, strict=True):
            hidden = set(row) if self.exclude_seen else set()
            items = [
                (self.ids[item], float(log_prob))
                for node, log_prob in zip(leaf, score, strict=True)
                if log_prob > -np.inf
                for item in self.trie["items"][self.trie["first_item"][node] : self.trie["end_item"][node]]
                if item not in hidden
            ]
            lists.append(items[:k])
        return lists

    def _search(self, rows: list[list[int]], seen: list[np.ndarray], num_beams: int) -> tuple[np.ndarray, np.ndarray]:
        """Nodes of complete IDs and their log-probabilities, best first, [users, beams]."""
        trie, users = self.trie, len(rows)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        history = np.zeros((users, max(1, lengths.max())), dtype=np.int64)
        for user, row in enumerate(rows):
            history[user, : len(row)] = row
        kept = dict(zip(self.kept, self.history.run(None, {"history": history, "lengths": lengths}), strict=True))

        nodes, scores = np.zeros((users, 1), dtype=np.int64), np.zeros((users, 1), dtype=np.float32)
        codes = np.zeros((users, 1, self.num_levels - 1), dtype=np.int64)
        for level in range(self.num_levels):
            (logits,) = self.codes.run([f"level_{level}"], {"codes": codes, **kept})
            first = trie["first_child"][nodes][..., None]
            count = trie["first_child"][nodes + 1][..., None] - first
            slot = np.arange(count.max())
            child = first + np.minimum(slot, count - 1)  # [users, beams, family]; what pads a family repeats its last child
            logit = np.take_along_axis(logits, trie["code"][child].astype(np.int64), axis=-1)
            logit[slot >= count] = -np.inf
            grown = scores[..., None] + logit - log_sum_exp(logit if self.normalization == "trie" else logits)
            below = trie["end_item"][child] - trie["first_item"][child]
            if level == self.num_levels - 1:
                grown = grown - np.log(below).astype(np.float32)  # items that share an ID share its probability
            for user, places in enumerate(seen):
                first_item, end_item = trie["first_item"][child[user]], trie["end_item"][child[user]]
                num_seen = np.searchsorted(places, end_item) - np.searchsorted(places, first_item)
                grown[user][num_seen == below[user]] = -np.inf
            flat = grown.reshape(users, -1)
            best = np.argsort(-flat, axis=1, kind="stable")[:, :num_beams]
            scores = np.take_along_axis(flat, best, axis=1)
            nodes = np.take_along_axis(child.reshape(users, -1), best, axis=1)
            if level < self.num_levels - 1:
                codes = np.take_along_axis(codes, (best // child.shape[-1])[..., None], axis=1)
                codes[..., level] = trie["code"][nodes]
        return nodes, scores


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Over the last axis, which stays as one entry."""
    largest = values.max(axis=-1, keepdims=True)
    return largest + np.log(np.exp(values - largest).sum(axis=-1, keepdims=True))


if __name__ == "__main__":
    for item_id, log_prob in OnnxRecommender(Path(sys.argv[1])).recommend([sys.argv[2:]])[0]:
        print(f"{log_prob:8.3f}  {item_id}")
