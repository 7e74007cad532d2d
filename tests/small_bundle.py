"""Bundles of tiny runs, moved away from everything they were made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import genrec
from genrec.engine.artifacts import seal_manifest
from genrec.engine.fingerprints import sha256_file

TINY = [
    *("data=demo", "data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "tokenizer.codebook_size=8"),
    *("train.epochs=1", "train.num_validations=1", "device=cpu", "export.license=apache-2.0"),
]
GENERATORS = {
    "encdec": ["generator.dim=16", "generator.num_heads=2", "generator.num_history_layers=1", "generator.num_decoder_layers=1"],
    "sasrec": ["generator.dim=16", "generator.num_layers=1"],
}


def exported(folder: Path) -> Path:
    """A bundle of a codes model; the run that made it is gone."""
    settings = [*TINY, *GENERATORS["encdec"], "generator=encdec", f"paths.runs={folder / 'runs'}", "name=tiny"]
    shutil.copytree(genrec.run(until="export", quiet=True, overrides=settings).path / "bundle", folder / "bundle")
    shutil.rmtree(folder / "runs")
    return folder / "bundle"


def listed_anew(bundle: Path) -> None:
    """Writes the manifest of a bundle's files as they are now."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file() and path != bundle / "manifest.json"]
    manifest["files"] = {
        path.relative_to(bundle).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in files
    }
    (bundle / "manifest.json").write_text(json.dumps(seal_manifest(manifest)), encoding="utf-8")


def rewritten(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a bundle, whole, with another bundle.json."""
    shutil.copytree(source, target)
    bundle = json.loads((target / "bundle.json").read_text(encoding="utf-8"))
    change(bundle)
    (target / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
    listed_anew(target)
    return target
