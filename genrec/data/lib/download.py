"""Downloads public files once; records their sha256 beside them at first use and checks it at every later use."""

from __future__ import annotations

import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

from genrec.data.lib.files import require_file
from genrec.engine.fingerprints import sha256_file
from genrec.errors import DataError

TIMEOUT = 30.0  # seconds without a byte


def public_file(target: Path, url: str) -> Path:
    """``target``, downloaded if it is not there, verified against ``<target>.sha256`` (recorded at first use).

    Raises:
        DataError: when it cannot be downloaded (the message names URL and path), or its sha256 is not the recorded one.
    """
    if not target.exists():
        download(url, target)
    return verify_checksum(require_file(target, fix=f"download {url}"))


def download(url: str, target: Path) -> None:
    """Fetches ``url``; ``target`` appears whole or not at all. URL and target are printed to stderr.

    Raises:
        DataError: without network, or when the server refuses.
    """
    print(f"downloading {url} -> {target}", file=sys.stderr, flush=True)
    draft = target.with_name(f"{target.name}.part{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, draft.open("wb") as file:
            shutil.copyfileobj(response, file, length=1 << 20)
        os.replace(draft, target)
    except OSError as error:  # urllib's errors and timeouts are OSErrors
        reason = getattr(error, "reason", None) or error
        raise DataError(
            target, expected="a file", got=f"nothing there, and no download ({reason})", fix=f"put {url} at this path"
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def verify_checksum(path: Path) -> Path:
    """``path``, whose sha256 is recorded in ``<path>.sha256`` (format of ``sha256sum``) at first use and must match later.

    Raises:
        DataError: when the file has changed since; both hashes are named.
    """
    record, sha = path.with_name(path.name + ".sha256"), sha256_file(path)
    if record.exists():
        recorded = (record.read_text(encoding="utf-8").split() or ["(empty)"])[0]
        if recorded != sha:
            raise DataError(
                path,
                expected=f"sha256 {recorded} as recorded",
                got=sha,
                fix=f"restore the file, or delete {record} to accept it",
            )
        return path
    try:
        record.write_text(f"{sha}  {path.name}\n", encoding="utf-8")
    except OSError:  # a read-only folder: say so, since the next use cannot be checked
        print(f"{path}: sha256 {sha} (not recorded: {record.parent} is read-only)", file=sys.stderr)
    return path
