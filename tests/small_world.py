"""Small catalogues, histories and generators, and a generator of arbitrary logits, shared by the tests of the model rooms."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.engine.components import instantiate
from genrec.engine.config import compose, groups
from genrec.protocols import Generator, HasItemHead, Objective
from genrec.testing.worlds import ArbitraryLogits as ArbitraryLogits
from genrec.testing.worlds import ArbitraryState as ArbitraryState
from genrec.testing.worlds import all_targets as all_targets
from genrec.testing.worlds import batch_of as batch_of
from genrec.testing.worlds import catalog_of as catalog_of
from genrec.testing.worlds import random_histories as random_histories
from genrec.testing.worlds import ring as ring
from genrec.testing.worlds import runtime_of as runtime_of
from genrec.testing.worlds import scrambled as scrambled
from genrec.testing.worlds import sequences_of as sequences_of
from genrec.testing.worlds import sids_of as sids_of
from genrec.testing.worlds import stream_of as stream_of
from genrec.testing.worlds import vectors_of as vectors_of

# Every key that a generator may have and that decides its cost; a new generator is tested the moment its yaml exists.
SMALL = {
    "dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "num_layers": 2,
    "num_history_layers": 2,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "feedforward_mult": 2,
    "feedforward_dim": 32,
    "num_experts": 4,
    "dropout": 0.0,
    "max_history_len": 6,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "cobra": {"identity": {"identity": True, "learn_temperature": True, "dense_negatives": "log_q"}},
    "human_priors": {"identity": {"identity": True}},
    "moe": {"identity": {"identity": True, "session_len": 3}},
    "encdec": {"hybrid": {"identity": True, "item_head": True}, "times": {"time_gaps": True}},
    "hstu": {"times": {"time_gaps": True}},
    "sasrec": {"times": {"time_gaps": True}},
    "latent_reasoning": {"adaptive": {"num_steps": 3, "stop_kl": 0.1}},
}
GIVEN = {name: ["generator.model=given"] for name in ("lc_rec", "unimp")}  # what a yaml leaves to the user


# --- generators ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """A generator of the shipped configuration, perhaps with some arguments changed."""

    name: str
    changes: tuple[tuple[str, Any], ...] = ()
    label: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name

    @property
    def tree(self) -> dict[str, Any]:
        return _tree(self.name)

    def node(self, **changes: Any) -> dict[str, Any]:
        """The yaml, made small."""
        node = dict(self.tree["generator"])
        if "model" in node:
            node["model"] = language_model("llama")
        wanted = SMALL | dict(self.changes) | changes
        return node | {key: value for key, value in wanted.items() if key in node or key not in SMALL}

    def build(
        self,
        sids: SIDTable,
        *,
        train_counts: np.ndarray | None = None,
        seed: int = 0,
        schema: EventSchema | None = None,
        **changes: Any,
    ) -> Any:
        """A new generator in eval mode, with its initial weights."""
        node = self.node(**changes)
        torch.manual_seed(seed)  # after the node, which may make a language model
        return instantiate(node, "generator", **runtime_of(sids, train_counts), schema=schema).eval()

    def objective(self, trie: PrefixTrie, generator: Generator) -> Objective:
        """The objective that its yaml chooses; an item head is trained too where there is one."""
        node = dict(self.tree["objective"])
        if isinstance(generator, HasItemHead) and generator.has_item_head:
            node["item_weight"] = 1.0
        objective = instantiate(node, "objective", trie=trie)
        objective.check(generator)
        return objective


@cache
def _tree(name: str) -> dict[str, Any]:
    return dict(compose([f"generator={name}", *GIVEN.get(name, [])]).tree)


@cache
def language_model(kind: str) -> str:
    """Folder of a tiny language model with random weights, gone when the tests are."""
    script = Path(__file__).resolve().parents[1] / "tools" / "make_random_language_model.py"
    spec = importlib.util.spec_from_file_location("random_language_model", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tempfile.TemporaryDirectory(prefix=f"genrec-{kind}-")
    _FOLDERS.append(folder)
    titles = catalog_of(60)["title"].drop_nulls().to_list()
    more = {f"{place}_pdrop": 0.0 for place in ("embd", "attn", "resid")} if kind == "gpt2" else {}
    module.write(Path(folder.name), titles, kind=kind, dim=32, num_layers=2, num_heads=2, vocabulary=300, **more)
    return folder.name


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


OPTIONS = [
    Option(name, tuple(changes.items()), label)
    for name in groups()["generator"]
    for label, changes in {"": {}, **VARIANTS.get(name, {})}.items()
]
