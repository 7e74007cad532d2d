"""How a bundle's folder is laid out: names that ``genrec export`` writes and that whoever opens a bundle reads."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genrec.core.sids import SIDTable
from genrec.types import ITEM_ID

SCHEMA = 1  # of the folder and of bundle.json; a reader opens exactly its own
REVISION = 2  # of the schema: what was added to it; older bundles are read by the rules of genrec.recommender.upgrade_bundle
BUNDLE_FILE, ITEMS_FILE, CARD_FILE, SAMPLES_FILE = "bundle.json", "items.parquet", "README.md", "samples.json"
SAMPLE_TIMES_FILE = "sample_times.json"
POPULARITY = "popularity"  # column of the items; a catalogue's own of this name is left as it is
CACHE = "cache"  # parameter: a folder where an encoder keeps vectors; not from a bundle, nor in one
PARTS = ("generator", "sids", "encoder", "tokenizer", "calibration")


def generator_folder(bundle: Path) -> Path:
    """Returns where a bundle has its generator: laid out for the hub, at the top."""
    return bundle / "generator" if (bundle / "generator").is_dir() else bundle


def part_folders(bundle: Path) -> dict[str, Path]:
    """Returns kind -> folder of the parts that a bundle has."""
    folders = {kind: bundle / kind for kind in PARTS if (bundle / kind).is_dir()}
    return folders | {"generator": generator_folder(bundle)}


def sid_frame(sids: SIDTable, item_ids: pl.Series) -> pl.DataFrame:
    """Returns ``item_id`` and a column ``code_<level>`` for each level, in the order of the catalogue."""
    return pl.DataFrame([item_ids.alias(ITEM_ID), *(pl.Series(f"code_{i}", codes) for i, codes in enumerate(sids.codes.T))])
