"""A trained model: the generator with all that it needs, made, opened, grown and saved in one place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file

from genrec.core.dataset import Dataset
from genrec.core.event_schema import EventSchema
from genrec.core.item_labels import item_labels, number_labels
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.new_item_reach import SAFE_REACH, learned_reach
from genrec.decoding.new_item_quota import NewItemQuota, content_of, content_sources
from genrec.engine.aliases import with_current
from genrec.engine.components import component_class, instantiate, parameters
from genrec.errors import ArtifactError
from genrec.model.event_texts import CONDITIONS
from genrec.model.item_vectors import JOINT, read_vectors, text_of
from genrec.model.user_codes import KIND as USER_CODES
from genrec.protocols import DecodingStrategy, FittedStrategy, GrowsWithItems, ItemRows, NeedsArtifacts, SavesItself

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
SCHEMA = "schema"  # in config.json, where there are columns
SAVED = "saved"  # folder of what a generator writes itself, where it does


@dataclass(frozen=True)
class ReservedSlots:
    """The places at the end of a list for new items: those that came after the generator was trained.

    Args:
        share: of a list that new items have at most by their content, in [0, 1].
        reaches: source -> share of the catalogue that may be more like a new item than a history that it fits.
    """

    share: float
    reaches: Mapping[str, float]

    def added_to(
        self, strategy: DecodingStrategy, vectors: Mapping[str, np.ndarray], num_trained: int | None
    ) -> DecodingStrategy:
        """Returns the strategy with these slots; as it is where there is no new item, or no content to know one by.

        Args:
            strategy: does the search.
            vectors: source -> [items, dim].
            num_trained: items that the generator was trained with, the first ones; None: all.
        """
        if self.share <= 0 or JOINT not in vectors or num_trained is None or num_trained >= len(vectors[JOINT]):
            return strategy
        # A careful reach stands where nothing was learned for a source.
        reach = max(self.reaches.get(name, SAFE_REACH) for name in content_sources(vectors, JOINT, num_trained))
        content = content_of(vectors, JOINT, num_trained)
        return NewItemQuota(strategy, vectors=content, num_trained=num_trained, share=self.share, reach=reach)


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A generator, and what it needs to recommend. It is never changed, only replaced as a whole.

    Args:
        generator: in eval mode, except fresh from ``new``.
        sids: the IDs that it generates; None: it ranks items, and generates no IDs.
        trie: built from ``sids``.
        vectors: source -> float32 [items, dim], as the encoder made them; empty where nothing needs them.
        num_trained: items that the generator was trained with, the first ones; None: all.
        strategy: how it is decoded, as things stand; None: that is nobody's business here.
        search: ``strategy`` as it was fitted, for as many items as the model was opened with; None: it never changes.
        slots: of new items in each list; None: there are none.
        num_opened: items that the model was opened with.
        node: the generator's configuration.
        folder: the generator's files.
        schema: the columns of events, requests and users that the generator was trained with.
    """

    generator: Any
    sids: SIDTable | None = None
    trie: PrefixTrie | None = None
    vectors: Mapping[str, Float[np.ndarray, "items dim"]] = field(default_factory=dict)
    num_trained: int | None = None
    strategy: DecodingStrategy | None = None
    search: DecodingStrategy | None = None
    slots: ReservedSlots | None = None
    num_opened: int | None = None
    node: Mapping[str, Any] | None = None
    folder: Path | None = None
    schema: EventSchema = field(default_factory=EventSchema)

    @classmethod
    def new(cls, node: Mapping[str, Any], parts: Mapping[str, Path], dataset: Dataset) -> Model:
        """Builds an untrained model; the weights are drawn from torch's random numbers.

        Args:
            node: the generator's configuration.
            parts: kind -> folder of the artifact: ``sids`` and ``encoder``, where the generator needs them.
            dataset: it will be trained on.
        """
        sids, trie, vectors = _read(parts)
        runtime = {"num_items": dataset.num_items, "train_counts": dataset.train_counts, "catalog": dataset.items}
        if "item_labels" in parameters(component_class(node, "generator")):  # a catalogue's categories are slow to read
            runtime["item_labels"] = {name: number_labels(labels)[1] for name, labels in item_labels(dataset.items).items()}
        runtime["event_counts"] = dataset.code_counts
        generator = _build(node, sids, trie, vectors, schema=dataset.schema, **runtime)
        return cls(
            generator=generator,
            sids=sids,
            trie=trie,
            vectors=vectors,
            num_trained=dataset.num_items,
            node=node,
            schema=dataset.schema,
        )

    @classmethod
    def open(
        cls,
        parts: Mapping[str, Path],
        *,
        node: Mapping[str, Any] | None = None,
        num_trained: int | None = None,
        strategy: DecodingStrategy | None = None,
    ) -> Model:
        """Opens a trained model in eval mode, on the CPU.

        Args:
            parts: kind -> folder of the artifact, or of its files in a bundle: ``generator``, and ``sids`` and ``encoder``
                where the generator needs them. Other kinds are not looked at.
            node: the generator's configuration; None: the one in its folder.
            num_trained: items that it was trained with, the first ones; None: as its folder says.
            strategy: how it is decoded, opened and fitted.

        Raises:
            ArtifactError: when the IDs have another layout than those of training, or the weights are not the generator's.
        """
        sids, trie, vectors = _read(parts)
        folder = parts["generator"]
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        if sids is not None and sids.layout != config["sids_layout"]:
            raise ArtifactError(
                folder,
                expected=f"sids of layout {config['sids_layout']}",
                got=sids.layout,
                fix="run `genrec train` on these sids",
            )
        node = node or with_current(config["generator"])
        schema = EventSchema.from_json(config.get(SCHEMA))
        generator = _build(node, sids, trie, vectors, num_items=config["num_items"], saved=saved_in(folder), schema=schema)
        load_weights(
            generator,
            folder / WEIGHTS_FILE,
            where=folder,
            got="those of another version",
            fix="train it again, and export it again",
        )
        return cls(
            generator=generator.eval(),
            sids=sids,
            trie=trie,
            vectors=vectors,
            num_trained=count_trained(config) if num_trained is None else num_trained,
            strategy=strategy,
            search=strategy,
            num_opened=config["num_items"],
            node=node,
            folder=folder,
            schema=schema,
        )

    def to(self, device: torch.device) -> Model:
        """Returns the model with weights and trie on a device."""
        return replace(self, generator=self.generator.to(device), trie=self.trie.to(device) if self.trie else None)

    def with_slots(self, share: float, reaches: Mapping[str, float]) -> Model:
        """Returns the model whose strategy reserves slots for new items (see ``ReservedSlots``)."""
        model = replace(self, slots=ReservedSlots(share, reaches))
        return model._with_strategy(self.num_opened or 0)

    def with_vectors(self, vectors: Mapping[str, np.ndarray]) -> Model:
        """Returns the model after items' content changed: the generator goes on by what it learned of them.

        Args:
            vectors: source -> float32 [items, dim], of the same items.
        """
        num_items = self.sids.num_items if self.sids else self.num_opened or 0
        return replace(self, vectors=vectors)._with_strategy(num_items)

    def grow(self, sids: SIDTable, vectors: Mapping[str, np.ndarray] | None = None) -> Model:
        """Returns the model for other IDs: all weights that are not item by item are shared, the rest is zero for later items.

        Args:
            sids: of its items, and of later items behind them.
            vectors: source -> float32 [items, dim] of all of these; None: no item came, and the vectors stay.
        """
        assert self.node is not None
        assert self.folder is not None
        assert self.sids is not None
        trie, later = PrefixTrie.build(sids), sids.num_items - self.sids.num_items
        content = self.vectors if vectors is None else vectors
        generator = _build(
            self.node, sids, trie, content, num_items=sids.num_items, saved=saved_in(self.folder), schema=self.schema
        )
        weights = _with_rows(self.generator.state_dict(), type(self.generator), later)
        generator.load_state_dict(weights, assign=True)
        model = replace(self, generator=generator.eval(), sids=sids, trie=trie, vectors=content)
        return model if vectors is None else model._with_strategy(sids.num_items)

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Writes the generator's files.

        Args:
            folder: of the ``generator`` artifact.
            facts: written beside the generator's configuration in config.json: what ``open`` reads again.
        """
        _write_config(folder, self.node or {}, {**facts, SCHEMA: self.schema.to_json()} if self.schema else facts)
        weights = {name: tensor.cpu().contiguous() for name, tensor in self.generator.state_dict().items()}
        save_file(weights, folder / WEIGHTS_FILE)
        if isinstance(self.generator, SavesItself):
            (folder / SAVED).mkdir()
            self.generator.save(folder / SAVED)

    def _with_strategy(self, num_items: int) -> Model:
        strategy = self.search
        if strategy is None:
            return self
        if self.num_opened is not None and num_items > self.num_opened and isinstance(strategy, GrowsWithItems):
            strategy = strategy.with_items(num_items)
        return replace(self, strategy=self.slots.added_to(strategy, self.vectors, self.num_trained) if self.slots else strategy)


def model_inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the kinds of artifacts that training needs: data, texts, codes of users, and whatever the generator needs."""
    generator = component_class(config["generator"], "generator")
    needs = generator.needs if isinstance(generator, NeedsArtifacts) else frozenset()
    events = config.get("events") or {}
    conditions = [kind for kind, setting in ((CONDITIONS, "text"), (USER_CODES, "user_codes")) if events.get(setting)]
    return ("dataset", *(kind for kind in ("encoder", "sids") if kind in needs), *conditions)


