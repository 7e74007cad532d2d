"""The token of admin calls, as the service checks it and a feed sends it."""

from __future__ import annotations

import os
from pathlib import Path

from genrec.errors import ConfigError
from genrec.references import expanded

TOKEN_VARIABLE = "GENREC_ADMIN_TOKEN"


def read_token(file: Path | None) -> str | None:
    """Returns the token in a file, or else in the environment; None: there is none.

    Raises:
        ConfigError: for a file without one.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = expanded(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--token-file", expected="a file with a token", got=str(error), fix="correct the path") from error
    if not token:
        raise ConfigError("--token-file", expected="a token", got=f"nothing in {file}", fix="write one into it")
    return token
