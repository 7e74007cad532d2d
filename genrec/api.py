"""The Python API, equal to the command line: ``genrec.run``, ``load``, ``audit`` and ``compare``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrec.engine.artifacts import MANIFEST, Artifact
from genrec.engine.component_objects import component_settings, is_component_object
from genrec.engine.experiments import EXPERIMENT
from genrec.engine.memory_tables import table_settings, tables_in
from genrec.engine.overrides import parse_overrides, setting
from genrec.engine.runs import RECORD, STORE, Run
from genrec.errors import ArtifactError, ConfigError
from genrec.references import expand_path
from genrec.types import Split

if TYPE_CHECKING:  # composing and comparing are slow to import
    from genrec.engine.config import Config
    from genrec.reports.standings import Standings


def run(
    *positional: Any,
    overrides: Sequence[str] = (),
    until: str = "evaluate",
    force: str | Sequence[str] = (),
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Runs a pipeline, as ``genrec run`` does.

    Args:
        overrides: as on the command line, ``["tokenizer.num_levels=4"]``.
        until: the last stage.
        force: stages to make anew, with all that follows them, even when they are up to date.
        quiet: print nothing.
        settings: top-level settings and group choices, ``experiment="demo"``, ``tokenizer="rqvae"``, ``seed=1``. ``data`` may
            be a table of interactions too (polars, pandas, arrow; columns as for ``data=tables``) and ``items`` one of the
            items. Any group may be a component instead of an option's name: an object, ``RQKMeans(num_levels=4)``, a class,
            ``EncDec``, or a class with settings, ``genrec.configured(EncDec, dim=64)``. The run is the same as when the
            settings are typed.

    Returns:
        The run: ``.metrics``, ``.artifact("generator")``, ``.config``.

    Raises:
        GenRecError: the errors that the command line prints in one line.
    """
    from genrec.engine.pipeline import Force, execute
    from genrec.reports.report import write_report

    stages = Force(frozenset([force] if isinstance(force, str) else force))
    return execute(
        _config(positional, overrides, settings), until=until, log=_printer(quiet), force=stages, report=write_report
    )


def audit(*positional: Any, overrides: Sequence[str] = (), quiet: bool = False, **settings: Any) -> dict[str, Any]:
    """Audits a data set: what a score on it can and cannot show, as ``genrec audit`` does.

    Args:
        overrides: as on the command line, ``["data.interactions=events.parquet"]``.
        quiet: print nothing.
        settings: as for ``run``, ``data="tables"``, ``name="my_shop"``.

    Returns:
        The content of audit.json: ``verdict``, ``findings``, ``figures``, ``dataset``, ``seconds``.

    Raises:
        GenRecError: the errors that the command line prints in one line.
    """
    from genrec.reports.audit_page import audit_data

    return audit_data(_config(positional, overrides, settings), log=_printer(quiet))[1]


def compare(
    *runs: Run | str | Path, metric: str | None = None, split: Split = "test", baseline: str | None = None
) -> Standings:
    """Compares finished runs, as ``genrec compare`` does. Runs that differ in their seeds only count as one model.

    Args:
        runs: runs, or what the command line accepts.
        metric: such as ``recall@10``; None: ndcg at the evaluation's headline k.
        split: of the users.
        baseline: compare with this model only; None: every pair.

    Returns:
        ``.models`` and ``.baselines`` with figures and intervals, ``.pairs`` with differences, p-values and ``.significant``.

    Raises:
        GenRecError: when they were not measured on the same data by the same rules.
    """
    from genrec.reports.evaluated_runs import find_runs
    from genrec.reports.standings import standings

    strangers = [run for run in runs if not isinstance(run, Run | str | Path)]
    if strangers or not runs:
        got = f"{strangers[0]!r:.80}" if strangers else "none"
        raise ConfigError("compare", expected="runs, or their folders", got=got, fix="give what genrec.run returned, or paths")
    evaluated_runs = find_runs([str(run.path) if isinstance(run, Run) else str(run) for run in runs])
    return standings(evaluated_runs, metric=metric, split=split, baseline=baseline)


