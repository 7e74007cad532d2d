"""On the command line: which files and folders outside a bundle it may read when new items come."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from genrec.errors import ConfigError


def add_external(parser: argparse.ArgumentParser) -> None:
    """Declares ``--external``."""
    help = "a file or folder outside the bundle that it may read for new items, such as encoder.model=FOLDER"
    parser.add_argument("--external", nargs="+", default=(), metavar="PLACE=PATH", help=help)


def external_of(words: Sequence[str]) -> dict[str, str]:
    """``["encoder.model=/models/minilm"]`` -> place -> path.

    Raises:
        ConfigError: for a word without a place or a path.
    """
    given = {}
    for word in words:
        place, _, path = word.partition("=")
        if not place or not path:
            raise ConfigError("--external", expected="PLACE=PATH", got=word, fix="write encoder.model=FOLDER")
        given[place] = path
    return given
