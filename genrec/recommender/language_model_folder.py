"""A generator that is a language model, as a plain folder of transformers; ``trie_logits`` reads it and says what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import polars as pl
import torch
from safetensors.torch import save_file

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.protocols import Generator, PromptedLanguageModel
from genrec.recommender.trie_logits import CATALOGUE_FILE, ITEMS_FILE

TOLERANCE = 1e-3  # nats, between our logits and those of the folder's model


def level_names(num_levels: int) -> list[str]:
    """How each level is called in its tokens: a, b, c ...; behind z by number."""
    return [ascii_lowercase[level] if level < len(ascii_lowercase) else f"level{level}" for level in range(num_levels)]


def token_names(sids: SIDTable) -> list[str]:
    """The text of each code's token, level by level: <a_0>, <a_1> ..."""
    named = zip(level_names(sids.num_levels), sids.sizes, strict=True)
    return [f"<{name}_{code}>" for name, size in named for code in range(size)]


@torch.no_grad()
def write_language_model(
    generator: Generator, trie: PrefixTrie | None, item_ids: pl.Series, folder: Path, *, num_beams: int, exclude_seen: bool
) -> None:
    """Writes model, tokenizer, IDs and trie.

    Args:
        generator: in eval mode, on the CPU.
        trie: of the items to recommend.
        item_ids: of the catalogue.
        folder: is made.
        num_beams: of the search that ``generate`` does without being asked for another.
        exclude_seen: whether items of a user's own history are left out of its list; catalogue.json says so.

    Raises:
        ConfigError: for a generator that is no language model, or one whose logits transformers computes in another way.
    """
    if not isinstance(generator, PromptedLanguageModel) or trie is None:
        expected, fix = "a generator that is a language model, such as lc_rec", "leave export.runtime out"
        raise ConfigError("export.runtime", expected=expected, got=type(generator).__name__, fix=fix)
    if getattr(getattr(generator, "conditions", None), "schema", None):
        expected = "a generator without columns of events, requests and users, which a folder of transformers cannot hear"
        fix = "train without events.columns, or leave export.runtime out"
        raise ConfigError("export.runtime", expected=expected, got="one that hears them", fix=fix)
    sids, names = generator.sids, token_names(generator.sids)
    model, tokenizer = generator.language_model.merged(names)
    first_tokens = [tokenizer.convert_tokens_to_ids(f"<{name}_0>") for name in level_names(sids.num_levels)]
    _check_logits(generator, model, first_tokens)
    prompt, prompt_ids = generator.history_prompt()
    sid_of = _sid_texts(sids)
    read = tokenizer(prompt + sid_of[0], add_special_tokens=False)["input_ids"]
    exact = read == [*prompt_ids, *_tokens(sids, first_tokens, 0)]
    settings = {"num_beams": num_beams, "num_return_sequences": num_beams, "max_new_tokens": sids.num_levels}
    model.generation_config.update(
        **settings, do_sample=False, length_penalty=0.0, early_stopping=False, pad_token_id=tokenizer.pad_token_id
    )
    folder.mkdir(exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"  # the latter is what says that it is written
    tokenizer.save_pretrained(folder)
    trie.save(folder)
    items_of: dict[str, list[str]] = {}
    for sid, item in zip(sid_of, item_ids.to_list(), strict=True):
        items_of.setdefault(sid, []).append(item)
    (folder / ITEMS_FILE).write_text(json.dumps(items_of, ensure_ascii=False), encoding="utf-8")
    facts = {
        "levels": level_names(sids.num_levels),
        "first_tokens": first_tokens,
        "normalization": generator.normalization,
        "prompt": prompt if exact else None,  # as text, where the tokenizer reads it as the model was trained
        "prompt_ids": list(prompt_ids),
        "pad_id": tokenizer.pad_token_id,
        "max_history_len": generator.max_history_len,
        "exclude_seen": exclude_seen,
    }
    (folder / CATALOGUE_FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")


def _sid_texts(sids: SIDTable) -> list[str]:
    names = level_names(sids.num_levels)
    return ["".join(f"<{name}_{code}>" for name, code in zip(names, row, strict=True)) for row in sids.codes.tolist()]


def _tokens(sids: SIDTable, first_tokens: Sequence[int], item: int) -> list[int]:
    return [first + int(code) for first, code in zip(first_tokens, sids.codes[item], strict=True)]


def _check_logits(generator: PromptedLanguageModel, model: Any, first_tokens: Sequence[int]) -> None:
    """Compares the logits of one ID after a short history."""
    sids = generator.sids
    history = torch.arange(min(3, sids.num_items)).unsqueeze(0)
    targets = torch.full((1, history.shape[1] + 1), -1)
    targets[0, -1] = 0
    ours = generator.target_logits(Batch(history, torch.tensor([history.shape[1]]), targets)).levels
    _, prompt = generator.history_prompt()
    words = [*prompt, *(t for item in (*history[0].tolist(), 0) for t in _tokens(sids, first_tokens, item))]
    states = model(input_ids=torch.tensor([words])).logits[0, -sids.num_levels - 1 : -1]
    for level, (first, size) in enumerate(zip(first_tokens, sids.sizes, strict=True)):
        apart = float((states[level, first : first + size] - ours[level][0]).abs().max())
        if apart > TOLERANCE:
            raise ConfigError(
                "export.runtime",
                expected="a language model whose logits are products of its states and its head's rows",
                got=f"{model.config.model_type}, whose logits are {apart:.3g} apart",
                fix="leave export.runtime out",
            )
