"""Show a run or one of its artifacts: what it is, what it was made from, its settings, and the facts of its stage."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from genrec.engine.artifacts import MANIFEST, Artifact, Store
from genrec.engine.overrides import shell_line
from genrec.engine.runs import Run, find_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("path", help="runs/NAME, runs/NAME/KIND, or just NAME")
    parser.add_argument("--verify", action="store_true", help="hash every file, of everything it was made from too")


def main(options: argparse.Namespace) -> int:
    """Prints the run or the artifact; returns the exit code."""
    path = find_folder(options.path)
    if (path / MANIFEST).exists():
        artifacts = [Artifact(path)]
        store = Store(path.resolve().parent.parent)
        _print_artifact(artifacts[0], store)
    else:
        run = Run(path)
        artifacts = [Artifact(path / kind) for kind in run.kinds]
        _print_run(run, artifacts)
        store = run.store
    if options.verify:
        for artifact in {item.path.resolve(): item for root in artifacts for item in _lineage(root, store)}.values():
            artifact.check(hashes=True)
            print(f"verified {artifact.kind} {artifact.fingerprint}")
    else:
        for artifact in artifacts:
            artifact.check()
    return 0


def _print_run(run: Run, artifacts: list[Artifact]) -> None:
    record = run.record
    print(f"{run.path}    started {record.get('started', '?')}")
    print(f"  overrides: {shell_line(record.get('overrides', [])) or 'none'}")
    missing = [kind for kind in record.get("wanted", {}) if kind not in run.kinds]
    for artifact in artifacts:
        made_from = " ".join(artifact.inputs) or "data"
        print(f"  {artifact.kind:<16} {artifact.fingerprint}  {artifact.manifest['created']}  from {made_from}")
    for kind in missing:
        print(f"  {kind:<16} not made yet")


def _print_artifact(artifact: Artifact, store: Store) -> None:
    manifest = artifact.manifest
    print(f"{artifact.path}    {artifact.kind} {artifact.fingerprint}")
    print(f"  made by `genrec {artifact.stage}`, genrec {manifest['genrec']}, {manifest['created']}")
    print("lineage:")
    for line in _tree(artifact, store):
        print(f"  {line}")
    for title, content in (("config", artifact.config), ("facts", artifact.facts), ("files", manifest["files"])):
        print(f"{title}:")
        for line in json.dumps(content, indent=2, ensure_ascii=False).splitlines()[1:-1]:
            print(line)


def _tree(artifact: Artifact, store: Store, depth: int = 0) -> Iterator[str]:
    yield f"{'  ' * depth}{artifact.kind} {artifact.fingerprint}{_outside(artifact.manifest['external'])}"
    for kind, fingerprint in artifact.inputs.items():
        input_artifact = store.find(kind, fingerprint)
        if input_artifact is None:
            yield f"{'  ' * (depth + 1)}{kind} {fingerprint} (no longer in the store)"
        else:
            yield from _tree(input_artifact, store, depth + 1)


def _outside(external: Mapping[str, Any]) -> str:
    return "".join(f"  {key}@{sha[:12]}" for key, sha in external.items())


def _lineage(artifact: Artifact, store: Store) -> Iterator[Artifact]:
    yield artifact
    for kind, fingerprint in artifact.inputs.items():
        if input_artifact := store.find(kind, fingerprint):
            yield from _lineage(input_artifact, store)
