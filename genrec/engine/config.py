"""The configuration: Hydra composes it from ``conf/``, plug-ins and overrides, and it is checked before anything runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from genrec.engine.aliases import moved_names, with_current, with_current_parameters
from genrec.engine.components import (
    MISSING,
    TARGET,
    ConfigErrors,
    UnknownKeyError,
    allow_package,
    component_class,
    component_errors,
    external_files,
    instantiate,
    is_component,
    look_up_all_variables,
    look_up_choices,
    raise_all,
    value_errors,
)
from genrec.engine.experiments import EXPERIMENT, REPLACED, chosen_options, drop_unbound, with_new_names
from genrec.engine.machine import check_device_name
from genrec.engine.options import DEFAULT, OptionFiles, anchor_paths, apply_settings, name_parts, option_files
from genrec.engine.overrides import flat_settings, parse_overrides, setting, shell_line
from genrec.engine.registry import NAMED, conf_folder
from genrec.engine.runs import inherited_overrides, run_name
from genrec.engine.unknown_keys import is_far, misplaced_key, mistyped_keys
from genrec.errors import ConfigError, GenRecError, did_you_mean
from genrec.references import expand_path, keep_references

__all__ = [
    "Config",
    "ConfigErrors",
    "component_class",
    "compose",
    "conf_folder",
    "groups",
    "instantiate",
    "outside_files",
    "parse_overrides",
]

# Keys of the tree that are no groups.
TOP_LEVEL: dict[str, Any] = {
    "name": str | None,
    "seed": int,
    "plugins": list[str],
    "device": str,
    "precision": Literal["auto", "fp32", "bf16"],
    "threads": int | None,
    "paths": dict[str, str],
    "recommendations": Path | None,
    "extends": Path | None,
}
PARTS = frozenset(NAMED.values())  # groups whose options are named in a list of another component: see ``named_parts``
OVERLAYS = (EXPERIMENT,)  # groups whose options are spread over the whole tree instead of being under their own name
_HYDRA = threading.RLock()  # Hydra composes by global state: one at a time


@dataclass(frozen=True)
class Config:
    """A checked configuration.

    Args:
        tree: top-level key -> plain value; no interpolation is left.
        choices: group -> chosen option.
        overrides: what the user gave, as given.
        notes: what the user should know of it, a line each.
    """

    tree: Mapping[str, Any]
    choices: Mapping[str, str | None]
    overrides: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The run's name: ``name=``, else the experiment's, else ``default``."""
        return str(self.tree["name"] or run_name(self.choices.get(EXPERIMENT) or "default"))


def groups(folders: Sequence[Path] | None = None) -> dict[str, dict[str, Path]]:
    """Group -> option -> file, over configuration folders (the shipped one by default); earlier folders win."""
    options: dict[str, dict[str, Path]] = {}
    for folder in filter(Path.is_dir, folders or [conf_folder()]):
        for group in sorted(path for path in folder.iterdir() if path.is_dir()):
            for file in sorted(group.glob("*.yaml")):
                options.setdefault(group.name, {}).setdefault(file.stem, file)
    return options


def compose(overrides: Sequence[str] = (), *, folder: Path | None = None) -> Config:
    """Composes and checks a configuration.

    Args:
        overrides: ``group=option``, ``group=path/to/file.yaml``, ``key=value``, as on the command line. With ``extends=RUN``
            they are added to those of that run.
        folder: another configuration folder instead of the shipped one.

    Raises:
        ConfigError: everything that is wrong, one line each (``ConfigErrors`` when there are several).
    """
    folder = folder or conf_folder()
    overrides = _as_texts(overrides)
    with option_files(inherited_overrides(overrides)) as files:
        words = _quote_names(files.overrides)
        plugins = _plugins(words, [folder, files.folder])
        folders = [folder, files.folder, *(_plugin_conf(plugin) for plugin in plugins)]
        options = groups(folders)
        words, former = with_new_names(words, options)
        errors = _choice_errors(words, options, files)
        raise_all(errors)
        tree, chosen, note = _compose_tree(folder, [path for path in folders[1:] if path.is_dir()], words, options, files)
        name_parts(tree, options)
        notes = [*([note] if note else []), *(f"note: {line}" for line in moved_names(tree))]
        tree = with_current_parameters(tree)
        apply_settings(tree, chosen, files, _set_keys(words, options))
        _look_up_references(tree)
        anchor_paths(tree, chosen, files, OVERLAYS, _set_keys(words, options))
        choices = {group: files.called(group, option) for group, option in chosen.items()}
        if former is not None:  # it goes on in the run of that name
            choices[EXPERIMENT] = former
        typed_keys = () if files.sources or plugins else _set_keys(words, options)
    raise_all(_tree_errors(tree, [group for group in options if group not in (*OVERLAYS, *PARTS)], typed_keys))
    return Config(tree=with_current(tree), choices=choices, overrides=tuple(overrides), notes=tuple(notes))


