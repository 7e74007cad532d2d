"""train: fits a generator on the training part and keeps its best weights on validation -> ``generator``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from genrec.core.dataset import Dataset
from genrec.engine.artifacts import MANIFEST, Artifact
from genrec.engine.components import component_class, instantiate
from genrec.engine.machine import resolve_device
from genrec.engine.processes import processes
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ArtifactError, ConfigError
from genrec.model.event_texts import asking_histories, with_texts
from genrec.model.trained import WEIGHTS_FILE, Model, count_trained, load_weights, model_inputs, save_with_later_items
from genrec.model.user_codes import with_user_codes
from genrec.protocols import FineTuningObjective, FittedObjective, HasNormalization

HISTORY_FILE = "history.json"
SEEN_RULE, REQUEST = (
    "recommend.exclude_seen",
    "recommend.request",
)  # the rounds are compared by what the run's lists are made by


def build(context: StageContext) -> dict[str, Any]:
    """Trains; a checkpoint in ``run.work`` is resumed from."""
    from genrec.training.fit import fit  # Lightning is slow to import

    settings = instantiate(context.config["train"], "train")
    exclude_seen: bool = context.config[SEEN_RULE]
    dataset = with_user_codes(with_texts(Dataset.load(context.inputs["dataset"].path), context.parts), context.parts)
    torch.manual_seed(settings.seed)
    model = Model.new(context.config["generator"], context.parts, dataset)
    generator, sids = model.generator, model.sids
    runtime = {"trie": model.trie, "train_counts": dataset.train_counts, "train_sequences": dataset.train}
    objective = instantiate(context.config["objective"], "objective", **runtime)
    objective.check(generator)
    if isinstance(objective, FittedObjective):
        objective.fit(dataset)
    if settings.init_from is None and isinstance(objective, FineTuningObjective):
        expected = f"what {type(objective).__name__} is to fine-tune"
        fix = "give train.init_from=RUN, a run with the same generator and sids"
        raise ConfigError("train.init_from", expected=expected, got="null", fix=fix)
    if settings.init_from is not None:
        fix = "start from a run with the same generator and sids"
        load_weights(generator, _weights_of(settings.init_from), where="train.init_from", got=settings.init_from, fix=fix)
    request: Mapping[str, Any] = context.config.get(REQUEST) or {}
    fitted = fit(
        generator,
        objective,
        dataset,
        model.trie,
        settings,
        work=context.work,
        device=processes().device(resolve_device(context.runtime.device)),
        track=context.runtime.track,
        progress=context.runtime.progress,
        log=context.log,
        exclude_seen=exclude_seen,
        histories=asking_histories(dataset, "validation", request),
    )
    if not processes().leads:
        return {}
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
    history = [row | {"exclude_seen": exclude_seen} for row in fitted.history]  # the rule behind its val/ figures
    (context.folder / HISTORY_FILE).write_text(json.dumps(history, indent=2), encoding="utf-8")
    model.save(context.folder, facts)
    return facts


def extend(context: StageContext) -> dict[str, Any]:
    """The trained weights for a catalogue with later items: what a generator learned item by item is zero for those.

    Raises:
        ConfigError: when the generator knows items by nothing but such weights.
    """
    assert context.extends is not None
    dataset, folder = Dataset.load(context.inputs["dataset"].path), context.extends.path
    node, before = context.config["generator"], context.extends.facts
    facts = before | {"num_items": dataset.num_items, "num_trained": count_trained(before)}
    later = dataset.num_items - before["num_items"]
    if later and not {"sids", "encoder"}.intersection(context.inputs):
        raise ConfigError(
            "extends",
            expected="a generator that knows items by their semantic IDs or their vectors",
            got=f"{later:,} items that {component_class(node, 'generator').__name__} has never seen",
            fix="train it again: run without extends",
        )
    save_with_later_items(context.folder, folder, node=node, facts=facts, later=later)
    shutil.copyfile(folder / HISTORY_FILE, context.folder / HISTORY_FILE)
    Model.open(context.parts | {"generator": context.folder})  # it fits, or nothing is kept
    context.log(f"the weights of generator {context.extends.fingerprint} as they are, for {later:,} items more")
    return facts | {"extends": context.extends.fingerprint}


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
    reads=("generator", "objective", "train", SEEN_RULE, REQUEST),
    inputs=model_inputs,
    build=build,
    extend=extend,
    shared=True,
    stands_for={"train.init_from": weights_file},
)
