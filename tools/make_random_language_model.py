"""Writes a small language model with random weights, and a tokenizer trained on item titles: a stand-in for a pretrained one.

python tools/make_random_language_model.py items.parquet FOLDER
python -m genrec run generator=lc_rec generator.model=FOLDER ...

It shows that everything works where there is no network, and what a generator of this shape learns from histories alone. It
knows no language.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

START, END = "<s>", "</s>"


def write(
    folder: Path,
    texts: Iterable[str],
    *,
    kind: str = "llama",
    dim: int = 128,
    num_layers: int = 4,
    num_heads: int = 4,
    vocabulary: int = 4000,
    max_tokens: int = 256,
    seed: int = 0,
    **more: Any,
) -> None:
    """Writes configuration, weights (safetensors) and tokenizer.

    Args:
        folder: is made.
        texts: what the tokenizer is trained on; it can write any other text too, byte by byte.
        kind: of the model: llama, gpt2, or any other whose configuration has the usual names.
        dim: width; feed-forward layers have twice as much.
        num_layers: blocks.
        num_heads: attention heads.
        vocabulary: tokens at most, 256 bytes and two special ones included.
        max_tokens: positions.
        seed: of the weights.
        more: of the model's configuration.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[START, END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END).save_pretrained(folder)
    shape = {"hidden_size": dim, "num_hidden_layers": num_layers, "num_attention_heads": num_heads}
    ends = {"bos_token_id": tokenizer.token_to_id(START), "eos_token_id": tokenizer.token_to_id(END)}
    config = AutoConfig.for_model(
        kind, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=max_tokens, **shape, **ends, **more
    )
    setattr(config, "n_inner" if hasattr(config, "n_inner") else "intermediate_size", 2 * dim)
    if hasattr(config, "num_key_value_heads"):
        config.num_key_value_heads = num_heads
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def main() -> None:
    """Reads the command line."""
    import polars as pl

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path, help="parquet with the items")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--column", default="title")
    parser.add_argument("--kind", default="llama")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4000)
    given = parser.parse_args()
    texts = pl.read_parquet(given.items, glob=False)[given.column].cast(pl.String).drop_nulls().to_list()
    write(given.folder, texts, kind=given.kind, dim=given.dim, num_layers=given.layers, vocabulary=given.vocabulary)
    print(f"{given.folder}: {sum(path.stat().st_size for path in given.folder.iterdir()) / 1e6:,.1f} MB")


if __name__ == "__main__":
    main()
