"""Write the lists of all users of a table, in shards: resumable, and in bounded memory."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrec.artifacts import Artifact
from genrec.errors import ConfigError, did_you_mean
from genrec.fingerprints import digest
from genrec.paths import expanded
from genrec.runs import bundle_path
from genrec.serving.external import add_external, external_of

if TYPE_CHECKING:
    from genrec.serving.shards import BatchSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("bundle", type=Path, help="runs/NAME (exported), or a bundle wherever it was copied to")
    parser.add_argument(
        "histories",
        type=Path,
        help="parquet, csv and the like, or a folder: a row an event with user_id, item_id, perhaps timestamp or position",
    )
    parser.add_argument("out", type=Path, help="folder for part-00000.parquet, ...: user_id, rank, item_id, score")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="such as k=20 only='price < 5'; see below")
    parser.add_argument("--user", default="user_id", metavar="COLUMN", help="of HISTORIES (default: user_id)")
    parser.add_argument("--item", default="item_id", metavar="COLUMN", help="of HISTORIES (default: item_id)")
    parser.add_argument("--timestamp", metavar="COLUMN", help="of HISTORIES (default: timestamp, where there is one)")
    parser.add_argument("--position", metavar="COLUMN", help="of HISTORIES (default: position, where there is one)")
    parser.add_argument("--drop-missing", action="store_true", help="leave out events without a user, position or time")
    parser.add_argument("--anew", action="store_true", help="throw away lists that OUT has by other settings or histories")
    parser.add_argument("--threads", type=int, help="of the model (default: a core each)")
    parser.add_argument("--plugins", nargs="+", default=(), metavar="PACKAGE", help="whose classes the bundle may name")
    add_external(parser)


def epilog() -> str:
    """The settings and their defaults."""
    from genrec.serving.shards import BatchSettings

    told = (BatchSettings.__doc__ or "").partition("Args:")[2].strip().splitlines()
    numbers = [f"{field.name}={field.default}" for field in fields(BatchSettings) if isinstance(field.default, int)]
    example = """steer='{"new == true": 0.3}' quota='{"brand": 2}'"""
    return "\n".join(
        ["settings:", *(f"  {line.strip()}" for line in told), "", f"  default: {' '.join(numbers)}", f"  {example}"]
    )


def main(options: argparse.Namespace) -> int:
    """Writes the lists; returns the exit code."""
    from genrec.serving.bundle import open_catalogue
    from genrec.serving.history_file import HistoryColumns
    from genrec.serving.shards import recommend_shards

    columns = HistoryColumns(
        user=options.user,
        item=options.item,
        position=options.position,
        timestamp=options.timestamp,
        drop_missing=options.drop_missing,
    )
    settings, path = settings_of(options.settings), bundle_path(expanded(options.bundle))
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    catalogue = open_catalogue(path, plugins=options.plugins, external=external_of(options.external))
    files = Artifact(path).manifest["files"]
    done = recommend_shards(
        catalogue,
        expanded(options.histories),
        expanded(options.out),
        settings,
        bundle=digest({name: told["sha256"] for name, told in files.items()}),
        columns=columns,
        anew=options.anew,
        say=lambda line: print(line, flush=True),
    )
    print(f"{done['users']:,} users in {len(done['files']):,} files of {options.out}")
    return 0


def settings_of(words: Sequence[str]) -> BatchSettings:
    """``["k=20", "only=price < 5"]`` -> settings.

    Raises:
        ConfigError: for unknown ones, and values that they cannot have.
    """
    from genrec.serving.shards import BatchSettings

    known = {field.name for field in fields(BatchSettings)}
    given: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise ConfigError(name, expected="a setting", got=word, fix=did_you_mean(name, known))
        given[name] = value if name == "only" else _value(name, value)
    return BatchSettings(**given)


def _value(name: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if name in ("steer", "quota"):
        kind = int if name == "quota" else int | float
        fits = isinstance(value, Mapping) and all(isinstance(amount, kind) for amount in value.values())
        expected = """json such as {"brand": 2}"""
    elif name == "exclude_seen":
        fits, expected = isinstance(value, bool), "true or false"
    else:
        fits, expected = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    if not fits:
        raise ConfigError(name, expected=expected, got=text, fix="correct it")
    return value
