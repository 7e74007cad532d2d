"""How a bundle's folder is laid out, and which schemas and revisions of it this version opens.

``genrec export`` writes the names below, and whoever opens a bundle reads them. The schema says which files there are and what
they mean: a reader opens exactly its own schema. A revision adds something to a schema. An older bundle lacks the addition, and
a rule of ``RULES`` gives the value that it had in effect. A newer bundle is refused, because its answers could differ. A
component upgrades its own files in the same way (``RQKMeans.restore``); an argument that a configuration omits has its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genrec.core.sids import SIDTable
from genrec.errors import ArtifactError
from genrec.types import ITEM_ID

SCHEMA = 1  # of the folder and of bundle.json; a reader opens exactly this one
REVISION = 2  # of the schema, counted up by additions; older bundles are read by ``RULES``
BUNDLE_FILE, ITEMS_FILE, CARD_FILE, SAMPLES_FILE = "bundle.json", "items.parquet", "README.md", "samples.json"
SAMPLE_TIMES_FILE = "sample_times.json"
POPULARITY = "popularity"  # column of the items; a catalogue's own of this name is left as it is
CACHE = "cache"  # parameter: a folder where an encoder keeps vectors; not from a bundle, nor in one
PARTS = ("generator", "sids", "encoder", "tokenizer", "calibration")


def generator_folder(bundle: Path) -> Path:
    """Returns the folder of a bundle's generator: the top one where the bundle is laid out for the hub."""
    return bundle / "generator" if (bundle / "generator").is_dir() else bundle


def part_folders(bundle: Path) -> dict[str, Path]:
    """Returns kind -> folder of the parts that a bundle has."""
    folders = {kind: bundle / kind for kind in PARTS if (bundle / kind).is_dir()}
    return folders | {"generator": generator_folder(bundle)}


def sid_frame(sids: SIDTable, item_ids: pl.Series) -> pl.DataFrame:
    """Returns ``item_id`` and a column ``code_<level>`` for each level, in the order of the catalogue."""
    return pl.DataFrame([item_ids.alias(ITEM_ID), *(pl.Series(f"code_{i}", codes) for i, codes in enumerate(sids.codes.T))])


@dataclass(frozen=True)
class Rule:
    """The values that bundles had in effect before a revision.

    Args:
        revision: the first one whose bundles have the values.
        name: what the rule means.
        lacking: key of bundle.json -> the value where it is absent.
    """

    revision: int
    name: str
    lacking: Mapping[str, Any]


RULES = (
    Rule(1, "no slots of lists were reserved for items that came after training", {"new_share": 0.0}),
    Rule(2, "how near a history must be to a new item was not learned: very near", {"new_reaches": {}}),
)


def upgrade_bundle(bundle: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Returns the content of a bundle.json with the keys of this version.

    Args:
        bundle: the content as it was read.
        where: the file.

    Raises:
        ArtifactError: for another schema or a newer revision.
    """
    schema, revision = bundle["schema"], bundle.get("revision", 0)
    if schema != SCHEMA or revision > REVISION:
        raise ArtifactError(
            where,
            expected=f"a bundle of schema {SCHEMA}, at most revision {REVISION}",
            got=f"schema {schema}, revision {revision} by genrec {bundle['genrec']}",
            fix="export it again with this version, or open it with that one",
        )
    whole = dict(bundle)
    for rule in RULES:
        if revision < rule.revision:
            whole = {**rule.lacking, **whole}
    return whole
