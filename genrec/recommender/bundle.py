"""Opens what ``genrec export`` made, of any origin. It reads nothing outside the folder, and runs no code of it.

The files are checked first (``bundle_contents``), then the components that they name (``bundle_components``); only then is
anything built. No training code is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from safetensors import safe_open

from genrec.engine.artifacts import Artifact
from genrec.engine.components import allow_package
from genrec.engine.logs import LOGGER
from genrec.engine.plain_json import read_json
from genrec.errors import ArtifactError, DataError, GenRecError
from genrec.model.trained import CONFIG_FILE, WEIGHTS_FILE, Model, count_trained, open_strategy, saved_in
from genrec.recommender.bundle_components import BundleComponents, check_components
from genrec.recommender.bundle_layout import (
    BUNDLE_FILE,
    ITEMS_FILE,
    SAMPLE_TIMES_FILE,
    SAMPLES_FILE,
    TensorBudget,
    check_files,
    check_listed,
    check_sizes,
    generator_folder,
    part_folders,
    readable_errors,
    upgrade_bundle,
)
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.histories import read_times
from genrec.recommender.item_changes import shown_id
from genrec.recommender.item_table import ItemTable
from genrec.recommender.new_item_encoder import NewItemEncoder
from genrec.recommender.requests import RecommendRequest
from genrec.recommender.user_coder import UserCoder
from genrec.recommender.words import TextEncoder
from genrec.types import ITEM_ID

MUCH_TEXT, TEXT_PER_BYTE = 1 << 28, 256  # bytes of all texts of the items: allowed in all, and for each byte of their file


def open_catalogue(path: Path, *, plugins: Sequence[str] = (), external: Mapping[str, str | Path] | None = None) -> Catalogue:
    """Opens a bundle, on the CPU.

    Args:
        path: its folder.
        plugins: packages beside genrec whose classes its configuration may name; trust them as you trust code.
        external: files and folders outside it that it may read when new items come, by the place that needs them:
            ``{"encoder.model": "/models/minilm"}`` for the base model of a text encoder.

    Raises:
        ArtifactError: for a folder that is no bundle, for another schema or a newer revision; when a file is missing, damaged,
            unlisted, outside or of a kind that no bundle has; when its configuration leads outside.
        ConfigError: when it names classes that do not belong where they stand, or are of a package that is not allowed.
    """
    path = path.resolve()  # the link of a run may point elsewhere when the first new item comes
    with readable_errors(path):
        if path.is_dir():
            check_files(path)
        artifact = Artifact(path)
        if artifact.kind != "bundle":
            raise ArtifactError(path, expected="a bundle", got=artifact.kind, fix="`genrec export` makes one of a run")
        check_listed(path, artifact.manifest["files"])
        artifact.check(hashes=True)
        check_sizes(path)
        bundle = upgrade_bundle(read_json(path / BUNDLE_FILE), path / BUNDLE_FILE)
        folder = generator_folder(path)
        generator = read_json(folder / CONFIG_FILE)
        saved = saved_in(folder) is not None
        components = check_components(
            path, bundle["config"], generator["generator"], saved=saved, plugins=plugins, external=external
        )
        for package in plugins:
            allow_package(package)
        items = pl.read_parquet(path / ITEMS_FILE, glob=False)
        _check_items(path / ITEMS_FILE, items)
        _check_numbers(path, bundle, generator, items.height)
        source = {key: str(artifact.manifest.get(key, "")) for key in ("fingerprint", "created", "genrec")}
        return replace(_build_catalogue(path, bundle, components, items), source=source)


def _build_catalogue(path: Path, bundle: Mapping[str, Any], components: BundleComponents, items: pl.DataFrame) -> Catalogue:
    parts = part_folders(path)
    with TensorBudget(*_num_weights(parts["generator"] / WEIGHTS_FILE)):
        strategy = open_strategy(components["decoding"], parts.get("calibration"))
        trained = count_trained(bundle["facts"]["generator"])
        model = Model.open(parts, node=components["generator"], num_trained=trained, strategy=strategy)
    model = model.with_slots(bundle["new_share"], bundle["new_reaches"])
    samples = _samples(path / SAMPLES_FILE)
    texts = TextEncoder(path, components)
    return Catalogue(
        model=model,
        table=ItemTable(items, model.sids),
        exclude_seen=bundle["exclude_seen"],
        num_bundled=items.height,
        intake=NewItemEncoder(path, bundle, components, texts) if "tokenizer" in parts else None,
        texts=texts if "encoder" in parts else None,
        user_coder=UserCoder(path, components) if model.schema.user_codes else None,
        samples=samples,
        sample_times=_sample_times(path / SAMPLE_TIMES_FILE, samples),
    )


def _check_items(file: Path, items: pl.DataFrame) -> None:
    """Checks that every item has a unique id, a string, and that the texts are not much larger than their file."""
    ids = items[ITEM_ID] if ITEM_ID in items.columns else pl.Series()
    texts = items.select(pl.col(pl.String).str.len_bytes().sum()).sum_horizontal()
    wrong = None
    if ids.dtype != pl.String:
        wrong = f"{ITEM_ID} of type {ids.dtype}" if ITEM_ID in items.columns else f"columns {', '.join(items.columns)}"[:200]
    elif ids.has_nulls():
        wrong = "an item without one"
    elif not ids.is_unique().all():
        wrong = f"{shown_id(ids.filter(ids.is_duplicated())[0])} twice"
    if wrong:
        expected = f"{ITEM_ID}, a string and each once"
        raise ArtifactError(file, expected=expected, got=wrong, fix="export it again")
    if texts.len() and texts[0] > max(TEXT_PER_BYTE * file.stat().st_size, MUCH_TEXT):
        got = f"{texts[0]:,} in a file of {file.stat().st_size:,}"
        raise ArtifactError(file, expected="texts of not many more bytes than their file", got=got, fix="export it again")


def _samples(file: Path) -> Sequence[Sequence[str]]:
    histories = read_json(file) if file.exists() else []
    for history in histories if isinstance(histories, list) else [histories]:
        if not isinstance(history, list) or not all(isinstance(item_id, str) for item_id in history):
            got = repr(history)[:200]
            raise ArtifactError(file, expected="a list of histories of item ids", got=got, fix="export it again")
    return tuple(histories)


def _sample_times(file: Path, samples: Sequence[Sequence[str]]) -> Sequence[Sequence[float | None]]:
    if not file.exists():
        return ()
    try:
        return tuple(read_times(read_json(file), samples))
    except DataError as error:
        expected, got = "a number for each item of each sample history", f"{error.where}: {error.got}"[:200]
        raise ArtifactError(file, expected=expected, got=got, fix="export it again") from error


def _check_numbers(path: Path, bundle: Mapping[str, Any], generator: Mapping[str, Any], num_items: int) -> None:
    """Checks the sizes in the json files against the catalogue; the others are checked against the weights."""
    facts, share, rule = bundle["facts"]["generator"], bundle["new_share"], bundle["exclude_seen"]
    if not isinstance(rule, bool):
        raise ArtifactError(path, expected="exclude_seen of true or false", got=repr(rule), fix="export it again")
    sizes = {"facts.generator.num_items": facts["num_items"], f"{CONFIG_FILE}: num_items": generator["num_items"]}
    for key, value in sizes.items():
        if type(value) is not int or value != num_items:
            raise ArtifactError(path, expected=f"{key} of {num_items:,}", got=repr(value), fix="export it again")
    trained = facts.get("num_trained", num_items)
    for name, reach in bundle["new_reaches"].items():
        if isinstance(reach, bool) or not isinstance(reach, int | float) or not 0 <= reach <= 1:
            raise ArtifactError(path, expected=f"new_reaches.{name} of 0 to 1", got=repr(reach), fix="export it again")
    ranges = {"num_trained": (trained, 0, num_items), "new_share": (share, 0, 1)}
    for key, (value, least, most) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ArtifactError(path, expected=f"{key} of {least} to {most:,}", got=repr(value), fix="export it again")


def _num_weights(file: Path) -> tuple[int, int]:
    """Returns the number of weights of all tensors together, and the number of tensors."""
    with safe_open(file, "pt") as weights:
        sizes = [math.prod(weights.get_slice(name).get_shape()) for name in weights.keys()]  # noqa: SIM118
    return sum(sizes), len(sizes)


def warm_up(catalogue: Catalogue) -> Catalogue:
    """Opens what the first requests and the first new item need, and returns the same catalogue.

    A trial item is taken in and thrown away, so encoder and tokenizer are in memory afterwards and no file of the bundle is
    needed any more. Failures go to the log: a bundle whose tokenizer takes no new items still recommends.
    """
    name = "warm-up"
    while name in catalogue.table.idx:
        name += "-"
    try:
        grown, _ = catalogue.with_items([{ITEM_ID: name, **({catalogue.table.title: name} if catalogue.table.title else {})}])
        grown.recommend(RecommendRequest(histories=[[]], times=[[]], k=1))
    except Exception as error:  # such as a text model that is not on this machine; adding an item raises the same error
        LOGGER.warning("the first new item will fail: %s", error)
    try:
        catalogue.recommend(RecommendRequest(histories=[[]], times=[[]], k=min(10, len(catalogue.table))))
    except GenRecError as error:
        LOGGER.warning("the first list failed: %s", error)
    return catalogue
