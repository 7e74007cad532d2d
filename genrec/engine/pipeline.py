"""The pipeline: which stages a configuration needs, what is up to date, and running the rest.

    prepare -> embed -> tokenize -> assign -> train -> recommend -> diagnose -> evaluate        and, when asked for: export

``calibrate`` comes before ``recommend`` where the decoding strategy has something to fit, ``condition`` behind ``embed`` where
events have texts, ``user_tokenize`` behind ``tokenize`` where users get codes.

Fingerprints follow from the configuration alone, so the whole plan is known before anything runs.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genrec.engine.aliases import published_settings
from genrec.engine.artifacts import Artifact, Store
from genrec.engine.config import Config, component_class, instantiate
from genrec.engine.fingerprints import digest
from genrec.engine.machine import keep_freed_memory, wrap_os_errors
from genrec.engine.outside_content import SOURCE, content_of, files_of, refuse_changes
from genrec.engine.overrides import flat_settings
from genrec.engine.processes import Processes, check_processes, processes
from genrec.engine.registry import fits_class
from genrec.engine.runs import Run, check_name, extended_artifact, parent_of
from genrec.engine.stage import Runtime, Stage, StageContext
from genrec.engine.tracking.tracker import Tracking, tracking
from genrec.errors import ConfigError, GenRecError, did_you_mean
from genrec.references import expand_path, without_secrets

STAGES = (
    "prepare",
    "embed",
    "condition",
    "tokenize",
    "user_tokenize",
    "assign",
    "train",
    "calibrate",
    "recommend",
    "diagnose",
    "evaluate",
    "export",
)
LAST = "evaluate"  # of `genrec run`
DEMO = "demo"  # the generated data that a configuration has where none is given


def load_stage(name: str) -> Stage:
    """Imports and returns the stage of that name."""
    stage: Stage = importlib.import_module(f"genrec.stages.{name}").STAGE
    return stage


def needed_stages(config: Mapping[str, Any], until: str) -> list[Stage]:
    """Returns the stages that the chosen components need up to ``until``, in order.

    Raises:
        ConfigError: when ``until`` is no stage.
    """
    if until not in STAGES:
        fix = did_you_mean(until, STAGES) if isinstance(until, str) else f"known: {', '.join(STAGES)}"
        raise ConfigError("until", expected="a stage", got=repr(until), fix=fix)
    by_kind = {stage.kind: stage for stage in map(load_stage, STAGES[: STAGES.index(until) + 1])}
    kinds = {load_stage(until).kind}
    for stage in reversed(by_kind.values()):
        if stage.kind in kinds or (until == LAST and stage.beside in kinds):
            kinds.update((stage.kind, *stage.inputs(config)))
    return [stage for kind, stage in by_kind.items() if kind in kinds]


@dataclass(frozen=True)
class Step:
    """A planned stage.

    Args:
        stage: the stage.
        config: the completed subtree that it reads.
        external: configuration key -> content hash of files outside the store.
        inputs: kind -> fingerprint.
        fingerprint: of what it makes.
        action: "skip", "run" or "resume".
        reason: why.
        extends: what it is made from in a run that extends another.
        files: configuration key -> the file or folder whose hash ``external`` has.
        anew: made even where it is there.
    """

    stage: Stage
    config: dict[str, Any]
    external: dict[str, str]
    inputs: dict[str, str]
    fingerprint: str
    action: str
    reason: str
    extends: Artifact | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    anew: bool = False


@dataclass(frozen=True)
class Force:
    """Stages that run again although they are up to date, and with them all later stages.

    Args:
        stages: their names.
        done: (kind, fingerprint) of what was made anew already, so that the jobs of a sweep do it once.
    """

    stages: frozenset[str] = frozenset()
    done: set[tuple[str, str]] = field(default_factory=set)

    def check(self, needed: Sequence[Stage]) -> None:
        """Raises ConfigError for a name that is not among the needed stages."""
        names = [stage.name for stage in needed]
        for name in sorted(self.stages.difference(names)):
            raise ConfigError("--force", expected="a stage that this command needs", got=name, fix=did_you_mean(name, names))


def plan(config: Config, *, until: str = LAST, force: Force | None = None) -> list[Step]:
    """Plans what a run would do, without running it.

    Raises:
        ConfigError: when components do not fit each other, or ``force`` names no needed stage.
        DataError: when an external file is missing.
        ArtifactError: when something it would reuse is damaged.
    """
    from genrec.engine.early_checks import check_before  # torch, which the names of the stages do not need

    run, stages = run_of(config), needed_stages(config.tree, until)
    parent = parent_of(config.tree, run)
    if any("decoding" in stage.reads for stage in stages):
        check_decoding(config.tree)
    check_before(config, stages)
    force = force or Force()
    force.check(stages)
    steps: list[Step] = []
    fingerprints: dict[str, str] = {}
    renewed: set[str] = set()
    for stage in stages:
        subtree = stage.settings(config.tree)
        files = files_of(stage, config.tree)
        external = content_of(files, subtree, run.store)
        extends = extended_artifact(parent, stage, subtree) if parent and stage.extend else None
        if extends:
            external["extends"] = extends.fingerprint
        inputs = {kind: fingerprints[kind] for kind in stage.inputs(config.tree)}
        settings = _without_external(subtree, external)
        fingerprint = digest([stage.kind, stage.version, published_settings(settings), external, inputs])
        fingerprints[stage.kind] = fingerprint
        action, reason = _decide(run, stage, subtree, external, inputs, fingerprint)
        anew = False
        if stage.name in force.stages or renewed.intersection(inputs):
            renewed.add(stage.kind)
            anew = (stage.kind, fingerprint) not in force.done
        if anew:
            follows = ", ".join(kind for kind in inputs if kind in renewed)
            action, reason = "run", "forced" if stage.name in force.stages else f"{follows} is made anew"
        if stage.shared and action != "skip" and extends is None:
            check_processes(subtree[stage.name], processes())
        steps.append(Step(stage, subtree, external, inputs, fingerprint, action, reason, extends, files, anew))
        if action == "skip" and (artifact := run.store.find(stage.kind, fingerprint)):
            _check_new_artifact(config, stages, artifact)
    return steps


@wrap_os_errors()
def execute(
    config: Config,
    *,
    until: str = LAST,
    log: Callable[[str], None] = print,
    force: Force | None = None,
    report: Callable[[Run], Path] | None = None,
) -> Run:
    """Makes everything up to ``until`` that is not up to date, or that ``force`` names.

    Args:
        config: composed.
        until: the last stage.
        log: prints a line.
        force: stages to make anew.
        report: writes the report of an evaluated run, and returns its file; None: no report is written.

    Raises:
        GenRecError: as ``plan`` does, and whatever a stage finds wrong.
    """
    force, run, log = force or Force(), run_of(config), without_secrets(log)
    here = processes()
    here.connect()
    if not here.leads:
        _follow(config, run, here)
        return run
    unused = unused_overrides(config, plan(config, until=until, force=force))  # errors are reported before waiting for the lock
    for note in (*config.notes, *unused):
        log(note)
    with run.lock(log):
        steps = plan(config, until=until, force=force)  # once more: files may have changed while we waited
        _make_all(config, steps, run, log, report)
    here.from_first(None)
    force.done.update((step.stage.kind, step.fingerprint) for step in steps if step.anew)
    return run


@dataclass(frozen=True)
class Shared:
    """What rank 0 asks the other processes to take part in.

    Args:
        stage: its name.
        config: see ``Step``.
        inputs: see ``Step``.
        work: the folder of checkpoints.
    """

    stage: str
    config: dict[str, Any]
    inputs: dict[str, str]
    work: Path


def _follow(config: Config, run: Run, here: Processes) -> None:
    """Takes part in what rank 0 shares, until it has made the run; the artifacts are those that rank 0 has in the store."""
    keep_freed_memory()
    with _threads(config.tree["threads"]):
        while (shared := here.from_first(None)) is not None:
            inputs = {kind: run.store.open(kind, name, wanted_by=run.name) for kind, name in shared.inputs.items()}
            runtime = Runtime(config.tree["device"], config.tree["threads"], progress=False, name=run.name)
            with tempfile.TemporaryDirectory() as folder:
                load_stage(shared.stage).build(
                    StageContext(shared.config, inputs, Path(folder), shared.work, lambda line: None, runtime)
                )


def make_artifact(config: Config, *, until: str, log: Callable[[str], None] = print) -> Artifact:
    """Makes one artifact in the store, with all that it needs; the run of that name is neither read nor changed.

    Raises:
        GenRecError: as ``plan`` does, and whatever a stage finds wrong.
    """
    run, log = run_of(config), without_secrets(log)
    for note in config.notes:
        log(note)
    with _threads(config.tree["threads"]):
        runtime = _runtime(config, run, Tracking(run.store, log))
        return [_perform(step, run, run.store, runtime, log) for step in plan(config, until=until)][-1]


def _make_all(
    config: Config, steps: Sequence[Step], run: Run, log: Callable[[str], None], report: Callable[[Run], Path] | None
) -> None:
    run.start(config.tree, config.overrides, {step.stage.kind: step.fingerprint for step in steps})
    store, start = run.store, time.perf_counter()
    keep_freed_memory()
    with _threads(config.tree["threads"]), tracking(config, run, steps[0].fingerprint, log) as tracking_of_run:
        runtime = _runtime(config, run, tracking_of_run)
        for step in steps:
            artifact = _perform(step, run, store, runtime, log)
            _check_new_artifact(config, [step.stage for step in steps], artifact)
            run.link(step.stage.kind, artifact.fingerprint)
            tracking_of_run.stage(artifact, step.action != "skip")
    if report is not None and "evaluation" in {step.stage.kind for step in steps}:
        log(f"report: {report(run)}")
    log(f"{run.path}: done in {time.perf_counter() - start:.1f} s")


def _perform(step: Step, run: Run, store: Store, runtime: Runtime, log: Callable[[str], None]) -> Artifact:
    stage = step.stage
    if step.action == "skip" and (artifact := store.find(stage.kind, step.fingerprint)):
        log(f"{stage.name}: {step.reason}")
        store.tidy(stage.kind, step.fingerprint)
        return artifact
    log(f"{stage.name}: {'resuming' if step.action == 'resume' else 'running'} ({step.reason})")
    start = time.perf_counter()

    def build(folder: Path, work: Path) -> dict[str, Any]:
        if stage.shared and step.extends is None:
            processes().from_first(Shared(stage.name, step.config, step.inputs, work))
        inputs = {kind: store.open(kind, fingerprint, wanted_by=run.name) for kind, fingerprint in step.inputs.items()}
        context = StageContext(step.config, inputs, folder, work, lambda line: log(f"  {line}"), runtime, step.extends)
        refuse_changes(stage.name, step.files, step.external, store)  # hours may lie between the plan and a late stage
        if step.extends is None or stage.extend is None:
            facts = stage.build(context)
        else:
            step.extends.check(hashes=True)
            facts = stage.extend(context)
        try:
            refuse_changes(stage.name, step.files, step.external, store)
        except GenRecError:
            shutil.rmtree(work, ignore_errors=True)  # its checkpoints have seen the other content
            raise
        return facts

    artifact = store.make(
        stage.kind,
        step.fingerprint,
        build,
        stage=stage.name,
        config=step.config,
        inputs=step.inputs,
        external=step.external,
        machine=runtime.machine,
        log=log,
        anew=step.anew,
    )
    log(f"{stage.name}: {time.perf_counter() - start:.1f} s")
    return artifact


def require_data(config: Config, command: str = "run") -> None:
    """Refuses a command line without data, instead of silently using the demo shop.

    Raises:
        ConfigError: naming what can be given.
    """
    keys = {override.partition("=")[0] for override in config.overrides}
    if config.choices.get("data") == DEMO and not any(
        key in ("data", "experiment", "extends") or key.startswith("data.") for key in keys
    ):
        command = "run" if command == LAST else command
        fix = f"give data=..., such as `genrec {command} data={DEMO}`; `genrec init FILE` writes a yaml for a table of your own"
        raise ConfigError("data", expected="data to work on, or an experiment that names some", got="nothing", fix=fix)


def _check_new_artifact(config: Config, stages: Sequence[Stage], artifact: Artifact) -> None:
    """Checks the rest of the configuration against a dataset as soon as it exists."""
    if artifact.kind == "dataset":
        from genrec.engine.early_checks import check_dataset

        check_dataset(config, stages, artifact)


def run_of(config: Config) -> Run:
    """Returns the run folder that a configuration names."""
    return Run(expand_path(config.tree["paths"]["runs"]) / check_name(config.name))


def check_decoding(config: Mapping[str, Any]) -> None:
    """Checks that the decoding strategy can decode the generator, and as many items as requested.

    Raises:
        ConfigError: naming both.
    """
    from genrec.protocols import (  # they bring torch
        AutoregressiveGenerator,
        ItemScorer,
        MaskedGenerator,
        ParallelGenerator,
        SessionGenerator,
        WritesTexts,
    )

    generator, decoding = component_class(config["generator"], "generator"), component_class(config["decoding"], "decoding")
    kinds: dict[str, type] = {
        "autoregressive": AutoregressiveGenerator,
        "session": SessionGenerator,
        "parallel": ParallelGenerator,
        "masked": MaskedGenerator,
        "item_scorer": ItemScorer,
        "text": WritesTexts,
    }
    offers = {kind: fits_class(generator, protocol) for kind, protocol in kinds.items()}
    kind = getattr(decoding, "kind", None)
    if isinstance(kind, property):  # that of the strategy inside
        kind = instantiate(config["decoding"], "decoding").kind
    if kind != "any" and kind not in offers:
        expected = f"a class attribute kind, one of {', '.join((*offers, 'any'))}"
        fix = f"add it to {decoding.__name__}"
        raise ConfigError("decoding._target_", expected=expected, got=f"{decoding.__name__} with kind {kind}", fix=fix)
    if kind in offers and not offers[kind]:
        offered_kinds = " or ".join(name for name, offered in offers.items() if offered) or "nothing that can be decoded"
        raise ConfigError(
            "decoding",
            expected=f"a strategy for {generator.__name__} ({offered_kinds})",
            got=f"{decoding.__name__} ({kind})",
            fix="leave decoding to the generator's default, or choose another generator",
        )
    instantiate(config["decoding"], "decoding").check(instantiate(config["recommend"], "recommend").k)


def unused_overrides(config: Config, steps: Sequence[Step]) -> Iterator[str]:
    """Yields a line for each setting of a group that no needed stage reads, so that no setting is ignored silently."""
    read = {read_key for step in steps for read_key in step.stage.reads}
    for override in config.overrides:
        key = override.partition("=")[0]
        group = key.partition(".")[0]
        is_unread = (group in config.choices or group == "recommendations") and key not in read
        if is_unread and group not in {*read, "experiment", "logger"}:
            yield f"note: {override} has no effect here: no needed stage reads {group}"


# --- why a stage runs -----------------------------------------------------------------------------------------------------


def _without_external(subtree: Any, external: Mapping[str, str], where: str = "") -> Any:
    """Returns the subtree without external paths, which are represented by their content hashes."""
    if where in external:
        return None
    if isinstance(subtree, Mapping):
        return {key: _without_external(value, external, f"{where}.{key}" if where else key) for key, value in subtree.items()}
    if isinstance(subtree, list):
        return [_without_external(value, external, f"{where}[{i}]") for i, value in enumerate(subtree)]
    return subtree


def _decide(
    run: Run, stage: Stage, config: Mapping[str, Any], external: Mapping[str, str], inputs: Mapping[str, str], fingerprint: str
) -> tuple[str, str]:
    before = run.links.get(stage.kind)
    if run.store.find(stage.kind, fingerprint):
        return "skip", "up to date" if before == fingerprint else "found in the store"
    work = run.store.work(stage.kind, fingerprint)
    if work.is_dir() and any(work.iterdir()):
        return "resume", "was interrupted"
    if before is None:
        return "run", "never run"
    try:
        last = Artifact(run.path / stage.kind)
        old = last.manifest | {"config": last.config}
    except Exception:  # its manifest is gone or of another version: no comparison, but no obstacle either
        return "run", "the artifact of the last run is gone"
    changes = [f"config {line}" for line in _changes(old["config"], config)]
    changes += [_changed_content(key) for key, sha in external.items() if _former_content(old["external"], key, sha) != sha]
    changes += [f"input {kind} changed" for kind, made_from in inputs.items() if old["inputs"].get(kind) != made_from]
    changes += [f"input {kind} is no longer used" for kind in old["inputs"] if kind not in inputs]
    return "run", "; ".join(changes) or "its stage's version changed"


def _former_content(external: Mapping[str, str], key: str, content: str) -> str:
    """Returns the former content hash; old artifacts have none for the source of plug-ins."""
    return external.get(key, "none" if key.startswith(SOURCE) else content)


def _changed_content(key: str) -> str:
    return f"{key} changed" if key.startswith(SOURCE) else f"content of {key} changed"


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = dict(flat_settings(old)), dict(flat_settings(new))
    keys = [key for key in (*after, *before) if before.get(key, "absent") != after.get(key, "absent")]
    lines = [f"{key} changed {before.get(key, 'absent')} -> {after.get(key, 'absent')}" for key in dict.fromkeys(keys)]
    return lines if len(lines) <= 3 else [*lines[:3], f"and {len(lines) - 3} more"]


# --- where and how ----------------------------------------------------------------------------------------------------------


def _runtime(config: Config, run: Run, tracking_of_run: Tracking) -> Runtime:
    tree = config.tree
    return Runtime(
        device=tree["device"],
        threads=tree["threads"],
        progress=sys.stderr.isatty(),
        name=run.name,
        track=tracking_of_run.round,
    )


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    if number is None:
        yield
        return
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(limits=number):
            yield
    finally:
        torch.set_num_threads(before)
