"""Training: targets a second of ``encdec`` against what others do, on the same sequences.

    python tools/benchmarks/training.py [--quick] [--threads 2] [--device cpu] [--out FOLDER]

Equal width, depth and precision (dim 128, 3 + 2 layers, 4 heads, feed-forward 512, fp32, histories of at most 20 items):

    encdec       ours: one pass over a sequence trains every position
    T5 padded    transformers' T5, an example per prefix, shuffled, batches of 256 padded to their longest
    T5 bucketed  the same with examples of similar length in a batch
    cornac       the loop of cornac's TIGER, in its own environment (``make peers``)

and, in other rows, what each ships: ``encdec`` as in conf/, T5 and cornac with TIGER's 4 + 4 layers (6 heads of 64, feed-
forward 1024). A step is a batch, its loss, the gradient, its clipping and AdamW. Sequences are random, with lengths like those
of Amazon-2014 Beauty's training part; no way looks at what the items are. Then how the cost of ``encdec`` grows with the length
of histories, the catalogue and the width, and what share of this machine's matrix product it uses ("mfu": multiply-adds of the
forward and backward pass counted by PyTorch, over the rate of a 2048 x 2048 product in the same process).

Each way runs in a process of its own, so that its peak memory is its own. Rows are printed as they are measured; the last line
holds the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from genrec.core.dataset import Sequences
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.generators.encdec import EncDec
from genrec.objectives.sid_cross_entropy import SIDCrossEntropy
from genrec.training.module import TrainingModule
from genrec.training.plan import BatchPlan
from genrec.training.settings import TrainSettings

SEED, LEVELS, CODES, EXAMPLES = 0, 4, 256, 256
EQUAL: dict[str, Any] = {"dim": 128, "num_heads": 4, "num_history_layers": 3, "num_decoder_layers": 2, "feedforward_mult": 4}
EQUAL["identity"] = False  # T5 has none
T5_EQUAL = {"d_model": 128, "d_kv": 32, "d_ff": 512, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 4}
T5_TIGER = {"d_model": 128, "d_kv": 64, "d_ff": 1024, "num_layers": 4, "num_decoder_layers": 4, "num_heads": 6}
ROOT = Path(__file__).resolve().parents[2]
CORNAC = ROOT / ".venv-cornac" / "bin" / "python"


@dataclass(frozen=True)
class Case:
    """One row of the benchmark.

    Args:
        way: "encdec", "T5 padded" or "T5 bucketed".
        num_items: size of the catalogue.
        mean_length: of the sequences; 7 is that of Beauty's training part.
        max_history_len: longest history that is read.
        model: keys of the model's constructor that are not at their default.
        seconds: to measure for, after the first batches.
        threads: of the CPU.
        device: of the model.
    """

    way: str
    num_items: int = 12_101
    mean_length: float = 7.0
    max_history_len: int = 20
    model: dict[str, Any] = field(default_factory=lambda: dict(EQUAL))
    seconds: float = 15.0
    threads: int = 2
    device: str = "cpu"


def sequences(num_items: int, mean_length: float, users: int = 20_000) -> Sequences:
    """Random items, at least three a user, and as skewed a length as people's."""
    random = np.random.default_rng(SEED)
    lengths = 3 + np.floor(random.gamma(0.6, (mean_length - 2.5) / 0.6, users)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Sequences(random.integers(0, num_items, offsets[-1]), offsets)


def catalogue(num_items: int) -> SIDTable:
    """Random codes and a last level that tells apart items which share the others."""
    codes = np.random.default_rng(SEED).integers(0, CODES, (num_items, LEVELS - 1))
    order = np.lexsort(codes.T)
    same = np.concatenate([[False], (codes[order[1:]] == codes[order[:-1]]).all(axis=1)])
    place = np.arange(num_items) - np.maximum.accumulate(np.where(same, 0, np.arange(num_items)))
    last = np.empty(num_items, dtype=np.int64)
    last[order] = place
    sizes = (*[CODES] * (LEVELS - 1), int(last.max()) + 1)
    return SIDTable(np.column_stack([codes, last]), sizes)


Step = Callable[[], int]  # trains on one batch and tells how many targets it held


def encdec_steps(case: Case) -> tuple[Step, nn.Module]:
    """What ``genrec train`` does in a step."""
    table = catalogue(case.num_items)
    encdec = EncDec(sids=table, max_history_len=case.max_history_len, **case.model).to(case.device)
    settings = TrainSettings()
    train = sequences(case.num_items, case.mean_length)
    plan = BatchPlan(train, max_history_len=case.max_history_len, batch_states=settings.batch_states, epochs=1000)
    module = TrainingModule(encdec, SIDCrossEntropy(trie=PrefixTrie.build(table)), plan, settings)
    optimizer, batches = module.configure_optimizers(), plan.batches()

    def step() -> int:
        batch = next(batches).batch.to(case.device)
        optimizer.zero_grad()
        module.objective.loss(encdec, batch).total.backward()
        nn.utils.clip_grad_norm_(encdec.parameters(), settings.clip)
        optimizer.step()
        return batch.num_targets

    return step, encdec


def t5_steps(case: Case) -> tuple[Step, nn.Module]:
    """An example a prefix: its codes in, the next item's codes out."""
    from transformers import T5Config, T5ForConditionalGeneration

    table = catalogue(case.num_items)
    tokens, pad = table.tokens, table.num_tokens
    config = T5Config(vocab_size=pad + 1, pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=None, **case.model)
    t5 = T5ForConditionalGeneration(config).to(case.device)
    optimizer = torch.optim.AdamW(t5.parameters(), lr=5e-4)
    train = sequences(case.num_items, case.mean_length)
    batches = _examples(train, case.max_history_len, by_length=case.way == "T5 bucketed")

    def step() -> int:
        history, target = next(batches)
        written = np.where(history[..., None] < 0, pad, tokens[np.maximum(history, 0)]).reshape(len(history), -1)
        inputs = torch.from_numpy(written).to(case.device)
        labels = torch.from_numpy(tokens[target]).to(case.device)
        optimizer.zero_grad()
        t5(input_ids=inputs, attention_mask=(inputs != pad).long(), labels=labels).loss.backward()
        nn.utils.clip_grad_norm_(t5.parameters(), 1.0)
        optimizer.step()
        return len(target)

    return step, t5


def _examples(train: Sequences, longest: int, *, by_length: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Histories [256, longest of the batch], padded with -1, and their targets; anew in each epoch."""
    random = np.random.default_rng(SEED)
    starts = np.repeat(train.offsets[:-1], train.lengths)
    targets = np.flatnonzero(np.arange(len(starts)) > starts)  # all but first items: T5 has no empty input
    while True:
        order = random.permutation(targets)
        if by_length:
            order = order[np.argsort(np.minimum(order - starts[order], longest), kind="stable")]
        chunks = [order[at : at + EXAMPLES] for at in range(0, len(order) - EXAMPLES + 1, EXAMPLES)]
        for index in random.permutation(len(chunks)):
            chunk = chunks[index]
            lengths = np.minimum(chunk - starts[chunk], longest)
            column = np.arange(lengths.max())
            place = np.where(column < lengths[:, None], (chunk - lengths)[:, None] + column, -1)
            yield np.where(place < 0, -1, train.item_idx[place]), train.item_idx[chunk]


def measure(case: Case) -> dict[str, float]:
    """Targets a second, peak memory of this process, and the share of the machine's matrix product."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(SEED)
    step, model = (encdec_steps if case.way == "encdec" else t5_steps)(case)
    for _ in range(2):
        step()
    with FlopCounterMode(display=False) as counter:
        targets = step()
    flops = counter.get_total_flops() / targets
    done, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < case.seconds:
        done += step()
        if case.device == "cuda":
            torch.cuda.synchronize()
    peak = (
        torch.cuda.max_memory_allocated()
        if case.device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "targets_per_second": done / took,
        "peak_gib": peak / 2**30,
        "weights": sum(p.numel() for p in model.parameters()),
        "mfu": flops * done / took / product_rate(case.device),
    }


def product_rate(device: str) -> float:
    """Floating-point operations a second of a large matrix product in fp32."""
    a = torch.randn(2048, 2048, device=device)
    b: Tensor = a @ a
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        b = a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        rates.append(2 * 2048**3 / (time.perf_counter() - start))
    assert b.isfinite().all()
    return float(np.median(rates))


def alone(case: Case) -> dict[str, float]:
    """``measure`` in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(case.__dict__)]
    completed = subprocess.run(command, capture_output=True, text=True)
    if completed.returncode:
        raise SystemExit(f"{case.way}: {completed.stderr[-2000:]}")
    return dict(json.loads(completed.stdout.splitlines()[-1]))


def cornac(recipe: str, num_items: int, targets: int, threads: int) -> dict[str, float] | None:
    """Its loop in the peers' environment, on as many of the same sequences as hold ``targets``; None where there is none."""
    if not CORNAC.exists():
        return None
    train = sequences(num_items, Case("").mean_length)
    users = int(np.searchsorted(np.cumsum(train.lengths - 1), targets)) + 1
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, item_idx=train.item_idx[: train.offsets[users]], offsets=train.offsets[: users + 1])
        script = ROOT / "tools" / "peers" / "cornac_training.py"
        command = [str(CORNAC), str(script), file.name, str(num_items), str(threads), recipe]
        completed = subprocess.run(command, capture_output=True, text=True)
    if completed.returncode:
        raise SystemExit(f"cornac: {completed.stderr[-2000:]}")
    return dict(json.loads(completed.stdout.splitlines()[-1]))


def main() -> None:
    """Prints a row each, then the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the ways of equal size, briefly: under a minute on two cores")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(Case(**json.loads(options.case)))))
        return
    rows: dict[str, float] = {}
    run = {"seconds": 4.0 if options.quick else 15.0, "threads": options.threads, "device": options.device}

    def tell(name: str, figures: dict[str, float] | None) -> None:
        if figures is None:
            return
        rows[name] = figures["targets_per_second"]
        row = {"way": name} | figures | {"threads": options.threads, "load": round(os.getloadavg()[0], 1)}
        line = json.dumps({key: float(f"{x:.4g}") if isinstance(x, float) else x for key, x in row.items()})
        print(line, flush=True)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            with (options.out / "training.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    tell("encdec", alone(Case("encdec", **run)))
    tell("T5 padded", alone(Case("T5 padded", model=T5_EQUAL, **run)))
    tell("T5 bucketed", alone(Case("T5 bucketed", model=T5_EQUAL, **run)))
    if options.device == "cpu":
        tell("cornac", cornac("equal", 12_101, 2_000 if options.quick else 8_000, options.threads))
    if not options.quick:
        tell("encdec as shipped", alone(Case("encdec", model={}, max_history_len=50, **run)))
        tell("T5 as TIGER's", alone(Case("T5 padded", model=T5_TIGER, **run)))
        if options.device == "cpu":
            tell("cornac as shipped", cornac("grid", 12_101, 4_000, options.threads))
        for length, longest in ((7.0, 50), (25.0, 50), (50.0, 50)):
            tell(
                f"encdec, {length:.0f} items a user", alone(Case("encdec", mean_length=length, max_history_len=longest, **run))
            )
        for num_items in (10_000, 100_000, 1_000_000):
            tell(f"encdec, {num_items:,} items", alone(Case("encdec", num_items=num_items, **run)))
        for dim in (64, 128, 256):
            tell(f"encdec, dim {dim}", alone(Case("encdec", model=EQUAL | {"dim": dim}, **run)))
    equal = {name: rows["encdec"] / rows[name] for name in ("T5 padded", "T5 bucketed", "cornac") if name in rows}
    ratios = {f"encdec / {name}": ratio for name, ratio in equal.items()}
    shipped = "encdec as shipped"
    ratios |= {
        f"{shipped} / {name}": rows[shipped] / rows[name] for name in ("T5 as TIGER's", "cornac as shipped") if name in rows
    }
    print(", ".join(f"{name} = {value:.2f}" for name, value in ratios.items()))


if __name__ == "__main__":
    main()
