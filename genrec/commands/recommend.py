"""Write the lists of all users of a table, in shards: resumable, and in bounded memory."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from genrec.engine.artifacts import Artifact
from genrec.engine.fingerprints import digest
from genrec.engine.runs import bundle_path
from genrec.errors import ConfigError, did_you_mean
from genrec.recommender.command_options import add_external, parse_external
from genrec.references import expand_path

if TYPE_CHECKING:
    from genrec.recommender.requests import RecommendRequest


_TEXTS = ("filter", "query", "wish")  # settings that are taken as they are written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("bundle", type=Path, help="runs/NAME (exported), or a bundle wherever it was copied to")
    parser.add_argument(
        "histories",
        type=Path,
        help="parquet, csv and the like, or a folder: a row an event with user_id, item_id, perhaps timestamp or position",
    )
    parser.add_argument("out", type=Path, help="folder for part-00000.parquet, ...: user_id, rank, item_id, score")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="such as k=20 filter='price < 5'; see below")
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
    """Describes the settings and their defaults."""
    from genrec.recommender.batch_lists import recommend_shards
    from genrec.recommender.requests import RecommendRequest, field_docs

    docs = field_docs(RecommendRequest) | field_docs(recommend_shards)
    lines = [fill(f"{name}: {docs[name]}", 120, initial_indent="  ", subsequent_indent="      ") for name in _defaults()]
    numbers = [f"{name}={value}" for name, value in _defaults().items() if isinstance(value, int)]
    example = """steer='{"new == true": 0.3}' quota='{"brand": 2}'"""
    return "\n".join(["settings:", *lines, "", f"  default: {' '.join(numbers)}", f"  {example}"])


def main(options: argparse.Namespace) -> int:
    """Writes the lists; returns the exit code."""
    from genrec.recommender.batch_lists import HistoryColumns, recommend_shards
    from genrec.recommender.bundle import open_catalogue

    columns = HistoryColumns(
        user=options.user,
        item=options.item,
        position=options.position,
        timestamp=options.timestamp,
        drop_missing=options.drop_missing,
    )
    (request, shard_rows), path = settings_of(options.settings), bundle_path(expand_path(options.bundle))
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    catalogue = open_catalogue(path, plugins=options.plugins, external=parse_external(options.external))
    files = Artifact(path).manifest["files"]
    done = recommend_shards(
        catalogue,
        expand_path(options.histories),
        expand_path(options.out),
        request,
        shard_rows=shard_rows,
        bundle=digest({name: entry["sha256"] for name, entry in files.items()}),
        columns=columns,
        anew=options.anew,
        log=lambda line: print(line, flush=True),
    )
    print(f"{done['users']:,} users in {len(done['files']):,} files of {options.out}")
    return 0


def settings_of(words: Sequence[str]) -> tuple[RecommendRequest, int]:
    """``["k=20", "filter=price < 5"]`` -> what every list is like, and the rows of a shard.

    Raises:
        ConfigError: for unknown ones, and values that they cannot have.
    """
    from genrec.recommender.batch_lists import EMPTY_REQUEST
    from genrec.recommender.requests import OLD_NAMES, whole_number

    defaults = _defaults()
    values: dict[str, Any] = {}
    for word in words:
        old, _, value = word.partition("=")
        name = OLD_NAMES.get(old, old)
        if name not in defaults:
            raise ConfigError(name, expected="a setting", got=word, fix=did_you_mean(name, defaults))
        if name != old:
            print(f"note: {old} is called {name} now", file=sys.stderr)
        values[name] = value if name in _TEXTS else _value(value)
    shard_rows = values.pop("shard_rows", defaults["shard_rows"])
    return replace(EMPTY_REQUEST, **values), whole_number("shard_rows", shard_rows)


def _defaults() -> dict[str, Any]:
    """Returns the settings of batch lists: those of a request without its histories, and the rows of a shard."""
    from genrec.recommender.batch_lists import EMPTY_REQUEST, SHARD_ROWS

    return EMPTY_REQUEST.settings | {"shard_rows": SHARD_ROWS}


def _value(text: str) -> Any:
    """Parses a text as json, also ``True`` and ``None``; other text is returned as it is, and the request will refuse it."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except ValueError:
        return text
