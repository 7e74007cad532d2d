"""Trains a small language model from nothing on a catalogue's text: for where no pretrained one can be had.

python tools/train_small_language_model.py items.parquet FOLDER
python -m genrec run generator=lc_rec generator.model=FOLDER ...

It reads titles, brands, categories and descriptions, so it knows the words of this catalogue and little grammar; it is no
substitute for a model that has read the web. Its tokenizer is trained on the same text. Every twentieth item is held out:
their loss per token is printed after each epoch, beside that of the untrained weights and of word frequencies alone.
FOLDER-random is written too: the same tokenizer and shape with the weights that training started from, the control.
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Int64
from make_random_language_model import write
from torch import Tensor
from torch.nn import functional as F

COLUMNS = ("title", "brand", "categories", "description")
HELD_OUT = 20  # one item of so many


def documents(items: pl.DataFrame, columns: Sequence[str] = COLUMNS) -> list[str]:
    """Returns a text of each item: those of the columns that it has, as sentences."""
    rows = items.select([column for column in columns if column in items.columns]).cast(pl.String).fill_null("").rows()
    return [" ".join(text.strip().rstrip(".") + "." for text in row if text.strip()) for row in rows]


def blocks(tokenizer: object, texts: Sequence[str], length: int) -> Int64[Tensor, "blocks length"]:
    """Returns all texts one after another, each between its start and its end, cut to blocks; a last part is dropped."""
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id  # type: ignore[attr-defined]
    read = tokenizer(list(texts), add_special_tokens=False)["input_ids"]  # type: ignore[operator]
    stream = torch.tensor([token for row in read for token in (start, *row, end)])
    return stream[: len(stream) // length * length].view(-1, length)


def loss_of(model: torch.nn.Module, rows: Int64[Tensor, "rows length"]) -> Tensor:
    """Mean loss per token, in nats."""
    logits = model(input_ids=rows).logits[:, :-1]
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, rows: Int64[Tensor, "rows length"]) -> float:
    """Mean loss per token of all rows."""
    model.eval()
    total = sum(float(loss_of(model, part)) * len(part) for part in rows.split(32))
    model.train()
    return total / len(rows)


def unigram_loss(train: Int64[Tensor, "rows length"], rows: Int64[Tensor, "rows length"], vocabulary: int) -> float:
    """Mean loss per token of their frequencies in the training text, one added to each count."""
    counts = torch.bincount(train.flatten(), minlength=vocabulary) + 1
    return float(-(counts / counts.sum()).log()[rows.flatten()].mean())


def train(folder: Path, texts: Sequence[str], *, epochs: int, lr: float, length: int, batch: int, seed: int) -> None:
    """Trains the model in a folder in place, all weights, and prints a line per epoch."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    kept_back = blocks(tokenizer, texts[::HELD_OUT], length)
    rows = blocks(tokenizer, [text for place, text in enumerate(texts) if place % HELD_OUT], length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    steps = epochs * math.ceil(len(rows) / batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.05)
    random = torch.Generator().manual_seed(seed)
    words = unigram_loss(rows, kept_back, model.config.vocab_size)
    print(f"{rows.numel():,} tokens; held out: untrained {held_out_loss(model, kept_back):.3f}, frequencies {words:.3f}")
    for epoch in range(epochs):
        started = time.perf_counter()
        for part in torch.randperm(len(rows), generator=random).split(batch):
            loss = loss_of(model, rows[part])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}: held out {held_out_loss(model, kept_back):.3f} nats a token, {seconds:.0f} s", flush=True)
    model.save_pretrained(folder)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path, help="parquet with the items")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--columns", nargs="+", default=COLUMNS)
    parser.add_argument("--kind", default="llama")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    texts = documents(pl.read_parquet(given.items, glob=False), given.columns)
    shape = {"dim": given.dim, "num_layers": given.layers, "max_tokens": given.max_tokens, "vocabulary": given.vocabulary}
    write(given.folder, texts, kind=given.kind, seed=given.seed, **shape)
    shutil.copytree(given.folder, given.folder.with_name(f"{given.folder.name}-random"), dirs_exist_ok=True)
    train(
        given.folder,
        texts,
        epochs=given.epochs,
        lr=given.lr,
        length=given.length,
        batch=given.batch,
        seed=given.seed,
    )


if __name__ == "__main__":
    main()