def count_trained(facts: Mapping[str, Any]) -> int:
    """Returns how many items the generator with these facts was trained with: the first ones of its catalogue."""
    return int(facts.get("num_trained", facts["num_items"]))


def open_strategy(node: Mapping[str, Any], calibration: Path | None = None) -> DecodingStrategy:
    """Opens a decoding strategy.

    Args:
        node: its configuration.
        calibration: folder of what was fitted of it, where there is something.
    """
    strategy: DecodingStrategy = instantiate(node, "decoding")
    if calibration is not None and isinstance(strategy, FittedStrategy):
        strategy.restore(calibration)
    return strategy


def save_with_later_items(folder: Path, before: Path, *, node: Mapping[str, Any], facts: Mapping[str, Any], later: int) -> None:
    """Writes the files of a generator for a catalogue with later items: what was learned item by item is zero for those.

    Args:
        folder: of the new ``generator`` artifact.
        before: of the one with the trained weights.
        node: the generator's configuration.
        facts: as for ``Model.save``.
        later: how many items came.
    """
    weights, generator = load_file(before / WEIGHTS_FILE), component_class(node, "generator")
    save_file(_with_rows(weights, generator, later), folder / WEIGHTS_FILE)
    if saved := saved_in(before):
        shutil.copytree(saved, folder / SAVED)
    config = json.loads((before / CONFIG_FILE).read_text(encoding="utf-8"))
    _write_config(folder, node, {**facts, SCHEMA: config[SCHEMA]} if SCHEMA in config else facts)


