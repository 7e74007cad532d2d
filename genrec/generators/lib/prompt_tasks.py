"""Prompts about items and histories, as tokens, and what a language model answers: the tasks of LC-Rec, P5 and BIGRec.

A question is a template with places (an item's codes, texts, keywords), an answer an ID or words. Only answers are predicted.
What each task is: docs/methods/lc_rec.md, docs/methods/p5.md, docs/methods/bigrec.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError, did_you_mean
from genrec.generators.lib.keywords import keywords_of
from genrec.generators.lib.prompts import Prompt, check_places, padded
from genrec.nn.language_model import LanguageModel
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization

HISTORY, TEXT, INDEX, TITLES, QUERY = "{history}", "{text}", "{index}", "{titles}", "{query}"
CANDIDATES, ITEM = "{candidates}", "{item}"
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
    "candidates_prompts": ("history", "candidates"),
    "yes_no_prompts": ("history", "item"),
    "rating_prompts": ("history", "item"),
    "reason_prompts": ("history", "item"),
}
TEXTS_FILE = "texts.safetensors"  # of the items, beside the files of the language model
NUM_KEYWORDS, LONGEST_QUERY, NUM_PREFERENCES = 8, 4, 5  # words of an item, of a query, of what a user likes
NUM_CANDIDATES, NUM_REASONS = 20, 3  # items to choose from, keywords that say why
YES_NO = (" no", " yes")


def bare(places: Sequence[str]) -> str:
    """A template of nothing but its places."""
    return " ".join(f"{{{place}}}" for place in places)


class PromptTasks(nn.Module):
    """Asks a language model; a generator builds on it, and decodes.

    Args:
        sids: of the items.
        language_model: with the codes as new tokens.
        templates: name of a setting -> its prompts; the missing ones are their places with nothing between them.
        catalog: the items, for their texts; None: no texts.
        train_counts: [items] training events.
        saved: files of the trained generator, when it is opened again.
        text_column: of the items, their text.
        max_text_len: tokens of an item's text that are read.
        title_history_len: texts of a history that are read, the last ones.
        normalization: of the softmax at a code.
        max_history_len: longest history, in items.
        rating_column: of the events, what users said of them; None: nothing.
        schema: of the columns of events.
    """

    codes: Tensor  # [items, levels], token ids
    texts: Tensor | None  # [items, words], token ids and then PAD
    item_counts: Tensor  # [items], training events
    keywords: Tensor | None  # [items, NUM_KEYWORDS], places among the words, and then PAD
    word_tokens: Tensor  # [words, pieces], token ids and then PAD
    word_weights: Tensor  # [words], idf
    num_slots: int = 0  # vectors that stand behind the codes of each item of a history
    rating_words: Tensor  # [ratings, pieces], token ids and then PAD

    def __init__(
        self,
        *,
        sids: SIDTable,
        language_model: LanguageModel,
        templates: Mapping[str, Sequence[str]],
        catalog: pl.DataFrame | None,
        train_counts: np.ndarray | None,
        saved: Path | None,
        text_column: str | None,
        max_text_len: int,
        title_history_len: int,
        normalization: Normalization,
        max_history_len: int,
        rating_column: str | None = None,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.language_model = language_model
        self.register_buffer("codes", torch.from_numpy(sids.tokens) + language_model.vocabulary, persistent=False)
        self.title_history_len, self.max_text_len = title_history_len, max_text_len
        self.rating_column = rating_column
        self._read_ratings(schema or EventSchema())
        self.templates = {name: tuple(templates.get(name, (bare(places),))) for name, places in PLACES.items()}
        self.prompts = {name: self._read_prompts(name, given) for name, given in self.templates.items()}
        self._check_length(max_text_len)
        self._read_texts(None if catalog is None or text_column is None else self._column(catalog, text_column))
        counts = np.zeros(sids.num_items) if train_counts is None else np.asarray(train_counts)
        self.register_buffer("item_counts", torch.from_numpy(counts).float(), persistent=False)
        if saved is not None and (saved / TEXTS_FILE).exists():
            self._restore_texts(load_file(saved / TEXTS_FILE))

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
        history = max(fixed["seqrec_prompts"], fixed["preference_prompts"]) + (self.max_history_len + 1) * (
            levels + self.num_slots
        )
        texts = max(fixed["item2index_prompts"], fixed["index2item_prompts"]) + text + levels
        history += max(fixed["candidates_prompts"] + NUM_CANDIDATES * levels - fixed["seqrec_prompts"], 0)
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

    def _read_ratings(self, schema: EventSchema) -> None:
        """The words of each rating: those of a category, or whole numbers between the lowest and the highest one."""
        words: list[str] = []
        self._lowest, self._rating_scale = 0, (0.0, 1.0)
        if self.rating_column is not None:
            if self.rating_column not in schema.names:
                fix = "name it in events.columns, or leave generator.rating_column out"
                expected = f"a column of the events ({', '.join(schema.names) or 'there are none'}), or null"
                raise ConfigError("generator.rating_column", expected=expected, got=self.rating_column, fix=fix)
            column = schema[self.rating_column]
            if column.kind == "number":
                self._lowest, self._rating_scale = round(column.mean - 4 * column.std), (column.mean, column.std)
                words = [str(number) for number in range(self._lowest, round(column.mean + 4 * column.std) + 1)]
            else:
                words = ["unknown", *(column.vocabulary or map(str, range(1, column.num_codes)))]
        self.register_buffer("rating_words", padded([self._words(f" {word}") for word in words]), persistent=False)

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

    def _of_items(self, items: Int64[Tensor, " some"], hidden: Float[Tensor, "some levels dim"]) -> TargetLogits:
        return TargetLogits(items, tuple(self._logits(hidden[:, level], level) for level in range(self.sids.num_levels)))

    def _logits(self, hidden: Float[Tensor, "*rows dim"], level: int) -> Float[Tensor, "*rows size"]:
        first, end = (int(x) for x in self.sids.level_offsets[level : level + 2])
        return self.language_model.new_logits(hidden, first, end)

    # --- tasks of texts -----------------------------------------------------------------------------------------------

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

    # --- tasks of P5 --------------------------------------------------------------------------------------------------

    def candidates_logits(self, batch: Batch, items: Int64[Tensor, " batch"]) -> TargetLogits:
        """Teacher-forced logits of the IDs of items, given histories and each item among others drawn evenly, in any order."""
        others = torch.randint(self.sids.num_items, (len(items), NUM_CANDIDATES - 1), device=items.device)
        choices = torch.cat([items.unsqueeze(1), others], dim=1)
        choices = choices.gather(1, torch.rand(choices.shape, device=items.device).argsort(dim=1))
        values = {"history": self._codes_of(batch.history), "candidates": self._codes_of(choices)}
        return self._index_after("candidates_prompts", values, items)

    def yes_no_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of yes or no, and the words, given histories and an item: the next one or, in half the rows, any other."""
        is_next = torch.rand(items.shape, device=items.device) < 0.5
        asked = torch.where(is_next, items, torch.randint_like(items, self.sids.num_items))
        answers = padded([self._words(word) for word in YES_NO]).to(items.device)[(asked == items).long()]
        return self._words_after("yes_no_prompts", self._about(batch, asked), answers)

    def rating_logits(self, batch: Batch) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of what users said of the last item of each history, and the words, given what came before and the item.

        Histories whose last event has nothing in ``rating_column`` are left out.
        """
        last = (batch.lengths - 1).clamp(min=0).unsqueeze(1)
        if self.rating_column is None or not batch.history.shape[1]:
            rows = torch.zeros_like(batch.lengths, dtype=torch.bool)
            ratings = torch.zeros_like(batch.lengths)
        else:
            values = batch.columns[self.rating_column].gather(1, last).squeeze(1)
            ratings = torch.round(values.nan_to_num() * self._rating_scale[1] + self._rating_scale[0]).long()
            ratings = (ratings - self._lowest).clamp(0, len(self.rating_words) - 1)
            rows = (batch.lengths > 0) & (~values.isnan() if values.is_floating_point() else values > 0)
        if not rows.any():
            empty = last[rows, 0]
            return self._words_after("rating_prompts", self._about(batch.rows(rows), empty), empty.unsqueeze(1))
        items = batch.history.gather(1, last).squeeze(1)[rows]
        before = batch.at_states(rows.nonzero().squeeze(1), batch.lengths[rows] - 1)
        return self._words_after("rating_prompts", self._about(before, items), self.rating_words[ratings[rows]])

    def reason_logits(
        self, batch: Batch, items: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of the best keywords of items that their histories share, and the words, given histories and items.

        Items that share none are left out.
        """
        assert self.keywords is not None  # `described` has none then
        words = self.keywords[items]
        heard = self.keywords[batch.history.clamp(min=0)].masked_fill((batch.history == PAD).unsqueeze(-1), PAD).flatten(1)
        shared = (words.unsqueeze(2) == heard.unsqueeze(1)).any(2) & (words != PAD)
        best = _closed_up(words.masked_fill(~shared, PAD))[0][:, :NUM_REASONS]
        rows = (best != PAD).any(1)
        answers = torch.where((best != PAD).unsqueeze(-1), self.word_tokens[best.clamp(min=0)], PAD).flatten(1)
        about = {name: tokens[rows] for name, tokens in self._about(batch, items).items()}
        return self._words_after("reason_prompts", about, answers[rows])

    def _about(self, batch: Batch, items: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        return {"history": self._codes_of(batch.history), "item": self.codes[items]}

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


def _closed_up(tokens: Int64[Tensor, "rows time"]) -> tuple[Int64[Tensor, "rows time"], Int64[Tensor, "rows time"]]:
    """The rows with ``PAD`` at the end instead of inside, and where each entry stood."""
    order = (tokens == PAD).long().argsort(dim=1, stable=True)
    return tokens.gather(1, order), order
