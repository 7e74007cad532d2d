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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError, did_you_mean
from genrec.generators.lib.keywords import keywords_of
from genrec.generators.lib.prompts import Prompt, check_places, padded
from genrec.nn.language_model import Cache, LanguageModel
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization

HISTORY, TEXT, INDEX, TITLES, QUERY = "{history}", "{text}", "{index}", "{titles}", "{query}"
PLACES = {  # what each prompt is about
    "seqrec_prompts": ("history",),
    "item2index_prompts": ("text",),
    "index2item_prompts": ("index",),
    "next_text_prompts": ("history",),
    "next_index_prompts": ("titles",),
    "search_prompts": ("query",),
    "history_search_prompts": ("history", "query"),
    "preference_prompts": ("history",),
    "next_title_prompts": ("titles",),
}
TEXTS_FILE = "texts.safetensors"  # of the items, beside the files of the language model
NUM_KEYWORDS, LONGEST_QUERY, NUM_PREFERENCES = 8, 4, 5  # words of an item, of a query, of what a user likes


@dataclass(frozen=True)
class PromptState:
    """What a beam search carries. Keys and values are stored once per USER; a beam is a list of places among them.

    Args:
        hidden: [batch, beams, dim] of each beam's last token.
        cache: of the prompt, then of the codes that all beams have written, level by level.
        end: [batch], tokens of each prompt.
        path: [batch, beams, codes so far], where a beam's own codes stand in the cache.
        level: the level that the next step predicts.
    """

    hidden: Tensor
    cache: Cache
    end: Tensor
    path: Tensor
    level: int = 0


