"""Options of groups: a user's own yaml chosen by its path, and components that a list names."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genrec.engine.aliases import current_parameter
from genrec.engine.components import TARGET, PathPlace, path_places
from genrec.engine.overrides import text_value
from genrec.engine.registry import NAMED
from genrec.errors import ConfigError, GenRecError, did_you_mean
from genrec.references import expand_path

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class OptionFiles:
    """Files that were chosen as options.

    Args:
        folder: a temporary configuration folder that holds a copy of each, under a name of genrec's own making.
        overrides: what was given, each file replaced by the option's name.
        sources: (group, option) -> the user's file.
    """

    folder: Path
    overrides: list[str] = field(default_factory=list)
    sources: dict[tuple[str, str], Path] = field(default_factory=dict)

    def called(self, group: str, option: str | None) -> str | None:
        """Returns the name of an option as the user knows it: of a file, its stem."""
        source = self.sources.get((group, str(option)))
        return option if source is None else source.stem

    def in_users_words(self, text: str) -> str:
        """Returns a message with the user's files instead of their copies."""
        for (group, option), source in self.sources.items():
            text = text.replace(str(self.folder / group / f"{option}.yaml"), str(source))
            text = text.replace(f"{group}/{option}", str(source))
        return text


@contextmanager
def option_files(overrides: Sequence[str]) -> Iterator[OptionFiles]:
    """Copies the yaml files among the overrides into a temporary configuration folder.

    Raises:
        ConfigError: for one that is not there.
    """
    with tempfile.TemporaryDirectory(prefix="genrec-conf-") as temporary:
        files = OptionFiles(Path(temporary))
        for override in overrides:
            source = _file_of(override)
            if source is not None:
                group = override.partition("=")[0]
                option = f"_file_{len(files.sources)}_"  # plain letters, and never the name of a shipped option
                (files.folder / group).mkdir(exist_ok=True)
                shutil.copyfile(source, files.folder / group / f"{option}.yaml")
                files.sources[group, option] = source
                override = f"{group}={option}"
            files.overrides.append(override)
        yield files


def _file_of(override: str) -> Path | None:
    group, _, raw = override.partition("=")
    if not re.fullmatch(r"\w+", group, re.ASCII) or not raw.rstrip("'\" ").endswith(_YAML):
        return None
    if expand_path(raw).is_file():
        return expand_path(raw)
    value = text_value(override)[1]
    if not value.endswith(_YAML) or ("," in value and not expand_path(value).is_file()):
        return None
    if not expand_path(value).is_file():
        raise ConfigError(group, expected="an option's name or a yaml file", got=value, fix="no such file")
    return expand_path(value)


# --- settings of other groups that a data yaml carries ------------------------------------------------------------------------


def apply_settings(
    tree: Mapping[str, Any], choices: Mapping[str, str | None], files: OptionFiles, overridden: Sequence[str]
) -> None:
    """Takes ``settings`` out of a user's data yaml and makes its keys (``filters.missing: drop``) those of the tree, in place.

    What the data need, ``genrec init`` writes there. A key that the chosen options lack (``split.short_users`` under
    split=temporal) is passed over; what the command line sets stays.

    Args:
        tree: the composed configuration.
        choices: group -> chosen option.
        files: the users' files.
        overridden: keys that the command line sets.

    Raises:
        ConfigError: for settings that are no keys of groups with values.
    """
    data = tree.get("data")
    if ("data", str(choices.get("data"))) not in files.sources or not isinstance(data, dict):
        return
    settings = data.pop("settings", None) or {}
    if not isinstance(settings, Mapping):
        raise ConfigError("data.settings", expected="keys with values", got=repr(settings), fix="write filters.missing: drop")
    for where, value in settings.items():
        *parents, key = str(where).split(".")
        if not parents or parents[0] == "data" or not isinstance(tree.get(parents[0]), Mapping):
            fix = "write it on the command line" if parents else "write group.key, as filters.missing"
            raise ConfigError(f"data.settings.{where}", expected="a key of another group", got=str(where), fix=fix)
        node: Any = tree
        for parent in parents:
            node = node.get(parent) if isinstance(node, Mapping) else None
        if isinstance(node, dict):
            key = current_parameter(str(node.get(TARGET)), key)
        if isinstance(node, dict) and key in node and not _is_overridden(str(where), overridden):
            node[key] = value


