"""export: puts all that serving and adding items need into one folder, with tables of the IDs and a model card -> ``bundle``.

A bundle needs nothing outside itself (a text encoder's base model aside), so it can be copied anywhere:

    bundle.json                                what it is: versions, components, counts, the seen-item rule
    items.parquet                              the catalogue, row number == item_idx; ``popularity``: training events of each
    generator/  sids/  encoder/  tokenizer/    the artifacts of these names as they are; the last three where needed
    calibration/                               of an ensemble: its weights and fitted scorers
    onnx/  hf_llm/                             the generator for another runtime; only where asked for
    pieces/                                    pieces of the IDs, as features for another ranker; only where asked for
    sids/sids.csv  sids/sids.jsonl             the IDs once more, for other programs
    samples.json                               histories of some users to try it with; only where asked for
    sample_times.json                          when each item of each of these was, for a generator that looks at times
    README.md                                  the model card

For the Hugging Face hub the generator's files are at the top, where the hub looks for ``config.json`` and
``model.safetensors``, and not in ``generator/``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec import __version__
from genrec.core.dataset import Dataset
from genrec.core.sids import SIDTable
from genrec.engine.aliases import current, with_current
from genrec.engine.artifacts import MANIFEST, Artifact
from genrec.engine.components import TARGET, instantiate, is_component, path_places
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ConfigError, did_you_mean
from genrec.evaluation.list_settings import RecommendSettings, list_inputs
from genrec.model.event_texts import CONDITIONS
from genrec.model.id_assignment import encoder_if_needed
from genrec.model.item_vectors import read_vectors
from genrec.model.trained import CONFIG_FILE, Model, count_trained, learn_reaches
from genrec.model.user_codes import KIND as USER_CODES
from genrec.protocols import EncodesTexts, JoinsSources
from genrec.recommender.bundle_layout import (
    BUNDLE_FILE,
    CACHE,
    CARD_FILE,
    ITEMS_FILE,
    PARTS,
    POPULARITY,
    REVISION,
    SAMPLE_TIMES_FILE,
    SAMPLES_FILE,
    SCHEMA,
    generator_folder,
    sid_frame,
)
from genrec.recommender.id_pieces import FOLDER as PIECES_FOLDER
from genrec.recommender.id_pieces import write_pieces
from genrec.recommender.model_card import SOURCE_SETTINGS, model_card
from genrec.references import expand_path
from genrec.types import ITEM_ID

SAMPLE_LEN = 50  # items of a sample history at most, and at least 3


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What a bundle says and carries besides the model: the ``export`` group.

    Args:
        title: of the model card.
        license: of the model, as an SPDX id for the model card, or None: not stated.
        columns: of the items to carry (``item_id`` always is), or None for all.
        hub: lay it out for the Hugging Face hub.
        runtime: "onnx" (for programs without PyTorch, see ``onnx_graphs``), "hf_llm" (a language model as a folder of
            transformers, see ``trie_logits``), or None.
        words: carry the encoder and its vectors of the items, so that a package without IDs can be asked by ``wish``, too;
            those that need the encoder anyway, and those that were trained with texts, carry it as they are.
        pieces: rows of a vocabulary of pieces of IDs, features for a ranker of one's own (see ``id_pieces``), or None.
        sample_users: how many users' histories to put into the bundle, without their ids, for the page of ``genrec serve``;
            with the times of their events where the generator looks at times. What somebody took can tell who they are: ask
            for them where the data is public.

    Raises:
        ConfigError: when fewer than no users are asked for.
    """

    title: str = "A genrec recommender"
    license: str | None = None
    columns: tuple[str, ...] | None = None
    hub: bool = False
    runtime: Literal["onnx", "hf_llm"] | None = None
    words: bool = False
    pieces: int | None = None
    sample_users: int = 0

    def __post_init__(self) -> None:
        if self.sample_users < 0:
            raise ConfigError("export.sample_users", expected="at least 0", got=self.sample_users, fix="raise it")

    def of(self, items: pl.DataFrame) -> pl.DataFrame:
        """The catalogue as the bundle carries it."""
        if self.columns is None:
            return items
        for column in self.columns:
            if column not in items.columns:
                raise ConfigError(
                    "export.columns", expected="columns of the items", got=column, fix=did_you_mean(column, items.columns)
                )
        return items.select(list(dict.fromkeys((ITEM_ID, *self.columns))))


def inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The generator with what it needs, and what gives new items their IDs and users their codes."""
    needed = list_inputs(config)
    more = ("tokenizer", *encoder_if_needed(config)) if "sids" in needed or USER_CODES in needed else ()
    hears = bool((config.get("events") or {}).get("text")) or bool(config["export"].get("words"))
    return tuple(dict.fromkeys((*needed, *more, *(("encoder",) if hears else ()))))


def build(context: StageContext) -> dict[str, Any]:
    """Writes the bundle."""
    settings: ExportSettings = instantiate(context.config["export"], "export")
    rule: RecommendSettings = instantiate(context.config["recommend"], "recommend")
    dataset = Dataset.load(context.inputs["dataset"].path)
    parts = {kind: context.inputs[kind] for kind in PARTS if kind in context.inputs}
    for kind, artifact in parts.items():
        folder = context.folder if settings.hub and kind == "generator" else context.folder / kind
        shutil.copytree(artifact.path, folder, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)
    if settings.hub:
        _write_hub_config(context.folder / CONFIG_FILE)
    settings.of(with_popularity(dataset)).write_parquet(context.folder / ITEMS_FILE)
    if settings.sample_users:
        _write_samples(
            dataset, settings.sample_users, context.folder, with_times=getattr(_model(parts).generator, "needs_times", False)
        )
    if "sids" in parts:
        _write_sids(SIDTable.load(parts["sids"].path), dataset.item_ids, context.folder / "sids")
    if settings.pieces is not None:
        _write_pieces(context, dataset, settings.pieces)
    if settings.runtime == "onnx":
        _write_onnx(parts, context.folder / "onnx")
    if settings.runtime == "hf_llm":
        _write_language_model(parts, dataset, context.config["decoding"], rule, context.folder / "hf_llm")

    _make_portable(generator_folder(context.folder) / CONFIG_FILE)
    config = {"decoding": portable(context.config["decoding"], "decoding")}
    for artifact in parts.values():
        config |= {key: portable(node, key) for key, node in artifact.config.items() if is_component(node)}
    bundle = {
        "schema": SCHEMA,
        "revision": REVISION,
        "genrec": __version__,
        "exclude_seen": rule.exclude_seen,
        "new_share": rule.new_item_share,
        "new_reaches": _reaches(context, dataset, rule),
        "config": config,
        "facts": {kind: context.inputs[kind].facts for kind in ("dataset", *parts)},
        "source": _source(context.inputs["dataset"]),
    }
    (context.folder / BUNDLE_FILE).write_text(json.dumps(bundle, indent=2, ensure_ascii=False), encoding="utf-8")
    card = model_card(bundle, title=settings.title, license=settings.license)
    (context.folder / CARD_FILE).write_text(card, encoding="utf-8")

    size = sum(path.stat().st_size for path in context.folder.rglob("*") if path.is_file())
    context.log(f"{', '.join(parts)} and {dataset.num_items:,} items in {size / 1e6:,.1f} MB; open it with genrec.load")
    facts = {"schema": SCHEMA, "num_items": dataset.num_items, "parts": list(parts), "bytes": size}
    return facts | _words(context, parts)


def _words(context: StageContext, parts: Mapping[str, Artifact]) -> dict[str, Any]:
    """Returns what the package hears in words; nothing is said of one without an encoder that reads texts."""
    encoder = instantiate(parts["encoder"].config["encoder"], "encoder") if "encoder" in parts else None
    sources = encoder.sources.values() if isinstance(encoder, JoinsSources) else ()
    if not any(isinstance(part, EncodesTexts) for part in (encoder, *sources)):
        return {}
    return {"words": ["wish", *(["query"] if CONDITIONS in context.inputs else [])]}


def _reaches(context: StageContext, dataset: Dataset, rule: RecommendSettings) -> dict[str, float]:
    """How near a history must be to an item that comes later, by each source of content."""
    if "encoder" not in context.inputs or rule.new_item_share <= 0:
        return {}
    vectors, trained = read_vectors(context.parts["encoder"]), count_trained(context.inputs["generator"].facts)
    reaches = learn_reaches(vectors, trained, dataset, rule.new_item_reach)
    for name, reach in reaches.items():
        nothing = "; it does not predict who takes a new item, so no new item is listed by it" if reach == 0 else ""
        context.log(f"new items, {name}: listed to the histories that are nearer than {reach:.2%} of the catalogue{nothing}")
    return reaches


def with_popularity(dataset: Dataset) -> pl.DataFrame:
    """The items with their training events in a column, so that filters and preferences can speak of them."""
    if POPULARITY in dataset.items.columns:
        return dataset.items
    return dataset.items.with_columns(pl.Series(POPULARITY, dataset.train_counts))


def sample_histories(dataset: Dataset, users: int) -> list[list[str]]:
    """Item ids of some users drawn at random, oldest first; where targets were held out, the last of each is one."""
    return [dataset.item_ids.gather(dataset.events.item_idx[rows]).to_list() for rows in _sampled(dataset, users)]


def sample_times(dataset: Dataset, users: int) -> list[list[float | None]]:
    """When each item of each of ``sample_histories`` was, None where that is missing; the data must have times."""
    assert dataset.times is not None
    clocks = (np.asarray(dataset.times[rows]).tolist() for rows in _sampled(dataset, users))
    return [[None if np.isnan(time) else time for time in clock] for clock in clocks]


def _sampled(dataset: Dataset, users: int) -> list[slice]:
    """The last events of some users, as rows of all events."""
    ends = dataset.events.offsets[1:]
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(dataset.events.lengths >= 3))[:users]
    return [slice(max(int(dataset.events.offsets[user]), int(ends[user]) - SAMPLE_LEN), int(ends[user])) for user in drawn]


def _write_samples(dataset: Dataset, users: int, folder: Path, *, with_times: bool) -> None:
    samples: dict[str, Any] = {SAMPLES_FILE: sample_histories(dataset, users)}
    if with_times:
        samples[SAMPLE_TIMES_FILE] = sample_times(dataset, users)
    for name, content in samples.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _write_sids(sids: SIDTable, item_ids: pl.Series, folder: Path) -> None:
    sid_frame(sids, item_ids).write_csv(folder / "sids.csv")
    pl.DataFrame({ITEM_ID: item_ids, "codes": sids.codes.tolist()}).write_ndjson(folder / "sids.jsonl")


def _write_pieces(context: StageContext, dataset: Dataset, num_rows: int) -> None:
    sids = SIDTable.load(context.inputs["sids"].path)
    pieces = write_pieces(sids, dataset.item_ids, dataset.train_counts, num_rows, context.folder / PIECES_FOLDER)
    context.log(f"{pieces.num_rows:,} pieces of IDs, {len(pieces.longer):,} of them of several codes, in {PIECES_FOLDER}/")


def _make_portable(file: Path) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    config["generator"] = portable(config["generator"], "generator")
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")


def _write_hub_config(file: Path) -> None:
    """Adds to the generator's own configuration what the hub shows."""
    config = json.loads(file.read_text(encoding="utf-8"))
    name = current(config["generator"][TARGET]).rpartition(".")[2]
    file.write_text(json.dumps({"model_type": "genrec", "architectures": [name], **config}, indent=2), encoding="utf-8")