def outside_files(tree: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Path]:
    """Configuration key -> path of everything outside the store that some top-level keys of a tree name.

    Their contents count, not their names and places (see ``external_files``).
    """
    files: dict[str, Path] = {}
    for key in keys:
        if key not in TOP_LEVEL:
            files |= external_files(tree[key], key)
        elif tree[key] is not None and TOP_LEVEL[key] == Path | None:
            files[key] = expand_path(tree[key])
    return files


# --- the user's own files and packages ----------------------------------------------------------------------------------------


def _as_texts(overrides: Sequence[str]) -> tuple[str, ...]:
    """Returns the overrides once they are known to be texts."""
    if isinstance(overrides, str):
        fix = f"give a list: overrides=[{overrides!r}]"
        raise ConfigError("overrides", expected="a list of key=value", got=repr(overrides), fix=fix)
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError("overrides", expected="key=value as text", got=repr(override), fix="write it as text")
    return tuple(overrides)


def _quote_names(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides with a name of digits (``name=007``) quoted as text.

    Raises:
        ConfigError: for a name that is none, ``name=null``.
    """
    words = []
    for override, parsed in zip(overrides, parse_overrides(overrides), strict=True):
        if parsed.key_or_group == "name" and not parsed.is_sweep_override():
            value, raw = parsed.value(), override.partition("=")[2].strip()
            if value in (None, "") or isinstance(value, bool):
                fix = f"leave it out, or quote it: {shell_line([setting('name', raw)])}"
                raise ConfigError("name", expected="a name", got=raw or "nothing", fix=fix)
            if isinstance(value, int | float):
                override = setting("name", raw)
        words.append(override)
    return words


def _plugins(overrides: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Returns the packages named by ``plugins=[...]``, else by the chosen experiment's file, else by ``config.yaml``.

    They are needed before Hydra composes anything: their folders are where it looks for options.
    """
    from omegaconf import OmegaConf

    values = {override.key_or_group: override.value() for override in parse_overrides(overrides)}
    if "plugins" in values:
        return _as_list(values["plugins"])
    experiments = groups(folders).get(EXPERIMENT, {})
    for file in (experiments.get(str(values.get(EXPERIMENT))), folders[0] / "config.yaml"):
        try:
            named = OmegaConf.select(OmegaConf.load(file), "plugins") if file else None
        except Exception:  # a broken file is reported when it is composed
            continue
        if named is not None:
            return _as_list(named)
    return []


def _as_list(value: Any) -> list[str]:
    from omegaconf import ListConfig

    return (
        [] if value is None else [str(part) for part in value] if isinstance(value, list | tuple | ListConfig) else [str(value)]
    )


def _plugin_conf(plugin: str) -> Path:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # the `genrec` script, unlike `python -m genrec`, does not look in the working folder
    try:
        spec = find_spec(plugin)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        fix = "install it, or start genrec in the folder that contains it"
        raise ConfigError("plugins", expected="importable packages", got=plugin, fix=fix)
    allow_package(plugin)
    return Path(next(iter(spec.submodule_search_locations))) / "conf"


# --- composing ------------------------------------------------------------------------------------------------------------


def _choice_errors(
    overrides: Sequence[str], options: Mapping[str, Mapping[str, Path]], files: OptionFiles
) -> list[GenRecError]:
    errors: list[GenRecError] = []
    for override in parse_overrides(overrides):
        key = override.key_or_group
        if override.is_sweep_override():
            value = override.input_line.partition("=")[2]
            fix = f"add -m to run all of them, or quote it to make it one value: {shell_line([setting(key, value)])}"
            errors.append(ConfigError(key, expected="one value", got=value, fix=fix))
        elif key.partition(".")[0] == "hydra":
            errors.append(UnknownKeyError(key, [*TOP_LEVEL, *options]))
        elif override.is_delete() or override.is_add():
            fix = f"write {override.input_line.lstrip('+')}" if override.is_add() else f"choose another value for {key}"
            errors.append(ConfigError(key, expected="key=value", got=override.input_line, fix=fix))
        elif key in PARTS:
            where = next(".".join(parameter) for parameter, part in NAMED.items() if part == key)
            fix = f"give {where}=[{DEFAULT},{override.value()}]"
            errors.append(ConfigError(key, expected=f"its options in {where}", got=str(override.value()), fix=fix))
        elif key in options and not isinstance(override.value(), dict):
            value = override.value()
            if value not in tuple(options[key]) and not (value is None and key in OVERLAYS):
                got = str(value)
                shipped = [option for option in options[key] if (key, option) not in files.sources]
                errors.append(ConfigError(key, expected=f"an option of {key}", got=got, fix=_other_choice(key, got, shipped)))
    return errors


def _set_keys(overrides: Sequence[str], groups: Mapping[str, Any]) -> list[str]:
    """Returns the keys that overrides set, without those that choose an option."""
    parsed = parse_overrides(overrides)
    return [o.key_or_group for o in parsed if o.key_or_group not in groups or isinstance(o.value(), dict)]


def _other_choice(group: str, value: str, options: Sequence[str]) -> str:
    if group == "data" and expand_path(value).is_file():  # a table where an option was expected
        return f"write a yaml for it, and use that: {shell_line(['genrec', 'init', value])}"
    if group == EXPERIMENT and value in REPLACED:
        return f"write {shell_line(REPLACED[value])} instead; docs/sweeps/family.yaml has its figures"
    folder = value.rpartition("/")[0]
    files = [f"{folder}/{file.name}" for file in sorted(expand_path(folder).glob("*.yaml"))] if folder else []
    return did_you_mean(value, files or options)


def _compose_tree(
    folder: Path,
    more: Sequence[Path],
    overrides: Sequence[str],
    options: Mapping[str, Mapping[str, Path]],
    files: OptionFiles,
) -> tuple[dict[str, Any], dict[str, str | None], str | None]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    # `++` lets unknown keys through; they are held against the signatures later, all at once and with the nearest right name.
    words = []
    for override in parse_overrides(overrides):
        if override.key_or_group in options and not isinstance(override.value(), dict):
            words.append(override.input_line)
            continue
        if override.value() == {} and override.key_or_group not in options:
            words.append(f"++{override.key_or_group}=null")  # Hydra merges mappings, and an empty one would change nothing
        words.append(f"++{override.input_line}")
    if more:
        words.append(setting("hydra.searchpath", [f"file://{path.absolute()}" for path in more]))
    try:
        with _hydra_alone(), initialize_config_dir(str(folder.resolve()), version_base="1.3"):
            composed = hydra_compose("config", overrides=words, return_hydra_config=True)
            note = drop_unbound(composed, words, files.called)
        choices = chosen_options(composed)
        with open_dict(composed):
            del composed["hydra"]
        with keep_references():
            tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{mark.name}, line {mark.line + 1}" if mark else getattr(error, "full_key", None) or "configuration"
        where = files.in_users_words(where)
        got = getattr(error, "problem", None) or next(iter(str(error).splitlines()), type(error).__name__)
        got = files.in_users_words(got)
        raise ConfigError(where, expected="something that can be composed", got=got, fix="correct it") from error
    assert isinstance(tree, dict)
    if isinstance(tree.get("plugins"), str):  # plugins=my_pkg is one package
        tree["plugins"] = [tree["plugins"]]
    return {str(key): value for key, value in tree.items()}, choices, note


@contextmanager
def _hydra_alone() -> Iterator[None]:
    """Clears Hydra's global state for one composition and restores that of the host program afterwards."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.version import VersionBase

    with _HYDRA:
        host, version = GlobalHydra.instance().hydra, VersionBase.instance().version_base
        GlobalHydra.instance().clear()
        try:
            yield
        finally:
            GlobalHydra.instance().hydra, VersionBase.instance().version_base = host, version


def _look_up_references(tree: dict[str, Any]) -> None:
    """Looks up variables of the environment that are no secrets; other references stay (``genrec.references``)."""
    for key, value in tree.items():
        if key in TOP_LEVEL:
            tree[key] = look_up_all_variables(value, key)
        elif is_component(value):
            with suppress(GenRecError):  # a wrong target is reported when the tree is checked
                look_up_choices(value, key)


# --- checking ----------------------------------------------------------------------------------------------------------------


def _tree_errors(tree: Mapping[str, Any], group_names: Sequence[str], typed_keys: Sequence[str] = ()) -> list[GenRecError]:
    errors: list[GenRecError] = []
    for key in (*TOP_LEVEL, *group_names):
        if tree.get(key, MISSING) == MISSING:
            errors.append(ConfigError(key, expected="a value", got="nothing", fix=f"give {key}=..."))
        elif key in TOP_LEVEL:
            errors.extend(value_errors(tree[key], TOP_LEVEL[key], key))
    errors = errors or _range_errors(tree)
    if mistyped := mistyped_keys(
        tree, [key for key in typed_keys if key.partition(".")[0] not in TOP_LEVEL], group_names, TOP_LEVEL
    ):
        return [*errors, *mistyped]
    reported = {error.where for error in errors}  # `tokenizer.seed` repeats `seed`, and its error is reported once
    for key in (key for key in tree if key not in TOP_LEVEL and tree[key] != MISSING):
        if key not in group_names:
            errors.append(misplaced_key(key, tree, group_names) or UnknownKeyError(key, [*TOP_LEVEL, *group_names]))
        elif not is_component(tree[key]):
            got = sorted(tree[key]) if isinstance(tree[key], Mapping) else tree[key]
            errors.append(ConfigError(key, expected=f"a component with {TARGET}", got=got, fix=f"choose {key}=<option>"))
        else:
            for error in component_errors(tree[key], key):
                if error.where.rpartition(".")[2] not in reported:
                    errors.append((misplaced_key(error.where, tree, group_names) or error) if is_far(error) else error)
    return errors


def _range_errors(tree: Mapping[str, Any]) -> list[GenRecError]:
    errors: list[GenRecError] = [UnknownKeyError(f"paths.{key}", ["runs"]) for key in tree["paths"] if key != "runs"]
    if tree["seed"] < 0:
        errors.append(ConfigError("seed", expected="0 or more", got=tree["seed"], fix="choose another"))
    try:
        check_device_name(tree["device"])
    except ConfigError as error:
        errors.append(error)
    if tree["threads"] is not None and tree["threads"] < 1:
        errors.append(ConfigError("threads", expected="1 or more, or null", got=tree["threads"], fix="choose another"))
    if not tree["paths"].get("runs"):
        errors.append(ConfigError("paths.runs", expected="a folder", got="nothing", fix="give paths.runs=..."))
    return errors


def option_name(group: str, settings: Mapping[str, Any]) -> str:
    """Returns the option of a group that fits some settings best: what the command line calls it, ``generator=tiger``.

    Args:
        group: of the configuration.
        settings: key -> value, as ``Finished.settings``.

    Returns:
        The option; of a class without a file here its name, and "-" where the group is not used.
    """
    from omegaconf import OmegaConf

    target = settings.get(f"{group}.{TARGET}")
    if target is None:
        return "-"
    fits: dict[str, int] = {}
    for option, file in groups().get(group, {}).items():
        node = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        stated = dict(flat_settings(node, group)) if isinstance(node, dict) else {}
        if stated.get(f"{group}.{TARGET}") == target:
            fits[option] = sum(settings.get(key) == value for key, value in stated.items())
    return max(fits, key=lambda option: fits[option]) if fits else str(target).rpartition(".")[2]
