"""Messages of the generator that is a language model, and of its objective."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import polars as pl
from small_world import OPTIONS, language_model, sids_of

from error_cases import Case, Scene
from genrec.core.event_schema import Column, EventSchema
from genrec.core.trie import PrefixTrie
from genrec.decoding.grounded_text import GroundedText
from genrec.errors import ConfigError
from genrec.generators.lc_rec import LCRec
from genrec.generators.lib.prompt_tasks import PLACES
from genrec.objectives.aligned_cross_entropy import AlignedCrossEntropy
from genrec.recommender.language_model_folder import write_language_model

SIDS = sids_of(20, (4, 5))
TRIE = PrefixTrie.build(SIDS)


def built(name: str = "lc_rec", **changes: Any) -> Any:
    return next(option for option in OPTIONS if option.id == name).build(SIDS, **changes)


def without_adapters(scene: Scene) -> Any:
    scene.monkeypatch.setitem(sys.modules, "peft", None)
    return built(lora_rank=2)


def without_start(scene: Scene) -> Any:
    """A model whose tokenizer begins no text by itself."""
    folder = shutil.copytree(language_model("llama"), scene.path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"bos_token": None}), encoding="utf-8")
    return built(model=str(folder), seqrec_prompts=["{history}"])


def checked(**changes: Any) -> Any:
    prompts = {name: [" ".join(f"{{{place}}}" for place in places)] for name, places in PLACES.items()}
    LCRec.check_settings(**{"lora_rank": None} | prompts | changes)


def not_installed(scene: Scene) -> Any:
    scene.monkeypatch.setattr("genrec.generators.lc_rec.find_spec", lambda name: None)
    checked(lora_rank=3)


def written(scene: Scene, generator: Any = None) -> Any:
    ids = pl.Series([str(item) for item in range(20)])
    write_language_model(generator or built(), TRIE, ids, scene.path / "hf_llm", num_beams=4, exclude_seen=True)


def other_logits(scene: Scene) -> Any:
    scene.monkeypatch.setattr("genrec.recommender.language_model_folder.TOLERANCE", -1.0)
    written(scene)


def codes_are_words(scene: Scene) -> Any:
    generator = built()
    generator.language_model.tokenizer.add_tokens(["<b_3>"])
    written(scene, generator)


def heard(scene: Scene) -> Any:
    """A generator that hears a column cannot be handed over."""
    written(scene, built(schema=STARS))


def asked_about_items(scene: Scene) -> Any:
    """A generator with prompts, as of a plug-in, that has none of P5's."""
    scene.monkeypatch.setattr(LCRec, "yes_no_logits", None)
    AlignedCrossEntropy(trie=TRIE, yes_no_weight=0.1).check(built())


STARS = EventSchema(columns=(Column(name="stars", kind="number", mean=3.0, std=1.0),))
CASES = [
    Case("columns for a folder", ConfigError, "one that hears them", heard),
    Case("no column of ratings", ConfigError, "got stars", lambda scene: built(rating_column="stars")),
    Case("items that it is not asked about", ConfigError, "of which the generator knows nothing, got LCRec", asked_about_items),
    Case(
        "ratings without a column",
        ConfigError,
        "got 0.2",
        lambda scene: AlignedCrossEntropy(trie=TRIE, rating_weight=0.2).check(built()),
    ),
    Case("no language model to hand over", ConfigError, "EncDec", lambda scene: written(scene, built("encdec"))),
    Case("logits of another kind", ConfigError, "llama", other_logits),
    Case("words for codes", ConfigError, "<b_3>", codes_are_words),
    Case("adapters before anything runs", ConfigError, "got 3", not_installed),
    Case("a prompt before anything runs", ConfigError, "got Of what?", lambda scene: checked(index2item_prompts=["Of what?"])),
    Case("nothing to start from", ConfigError, "got {history}", without_start),
    Case("no such model", ConfigError, "nowhere", lambda scene: built(model=str(scene.path / "nowhere"))),
    Case("no adapters", ConfigError, "got 2", without_adapters),
    Case("no history", ConfigError, "What next?", lambda scene: built(seqrec_prompts=["What next?"])),
    Case("a history inside", ConfigError, "then?", lambda scene: built(seqrec_prompts=["After {history} what then?"])),
    Case("no text", ConfigError, "Which is it?", lambda scene: built(item2index_prompts=["Which is it?"])),
    Case("histories too long", ConfigError, "got 500", lambda scene: built(max_history_len=500)),
    Case("texts too long", ConfigError, "got 300", lambda scene: built(max_text_len=300)),
    Case("no such column", ConfigError, "titel", lambda scene: built(text_column="titel")),
    Case("weight", ConfigError, "got -1.0", lambda scene: AlignedCrossEntropy(trie=TRIE, item2index_weight=-1.0)),
    Case("weight of a search", ConfigError, "search_weight", lambda scene: AlignedCrossEntropy(trie=TRIE, search_weight=-1.0)),
    Case("no histories", ConfigError, "got 0", lambda scene: AlignedCrossEntropy(trie=TRIE, histories_per_step=0)),
    Case("too many titles", ConfigError, "got 90", lambda scene: built(title_history_len=90)),
    Case("a search for nothing", ConfigError, "Find it", lambda scene: built(search_prompts=["Find it"])),
    Case("gamma", ConfigError, "got -1.0", lambda scene: GroundedText(gamma=-1.0)),
    Case("no texts at once", ConfigError, "got 0", lambda scene: GroundedText(batch_size=0)),
    Case("no items", ConfigError, "got 0", lambda scene: AlignedCrossEntropy(trie=TRIE, items_per_step=0)),
    Case("no texts read", ConfigError, "EncDec", lambda scene: AlignedCrossEntropy(trie=TRIE).check(built("encdec"))),
    Case(
        "no texts there",
        ConfigError,
        "no text in any item",
        lambda scene: AlignedCrossEntropy(trie=TRIE).check(built(text_column=None)),
    ),
]
