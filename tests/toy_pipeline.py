"""A pipeline of toy components in a package of its own, so that the machinery is tested without any model.

The package is written to disk and used as a plug-in, as a user's would be; only the stages are handed to genrec directly.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genrec.engine.components import instantiate
from genrec.engine.stage import Stage, StageContext

PARTS = """
from __future__ import annotations
from pathlib import Path
from typing import ClassVar, Literal
from genrec.errors import ConfigError


class Data:
    def __init__(self, *, file: Path, copies: int = 1) -> None:
        self.text = file.read_text() * copies if file.exists() else ""
    def load(self): ...


class Encoder:
    def __init__(self, *, dim: int = 4, scale: float = 1.0, device: str = "cpu") -> None:
        self.dim = dim
    fit = encode = present = save = restore = lambda self, *given: None


class Tokenizer:
    fit = encode = save = restore = lambda self, *given: None
    needs: ClassVar = frozenset({"embeddings"})

    traits = None
    def __init__(self, *, num_levels: int, mode: Literal["fast", "exact"] = "fast", seed: int = 0) -> None:
        if num_levels < 1:
            raise ConfigError("num_levels", expected="at least 1", got=num_levels, fix="raise it")
        self.num_levels = num_levels


class RandomTokenizer(Tokenizer):
    needs: ClassVar = frozenset()


class Part:
    def __init__(self, *, weight: float = 1.0, name: str | None = None, files: list[Path] = []) -> None:
        if weight < 0:
            raise ValueError("weight below zero")


class Settings:
    def __init__(
        self, *, rate: float = 0.1, epochs: int = 2, clip: float | None = None, betas: tuple[float, float] = (0.9, 0.98),
        init: Path | str = "hub", verbose: bool = False, seed: int = 0, parts: dict[str, Part] | None = None,
        more: list[Part] = [],
    ) -> None:
        self.betas, self.init, self.rate, self.parts = betas, init, rate, parts


class Generator:
    needs: ClassVar = frozenset({"sids"})

    def __init__(self, *, sids: object, dim: int = 8) -> None: ...
    max_history_len = 5
    def prefill(self, batch): ...
    def step(self, state, codes): ...
    def reorder(self, state, index): ...
    def target_logits(self, batch): ...


class Scorer:
    needs: ClassVar = frozenset()

    def __init__(self, *, num_items: int, dim: int = 8) -> None: ...
    max_history_len = 5
    def item_table(self): ...
    def score(self, batch): ...
    def target_logits(self, batch): ...


class Beam:
    kind: ClassVar = "autoregressive"

    def __init__(self, *, beams: int = 5) -> None:
        self.beams = beams

    def check(self, k: int) -> None:
        if self.beams < k:
            raise ConfigError("decoding.beams", expected=f"at least {k}", got=self.beams, fix="raise it")

    def decode(self, generator, trie, request): ...


class Ranking:
    kind: ClassVar = "item_scorer"

    def check(self, k: int) -> None: ...
    def decode(self, generator, trie, request): ...


class Recommend:
    def __init__(self, *, k: int = 3) -> None:
        self.k = k
"""

CONFIG = """
defaults:
  - _self_
  - data: shop
  - encoder: plain
  - tokenizer: fitted
  - train: default
  - decoding: beam
  - recommend: default
  - generator: seq
  - experiment: null