class LCRec(nn.Module):
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
    codes: Tensor  # [items, levels], token ids
    texts: Tensor | None  # [items, words], token ids and then PAD
    item_counts: Tensor  # [items], training events
    keywords: Tensor | None  # [items, NUM_KEYWORDS], places among the words, and then PAD
    word_tokens: Tensor  # [words, pieces], token ids and then PAD
    word_weights: Tensor  # [words], idf

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
        title_history_len: int = 5,
        lora_rank: int | None = None,
        lora_alpha: float = 32.0,
        lora_dropout: float = 0.05,
        normalization: Normalization = "codebook",
        max_history_len: int = 20,
    ) -> None:
        super().__init__()
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.language_model = LanguageModel(
            source=saved or model,
            revision=revision,
            num_new=sids.num_tokens,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            lora_dropout=lora_dropout,
        )
        self.register_buffer("codes", torch.from_numpy(sids.tokens) + self.language_model.vocabulary, persistent=False)
        self.seqrec_prompts, self.title_history_len = tuple(seqrec_prompts), title_history_len
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
        }
        self.prompts = {name: self._read_prompts(name, given) for name, given in templates.items()}
        self._check_length(max_text_len)
        texts = None if catalog is None or text_column is None else self._column(catalog, text_column)
        self.max_text_len = max_text_len
        self._read_texts(texts)
        counts = np.zeros(sids.num_items) if train_counts is None else np.asarray(train_counts)
        self.register_buffer("item_counts", torch.from_numpy(counts).float(), persistent=False)
        if saved is not None and (saved / TEXTS_FILE).exists():
            self._restore_texts(load_file(saved / TEXTS_FILE))

    @staticmethod
    def check_settings(**settings: Any) -> None:
        """Raises ConfigError for prompts without their places, and for adapters without the package that makes them."""
        for name, places in PLACES.items():
            for template in settings.get(name, (" ".join(f"{{{place}}}" for place in places),)) or ("",):
                check_places(name, template, places, at_end=name == "seqrec_prompts")
        if settings["lora_rank"] is not None and find_spec("peft") is None:
            fix = "pip install 'genrec[llm]', or train the whole model: generator.lora_rank=null"
            raise ConfigError("lora_rank", expected="null without the package peft", got=settings["lora_rank"], fix=fix)

    def save(self, folder: Path) -> None:
        """Writes what building it again takes besides its configuration and weights (see ``saved``)."""
        self.language_model.save(folder)
        if self.texts is not None:
            save_file({"texts": self.texts.cpu().int(), "counts": self.item_counts.cpu()}, folder / TEXTS_FILE)

    def _restore_texts(self, tables: Mapping[str, Tensor]) -> None:
        """Texts and counts of the items that there were in training; later ones have none."""
        texts = torch.full((self.sids.num_items, tables["texts"].shape[1]), PAD)
        texts[: len(tables["texts"])] = tables["texts"].long()
        self.texts = texts
        self.item_counts[: len(tables["counts"])] = tables["counts"]

    def history_prompt(self) -> tuple[str, tuple[int, ...]]:
        """What stands before a history's codes when recommending, as text and as tokens."""
        start = self.language_model.tokenizer.bos_token or ""
        return start + self.seqrec_prompts[0].split(HISTORY)[0].rstrip(), self.prompts["seqrec_prompts"][0].before

    # --- prompts ------------------------------------------------------------------------------------------------------

    def _read_prompts(self, name: str, templates: Sequence[str]) -> tuple[Prompt, ...]:
        start = self.language_model.tokenizer.bos_token_id
        prompts = []
        for template in templates or ("",):
            check_places(name, template, PLACES[name], at_end=name == "seqrec_prompts")
            prompt = Prompt.of(template, self._words, None if start is None else int(start))
            if not prompt.before and prompt.places[0] in ("history", "titles"):
                fix = "begin it with a word: an empty history needs something to start from"
                raise ConfigError(f"generator.{name}", expected=f"prompts with text before {HISTORY}", got=template, fix=fix)
            prompts.append(prompt)
        return tuple(prompts)

    def _words(self, text: str) -> tuple[int, ...]:
        return tuple(self.language_model.tokens(text)) if text.strip() else ()

    def _check_length(self, max_text_len: int) -> None:
        fixed = {name: max(prompt.num_tokens for prompt in prompts) for name, prompts in self.prompts.items()}
        levels, text = self.sids.num_levels, max_text_len + 1
        history = max(fixed["seqrec_prompts"], fixed["preference_prompts"]) + (self.max_history_len + 1) * levels
        texts = max(fixed["item2index_prompts"], fixed["index2item_prompts"]) + text + levels
        titles = max(fixed["next_index_prompts"] + levels, fixed["next_title_prompts"] + text)
        for key, value, tokens in (
            ("max_history_len", self.max_history_len, history),
            ("max_text_len", max_text_len, texts),
            ("title_history_len", self.title_history_len, titles + self.title_history_len * text),
        ):
            if tokens > (self.language_model.max_tokens or tokens):
                raise ConfigError(
                    f"generator.{key}",
                    expected=f"prompts and responses of at most {self.language_model.max_tokens} tokens",
                    got=f"{value}, which makes {tokens}",
                    fix="lower it",
                )

    @staticmethod
    def _column(catalog: pl.DataFrame, column: str) -> list[str]:
        if column not in catalog.columns:
            fix = did_you_mean(column, catalog.columns)
            raise ConfigError("generator.text_column", expected="a column of the items, or null", got=column, fix=fix)
        return catalog[column].cast(pl.String).fill_null("").to_list()

    def _read_texts(self, texts: Sequence[str] | None) -> None:
        """The items' texts and keywords as tokens; they are for training and no part of the weights."""
        words, rows, idf = keywords_of(texts or (), NUM_KEYWORDS)
        tables = {
            "texts": None if texts is None else padded([self._words(f" {text}")[: self.max_text_len] for text in texts]),
            "keywords": None if texts is None else padded([*rows, [PAD] * NUM_KEYWORDS])[:-1],
            "word_tokens": padded([self._words(f" {word}") for word in words]),
            "word_weights": torch.tensor(idf, dtype=torch.float32),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def _draw_prompt(self, name: str) -> Prompt:
        """Returns one of several for a training batch, the first one otherwise."""
        prompts = self.prompts[name]
        return prompts[int(torch.randint(len(prompts), ()))] if self.training else prompts[0]

    def _repeat(self, tokens: Sequence[int], rows: int) -> Int64[Tensor, "rows time"]:
        return torch.tensor(tokens, dtype=torch.long, device=self.codes.device).expand(rows, -1)

    # --- histories ----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target: one pass where the targets are what the histories go on with."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        stream, row, state = batch.streams()
        items = stream[row, state]
        prompt = self._draw_prompt("seqrec_prompts").before
        hidden = self.language_model(self._history(prompt, stream)[:, :-1])[:, len(prompt) - 1 :]
        return self._of_items(items, hidden.unflatten(1, (-1, self.sids.num_levels))[row, state])

    def _history(self, prompt: Sequence[int], items: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch tokens"]:
        """The prompt and the codes of ``items``; where there is none, any codes, which no one before them sees."""
        return torch.cat([self._repeat(prompt, len(items)), self.codes[items.clamp(min=0)].flatten(1)], dim=1)

    def _of_items(self, items: Int64[Tensor, " some"], hidden: Float[Tensor, "some levels dim"]) -> TargetLogits:
        return TargetLogits(items, tuple(self._logits(hidden[:, level], level) for level in range(self.sids.num_levels)))

    def _logits(self, hidden: Float[Tensor, "*rows dim"], level: int) -> Float[Tensor, "*rows size"]:
        first, end = (int(x) for x in self.sids.level_offsets[level : level + 2])
        return self.language_model.new_logits(hidden, first, end)

    # --- texts --------------------------------------------------------------------------------------------------------

    def described(self) -> Int64[Tensor, " described"]:
        """The items that have a text."""
        if self.texts is None or not self.texts.shape[1]:
            return torch.empty(0, dtype=torch.long, device=self.codes.device)
        return (self.texts[:, 0] != PAD).nonzero().squeeze(1)

    def index_logits(self, items: Int64[Tensor, " some"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of described items, given their texts."""
        assert self.texts is not None  # `described` has none then
        return self._index_after("item2index_prompts", {"text": self.texts[items]}, items)

    def text_logits(self, items: Int64[Tensor, " some"]) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of the words of described items, and the words, given the items' IDs; each text ends with the end token."""
        assert self.texts is not None  # `described` has none then
        return self._words_after("index2item_prompts", {"index": self.codes[items]}, self.texts[items])

    def next_text_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of the words of the next items, where they have a text, and the words, given histories as IDs."""
        assert self.texts is not None  # `described` has none then
        rows = (self.texts[items] != PAD).any(1)
        return self._words_after("next_text_prompts", {"history": self._codes_of(batch.history[rows])}, self.texts[items[rows]])

    def next_index_logits(self, batch: Batch, items: Int64[Tensor, " batch"]) -> TargetLogits:
        """Teacher-forced logits of the next items' IDs, given the texts of histories, of which the last ones are read."""
        return self._index_after("next_index_prompts", {"titles": self._titles(batch)}, items)

    def _titles(self, batch: Batch) -> Int64[Tensor, "batch tokens"]:
        """The last texts of each history, a comma after each."""
        assert self.texts is not None  # `described` has none then
        column = batch.lengths.unsqueeze(1) + torch.arange(-self.title_history_len, 0, device=batch.lengths.device)
        recent = (
            batch.history.gather(1, column.clamp(0, max(batch.history.shape[1] - 1, 0))) if batch.history.shape[1] else column
        )
        texts = self.texts[recent.clamp(min=0)].masked_fill(((column < 0) | (recent < 0)).unsqueeze(-1), PAD)
        comma = self._repeat(self._words(","), texts[..., 0].numel()).view(*texts.shape[:2], -1)
        comma = comma.masked_fill((texts[..., :1] == PAD), PAD)
        return torch.cat([texts, comma], dim=-1).flatten(1)

    def next_title_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of the words of the next items, where they have a text, and the words, given the texts of histories."""
        assert self.texts is not None  # `described` has none then
        rows = (self.texts[items] != PAD).any(1)
        return self._words_after("next_title_prompts", {"titles": self._titles(batch)[rows]}, self.texts[items[rows]])

    def item_texts(self, items: Int64[Tensor, " some"]) -> Int64[Tensor, "some words"]:
        """Tokens of items' texts, ``PAD`` behind each."""
        assert self.texts is not None  # `described` has none then
        return self.texts[items]

    def text_states(self, texts: Int64[Tensor, "rows words"]) -> Float[Tensor, "rows dim"]:
        """The state of the last token of each text, which begins as a prompt does."""
        start = self.language_model.tokenizer.bos_token_id
        tokens = torch.cat([self._repeat([0 if start is None else int(start)], len(texts)), texts], dim=1)
        hidden = self.language_model(tokens.clamp(min=0))
        return hidden[torch.arange(len(texts), device=texts.device), (tokens != PAD).sum(1) - 1]

    def write_texts(self, batch: Batch) -> Int64[Tensor, "batch words"]:
        """Writes the most likely words after the texts of each history, one after another, up to the end token."""
        question, end = self._draw_prompt("next_title_prompts"), self.language_model.tokenizer.eos_token_id
        tokens = _closed_up(torch.cat(question.rows({"titles": self._titles(batch)}), dim=1))[0]
        lengths = (tokens != PAD).sum(1)
        hidden, cache = self.language_model.read(tokens.clamp(min=0))
        state = hidden[torch.arange(len(batch), device=lengths.device), lengths - 1]
        visible = torch.arange(tokens.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        written: list[Tensor] = []
        ended = torch.zeros_like(lengths, dtype=torch.bool)
        for number in range(self.max_text_len):
            word = self.language_model.text_logits(state).argmax(dim=1)
            ended = ended | (word == (PAD if end is None else end))
            written.append(torch.where(ended, PAD, word))
            if ended.all():
                break
            visible = torch.cat([visible, torch.ones_like(visible[:, :1])], dim=1)
            place = (lengths + number).unsqueeze(1)
            hidden, cache = self.language_model.read(word.unsqueeze(1), cache, position=place, visible=visible.unsqueeze(1))
            state = hidden[:, 0]
        return torch.stack(written, dim=1)

    def search_logits(self, batch: Batch, items: Int64[Tensor, " batch"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of items, given some of their keywords, and in half the batches a history.

        Items without keywords are left out.
        """
        assert self.keywords is not None  # `described` has none then
        rows = (self.keywords[items] != PAD).any(1)
        items, history = items[rows], batch.history[rows]
        values = {"query": self._query(items)}
        if self.training and torch.rand(()) < 0.5:
            return self._index_after("history_search_prompts", values | {"history": self._codes_of(history)}, items)
        return self._index_after("search_prompts", values, items)

    def preference_logits(self, batch: Batch) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of the best keywords of histories that have any, and the words, given the histories as IDs."""
        assert self.keywords is not None  # `described` has none then
        number = len(self.word_weights)
        of_items = self.keywords[batch.history.clamp(min=0)].masked_fill((batch.history == PAD).unsqueeze(-1), PAD).flatten(1)
        is_word = of_items != PAD
        weights = torch.zeros(len(batch), number + 1, device=of_items.device)
        values = torch.cat([self.word_weights, self.word_weights.new_zeros(1)])[of_items] * is_word
        weights = weights.scatter_add(1, torch.where(is_word, of_items, number), values)[:, :number]
        rows = is_word.any(1)
        best, words = weights[rows].topk(min(NUM_PREFERENCES, number), dim=1)
        likes = torch.where((best > 0).unsqueeze(-1), self.word_tokens[words], PAD).flatten(1)
        return self._words_after("preference_prompts", {"history": self._codes_of(batch.history[rows])}, likes)

    def _query(self, items: Int64[Tensor, " some"]) -> Int64[Tensor, "some tokens"]:
        """Two to four keywords of each item in any order; the best three when nothing is trained."""
        assert self.keywords is not None
        words, number = self.keywords[items], torch.full((len(items), 1), 3, device=items.device)
        if self.training:
            order = torch.rand(words.shape, device=items.device).masked_fill(words == PAD, 2.0).argsort(dim=1)
            words, number = words.gather(1, order), torch.randint(2, LONGEST_QUERY + 1, number.shape, device=items.device)
        words = words[:, :LONGEST_QUERY]
        read = (torch.arange(words.shape[1], device=items.device) < number) & (words != PAD)
        return torch.where(read.unsqueeze(-1), self.word_tokens[words.clamp(min=0)], PAD).flatten(1)

    def _codes_of(self, items: Int64[Tensor, "rows time"]) -> Int64[Tensor, "rows tokens"]:
        return self.codes[items.clamp(min=0)].masked_fill((items == PAD).unsqueeze(-1), PAD).flatten(1)

    def _index_after(self, name: str, values: Mapping[str, Tensor], items: Int64[Tensor, " some"]) -> TargetLogits:
        hidden, _ = self._responses(self._draw_prompt(name).rows(values), (self.codes[items],))
        return self._of_items(items, hidden.unflatten(0, (-1, self.sids.num_levels)))

    def _words_after(
        self, name: str, values: Mapping[str, Tensor], answers: Int64[Tensor, "rows _"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        end = self.language_model.tokenizer.eos_token_id
        ends = self._repeat([] if end is None else [end], len(answers))
        hidden, words = self._responses(self._draw_prompt(name).rows(values), (answers, ends))
        return self.language_model.text_logits(hidden), words

    def _responses(
        self, question: Sequence[Int64[Tensor, "rows _"]], answer: Sequence[Int64[Tensor, "rows _"]]
    ) -> tuple[Float[Tensor, "words dim"], Int64[Tensor, " words"]]:
        """Returns what predicts each token of the answers, and these tokens; ``PAD`` inside the parts is closed up."""
        tokens, order = _closed_up(torch.cat([*question, *answer], dim=1))
        answered = ((order >= sum(part.shape[1] for part in question)) & (tokens != PAD))[:, 1:]
        if not len(tokens):
            return self.codes.new_empty(0, self.language_model.new_head.in_features, dtype=torch.float32), tokens[:, 0]
        hidden = self.language_model(tokens[:, :-1].clamp(min=0))
        return hidden[answered], tokens[:, 1:][answered]

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> PromptState:
        """Reads each prompt once."""
        prompt = self._draw_prompt("seqrec_prompts").before
        hidden, cache = self.language_model.read(self._history(prompt, batch.history))
        end = len(prompt) + batch.lengths * self.sids.num_levels
        row = torch.arange(len(batch), device=end.device)
        return PromptState(hidden[row, end - 1].unsqueeze(1), cache, end, path=end.new_empty(len(batch), 1, 0))

    def step(
        self, state: PromptState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], PromptState]:
        """Returns logits of level ``state.level`` for every beam, given the code each beam chose last."""
        level = state.level
        if codes is not None:
            num_read = state.cache[0][0].shape[2]
            position = torch.arange(num_read + codes.shape[1], device=codes.device)
            path = torch.cat([state.path, position[num_read:].expand_as(codes).unsqueeze(-1)], dim=-1)
            prompt = (position < state.end.unsqueeze(1)).unsqueeze(1)
            hidden, cache = self.language_model.read(
                codes + int(self.sids.level_offsets[level - 1]) + self.language_model.vocabulary,
                state.cache,
                position=(state.end + level - 1).unsqueeze(1).expand_as(codes),
                visible=prompt.repeat(1, codes.shape[1], 1).scatter(2, path, True),
            )
            state = replace(state, hidden=hidden, cache=cache, path=path)
        return self._logits(state.hidden, level), replace(state, level=level + 1)

    def reorder(self, state: PromptState, index: Int64[Tensor, "batch beams"]) -> PromptState:
        """Beam ``j`` continues old beam ``index[:, j]``; no keys and values are copied."""
        row = torch.arange(len(index), device=index.device).unsqueeze(1)
        return replace(state, path=state.path[row, index])


def _closed_up(tokens: Int64[Tensor, "rows time"]) -> tuple[Int64[Tensor, "rows time"], Int64[Tensor, "rows time"]]:
    """The rows with ``PAD`` at the end instead of inside, and where each entry stood."""
    order = (tokens == PAD).long().argsort(dim=1, stable=True)
    return tokens.gather(1, order), order
