"""train: fits a generator on the training part and keeps its best weights on validation -> ``generator``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file

from genrec.aliases import with_current
from genrec.artifacts import MANIFEST, Artifact
from genrec.components import component_class, instantiate, parameters
from genrec.dataset import Dataset
from genrec.devices import resolve_device
from genrec.errors import ArtifactError, ConfigError
from genrec.metrics.labels import item_labels, numbered
from genrec.protocols import FineTuningObjective, HasNormalization, ItemRows, NeedsArtifacts, SavesItself
from genrec.sids import SIDTable
from genrec.stages.embed import JOINT, read_vectors
from genrec.stages.stage import Stage, StageRun
from genrec.trie import PrefixTrie

CONFIG_FILE, WEIGHTS_FILE, HISTORY_FILE = "config.json", "model.safetensors", "history.json"
SEEN_RULE = "recommend.exclude_seen"  # the rounds are compared by the rule that the run's lists are made by
SAVED = "saved"  # folder of what a generator writes itself, where it does


def inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The dataset and whatever the generator's class says it needs."""
    generator = component_class(config["generator"], "generator")
    needs = generator.needs if isinstance(generator, NeedsArtifacts) else frozenset()
    return ("dataset", *(kind for kind in ("encoder", "sids") if kind in needs))


def build(run: StageRun) -> dict[str, Any]:
    """Trains; a checkpoint in ``run.work`` is resumed from."""
    from genrec.training.fit import fit  # Lightning is slow to import

    settings = instantiate(run.config["train"], "train")
    exclude_seen: bool = run.config[SEEN_RULE]
    dataset = Dataset.load(run.inputs["dataset"].path)
    sids = SIDTable.load(run.inputs["sids"].path) if "sids" in run.inputs else None
    trie = PrefixTrie.build(sids) if sids else None
    torch.manual_seed(settings.seed)
    generator = new_generator(run.config["generator"], sids, trie, dataset=dataset, encoder=run.inputs.get("encoder"))
    objective = instantiate(run.config["objective"], "objective", trie=trie, train_counts=dataset.train_counts)
    objective.check(generator)
    if settings.init_from is None and isinstance(objective, FineTuningObjective):
        expected = f"what {type(objective).__name__} is to fine-tune"
        fix = "give train.init_from=RUN, a run with the same generator and sids"
        raise ConfigError("train.init_from", expected=expected, got="null", fix=fix)
    if settings.init_from is not None:
        fix = "start from a run with the same generator and sids"
        _load(generator, _weights_of(settings.init_from), "train.init_from", settings.init_from, fix)
    fitted = fit(
        generator,
        objective,
        dataset,
        trie,
        settings,
        work=run.work,
        device=resolve_device(run.runtime.device),
        track=run.runtime.track,
        progress=run.runtime.progress,
        say=run.say,
        exclude_seen=exclude_seen,
    )
    facts = {
        "normalization": generator.normalization if isinstance(generator, HasNormalization) else None,
        "sids_layout": sids.layout if sids else None,
        "num_items": dataset.num_items,
        "max_history_len": generator.max_history_len,
        "num_weights": sum(p.numel() for p in generator.parameters()),
        "targets_per_epoch": fitted.num_targets,
        "best": fitted.best,
        "validated_with": {"exclude_seen": exclude_seen},
    } | ({"diverged": fitted.diverged} if fitted.diverged else {})
    (run.folder / CONFIG_FILE).write_text(
        json.dumps({"generator": run.config["generator"], **facts}, indent=2), encoding="utf-8"
    )
    history = [row | {"exclude_seen": exclude_seen} for row in fitted.history]  # the rule behind its val/ figures
    (run.folder / HISTORY_FILE).write_text(json.dumps(history, indent=2), encoding="utf-8")
    weights = {name: tensor.cpu().contiguous() for name, tensor in generator.state_dict().items()}
    save_file(weights, run.folder / WEIGHTS_FILE)
    if isinstance(generator, SavesItself):
        (run.folder / SAVED).mkdir()
        generator.save(run.folder / SAVED)
    return facts


def extend(run: StageRun) -> dict[str, Any]:
    """The trained weights for a catalogue with later items: what a generator learned item by item is zero for those.

    Raises:
        ConfigError: when the generator knows items by nothing but such weights.
    """
    assert run.extends is not None
    dataset, folder = Dataset.load(run.inputs["dataset"].path), run.extends.path
    sids = SIDTable.load(run.inputs["sids"].path) if "sids" in run.inputs else None
    weights, before = load_file(folder / WEIGHTS_FILE), run.extends.facts
    facts = before | {"num_items": dataset.num_items, "num_trained": num_trained(before)}
    later = dataset.num_items - run.extends.facts["num_items"]
    generator = component_class(run.config["generator"], "generator")
    if later and sids is None:
        raise ConfigError(
            "extends",
            expected="a generator that knows items by their semantic IDs",
            got=f"{later:,} items that {generator.__name__} has never seen",
            fix="train it again: run without extends",
        )
    save_file(_with_rows(weights, generator, later), run.folder / WEIGHTS_FILE)
    shutil.copyfile(folder / HISTORY_FILE, run.folder / HISTORY_FILE)
    if (folder / SAVED).is_dir():
        shutil.copytree(folder / SAVED, run.folder / SAVED)
    (run.folder / CONFIG_FILE).write_text(
        json.dumps({"generator": run.config["generator"], **facts}, indent=2), encoding="utf-8"
    )
    trie = PrefixTrie.build(sids) if sids else None
    open_generator(run.folder, sids, trie, run.inputs.get("encoder"))  # it fits, or nothing is kept
    run.say(f"the weights of generator {run.extends.fingerprint} as they are, for {later:,} items more")
    return facts | {"extends": run.extends.fingerprint}