name: null
seed: 0
plugins: [toy_shop]
device: auto
precision: auto
threads: null
recommendations: null
extends: null
paths: {runs: RUNS}
"""

CONF = {
    "data/shop": "file: FILE\ncopies: 1\n:Data",
    "encoder/plain": "dim: 4\n:Encoder",
    "tokenizer/fitted": "num_levels: 3\nseed: ${seed}\n:Tokenizer",
    "tokenizer/random": "num_levels: 3\n:RandomTokenizer",
    "train/default": "rate: 0.1\nseed: ${seed}\n:Settings",
    "train/quick": "epochs: 1\n:Settings",
    "decoding/beam": "beams: 5\n:Beam",
    "decoding/ranking": ":Ranking",
    "recommend/default": "k: 3\n:Recommend",
    "generator/seq": "dim: 8\n:Generator",
    "generator/scorer": (
        "defaults:\n  - override /decoding@_global_.decoding: ranking\n  - override /train@_global_.train: quick\n:Scorer"
    ),
}


def write(root: Path) -> Path:
    """Writes the package and its configuration; returns the configuration's folder."""
    package, conf = root / "toy_shop", root / "conf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "parts.py").write_text(PARTS, encoding="utf-8")
    (root / "shop.txt").write_text("apple pear", encoding="utf-8")
    for name, text in CONF.items():
        lines, _, target = text.rpartition(":")
        file = conf / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"# A toy.\n{lines.replace('FILE', quoted(root / 'shop.txt'))}_target_: toy_shop.parts.{target}\n", encoding="utf-8"
        )
    (conf / "experiment").mkdir()
    (conf / "experiment" / "fruit.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /generator: scorer\ntrain: {rate: 0.7}\n", encoding="utf-8"
    )
    (conf / "config.yaml").write_text(CONFIG.replace("RUNS", quoted(root / "runs")), encoding="utf-8")
    return conf


def quoted(path: Path) -> str:
    """A path in a yaml, whatever its folders are called."""
    return "'" + str(path).replace("'", "''").replace("${", "\\${") + "'"


@contextmanager
def importable(root: Path) -> Iterator[None]:
    """Puts the package on the path, and takes it away with all its traces."""
    from genrec.engine import components

    allowed = set(components._allowed)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        components._allowed.clear()
        components._allowed.update(allowed)
        for name in [name for name in sys.modules if name.split(".")[0] == "toy_shop"]:
            del sys.modules[name]


class Built(list[str]):
    """The stages that really ran, in order; ``fail_in`` raises there."""

    fail_in: str | None = None


def stages(built: Built) -> dict[str, Stage]:
    """prepare, embed, tokenize, train: each writes one text file made of its inputs and settings."""

    def needs_vectors(config: Any) -> tuple[str, ...]:
        from genrec.engine.config import component_class

        return ("dataset", "encoder") if "embeddings" in component_class(config["tokenizer"]).needs else ("dataset",)  # type: ignore[attr-defined]

    def needs_ids(config: Any) -> tuple[str, ...]:
        from genrec.engine.config import component_class

        return ("dataset", *sorted({"sids": "tokenizer"}[need] for need in component_class(config["generator"]).needs))  # type: ignore[attr-defined]

    def build_of(name: str, reads: tuple[str, ...]) -> Any:
        def build(context: StageContext) -> dict[str, Any]:
            built.append(name)
            if built.fail_in == name:
                (context.work / "checkpoint").write_text("half way", encoding="utf-8")
                raise RuntimeError(f"{name} fell over")
            assert set(context.config) == set(reads)
            text = instantiate(context.config["data"]).text if name == "prepare" else name
            parts = [text, *((made.path / "out.txt").read_text(encoding="utf-8") for made in context.inputs.values())]
            (context.folder / "out.txt").write_text(" + ".join(parts), encoding="utf-8")
            (context.work / "checkpoint").write_text("half way", encoding="utf-8")
            (context.folder / "late.txt").write_text(name, encoding="utf-8")
            context.log(f"wrote {len(parts)} parts")
            return {"parts": len(parts)}

        return build

    table: list[tuple[str, str, tuple[str, ...], Any]] = [
        ("prepare", "dataset", ("data",), lambda config: ()),
        ("embed", "encoder", ("encoder",), lambda config: ("dataset",)),
        ("tokenize", "tokenizer", ("tokenizer",), needs_vectors),
        ("train", "generator", ("generator", "train", "decoding", "recommend"), needs_ids),
    ]
    return {
        name: Stage(name=name, kind=kind, version=1, reads=reads, inputs=inputs, build=build_of(name, reads))
        for name, kind, reads, inputs in table
    }


def install(monkeypatch: pytest.MonkeyPatch, root: Path) -> Built:
    """Makes genrec run the toy stages on the toy configuration."""
    conf, built = write(root), Built()
    table = stages(built)
    monkeypatch.setattr("genrec.engine.pipeline.STAGES", tuple(table))
    monkeypatch.setattr("genrec.engine.pipeline.load_stage", table.__getitem__)
    monkeypatch.setattr("genrec.engine.config.conf_folder", lambda: conf)
    return built
