"""Options that several commands share: files outside a bundle (``--external``), and the token of admin calls."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from genrec.errors import ConfigError
from genrec.references import expand_path

TOKEN_VARIABLE = "GENREC_ADMIN_TOKEN"


def add_external(parser: argparse.ArgumentParser) -> None:
    """Declares ``--external``."""
    help = "a file or folder outside the bundle that it may read for new items, such as encoder.model=FOLDER"
    parser.add_argument("--external", nargs="+", default=(), metavar="PLACE=PATH", help=help)


def parse_external(words: Sequence[str]) -> dict[str, str]:
    """Returns place -> path of words such as ``encoder.model=/models/minilm``.

    Raises:
        ConfigError: for a word without a place or a path.
    """
    paths = {}
    for word in words:
        key, _, path = word.partition("=")
        if not key or not path:
            raise ConfigError("--external", expected="PLACE=PATH", got=word, fix="write encoder.model=FOLDER")
        paths[key] = path
    return paths


def read_token(file: Path | None) -> str | None:
    """Returns the token in a file, or else in the environment; None if there is none.

    Raises:
        ConfigError: for a file without one.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = expand_path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--token-file", expected="a file with a token", got=str(error), fix="correct the path") from error
    if not token:
        raise ConfigError("--token-file", expected="a token", got=f"nothing in {file}", fix="write one into it")
    return token