def with_later_items(
    generator: Any,
    folder: Path,
    sids: SIDTable,
    trie: PrefixTrie,
    *,
    later: int,
    node: Mapping[str, Any],
    item_vectors: Float[np.ndarray, "items dim"] | None = None,
) -> Any:
    """A trained generator for a table with more items, in eval mode; all weights that are not item by item are shared.

    Args:
        generator: as it is; it goes on working.
        folder: what it was opened from.
        sids: its table, and later items behind.
        trie: built from ``sids``.
        later: how many they are.
        node: its configuration.
        item_vectors: of all items, for generators that look at them.
    """
    saved = saved_in(folder)
    runtime = {"sids": sids, "trie": trie, "num_items": sids.num_items, "item_vectors": item_vectors, "saved": saved}
    grown = instantiate(node, "generator", **{key: value for key, value in runtime.items() if value is not None})
    grown.load_state_dict(_with_rows(generator.state_dict(), type(generator), later), assign=True)
    return grown.eval()


def _with_rows(weights: Mapping[str, torch.Tensor], generator: type, later: int) -> dict[str, torch.Tensor]:
    """The weights with rows of zeros for later items, wherever there is a row per item."""
    rows = {name: weights[name] for name in (generator.item_rows if isinstance(generator, ItemRows) else ()) if name in weights}
    return {**weights, **{name: torch.cat([row, row.new_zeros(later, *row.shape[1:])]) for name, row in rows.items()}}


def num_trained(facts: Mapping[str, Any]) -> int:
    """How many items the generator with these facts was trained with: the first ones of its catalogue."""
    return int(facts.get("num_trained", facts["num_items"]))


def new_generator(
    node: Mapping[str, Any],
    sids: SIDTable | None,
    trie: PrefixTrie | None,
    *,
    dataset: Dataset | None = None,
    encoder: Artifact | Path | None = None,
    num_items: int | None = None,
    saved: Path | None = None,
) -> Any:
    """Builds a generator from its configuration and the facts of the artifacts it stands on."""
    runtime: dict[str, Any] = {"sids": sids, "trie": trie, "num_items": num_items, "saved": saved}
    if dataset is not None:
        runtime |= {"num_items": dataset.num_items, "train_counts": dataset.train_counts, "catalog": dataset.items}
        if "item_labels" in parameters(component_class(node, "generator")):  # a catalogue's categories are slow to read
            runtime["item_labels"] = {name: numbered(labels)[1] for name, labels in item_labels(dataset.items).items()}
    if encoder is not None:
        runtime["item_vectors"] = read_vectors(encoder)[JOINT]
    return instantiate(node, "generator", **{key: value for key, value in runtime.items() if value is not None})


def open_generator(
    folder: Path,
    sids: SIDTable | None,
    trie: PrefixTrie | None,
    encoder: Artifact | Path | None = None,
    *,
    node: Mapping[str, Any] | None = None,
) -> Any:
    """A trained generator in eval mode, on the CPU.

    Args:
        folder: a ``generator`` artifact, or its files in a bundle.
        sids: the table it generates; its layout must be the one the generator was trained with.
        trie: built from ``sids``.
        encoder: the ``encoder`` artifact, or its files in a bundle, for generators that look at item vectors.
        node: its configuration; None: the folder's.

    Raises:
        ArtifactError: when the table has another layout, or the weights are not the generator's.
    """
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    if sids is not None and sids.layout != config["sids_layout"]:
        raise ArtifactError(
            folder, expected=f"sids of layout {config['sids_layout']}", got=sids.layout, fix="run `genrec train` on these sids"
        )
    node, saved = node or with_current(config["generator"]), saved_in(folder)
    generator = new_generator(node, sids, trie, encoder=encoder, num_items=config["num_items"], saved=saved)
    _load(generator, folder / WEIGHTS_FILE, folder, "those of another version", "train it again, and export it again")
    return generator.eval()


def _load(generator: Any, file: Path, where: Path | str, got: object, fix: str) -> None:
    try:
        generator.load_state_dict(load_file(file))
    except RuntimeError as error:  # other names or shapes
        expected = f"weights of {type(generator).__name__} in the sizes of its settings"
        raise ArtifactError(where, expected=expected, got=got, fix=fix) from error


def saved_in(folder: Path) -> Path | None:
    """What the generator in a folder wrote itself."""
    return folder / SAVED if (folder / SAVED).is_dir() else None


def _weights_of(path: Path) -> Path:
    file = weights_file(path)
    if (file.parent / MANIFEST).exists():
        Artifact(file.parent).check(hashes=True)
    return file


def weights_file(path: Path) -> Path:
    """The weights that ``train.init_from`` means: those of a generator's folder, or of a run's generator.

    Raises:
        ArtifactError: when there are none in either.
    """
    for folder in (path, path / "generator"):
        if (folder / WEIGHTS_FILE).exists():
            return folder / WEIGHTS_FILE
    raise ArtifactError(
        "train.init_from", expected=f"a folder with {WEIGHTS_FILE}", got=path, fix="give a run or its generator"
    )


STAGE = Stage(
    name="train",
    kind="generator",
    version=3,
    reads=("generator", "objective", "train", SEEN_RULE),
    inputs=inputs,
    build=build,
    extend=extend,
    stands_for={"train.init_from": weights_file},
)
