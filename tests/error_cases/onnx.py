"""What cannot become ONNX graphs, and why."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
from small_world import sids_of

from error_cases import Case, Scene
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.generators.encdec import EncDec
from genrec.recommender.onnx_graphs import write_onnx


def written(scene: Scene) -> None:
    sids = sids_of(20)
    write_onnx(EncDec(sids=sids, dim=8, num_heads=2).eval(), PrefixTrie.build(sids), scene.path / "onnx")


def without_the_package(scene: Scene) -> None:
    scene.monkeypatch.setitem(sys.modules, "onnxscript", None)
    written(scene)


def untraceable(scene: Scene) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise torch.onnx.OnnxExporterError

    scene.monkeypatch.setitem(sys.modules, "onnxscript", ModuleType("onnxscript"))
    scene.monkeypatch.setattr(torch.onnx, "export", failing)
    written(scene)


CASES = [
    Case("no codes", ConfigError, "Identity", lambda scene: write_onnx(torch.nn.Identity(), None, scene.path / "onnx")),
    Case("no exporter", ConfigError, "no onnxscript", without_the_package),
    Case("a generator that torch cannot trace", ConfigError, "EncDec", untraceable),
]
