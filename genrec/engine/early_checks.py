"""Checks of a configuration before the first stage runs, and of the prepared data before the next one.

They find errors that would otherwise stop a run after hours. ``genrec run --plan`` runs them too. The values of single settings
are checked earlier, when the configuration is composed (``genrec.engine.ranges``).

``rehearse`` builds a small generator and its objective over a made-up catalogue: generators are constructed once there are
semantic IDs, and an objective checks its generator just before training, so their errors would come after all stages before.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.core.dataset import Dataset, check_unseen_targets, users_with_targets
from genrec.core.item_labels import item_labels
from genrec.core.sids import SIDTable, Stream
from genrec.core.trie import PrefixTrie
from genrec.engine.artifacts import Artifact
from genrec.engine.components import TARGET, component_class, instantiate, is_component, parameters
from genrec.engine.config import Config
from genrec.engine.machine import resolve_device, resolve_precision
from genrec.engine.processes import check_shared_batches, processes
from genrec.engine.stage import Stage
from genrec.errors import ConfigError, DataError, GenRecError, did_you_mean
from genrec.protocols import HasRuntimes, HoldsOut, StreamTokenizer, text_part
from genrec.types import ITEM_ID

ONNX_PACKAGES = ("onnx", "onnxscript")
RUNTIMES = {
    "onnx": "a generator that has ONNX graphs, such as encdec",
    "hf_llm": "a generator that is a language model, such as lc_rec",
}
NEEDS_TARGETS = ("recommendations", "diagnosis", "calibration")
# Settings that name columns of the items; ``auto`` and null name none.
COLUMNS = {
    "evaluate": ("category", "slice_columns"),
    "export": ("columns",),
    "generator": ("text_column",),
    "tokenizer": ("column",),
    "encoder": ("column",),
}
WIDTHS = ("num_beams", "num_candidates")  # of a search, which must find as many as are listed
NO_COLUMNS = {"auto", None}
POPULARITY = "popularity"  # the prior that needs no labels


def check_before(config: Config, stages: Sequence[Stage]) -> None:
    """Checks the settings against each other and against the machine.

    Raises:
        ConfigError: for the first thing that cannot work.
    """
    tree, kinds = config.tree, {stage.kind for stage in stages}
    device = resolve_device(tree["device"])
    if "conditions" in kinds:
        _check_texts(tree)
    if "user_codes" in kinds:
        _check_user_codes(tree)
    if "generator" in kinds:
        resolve_precision(tree["train"].get("precision", tree["precision"]), device)
        _check_models(tree)
        if "objective" in tree:
            rehearse(tree, has_streams=issubclass(component_class(tree["tokenizer"], "tokenizer"), StreamTokenizer))
    if "evaluation" in kinds and tree["recommendations"] is None:
        _check_ks(config, tree["recommend"]["k"], "recommend.k")
    if "bundle" in kinds and (runtime := tree["export"].get("runtime")):
        _check_runtime(tree, runtime)
    if "bundle" in kinds and tree["export"].get("words"):
        text_part(instantiate(tree["encoder"], "encoder"), "export.words")
    if "bundle" in kinds and tree["export"].get("pieces") is not None and "sids" not in kinds:
        generator, fix = component_class(tree["generator"], "generator").__name__, "leave export.pieces out"
        raise ConfigError("export.pieces", expected="a generator with semantic IDs", got=generator, fix=fix)
    if (
        kinds.intersection(NEEDS_TARGETS)
        and "split" in tree
        and isinstance(split := component_class(tree["split"], "split"), HoldsOut)
        and not split.holds_out
    ):
        raise _no_targets(tree, "nothing held out")


def check_dataset(config: Config, stages: Sequence[Stage], artifact: Artifact) -> None:
    """Checks the configuration against the prepared data.

    Raises:
        ConfigError: for a column that the items do not have, and for times where there are none.
        DataError: when there is nothing to train on, or nothing to predict.
    """
    tree, kinds = config.tree, {stage.kind for stage in stages}
    if not (artifact.path / "items.parquet").exists():  # of stages that are not ours
        return
    dataset = Dataset.load(artifact.path)
    if "evaluation" in kinds and tree["recommendations"] is None:
        _check_ks(config, min(tree["recommend"]["k"], dataset.num_items), "the number of items")
    if "generator" in kinds and not int((dataset.train_ends - dataset.events.offsets[:-1]).sum()):
        fix = "choose another split or more data"
        raise DataError("split", expected="at least one training event", got=0, fix=fix)
    if "generator" in kinds and tree["recommend"].get("exclude_seen"):
        check_unseen_targets(dataset, users_with_targets(dataset, "validation"))
    splits = tuple(tree["recommend"].get("splits", ())) if kinds.intersection(NEEDS_TARGETS) else ()
    if splits and not any(len(dataset.targets(split).item_idx) for split in splits):
        raise _no_targets(tree, f"no {' or '.join(splits)} targets among {dataset.num_users:,} users")
    reads = {group for stage in stages for group in stage.reads}
    for error in _column_errors(tree, reads, dataset):
        raise error
    prior = tree["generator"].get("prior", POPULARITY) if "generator" in reads else POPULARITY
    if prior != POPULARITY and prior not in (priors := (*item_labels(dataset.items), *dataset.schema.coded)):
        expected, fix = (
            f"one of {', '.join((POPULARITY, *priors))}",
            "choose what the catalogue has, or add it to events.columns",
        )
        raise ConfigError("generator.prior", expected=expected, got=prior, fix=fix)
    if "generator" in reads and (actions := tree["generator"].get("actions")):
        dataset.schema.action(actions)
    if "generator" in reads and tree["generator"].get("time_gaps") and dataset.times is None:
        fix = "give data.timestamp=COLUMN, or generator.time_gaps=false"
        raise ConfigError("generator.time_gaps", expected="events with times", got="true, and the data has none", fix=fix)


def _check_texts(tree: Mapping[str, Any]) -> None:
    """Refuses texts that nobody can encode or hear, and lists that ask for one in a way that is not possible."""
    text_part(instantiate(tree["encoder"], "encoder"))
    generator = component_class(tree["generator"], "generator")
    if "schema" not in parameters(generator):
        fix = "choose generator=encdec, or leave events.text out"
        raise ConfigError("events.text", expected="a generator that hears texts", got=generator.__name__, fix=fix)
    request = tree["recommend"].get("request") or {}
    if (asked := request.get("text", "target")) != "target":
        expected, fix = "target: the text of each event to be predicted", "ask for words of your own in Python or over HTTP"
        raise ConfigError("recommend.request.text", expected=expected, got=asked, fix=fix)


def _check_user_codes(tree: Mapping[str, Any]) -> None:
    """Refuses codes of users that no tokenizer can make, and those that no generator hears."""
    generator = component_class(tree["generator"], "generator")
    if "schema" not in parameters(generator):
        fix = "choose generator=encdec, or leave events.user_codes out"
        raise ConfigError("events.user_codes", expected="a generator that knows users", got=generator.__name__, fix=fix)
    tokenizer = instantiate(tree["tokenizer"], "tokenizer")
    reads_vectors = "embeddings" in tokenizer.needs and tree["tokenizer"].get("column") is None
    if not (reads_vectors and tokenizer.traits.inductive):
        expected, fix = (
            "a tokenizer of vectors alone, also of new ones",
            "choose tokenizer=rq_kmeans, or leave events.user_codes out",
        )
        raise ConfigError("events.user_codes", expected=expected, got=type(tokenizer).__name__, fix=fix)


def _check_models(tree: Mapping[str, Any]) -> None:
    """Refuses a model folder that does not exist; a name that may be one on the hub is looked up by the stage."""
    for where, node in _components(tree):
        value = node.get("model")
        kinds = parameters(component_class(node, where)).get("model")
        if not isinstance(value, str) or kinds is None or "Path" not in str(kinds.annotation):
            continue
        names_a_folder = value.startswith(("/", ".", "~")) or value.count("/") > 1 or "\\" in value
        if names_a_folder and not Path(value).expanduser().exists():
            fix = f"give {where}.model=FOLDER, or a name on the hub"
            raise ConfigError(f"{where}.model", expected="a folder with a model", got=f"nothing at {value}", fix=fix)


def _components(tree: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in tree.items():
        key_where = f"{where}.{key}" if where else str(key)
        if is_component(value):
            yield key_where, value
        if isinstance(value, Mapping):
            yield from _components(value, key_where)


def _check_ks(config: Config, longest: int, name: str) -> None:
    """Refuses a k beyond the lists if ``evaluate.ks`` was set or no other k is left; other ks beyond them are dropped."""
    ks = config.tree["evaluate"].get("ks") or ()
    beyond = [k for k in ks if k > longest]
    by_name = any(override.partition("=")[0].lstrip("+") == "evaluate.ks" for override in config.overrides)
    if beyond and (by_name or len(beyond) == len(ks)):
        shorter = str([k for k in ks if k <= longest] or [longest]).replace(" ", "")
        wide = [key for key in WIDTHS if config.tree["decoding"].get(key, math.inf) < max(beyond)]
        beams = "".join(f" decoding.{key}={max(beyond)}" for key in wide)
        longer = f"recommend.k={max(beyond)}{beams}, or " if name == "recommend.k" else ""
        fix = f"give {longer}evaluate.ks={shorter}"
        raise ConfigError("evaluate.ks", expected=f"at most {name}={longest}", got=beyond[0], fix=fix)


def _check_runtime(tree: Mapping[str, Any], runtime: str) -> None:
    generator = component_class(tree["generator"], "generator")
    if not (isinstance(generator, HasRuntimes) and runtime in generator.runtimes):
        expected = RUNTIMES.get(runtime, f"a generator for the runtime {runtime}")
        raise ConfigError("export.runtime", expected=expected, got=generator.__name__, fix="leave export.runtime out")
    events = tree.get("events") or {}
    if runtime in RUNTIMES and (heard := [name for name in ("columns", "users", "user_codes", "text") if events.get(name)]):
        expected, fix = "a model that reads item ids alone", "leave export.runtime out, or events"
        raise ConfigError("export.runtime", expected=expected, got=f"{runtime} beside events.{heard[0]}", fix=fix)
    if runtime == "onnx" and tree["generator"].get("time_gaps"):
        fix = "give generator.time_gaps=false, or leave export.runtime out"
        raise ConfigError("export.runtime", expected="a generator whose graphs need no times", got="time_gaps=true", fix=fix)
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None] if runtime == "onnx" else []
    if missing:
        fix = 'install it: pip install "genrec[onnx]"'
        raise ConfigError("export.runtime", expected=f"the package {missing[0]}", got="no such package", fix=fix)


def _no_targets(tree: Mapping[str, Any], got: str) -> DataError:
    split = component_class(tree["split"], "split").__name__
    fix = "use split=leave_one_out; without targets, `genrec train` and `genrec export` work, `genrec run` does not"
    return DataError("split", expected="something to predict", got=f"{got} ({split})", fix=fix)


def _column_errors(tree: Mapping[str, Any], reads: set[str], dataset: Dataset) -> Iterator[GenRecError]:
    there = dataset.items.columns
    for group, keys in COLUMNS.items():
        if group not in reads:
            continue
        nodes = {"": tree[group]} | dict(_components(tree[group]))
        for below, node in nodes.items():
            accepted = parameters(component_class(node, f"{group}.{below}" if below else group))
            for key in keys:
                if key not in accepted or (below == "" and not _names_items(node, key)):
                    continue
                default = accepted[key].default
                value = node.get(key, default)
                for column in value if isinstance(value, list | tuple) else (value,):
                    if column not in NO_COLUMNS and isinstance(column, str) and column not in there:
                        where = f"{group}.{below}.{key}" if below else f"{group}.{key}"
                        fix = did_you_mean(column, there)
                        yield ConfigError(where, expected="a column of the items", got=column, fix=fix)


def _names_items(node: Mapping[str, Any], key: str) -> bool:
    """Whether the setting is used: a collaborative tree reads no categories, and precomputed vectors read no items."""
    target = str(node["_target_"]).rpartition(".")[2]
    return not (target == "Precomputed" or (key == "column" and node.get("tree", "category") != "category"))


NUM_ITEMS = 6
# Sizes that no check looks at, as small as they may be; pairs of settings were checked before.
SMALL = {
    "feedforward_dim": 8,
    "feedforward_mult": 1,
    "head_dim": 8,
    "max_history_len": 4,
    "num_decoder_layers": 1,
    "num_encoder_layers": 1,
    "num_history_layers": 1,
    "num_layers": 1,
    "rank": 2,
}


class _Labels(defaultdict[str, np.ndarray]):
    """Labels for any column name, because the columns of the items are unknown before the data is read."""

    def __init__(self) -> None:
        super().__init__(lambda: np.zeros(NUM_ITEMS, dtype=np.int64))

    def __contains__(self, name: object) -> bool:
        return True


def rehearse(config: Mapping[str, Any], *, has_streams: bool) -> None:
    """Builds the generator and the objective, and lets the objective check the generator.

    Args:
        config: the whole tree.
        has_streams: the tokenizer makes several streams of codes.

    Raises:
        ConfigError: as their constructors and checks do.
    """
    node = config["generator"]
    generator_class = component_class(node, "generator")
    if "model" in parameters(generator_class):  # a language model is slow to read, whatever its size
        check_shared_batches(generator_class, component_class(config["objective"], "objective"), processes())
        return
    heads = node.get("num_heads", 1)
    small: dict[str, Any] = {key: value for key, value in SMALL.items() if key in node}
    if "dim" in node:
        small["dim"] = 2 * heads
    if "actions" in node:
        small["actions"] = None  # a column of data that are not there yet
    codes = np.stack(np.unravel_index(np.arange(NUM_ITEMS), (2, 2, 2)), axis=1)
    sids = SIDTable(codes, (2, 2, 2))
    if has_streams:
        sids = sids.with_streams({"other": Stream(np.zeros((NUM_ITEMS, 1), dtype=np.int64), (1,))})
    runtime: dict[str, Any] = {
        "sids": sids,
        "trie": PrefixTrie.build(sids),
        "num_items": NUM_ITEMS,
        "train_counts": np.ones(NUM_ITEMS, dtype=np.int64),
        "item_vectors": np.ones((NUM_ITEMS, 4), dtype=np.float32),
        "text_vectors": np.ones((NUM_ITEMS, 4), dtype=np.float32),
        "item_labels": _Labels(),
        "event_counts": None,
        "catalog": pl.DataFrame({ITEM_ID: [str(item) for item in range(NUM_ITEMS)]}),
    }
    with torch.random.fork_rng(devices=[]):
        generator = instantiate({**node, **small, TARGET: node[TARGET]}, "generator", **runtime)
        objective = instantiate(config["objective"], "objective", **runtime)
        objective.check(generator)
    check_shared_batches(generator, objective, processes())
