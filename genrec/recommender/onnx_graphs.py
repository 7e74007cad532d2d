"""A generator as two ONNX graphs, for programs without PyTorch; ``examples/onnx_decoding.py`` searches with them.

    history.onnx   history [batch, time], lengths [batch] -> what the search keeps of each user
    codes.onnx     codes [batch, beams, levels - 1], and that -> level_0, level_1, ...: logits [batch, beams, size]

Logits of level ``l`` look at the codes before it alone, so codes that are not written yet may be anything. The codes are read
again at every level: a search over L levels takes L times the steps of ours, and needs no cache that beams must reorder.
Histories are rows of ``items.parquet``, oldest first, padded to at least one column by anything.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.nn.attention import CodeCache
from genrec.nn.code_decoder import DecoderState
from genrec.protocols import AutoregressiveGenerator, Generator

HISTORY_GRAPH, CODES_GRAPH = "history.onnx", "codes.onnx"


class _History(nn.Module):
    def __init__(self, generator: AutoregressiveGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, history: Int64[Tensor, "batch time"], lengths: Int64[Tensor, " batch"]) -> tuple[Tensor, ...]:
        state: DecoderState = self.generator.prefill(Batch(history, lengths))
        return (state.state, state.bias, *(table for pair in state.history for table in pair))


class _Codes(nn.Module):
    def __init__(self, generator: AutoregressiveGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self, codes: Int64[Tensor, "batch beams written"], state: Tensor, bias: Tensor, *tables: Tensor
    ) -> tuple[Float[Tensor, "batch beams _"], ...]:
        history = tuple(zip(tables[::2], tables[1::2], strict=True))
        decoder = DecoderState(state, history, bias, tuple(CodeCache() for _ in history))
        first, decoder = self.generator.step(decoder, None)
        levels = [first.expand(-1, codes.shape[1], -1)]
        for written in codes.unbind(-1):
            logits, decoder = self.generator.step(decoder, written)
            levels.append(logits)
        return tuple(levels)


@torch.no_grad()
def write_onnx(generator: Generator, trie: PrefixTrie | None, folder: Path) -> None:
    """Writes both graphs and the trie.

    Args:
        generator: in eval mode, on the CPU.
        trie: of the items to decode.
        folder: gets the files.

    Raises:
        ConfigError: for a generator that keeps something else than a ``DecoderState`` or that torch cannot trace, and where
            torch's exporter is not installed.
    """
    example = (torch.zeros(2, 3, dtype=torch.long), torch.tensor([3, 1]))
    state = generator.prefill(Batch(*example)) if isinstance(generator, AutoregressiveGenerator) else None
    if not isinstance(generator, AutoregressiveGenerator) or trie is None or not isinstance(state, DecoderState):
        expected, fix = "a generator whose state is a DecoderState, such as encdec", "leave export.runtime out"
        raise ConfigError("export.runtime", expected=expected, got=type(generator).__name__, fix=fix)
    try:
        import onnxscript  # noqa: F401  which torch's exporter is written in
    except ModuleNotFoundError as error:
        fix = 'install it: pip install "genrec[onnx]"'
        raise ConfigError("export.runtime", expected="the package onnxscript", got=f"no {error.name}", fix=fix) from error
    history, codes = _History(generator).eval(), _Codes(generator).eval()
    tables = [f"{kind}_{block}" for block in range(len(state.history)) for kind in ("keys", "values")]
    levels = [f"level_{level}" for level in range(trie.num_levels)]
    written = torch.zeros(2, 3, trie.num_levels - 1, dtype=torch.long)
    user, table = {0: "batch"}, {0: "batch", 2: "states"}
    folder.mkdir()
    _write(
        history,
        example,
        folder / HISTORY_GRAPH,
        input_names=["history", "lengths"],
        output_names=["state", "bias", *tables],
        dynamic_shapes=({0: "batch", 1: "time"}, user),
    )
    _write(
        codes,
        (written, *history(*example)),
        folder / CODES_GRAPH,
        input_names=["codes", "state", "bias", *tables],
        output_names=levels,
        dynamic_shapes=({0: "batch", 1: "beams"}, user, {0: "batch", 3: "states"}, (table,) * len(tables)),
    )
    trie.save(folder)


def _write(module: nn.Module, example: tuple[Tensor, ...], file: Path, **named: Any) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that it would not use
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own code
        try:
            torch.onnx.export(module, example, file, dynamo=True, verbose=False, external_data=False, **named)
        except torch.onnx.OnnxExporterError as error:
            name, fix = type(module.generator).__name__, "leave export.runtime out"
            raise ConfigError("export.runtime", expected="a generator that torch can trace", got=name, fix=fix) from error
