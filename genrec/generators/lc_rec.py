"""lc_rec: a language model that reads histories and writes semantic IDs (LC-Rec, arXiv 2311.09049; docs/methods/lc_rec.md).

Any causal language model of Hugging Face gets the codes as new tokens and is trained on prompts and responses: a history and
the next ID (seqrec), an item's text and its ID (item2index), an ID and its text (index2item); the latter two by
``objective=aligned_cross_entropy``. Only responses are predicted. Decoding is ours, over the trie, so that nothing of a model's
own sampling settings has a say: the prompt is read once per user, and all beams of a user are read in one go, as branches that
each see the prompt and their own codes (a step costs the square of the beams: searches suit that, ``exhaustive`` over a
large catalogue does not).

Departures from the paper: the history ends the prompt, so that ONE pass over a sequence trains every item of it where the paper
reads each prefix anew; one template is drawn per batch; the softmax at a code runs over that level's codes (or the trie) and at
a word over the old vocabulary. The tasks whose texts a chat model has to write beforehand (intentions, preferences), and the
mixed ones (fusionseqrec), are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError, did_you_mean
from genrec.nn.language_model import Cache, LanguageModel
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization

HISTORY, TEXT, INDEX = "{history}", "{text}", "{index}"
PLACES = {"seqrec_prompts": HISTORY, "item2index_prompts": TEXT, "index2item_prompts": INDEX}  # what each is about


@dataclass(frozen=True)
class Prompt:
    """Token ids before and after the one thing that differs."""

    before: tuple[int, ...]
    after: tuple[int, ...]


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
        saved: files of the trained generator, when it is opened again.
        revision: branch, tag or commit of a hub model.
        text_column: of the items, their text; None: learn from histories only.
        max_text_len: tokens of an item's text that are read.
        seqrec_prompts: ending with {history}. The first one is used when recommending, the others in training too.
        item2index_prompts: with {text}.
        index2item_prompts: with {index}.
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

    def __init__(
        self,
        *,
        sids: SIDTable,
        model: Path | str,
        catalog: pl.DataFrame | None = None,
        saved: Path | None = None,
        revision: str | None = None,
        text_column: str | None = "title",
        max_text_len: int = 32,
        seqrec_prompts: Sequence[str] = (f"Items that a user chose one after another: {HISTORY}",),
        item2index_prompts: Sequence[str] = (f"The item called {TEXT} is",),
        index2item_prompts: Sequence[str] = (f"{INDEX} is called",),
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
        self.seqrec_prompts = tuple(seqrec_prompts)
        self.seqrec = self._prompts("seqrec_prompts", HISTORY, seqrec_prompts)
        self.item2index = self._prompts("item2index_prompts", TEXT, item2index_prompts)
        self.index2item = self._prompts("index2item_prompts", INDEX, index2item_prompts)
        self._check_length(max_text_len)
        texts = None if catalog is None or text_column is None else self._texts(catalog, text_column, max_text_len)
        self.register_buffer("texts", texts, persistent=False)

    @staticmethod
    def check_settings(**settings: Any) -> None:
        """Raises ConfigError for prompts without their place, and for adapters without the package that makes them."""
        for name, about in PLACES.items():
            for template in settings[name] or ("",):
                _check_template(name, about, template)
        if settings["lora_rank"] is not None and find_spec("peft") is None:
            fix = "pip install 'genrec[llm]', or train the whole model: generator.lora_rank=null"
            raise ConfigError("lora_rank", expected="null without the package peft", got=settings["lora_rank"], fix=fix)

    def save(self, folder: Path) -> None:
        """Writes what building it again takes besides its configuration and weights (see ``saved``)."""
        self.language_model.save(folder)

    def history_prompt(self) -> tuple[str, tuple[int, ...]]:
        """What stands before a history's codes when recommending, as text and as tokens."""
        start = self.language_model.tokenizer.bos_token or ""
        return start + self.seqrec_prompts[0].split(HISTORY)[0].rstrip(), self.seqrec[0].before

    # --- prompts ------------------------------------------------------------------------------------------------------

    def _prompts(self, name: str, about: str, templates: Sequence[str]) -> tuple[Prompt, ...]:
        start = self.language_model.tokenizer.bos_token_id
        first = () if start is None else (int(start),)
        prompts = []
        for template in templates or ("",):
            _check_template(name, about, template)
            before, *after = template.split(about)
            ends = "" if about == HISTORY else after[0]
            # The space before a word belongs to the word in most vocabularies: texts are read with one.
            prompt = Prompt((*first, *self._words(before.rstrip())), self._words(ends))
            if not prompt.before and about == HISTORY:
                fix = "begin it with a word: an empty history needs something to start from"
                raise ConfigError(f"generator.{name}", expected=f"prompts with text before {about}", got=template, fix=fix)
            prompts.append(prompt)
        return tuple(prompts)

    def _words(self, text: str) -> tuple[int, ...]:
        return tuple(self.language_model.tokens(text)) if text.strip() else ()

    def _check_length(self, max_text_len: int) -> None:
        history = max(len(prompt.before) for prompt in self.seqrec) + (self.max_history_len + 1) * self.sids.num_levels
        around = max(len(prompt.before) + len(prompt.after) for prompt in (*self.item2index, *self.index2item))
        text = around + max_text_len + self.sids.num_levels + 1
        for key, value, tokens in (("max_history_len", self.max_history_len, history), ("max_text_len", max_text_len, text)):
            if tokens > (self.language_model.max_tokens or tokens):
                raise ConfigError(
                    f"generator.{key}",
                    expected=f"prompts and responses of at most {self.language_model.max_tokens} tokens",
                    got=f"{value}, which makes {tokens}",
                    fix="lower it",
                )

    def _texts(self, catalog: pl.DataFrame, column: str, max_len: int) -> Tensor:
        if column not in catalog.columns:
            fix = did_you_mean(column, catalog.columns)
            raise ConfigError("generator.text_column", expected="a column of the items, or null", got=column, fix=fix)
        words = [self._words(f" {text}")[:max_len] for text in catalog[column].cast(pl.String).fill_null("").to_list()]
        width = max((len(row) for row in words), default=0)
        return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in words], dtype=torch.long).view(len(words), width)

    def _draw_prompt(self, prompts: Sequence[Prompt]) -> Prompt:
        """Returns one of several for a training batch, the first one otherwise."""
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
        prompt = self._draw_prompt(self.seqrec).before
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
        prompt = self._draw_prompt(self.item2index)
        question = (self._repeat(prompt.before, len(items)), self.texts[items], self._repeat(prompt.after, len(items)))
        hidden, _ = self._responses(question, (self.codes[items],))
        return self._of_items(items, hidden.unflatten(0, (-1, self.sids.num_levels)))

    def text_logits(self, items: Int64[Tensor, " some"]) -> tuple[Float[Tensor, "words vocabulary"], Int64[Tensor, " words"]]:
        """Logits of the words of described items, and the words, given the items' IDs; each text ends with the end token."""
        assert self.texts is not None  # `described` has none then
        prompt, end = self._draw_prompt(self.index2item), self.language_model.tokenizer.eos_token_id
        question = (self._repeat(prompt.before, len(items)), self.codes[items], self._repeat(prompt.after, len(items)))
        answer = (self.texts[items], self._repeat([] if end is None else [end], len(items)))
        hidden, words = self._responses(question, answer)
        return self.language_model.text_logits(hidden), words

    def _responses(
        self, question: Sequence[Int64[Tensor, "rows _"]], answer: Sequence[Int64[Tensor, "rows _"]]
    ) -> tuple[Float[Tensor, "words dim"], Int64[Tensor, " words"]]:
        """Returns what predicts each token of the answers, and these tokens; ``PAD`` inside the parts is closed up."""
        tokens = torch.cat([*question, *answer], dim=1)
        order = (tokens == PAD).long().argsort(dim=1, stable=True)
        tokens = tokens.gather(1, order)
        answered = ((order >= sum(part.shape[1] for part in question)) & (tokens != PAD))[:, 1:]
        hidden = self.language_model(tokens[:, :-1].clamp(min=0))
        return hidden[answered], tokens[:, 1:][answered]

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> PromptState:
        """Reads each prompt once."""
        prompt = self._draw_prompt(self.seqrec).before
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


def _check_template(key: str, about: str, template: str) -> None:
    after = template.split(about)[1:]
    if len(after) != 1 or (about == HISTORY and after[0].strip()):
        where = f"{about} once, at the end" if about == HISTORY else f"{about} once"
        raise ConfigError(key, expected=f"prompts with {where}", got=template, fix="correct it")
