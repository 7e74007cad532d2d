"""lc_rec: a language model that reads histories and writes semantic IDs (LC-Rec, arXiv 2311.09049; docs/methods/lc_rec.md).

Any causal language model of Hugging Face gets the codes as new tokens and is trained on prompts and responses: a history and
the next ID (seqrec), an item's text and its ID (item2index), an ID and its text (index2item), a history and the next text,
texts of a history and the next ID (fusionseqrec), a query and an ID (itemsearch), a history and what its user likes
(preferenceobtain); all but the first by ``objective=aligned_cross_entropy`` and its preset ``six_tasks``. Only responses are
predicted. Decoding is ours, over the trie, so that nothing of a model's own sampling settings has a say: the prompt is read
once per user, and all beams of a user are read in one go, as branches that each see the prompt and their own codes (a step
costs the square of the beams: searches suit that, ``exhaustive`` over a large catalogue does not).

Departures from the paper: the history ends the prompt, so that ONE pass over a sequence trains every item of it where the
paper reads each prefix anew; one template is drawn per batch; the softmax at a code runs over that level's codes (or the
trie) and at a word over the old vocabulary. Queries and preferences, which a chat model writes in the paper, are keywords
of the items' texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError
from genrec.generators.lib.prompt_tasks import (
    CANDIDATES,
    HISTORY,
    INDEX,
    ITEM,
    PLACES,
    QUERY,
    TEXT,
    TITLES,
    bare,
)
from genrec.generators.lib.prompted_model import PromptedModel
from genrec.generators.lib.prompts import check_places
from genrec.nn.language_model import LanguageModel
from genrec.types import Normalization


class LCRec(PromptedModel):
    """A language model with semantic IDs in its vocabulary. Weights are held in 32 bits; the artifact has all of them.

    Args:
        model: folder or hub id of a causal language model in safetensors; a trained generator does not need it any more.
        catalog: the items, for their texts; supplied in training.
        train_counts: [items] training events, supplied in training; kept for ``decoding=grounded_text``.
        saved: files of the trained generator, when it is opened again.
        revision: branch, tag or commit of a hub model.
        text_column: of the items, their text; None: learn from histories only.
        max_text_len: tokens of an item's text that are read.
        seqrec_prompts: ending with {history}. The first one is used when recommending, the others in training too.
        item2index_prompts: with {text}.
        index2item_prompts: with {index}.
        next_text_prompts: with {history}; the next item's text is the answer (fusionseqrec).
        next_index_prompts: with {titles}, the texts of a history; the next ID is the answer (fusionseqrec).
        search_prompts: with {query}, some keywords of an item (itemsearch).
        history_search_prompts: with {history} and {query}; half of the queries come with one.
        preference_prompts: with {history}; keywords of its items are the answer (preferenceobtain).
        next_title_prompts: with {titles}; the next item's text is the answer, and ``decoding=grounded_text`` has it written
            after the first of these (BIGRec).
        candidates_prompts: with {history} and {candidates}, some items; the one that came next is the answer (P5).
        yes_no_prompts: with {history} and {item}; whether it came next is the answer (P5).
        rating_prompts: with {history} and {item}; what its user said of it is the answer (P5).
        reason_prompts: with {history} and {item}; keywords that it shares with the history are the answer (P5).
        rating_column: of the events (``events.columns``), for ``rating_prompts``; None: no such task.
        title_history_len: texts of a history that are read, the last ones.
        lora_rank: rank of adapters on all linear layers, the rest of the model frozen (extra ``llm``); None trains all.
        lora_alpha: scale of the adapters, in units of 1 / rank.
        lora_dropout: of what the adapters read, in [0, 1).
        normalization: "codebook", or "trie" (probabilities over the catalogue).
        max_history_len: longest history, in items.

    Raises:
        ConfigError: when there is no such model, text column, or package for adapters; for prompts without what they are about;
            for histories that the model cannot read.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    runtimes: ClassVar[frozenset[str]] = frozenset({"hf_llm"})

    def __init__(
        self,
        *,
        sids: SIDTable,
        model: Path | str,
        catalog: pl.DataFrame | None = None,
        train_counts: np.ndarray | None = None,
        saved: Path | None = None,
        revision: str | None = None,
        text_column: str | None = "title",
        max_text_len: int = 32,
        seqrec_prompts: Sequence[str] = (f"Items that a user chose one after another: {HISTORY}",),
        item2index_prompts: Sequence[str] = (f"The item called {TEXT} is",),
        index2item_prompts: Sequence[str] = (f"{INDEX} is called",),
        next_text_prompts: Sequence[str] = (f"After {HISTORY} comes the item called",),
        next_index_prompts: Sequence[str] = (f"A user chose{TITLES} and then",),
        search_prompts: Sequence[str] = (f"Who searches for {QUERY} finds",),
        history_search_prompts: Sequence[str] = (f"After {HISTORY} the search for {QUERY} finds",),
        preference_prompts: Sequence[str] = (f"Who chose {HISTORY} likes",),
        next_title_prompts: Sequence[str] = (f"A user chose{TITLES} and then the one called",),
        candidates_prompts: Sequence[str] = (f"After {HISTORY} one of {CANDIDATES} came, namely",),
        yes_no_prompts: Sequence[str] = (f"After {HISTORY} comes {ITEM}, yes or no:",),
        rating_prompts: Sequence[str] = (f"After {HISTORY} the user rates {ITEM} with",),
        reason_prompts: Sequence[str] = (f"Who chose {HISTORY} likes {ITEM} for",),
        rating_column: str | None = None,
        title_history_len: int = 5,
        lora_rank: int | None = None,
        lora_alpha: float = 32.0,
        lora_dropout: float = 0.05,
        normalization: Normalization = "codebook",
        max_history_len: int = 20,
        schema: EventSchema | None = None,
    ) -> None:
        templates = {
            "seqrec_prompts": seqrec_prompts,
            "item2index_prompts": item2index_prompts,
            "index2item_prompts": index2item_prompts,
            "next_text_prompts": next_text_prompts,
            "next_index_prompts": next_index_prompts,
            "search_prompts": search_prompts,
            "history_search_prompts": history_search_prompts,
            "preference_prompts": preference_prompts,
            "next_title_prompts": next_title_prompts,
            "candidates_prompts": candidates_prompts,
            "yes_no_prompts": yes_no_prompts,
            "rating_prompts": rating_prompts,
            "reason_prompts": reason_prompts,
        }
        super().__init__(
            sids=sids,
            language_model=LanguageModel(
                source=saved or model,
                revision=revision,
                num_new=sids.num_tokens,
                lora_rank=lora_rank,
                lora_alpha=lora_alpha,
                lora_dropout=lora_dropout,
            ),
            templates=templates,
            catalog=catalog,
            train_counts=train_counts,
            saved=saved,
            text_column=text_column,
            max_text_len=max_text_len,
            title_history_len=title_history_len,
            normalization=normalization,
            max_history_len=max_history_len,
            rating_column=rating_column,
            schema=schema,
        )

    @staticmethod
    def check_settings(**settings: Any) -> None:
        """Raises ConfigError for prompts without their places, and for adapters without the package that makes them."""
        for name, places in PLACES.items():
            for template in settings.get(name, (bare(places),)) or ("",):
                check_places(name, template, places, at_end=name == "seqrec_prompts")
        if settings["lora_rank"] is not None and find_spec("peft") is None:
            fix = "pip install 'genrec[llm]', or train the whole model: generator.lora_rank=null"
            raise ConfigError("lora_rank", expected="null without the package peft", got=settings["lora_rank"], fix=fix)