def _write_onnx(parts: Mapping[str, Artifact], folder: Path) -> None:
    from genrec.recommender.onnx_graphs import write_onnx  # torch.onnx is slow to import

    model = _model(parts)
    write_onnx(model.generator, model.trie, folder)


def _write_language_model(
    parts: Mapping[str, Artifact], dataset: Dataset, decoding: Mapping[str, Any], rule: RecommendSettings, folder: Path
) -> None:
    from genrec.recommender.language_model_folder import write_language_model  # transformers is slow to import

    model = _model(parts)
    num_beams = int(decoding.get("num_beams", max(rule.k, 20)))
    exclude_seen = bool(rule.exclude_seen)
    write_language_model(model.generator, model.trie, dataset.item_ids, folder, num_beams=num_beams, exclude_seen=exclude_seen)


def _model(parts: Mapping[str, Artifact]) -> Model:
    return Model.open({kind: artifact.path for kind, artifact in parts.items()})


def _source(dataset: Artifact) -> dict[str, Any]:
    """The data source, and of its settings those that the model card names."""
    node = dataset.config["data"]
    external = {key.removeprefix("data.") for key in dataset.manifest["external"]}
    settings = {key: node[key] for key in SOURCE_SETTINGS if node.get(key) is not None and key not in external}
    return {"source": node[TARGET], **settings}


def portable(node: Mapping[str, Any], group: str) -> dict[str, Any]:
    """A component without the places of the machine that it was made on: of a file or folder its name, and no cache."""
    copy: dict[str, Any] = with_current(deepcopy(dict(node)))
    for path in path_places(copy, group):
        if path.certain or expand_path(path.holder[path.key]).exists():
            path.holder[path.key] = expand_path(path.holder[path.key]).name
    return without_cache(copy)


def without_cache(node: Any) -> Any:
    """A component and its parts without the folder where they keep vectors; they have their defaults then."""
    if isinstance(node, Mapping):
        return {key: without_cache(value) for key, value in node.items() if not (TARGET in node and key == CACHE)}
    return [without_cache(value) for value in node] if isinstance(node, list) else node


STAGE = Stage(name="export", kind="bundle", version=4, reads=("decoding", "recommend", "export"), inputs=inputs, build=build)
