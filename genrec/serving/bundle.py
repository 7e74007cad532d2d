"""Opens what ``genrec export`` made: no training code, nothing from outside the folder, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from genrec.artifacts import Artifact
from genrec.components import allow_package, instantiate
from genrec.errors import ArtifactError
from genrec.protocols import DecodingStrategy
from genrec.serving.catalogue import Catalogue
from genrec.serving.intake import BundleIntake
from genrec.serving.item_table import ItemTable
from genrec.sids import SIDTable
from genrec.stages.embed import read_vectors
from genrec.stages.export import BUNDLE_FILE, ITEMS_FILE, SCHEMA, generator_folder
from genrec.stages.recommend import with_newcomers
from genrec.stages.train import num_trained, open_generator
from genrec.trie import PrefixTrie


def open_catalogue(path: Path, *, plugins: Sequence[str] = ()) -> Catalogue:
    """Opens a bundle, on the CPU.

    Args:
        path: its folder.
        plugins: packages beside genrec whose classes its configuration may name.

    Raises:
        ArtifactError: when a file is missing or damaged, or the bundle is of another schema.
        ConfigError: when it names classes of a package that is not allowed.
    """
    path = path.resolve()  # a run's link may point elsewhere by the time the first new item comes
    Artifact(path).check(hashes=True)
    bundle = json.loads((path / BUNDLE_FILE).read_text())
    if bundle["schema"] != SCHEMA:
        raise ArtifactError(
            path / BUNDLE_FILE,
            expected=f"a bundle of schema {SCHEMA}",
            got=f"schema {bundle['schema']} by genrec {bundle['genrec']}",
            fix="export it again with this version, or open it with that one",
        )
    for package in plugins:
        allow_package(package)
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
        return with_newcomers(strategy, vectors, trained, bundle["new_share"]) if newcomers else strategy

    return Catalogue(
        generator=open_generator(generator_folder(path), sids, trie, encoder),
        strategy=strategy_for(items.height, vectors),
        table=ItemTable(items, sids),
        trie=trie,
        exclude_seen=bundle["exclude_seen"],
        vectors=vectors,
        intake=BundleIntake(path, bundle, strategy_for) if (path / "tokenizer").is_dir() else None,
    )
