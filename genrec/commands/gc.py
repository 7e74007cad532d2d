"""Find, and with --yes delete, artifacts in the store that no run needs any more."""

from __future__ import annotations

import argparse
from pathlib import Path

from genrec.engine.artifacts import MANIFEST, Artifact, Store
from genrec.engine.runs import STORE, audited_datasets, list_runs
from genrec.errors import ArtifactError
from genrec.references import expand_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="?", default="runs", metavar="DIR", help="the runs folder, as paths.runs (default: runs)")
    parser.add_argument("--yes", action="store_true", help="really delete; without it they are only listed")


def main(options: argparse.Namespace) -> int:
    """Lists or deletes; returns the exit code."""
    root = expand_path(options.runs.removeprefix("paths.runs="))
    if not root.is_dir():
        raise ArtifactError("gc", expected="a runs folder", got=f"nothing at {root}", fix="give another, as paths.runs")
    if not (root / STORE).is_dir():
        print(f"{root} has no {STORE}: nothing was made there")
        return 0
    store = Store(root / STORE)
    needed = needed_entries(root, store)
    total = 0
    for kind, fingerprint in store.entries():
        if (kind, fingerprint) in needed:
            continue
        folder = store.folder(kind, fingerprint)
        size = sum(file.stat().st_size for part in folder.parent.glob(f"{fingerprint}*") for file in _files(part))
        if not options.yes:
            verdict = "not needed"
        elif store.remove(kind, fingerprint):
            verdict = "deleted"
        else:
            print(f"{kind:<16} {fingerprint}  in use, kept")
            continue
        total += size
        print(f"{kind:<16} {fingerprint}  {size / 1e6:8.1f} MB  {verdict}")
    hint = "" if options.yes or not total else "; delete with: genrec gc --yes" + (f" {root}" if str(root) != "runs" else "")
    print(f"{total / 1e6:.1f} MB {'freed' if options.yes else 'can be freed'}{hint}")
    return 0


def needed_entries(root: Path, store: Store) -> set[tuple[str, str]]:
    """Returns (kind, fingerprint) of what runs link to or have begun to make, and of everything that these were made from."""
    needed: set[tuple[str, str]] = set()
    waiting = list(audited_datasets(root))
    waiting += [entry for run in list_runs(root) for entry in (*run.links.items(), *run.record.get("wanted", {}).items())]
    while waiting:
        entry = waiting.pop()
        folder = store.folder(*entry)
        if entry in needed:
            continue
        needed.add(entry)
        if (folder / MANIFEST).exists():
            try:
                waiting.extend(Artifact(folder).inputs.items())
            except ArtifactError:  # of another version: nothing is known of its inputs
                continue
    return needed


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder.rglob("*") if folder.is_dir() else [folder]) if path.is_file()]