# --- paths in such a file ------------------------------------------------------------------------------------------------


def anchor_paths(
    tree: dict[str, Any],
    choices: Mapping[str, str | None],
    files: OptionFiles,
    overlays: Sequence[str],
    overridden: Sequence[str],
) -> None:
    """Makes the relative paths that a user's file names start at the file's own folder, in place.

    A path that is there when seen from the working folder, and not from the file's, stays as it is.

    Args:
        tree: the composed configuration.
        choices: group -> chosen option.
        files: the users' files.
        overlays: groups whose files are spread over the whole tree.
        overridden: keys that the command line sets: their paths are those of whoever typed them.
    """
    from omegaconf import OmegaConf

    places = list(_path_places(tree)) if files.sources else []  # to find them, every class is imported
    for (group, option), source in files.sources.items():
        if choices.get(group) != option:
            continue
        content = OmegaConf.to_container(OmegaConf.load(source), resolve=False)
        written = dict(_leaves(content, "" if group in overlays else group))
        for path_place in places:
            value = path_place.holder[path_place.key]
            if written.get(path_place.where) == value and not _is_overridden(path_place.where, overridden):
                path_place.holder[path_place.key] = _path_from(source.parent, value, path_place.certain)


def _path_places(tree: dict[str, Any]) -> Iterator[PathPlace]:
    for key, node in tree.items():
        if isinstance(node, dict) and TARGET in node:
            try:
                yield from path_places(node, key)
            except GenRecError:  # a wrong target is reported when the tree is checked
                continue
        elif key in ("recommendations", "extends") and isinstance(node, str):
            yield PathPlace(tree, key, key, certain=True)


def _path_from(folder: Path, value: str, certain: bool) -> str:
    path = expand_path(value)
    if path.is_absolute():
        return value
    there = folder.absolute() / path
    if there.exists() or (certain and not path.exists()):
        return str(there)
    return value


def _leaves(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _leaves(value, f"{where}[{i}]")
    else:
        yield where, node


def _is_overridden(where: str, keys: Sequence[str]) -> bool:
    return any(where == key or where.startswith((f"{key}.", f"{key}[")) for key in keys)


DEFAULT = "default"  # in such a list: what stands there unless a list is given
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "metric": (
        *("recall", "ndcg", "mrr", "precision", "hit", "map"),
        *("novelty", "repeat_rate", "diversity", "prefix_diversity", "serendipity", "miscalibration"),
        *("coverage", "gini", "popularity_lift"),
    ),
}


def name_parts(tree: Mapping[str, Any], options: Mapping[str, Mapping[str, Path]]) -> None:
    """Replaces the names in such lists by the nodes of their yamls, in place. A mapping of nodes stays as it is.

    Args:
        tree: the composed configuration.
        options: group -> option -> file.

    Raises:
        ConfigError: for a name that is no option.
    """
    for (group, parameter), part in NAMED.items():
        node = tree.get(group)
        if isinstance(node, dict) and isinstance(node.get(parameter), list | str):
            names = [node[parameter]] if isinstance(node[parameter], str) else node[parameter]
            node[parameter] = _nodes(names, options.get(part, {}), f"{group}.{parameter}", part, tree)


def _nodes(
    names: list[Any], options: Mapping[str, Path], where: str, part: str, tree: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    from omegaconf import OmegaConf

    nodes: dict[str, dict[str, Any]] = {}
    for name in names:
        if name != DEFAULT and name not in options:
            fix = did_you_mean(str(name), [DEFAULT, *options])
            raise ConfigError(where, expected=f"{DEFAULT} and options of {part}", got=str(name), fix=fix)
        for each in DEFAULTS[part] if name == DEFAULT else [name]:
            node = OmegaConf.create({"seed": tree.get("seed"), "part": OmegaConf.load(options[each])})
            plain: Any = OmegaConf.to_container(node, resolve=True)
            nodes[each] = plain["part"]
    return nodes
