"""Opens what ``genrec export`` made: no training code, nothing from outside the folder, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.artifacts import Artifact
from genrec.components import allow_package, component_class, external_files, instantiate, parameters
from genrec.errors import ArtifactError
from genrec.protocols import DecodingStrategy
from genrec.serving.catalogue import Catalogue
from genrec.serving.compatibility import understood
from genrec.serving.intake import BundleIntake
from genrec.serving.item_table import ItemTable
from genrec.serving.readable import readable
from genrec.sids import SIDTable
from genrec.stages.embed import read_vectors
from genrec.stages.export import BUNDLE_FILE, ITEMS_FILE, SAMPLES_FILE, generator_folder
from genrec.stages.recommend import with_newcomers
from genrec.stages.train import CONFIG_FILE, SAVED, num_trained, open_generator
from genrec.trie import PrefixTrie


def open_catalogue(path: Path, *, plugins: Sequence[str] = ()) -> Catalogue:
    """Opens a bundle, on the CPU.

    Args:
        path: its folder.
        plugins: packages beside genrec whose classes its configuration may name.

    Raises:
        ArtifactError: for what is no bundle, of another schema or newer; when a file is missing, damaged, unlisted or outside.
        ConfigError: when it names classes of a package that is not allowed.
    """
    path = path.resolve()  # a run's link may point elsewhere by the time the first new item comes
    for package in plugins:
        allow_package(package)
    with readable(path):
        artifact = Artifact(path)
        if artifact.kind != "bundle":
            raise ArtifactError(path, expected="a bundle", got=artifact.kind, fix="`genrec export` makes one of a run")
        _check_closed(path, artifact.manifest["files"])
        artifact.check(hashes=True)
        return _opened(path, understood(json.loads((path / BUNDLE_FILE).read_text(encoding="utf-8")), path / BUNDLE_FILE))


def _opened(path: Path, bundle: Mapping[str, Any]) -> Catalogue:
    _check_nodes(path, bundle)
    sids = SIDTable.load(path / "sids") if (path / "sids").is_dir() else None
    trie = PrefixTrie.build(sids) if sids else None
    encoder = path / "encoder" if (path / "encoder").is_dir() else None
    vectors = read_vectors(encoder) if encoder else {}
    fitted = instantiate(bundle["config"]["decoding"], "decoding")
    if (path / "calibration").is_dir():
        fitted.restore(path / "calibration")
    items, trained = pl.read_parquet(path / ITEMS_FILE), num_trained(bundle["facts"]["generator"])

    def strategy_for(num_items: int, vectors: Mapping[str, np.ndarray]) -> DecodingStrategy:
        strategy = fitted.with_items(num_items) if num_items > items.height and hasattr(fitted, "with_items") else fitted
        newcomers = num_items > trained and bool(vectors)
        if not newcomers:
            return strategy
        return with_newcomers(strategy, vectors, trained, bundle["new_share"], bundle["new_reaches"])

    return Catalogue(
        generator=open_generator(generator_folder(path), sids, trie, encoder),
        strategy=strategy_for(items.height, vectors),
        table=ItemTable(items, sids),
        trie=trie,
        exclude_seen=bundle["exclude_seen"],
        num_bundled=items.height,
        num_trained=trained,
        vectors=vectors,
        intake=BundleIntake(path, bundle, strategy_for) if (path / "tokenizer").is_dir() else None,
        samples=json.loads((path / SAMPLES_FILE).read_text(encoding="utf-8")) if (path / SAMPLES_FILE).exists() else (),
    )


def _check_closed(path: Path, files: Mapping[str, Any]) -> None:
    """Every file of the manifest lies in the bundle."""
    for name in files:
        if not (there := (path / name).resolve()).is_relative_to(path):
            fix = "copy the bundle with what its links point to (cp -rL)"
            raise ArtifactError(path / name, expected="a file inside the bundle", got=f"a way to {there}", fix=fix)


def _check_nodes(path: Path, bundle: Mapping[str, Any]) -> None:
    """Nothing that is built when a bundle opens names a file elsewhere, or would look for one."""
    folder = generator_folder(path)
    generator = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["generator"]
    outside = external_files(bundle["config"]["decoding"], "decoding")
    if not (folder / SAVED).is_dir():
        outside |= external_files(generator, "generator")
        if "saved" in parameters(component_class(generator, "generator")):
            outside["generator.saved"] = folder / SAVED
    for key, file in outside.items():
        raise ArtifactError(path, expected="a bundle that has all it opens", got=f"{key}={file}", fix="export it again")
