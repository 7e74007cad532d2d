"""Feed tonight's items to a service: new ones, other prices and titles, takedowns; the same file twice changes nothing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genrec.engine.runs import bundle_path
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.recommender.command_options import TOKEN_VARIABLE, add_external, parse_external, read_token
from genrec.references import expand_path

if TYPE_CHECKING:
    from genrec.recommender.catalogue import Catalogue
    from genrec.recommender.feed import FeedFile
    from genrec.recommender.item_changes import Changes
    from genrec.recommender.journal import Journal

_SHOWN = 5  # unknown ids named in a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("bundle", type=Path, help="the bundle that the service opens: runs/NAME/bundle, runs/NAME, or a copy")
    parser.add_argument(
        "items", type=Path, nargs="?", help="parquet, csv, json lines: item_id and columns of the bundle's items"
    )
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="of the service, while it is stopped")
    parser.add_argument("--url", help="of the service, while it runs, such as http://127.0.0.1:8000")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"the token of the service's admin calls (default: ${TOKEN_VARIABLE})"
    )
    parser.add_argument(
        "--removed", type=Path, metavar="FILE", help="items to take down: a table with item_id, or text, one a line"
    )
    parser.add_argument("--restore", type=Path, metavar="FILE", help="items to put back; nothing else puts back a takedown")
    parser.add_argument("--full-catalogue", action="store_true", help="take down whatever ITEMS lacks")
    parser.add_argument(
        "--restore-returning",
        action="store_true",
        help="put back what ITEMS has and only an earlier --full-catalogue took down",
    )
    parser.add_argument("--reassign", action="store_true", help="items whose content changed get the ID of their new content")
    parser.add_argument("--item", default="item_id", metavar="COLUMN", help="the column of ids (default: item_id)")
    parser.add_argument(
        "--decimal",
        choices=("point", "comma"),
        default="point",
        help="how text files write numbers: 9.99 or 9,99 (and 1.299,00)",
    )
    parser.add_argument("--dry-run", action="store_true", help="read and check everything, change nothing")
    parser.add_argument("--plugins", nargs="+", default=(), metavar="PACKAGE", help="whose classes the bundle may name")
    add_external(parser)


def main(options: argparse.Namespace) -> int:
    """Feeds the items and prints the changes; returns the exit code."""
    from genrec.recommender.bundle import open_catalogue
    from genrec.recommender.feed import FeedFile, read_ids
    from genrec.serving.feed_client import FeedClient

    _check(options)
    bundle = bundle_path(expand_path(options.bundle))
    removed, restored = (
        () if file is None else read_ids(expand_path(file), item=options.item) for file in (options.removed, options.restore)
    )
    items = _read_items(bundle, options) if options.items else FeedFile([], [], 0)
    if options.dry_run:
        print(f"{len(items.rows):,} rows fit; nothing was changed")
        return 0
    if options.url:
        client = FeedClient(options.url, read_token(options.token_file))
        changes = client.feed(
            items.rows,
            removed=removed,
            restored=restored,
            full=options.full_catalogue,
            returning=options.restore_returning,
            reassign=options.reassign,
        )
    else:
        journal = _journal(expand_path(options.state_dir))
        try:
            catalogue = open_catalogue(bundle, plugins=options.plugins, external=parse_external(options.external))
            changes = _feed_catalogue(catalogue, journal, items, removed, restored, options)
        finally:
            journal.close()
    for line in change_lines(changes):
        print(line)
    return 0


def _check(options: argparse.Namespace) -> None:
    if bool(options.url) == bool(options.state_dir):
        got = "both" if options.url else "neither"
        fix = "--url for a service that runs, --state-dir for one that is stopped"
        raise ConfigError("feed", expected="--state-dir DIR or --url URL", got=got, fix=fix)
    if not (options.items or options.removed or options.restore):
        raise ConfigError("feed", expected="ITEMS, --removed or --restore", got="none of them", fix="give a file")
    for flag in ("full_catalogue", "restore_returning"):
        if getattr(options, flag) and not options.items:
            raise ConfigError(
                f"--{flag.replace('_', '-')}", expected="a file of items", got="none", fix="give it behind BUNDLE"
            )


def _read_items(bundle: Path, options: argparse.Namespace) -> FeedFile:
    """Reads the rows of the file.

    Raises:
        DataError: when any does not fit, after a line for each.
    """
    import polars as pl

    from genrec.recommender.bundle_layout import ITEMS_FILE, readable_errors
    from genrec.recommender.feed import read_feed

    with readable_errors(bundle):
        schema = pl.scan_parquet(bundle / ITEMS_FILE, glob=False).collect_schema()
    feed = read_feed(expand_path(options.items), schema, item=options.item, decimal="," if options.decimal == "comma" else ".")
    for line in feed.wrong:
        print(line, file=sys.stderr)
    if feed.wrong:
        got = f"{len(feed.wrong):,} of {feed.num_rows:,} that do not"
        fix = "correct them"
        if feed.commas:
            fix = f"give --decimal comma if the comma of {', '.join(feed.commas)} is a decimal comma, or correct them"
        raise DataError(options.items, expected="rows that fit the bundle", got=got, fix=f"{fix}; nothing was changed")
    if feed.passed_over:
        print(f"columns that the bundle does not have, passed over: {', '.join(feed.passed_over)}")
    return feed


def _journal(folder: Path) -> Journal:
    """Opens the state of a stopped service.

    Raises:
        ArtifactError: when the service runs.
    """
    from genrec.recommender.journal import Journal

    try:
        return Journal(folder)
    except ArtifactError as error:
        if "is using" not in str(error.got):
            raise
        fix = "send the feed to the service that has it: --url http://HOST:PORT in place of --state-dir; or stop it first"
        raise ArtifactError(error.where, expected="a state_dir that no service has open", got=error.got, fix=fix) from error


def _feed_catalogue(
    catalogue: Catalogue,
    journal: Journal,
    items: FeedFile,
    removed: tuple[str, ...],
    restored: tuple[str, ...],
    options: argparse.Namespace,
) -> Changes:
    from genrec.recommender.feed import Feed
    from genrec.recommender.persistent import PersistentRecommender

    feed = Feed(
        items=items.to_item_rows(catalogue.table.frame.schema) if options.items else None,
        removed=removed,
        restored=restored,
        full=options.full_catalogue,
        returning=options.restore_returning,
        reassign=options.reassign,
    )
    return PersistentRecommender(catalogue, journal).feed(feed)


def change_lines(changes: Changes) -> list[str]:
    """Describes what a feed changed, in lines."""
    parts = {
        "new": changes.added,
        "updated": changes.updated,
        "unchanged": changes.unchanged,
        "taken down": changes.removed,
        "restored": changes.restored,
    }
    lines = [
        ", ".join(f"{len(ids):,} {name}" for name, ids in parts.items()) + ("" if changes.anything else "; nothing changed")
    ]
    if changes.still_removed:
        lines.append(
            f"{len(changes.still_removed):,} of these items are taken down and stay so; --restore FILE puts items back"
        )
    if changes.unknown:
        names = ", ".join(map(repr, changes.unknown[:_SHOWN]))
        more = f" and {len(changes.unknown) - _SHOWN:,} more" if len(changes.unknown) > _SHOWN else ""
        lines.append(f"{len(changes.unknown):,} ids are not in the catalogue: {names}{more}")
    return lines
