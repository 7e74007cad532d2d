"""A causal language model of Hugging Face whose vocabulary has grown, as a module that reads tokens. It never samples."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.nn.pretrained import check_folder, check_saved
from genrec.references import expand_path

Cache = tuple[tuple[Tensor, Tensor], ...]  # per layer, keys and values [batch, heads, tokens, d]


class LanguageModel(nn.Module):
    """The body of a causal language model with tokens added behind its own.

    Rows of the new tokens stand in tables of their own, so that the old ones can stay tied, or frozen. Their embeddings start
    about the mean of the old ones and as far apart as those are; in the head they are all near the mean, so that new tokens
    are about equally likely.

    Args:
        source: folder, or id on the hub, of a model in safetensors; or a folder that ``save`` wrote, whose weights the caller
            loads.
        revision: branch, tag or commit of a hub model.
        num_new: tokens added; their ids are ``vocabulary`` and up.
        lora_rank: rank of adapters (LoRA) on every linear layer, all else of the old model frozen; None trains everything.
        lora_alpha: scale of the adapters, in units of 1 / rank.
        lora_dropout: of what the adapters read, in [0, 1).

    Raises:
        ConfigError: when there is no such model; when adapters are wanted and the package for them is missing.
    """

    SAVED = "saved.txt"  # marks a folder without weights

    def __init__(
        self,
        *,
        source: Path | str,
        revision: str | None,
        num_new: int,
        lora_rank: int | None,
        lora_alpha: float,
        lora_dropout: float,
    ) -> None:
        super().__init__()
        model, self.tokenizer = _open_model(expand_path(source), str(source), revision, self.SAVED)
        self.body: Any = model.base_model
        head = model.get_output_embeddings()
        old = self.body.get_input_embeddings()
        self.vocabulary: int = old.num_embeddings
        self.new_embedding = nn.Embedding(num_new, old.embedding_dim)
        self.new_head = nn.Linear(head.in_features, num_new, bias=False)
        with torch.no_grad():
            for new, table, spread in ((self.new_embedding, old, 1.0), (self.new_head, head, 0.1)):
                new.weight.normal_().mul_(spread * table.weight.std(dim=0)).add_(table.weight.mean(dim=0))
        self.old_head = None if head.weight is old.weight else head
        if lora_rank is not None:
            self.requires_grad_(False)
            self.new_embedding.requires_grad_(True)
            self.new_head.requires_grad_(True)
            _add_adapters(self.body, lora_rank, lora_alpha, lora_dropout)

    @property
    def max_tokens(self) -> int | None:
        """The longest text that it can read; None when it does not say."""
        return getattr(self.body.config, "max_position_embeddings", None)

    def tokens(self, text: str) -> list[int]:
        """Ids of a piece of text, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def embed(self, tokens: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time dim"]:
        """Rows of old and new tokens."""
        new = tokens >= self.vocabulary
        old = self.body.get_input_embeddings()(tokens.masked_fill(new, 0))
        return torch.where(new.unsqueeze(-1), self.new_embedding((tokens - self.vocabulary).clamp(min=0)), old)

    def forward(self, tokens: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time dim"]:
        """The state of every token, which has seen those before it. Padding belongs at the end of a row."""
        return self.states(self.embed(tokens))

    def states(self, embedded: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Like ``forward``, of vectors in the place of tokens."""
        return self.body(inputs_embeds=embedded, use_cache=False).last_hidden_state

    def read(
        self,
        tokens: Int64[Tensor, "batch time"],
        cache: Cache = (),
        *,
        position: Int64[Tensor, "batch time"] | None = None,
        visible: Bool[Tensor, "batch time keys"] | None = None,
    ) -> tuple[Float[Tensor, "batch time dim"], Cache]:
        """Like ``forward``, going on after what was read before; ``cache`` itself stays as it is.

        Args:
            tokens: read now.
            cache: of the tokens read before.
            position: of each token, if it is not the next one.
            visible: which tokens each of them sees, the cached ones first; None: those before it.
        """
        return self.read_embedded(self.embed(tokens), cache, position=position, visible=visible)

    def read_embedded(
        self,
        embedded: Float[Tensor, "batch time dim"],
        cache: Cache = (),
        *,
        position: Int64[Tensor, "batch time"] | None = None,
        visible: Bool[Tensor, "batch time keys"] | None = None,
    ) -> tuple[Float[Tensor, "batch time dim"], Cache]:
        """Like ``read``, of vectors in the place of tokens."""
        from transformers import DynamicCache

        grown = DynamicCache(cache or None)
        states = self.body(
            inputs_embeds=embedded,
            position_ids=position,
            attention_mask=None if visible is None else visible.unsqueeze(1),
            past_key_values=grown,
            use_cache=True,
        ).last_hidden_state
        layers: list[Any] = list(grown.layers)
        return states, tuple((layer.keys, layer.values) for layer in layers)

    def text_logits(self, states: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows vocabulary"]:
        """Returns logits of the old tokens."""
        return states @ self.body.get_input_embeddings().weight.T if self.old_head is None else self.old_head(states)

    def new_logits(self, states: Float[Tensor, "*rows dim"], first: int, end: int) -> Float[Tensor, "*rows new"]:
        """Returns logits of some of the new tokens, counted from 0."""
        return states @ self.new_head.weight[first:end].T

    def merged(self, names: Sequence[str]) -> tuple[Any, Any]:
        """Returns the model and its tokenizer as transformers has them: one vocabulary, adapters merged into the weights.

        Args:
            names: how each new token is written.

        Raises:
            ConfigError: when the tokenizer has some of these words already.
        """
        from transformers import AddedToken, AutoModelForCausalLM

        tokenizer, words = deepcopy(self.tokenizer), self.tokenizer.get_vocab()
        if taken := [name for name in names if name in words]:
            fix = "train with another language model"
            raise ConfigError("export.runtime", expected="a vocabulary without words for codes", got=taken[:3], fix=fix)
        tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
        if tokenizer.pad_token is None:  # prompts of unlike lengths are padded, by anything
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token or names[0]
        ids = torch.tensor(tokenizer.convert_tokens_to_ids(list(names)))
        old, size = self.body.get_input_embeddings(), max(self.vocabulary, int(ids.max()) + 1)
        config = deepcopy(self.body.config)
        config.vocab_size, config.tie_word_embeddings = size, False
        for key, neutral in _FACTORS.items():  # logits here are products of states and rows, nothing else
            if getattr(config, key, None) is not None:
                setattr(config, key, neutral)
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False
        )
        table = next(name for name, module in self.body.named_modules() if module is old)
        weights = _without_adapters(self.body)
        weights[f"{table}.weight"] = _with_new_rows(old.weight, self.new_embedding.weight, ids, size)
        model.base_model.load_state_dict(weights)
        head, old_head = model.get_output_embeddings(), old if self.old_head is None else self.old_head
        head.weight = nn.Parameter(_with_new_rows(old_head.weight, self.new_head.weight, ids, size))
        if getattr(head, "bias", None) is not None:
            bias = old_head.bias.detach()
            head.bias = nn.Parameter(_with_new_rows(bias, bias.new_zeros(len(ids)), ids, size))
        return model.eval(), tokenizer

    def save(self, folder: Path) -> None:
        """Writes what it takes to build the model again, weights aside: its configuration and its tokenizer."""
        self.body.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (folder / self.SAVED).write_text("The weights are those of the generator.\n", encoding="utf-8")


# What some models do to their logits, and the value with which it does nothing.
_FACTORS = {"logit_scale": 1.0, "logits_scaling": 1.0, "final_logit_softcapping": None}


def _without_adapters(body: nn.Module) -> dict[str, Tensor]:
    """The weights of a body under their first names, those of adapters added to what they adapt."""
    body = deepcopy(body)
    for module in list(body.modules()):
        if hasattr(module, "base_layer") and hasattr(module, "merge"):
            module.merge()  # type: ignore[operator]
    return {name.replace(".base_layer.", "."): tensor for name, tensor in body.state_dict().items() if ".lora_" not in name}


def _with_new_rows(old: Tensor, new: Tensor, ids: Int64[Tensor, " new"], size: int) -> Tensor:
    """A table of ``size`` rows: the old ones, and at ``ids`` the new ones."""
    table = old.new_zeros(size, *old.shape[1:])
    table[: len(old)] = old.detach()
    table[ids] = new.detach()
    return table


def _open_model(folder: Path, source: str, revision: str | None, saved: str) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # slow to import: paid by those who want it

    how: dict[str, Any] = {"attn_implementation": "sdpa", "dtype": torch.float32, "trust_remote_code": False}
    is_saved, is_local = (folder / saved).exists(), folder.is_dir()
    if is_saved:
        check_saved(folder, "generator.model")
    elif is_local:
        check_folder(folder, "generator.model")
    source = str(folder) if is_local else source
    where: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": False, "local_files_only": is_local}
    try:
        if is_saved:
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, **where), **how)
        else:
            model = AutoModelForCausalLM.from_pretrained(source, use_safetensors=True, **{**how, **where})
        return model, AutoTokenizer.from_pretrained(source, **where)
    except Exception as error:  # the hub, the file system and the formats each have their own errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            "generator.model",
            expected="a folder with a causal language model in safetensors, or a hub id and a network",
            got=f"{source} ({reason})",
            fix="download the model where there is a network and give its folder: generator.model=/path/to/folder",
        ) from error


def _add_adapters(body: nn.Module, rank: int, alpha: float, dropout: float) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(
            "generator.lora_rank",
            expected="null without the package peft",
            got=rank,
            fix="pip install 'genrec[llm]', or train the whole model: generator.lora_rank=null",
        ) from error
    settings: dict[str, Any] = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout}  # peft says int, and takes any alpha
    inject_adapter_in_model(LoraConfig(**settings, target_modules="all-linear"), body)
