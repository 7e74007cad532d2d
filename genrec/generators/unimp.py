"""unimp: a language model that reads codes and pictures in turn (UniMP, arXiv 2403.10667; docs/methods/unimp.md).

Behind the codes of each item of a history stands ONE token that is no word: the item's vector, as the encoder makes it of a
picture, through a linear map. An item's codes are predicted before its picture is read, so the picture of the next item is
never seen.

Departures from the paper: precomputed vectors in place of patches that are read through cross-attention; of the tasks, the next
item only; of the attributes, none as words; IDs decoded over the trie.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.generators.lib.prompt_tasks import HISTORY
from genrec.generators.lib.prompted_model import PromptedModel
from genrec.nn.language_model import LanguageModel
from genrec.types import Normalization


class UniMP(PromptedModel):
    """A language model with semantic IDs in its vocabulary and vectors between them.

    Args:
        item_vectors: [items, any], of pictures; a row of zeros where there is none.
        model: folder or hub id of a causal language model in safetensors; a trained generator does not need it any more.
        saved: files of the trained generator, when it is opened again.
        revision: branch, tag or commit of a hub model.
        prompts: ending with {history}. The first one is used when recommending, the others in training too.
        image_dropout: share of the pictures that are hidden in training, in [0, 1).
        lora_rank: rank of adapters on all linear layers, the rest of the model frozen (extra ``llm``); None trains all.
        lora_alpha: scale of the adapters, in units of 1 / rank.
        lora_dropout: of what the adapters read, in [0, 1).
        normalization: "codebook", or "trie" (probabilities over the catalogue).
        max_history_len: longest history, in items.

    Raises:
        ConfigError: when there is no such model, or package for adapters; for prompts without a history; for histories that the
            model cannot read.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids", "encoder"})
    num_slots = 1
    item_vectors: Tensor  # [items, width], of length 1 or 0

    def __init__(
        self,
        *,
        sids: SIDTable,
        item_vectors: np.ndarray,
        model: Path | str,
        saved: Path | None = None,
        revision: str | None = None,
        prompts: Sequence[str] = (f"Items that a user chose one after another: {HISTORY}",),
        image_dropout: float = 0.2,
        lora_rank: int | None = None,
        lora_alpha: float = 32.0,
        lora_dropout: float = 0.05,
        normalization: Normalization = "codebook",
        max_history_len: int = 20,
        schema: EventSchema | None = None,
    ) -> None:
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
            templates={"seqrec_prompts": prompts},
            catalog=None,
            train_counts=None,
            saved=saved,
            text_column=None,
            max_text_len=0,
            title_history_len=0,
            normalization=normalization,
            max_history_len=max_history_len,
            schema=schema,
        )
        self.image_dropout = image_dropout
        self.language_model.old_head = None  # no words are written
        vectors = nn.functional.normalize(torch.from_numpy(np.array(item_vectors, dtype=np.float32)), dim=1)
        # Facts of the catalogue, not weights: they follow it when items are added.
        self.register_buffer("item_vectors", vectors, persistent=False)
        table = self.language_model.new_embedding.weight
        self.projection = nn.Linear(vectors.shape[1], table.shape[1])  # the bias is what stands where there is no picture
        with torch.no_grad():  # as large as the tokens beside it
            self.projection.weight.normal_(std=float(table.std()))
            self.projection.bias.copy_(table.mean(dim=0))

    def _with_slots(
        self, codes: Float[Tensor, "batch time levels dim"], items: Int64[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width dim"]:
        """Adds the item's picture behind its codes."""
        vectors = self.item_vectors[items.clamp(min=0)]
        if self.training and self.image_dropout:
            vectors = vectors.masked_fill(torch.rand(*items.shape, 1, device=items.device) < self.image_dropout, 0.0)
        return torch.cat([codes, self.projection(vectors).unsqueeze(2)], dim=2)