def _config(positional: Sequence[Any], overrides: Sequence[str] | None, settings: Mapping[str, Any]) -> Config:
    from genrec.engine.config import compose

    if positional:
        fix = f"give it a name, such as experiment={positional[0]!r:.40} or data={positional[0]!r:.40}"
        raise ConfigError("settings", expected="each by its name", got=f"{positional[0]!r:.80}", fix=fix)
    if isinstance(overrides, str):
        raise ConfigError("overrides", expected="a list of key=value", got=repr(overrides), fix=f"give [{overrides!r}]")
    words, named = list(overrides or ()), dict(settings)
    if (items := named.pop("items", None)) is not None:
        named["data"] = _with_items(named.get("data"), items)
    if tables := tables_in(named.get("data")):
        del named["data"]
    objects = {key: named.pop(key) for key, value in settings.items() if key in named and is_component_object(key, value)}
    if tables:
        named = table_settings(tables, _store(named, words)) | named
    if objects:
        experiment = EXPERIMENT in {*named, *(str(line).partition("=")[0] for line in words)}
        read = component_settings(objects, lambda: _store(named, words), experiment=experiment)
        named |= {key: value for key, value in read.named.items() if key not in named}
        named, words = _with_plugins(read.plugins, named, words)
    return compose([*(setting(key, value) for key, value in named.items()), *words])


def _with_items(data: Any, items: Any) -> dict[str, Any]:
    """The tables of ``data=`` with those of ``items=``."""
    if tables_in(data) is None or isinstance(data, Mapping):
        fix = 'give data=interactions, or data={"interactions": ..., "items": ...}'
        raise ConfigError("items", expected="a table beside data=, which is one too", got=f"data={data!r:.80}", fix=fix)
    return {"interactions": data, "items": items}


def _store(named: Mapping[str, Any], words: Sequence[str]) -> Path:
    """Where what is given in memory is written: the store of the runs folder that the other settings say."""
    from genrec.engine.config import compose

    saying = ("paths", EXPERIMENT, "plugins", "extends")
    lines = [*(setting(key, value) for key, value in named.items() if key.partition(".")[0] in saying), *words]
    lines = [line for line in lines if str(line).partition("=")[0].partition(".")[0] in saying]
    return expand_path(compose(["data=demo", *lines]).tree["paths"]["runs"]) / STORE


def _with_plugins(packages: Sequence[str], named: dict[str, Any], words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The settings with the packages of the user's own classes among the plug-ins: who holds a class has loaded its package."""
    if not packages:
        return named, words
    plugins = named.get("plugins", ())
    for line in (line for line in words if str(line).partition("=")[0] == "plugins"):
        plugins = parse_overrides([line])[0].value()
    plugins = [plugins] if isinstance(plugins, str) else list(plugins or ())
    words = [line for line in words if str(line).partition("=")[0] != "plugins"]
    return {**named, "plugins": list(dict.fromkeys([*plugins, *packages]))}, words


def _printer(quiet: bool) -> Callable[[str], None]:
    return (lambda line: None) if quiet else print


def load(
    path: str | Path,
    *,
    plugins: Sequence[str] = (),
    external: Mapping[str, str | Path] | None = None,
    warm: bool = False,
) -> Any:
    """Opens what a run left behind.

    Args:
        path: a run's folder (gives a ``Run``), one artifact's folder (an ``Artifact``), or a bundle (a ``Recommender``).
        plugins: your own packages whose classes a bundle may name; trust them as you trust code.
        external: what a bundle may read from elsewhere when new items come, by the place that needs it, such as the base model
            of its text encoder: ``{"encoder.model": "/models/minilm"}``.
        warm: open at once what a bundle's first new item would open (encoder and tokenizer); its files are not needed then.

    Raises:
        ArtifactError: when it is neither, or damaged.
    """
    if not isinstance(path, str | Path):
        expected = "the path of a run, an artifact or a bundle"
        raise ArtifactError("load", expected=expected, got=f"{path!r:.80}", fix="give it as text")
    plugins = [plugins] if isinstance(plugins, str) else plugins
    path = expand_path(path)
    if (path / MANIFEST).exists():
        artifact = Artifact(path)
        if artifact.kind != "bundle":
            return artifact.check(hashes=True)
        from genrec.recommender.recommender import open_bundle

        return open_bundle(path, plugins=plugins, external=external, warm=warm)
    if (path / RECORD).exists():
        return Run(path)
    raise ArtifactError(path, expected="a run, an artifact or a bundle", got="neither", fix="`genrec ls` lists the runs")