def load_weights(generator: Any, file: Path, *, where: Path | str, got: object, fix: str) -> None:
    """Loads weights into a generator.

    Args:
        generator: of the same class and sizes.
        file: safetensors.
        where, got, fix: of the error.

    Raises:
        ArtifactError: when names or shapes are others.
    """
    try:
        generator.load_state_dict(load_file(file))
    except RuntimeError as error:  # other names or shapes
        expected = f"weights of {type(generator).__name__} in the sizes of its settings"
        raise ArtifactError(where, expected=expected, got=got, fix=fix) from error


def learn_reaches(vectors: Mapping[str, np.ndarray], trained: int, dataset: Dataset, fixed: float | None) -> dict[str, float]:
    """Learns how near a history must be to an item that came after training, by each source of content that may know it.

    Args:
        vectors: of the items by source.
        trained: items that the generator was trained with, the first ones.
        dataset: whose validation part it is learned from.
        fixed: a setting to use instead of learning.
    """
    sources = content_sources(vectors, JOINT, trained)
    if fixed is not None:
        return dict.fromkeys(sources, fixed)
    histories, targets = dataset.histories("validation"), dataset.targets("validation")
    learned = {name: learned_reach(vectors[name], trained, histories, targets) for name in sources}
    return {name: reach for name, reach in learned.items() if reach is not None}


def saved_in(folder: Path) -> Path | None:
    """Returns the folder that the generator in ``folder`` wrote itself; None where it wrote none."""
    return folder / SAVED if (folder / SAVED).is_dir() else None


def _read(parts: Mapping[str, Path]) -> tuple[SIDTable | None, PrefixTrie | None, dict[str, np.ndarray]]:
    """Reads IDs, builds their trie, and maps the items' vectors."""
    sids = SIDTable.load(parts["sids"]) if "sids" in parts else None
    return sids, PrefixTrie.build(sids) if sids else None, read_vectors(parts["encoder"]) if "encoder" in parts else {}


def _build(
    node: Mapping[str, Any], sids: SIDTable | None, trie: PrefixTrie | None, vectors: Mapping[str, np.ndarray], **runtime: Any
) -> Any:
    """Builds a generator from its configuration and its inputs."""
    runtime |= {"sids": sids, "trie": trie}
    if vectors:
        runtime |= {"item_vectors": vectors[JOINT], "text_vectors": text_of(vectors)}
    runtime["schema"] = runtime.get("schema") or None
    return instantiate(node, "generator", **{key: value for key, value in runtime.items() if value is not None})


def _with_rows(weights: Mapping[str, torch.Tensor], generator: type, later: int) -> dict[str, torch.Tensor]:
    """Returns the weights with rows of zeros for later items, wherever there is a row per item."""
    rows = {name: weights[name] for name in (generator.item_rows if isinstance(generator, ItemRows) else ()) if name in weights}
    return {**weights, **{name: torch.cat([row, row.new_zeros(later, *row.shape[1:])]) for name, row in rows.items()}}


def _write_config(folder: Path, node: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    text = json.dumps({"generator": node, **facts}, indent=2)
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
