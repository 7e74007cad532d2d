"""Which bundles this version opens: those of its own schema, up to its own revision; and what older ones lack.

A schema says what stands where: a reader opens exactly its own. A revision adds something to it. An older bundle does not have
that, and a rule of ``RULES`` says what it meant without it; a newer one may mean more than this version understands, and is
refused rather than answered from differently. What a component reads for itself, such as a tokenizer its codebooks, it fills in
likewise (``RQKMeans.restore``); an argument that a configuration does not name has its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.errors import ArtifactError
from genrec.recommender.bundle_layout import REVISION, SCHEMA


@dataclass(frozen=True)
class Rule:
    """What bundles from before a revision meant.

    Args:
        revision: the first that says it by itself.
        name: of the rule.
        lacking: key of bundle.json -> what its absence stands for.
    """

    revision: int
    name: str
    lacking: Mapping[str, Any]


RULES = (
    Rule(1, "no places of lists were kept for items that came after training", {"new_share": 0.0}),
    Rule(2, "how near a history must be to a new item was not learned: very near", {"new_reaches": {}}),
)


def understood(bundle: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """The content of a bundle.json in the words of this version.

    Args:
        bundle: as read.
        where: its file.

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
