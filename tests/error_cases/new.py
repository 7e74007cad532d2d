"""Messages about plug-ins: the names of new ones, and what is missing in those that were chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from error_cases import Case, Scene
from genrec.cli import _dispatch
from genrec.engine.config import compose
from genrec.engine.pipeline import check_decoding
from genrec.errors import ConfigError

CLASSES = """
from typing import ClassVar


class Half:
    label: ClassVar[str] = "Half"


class Unlabelled:
    def from_hits(self, hits, k):
        return 0 * hits.num_targets


class Kindless:
    def check(self, k):
        pass

    def decode(self, generator, trie, request):
        raise NotImplementedError


class Lengthless:
    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self.items = []

    def target_logits(self, batch):
        raise NotImplementedError
"""


def new(kind: str, name: str) -> Callable[[Scene], Any]:
    return lambda scene: _dispatch("new", [kind, name])


def twice(scene: Scene) -> Any:
    _dispatch("new", ["metric", "half_pkg.mine"])
    return _dispatch("new", ["metric", "half_pkg.mine"])


def with_classes(*overrides: str, check: Callable[[Any], Any] = lambda tree: None) -> Callable[[Scene], Any]:
    """Composes with a package whose classes lack something."""

    def trigger(scene: Scene) -> Any:
        (scene.path / "lacking").mkdir()
        (scene.path / "lacking" / "__init__.py").write_text("", encoding="utf-8")
        for group, name in (("decoding", "Kindless"), ("generator", "Lengthless")):
            (folder := scene.path / "lacking" / "conf" / group).mkdir(parents=True)
            text = f"# Lacking.\n_target_: lacking.parts.{name}\n"
            (folder / f"{name.lower()}.yaml").write_text(text, encoding="utf-8")
        (scene.path / "lacking" / "parts.py").write_text(CLASSES, encoding="utf-8")
        scene.monkeypatch.syspath_prepend(str(scene.path))
        for name in ("lacking", "lacking.parts"):
            scene.monkeypatch.delitem(__import__("sys").modules, name, raising=False)
        return check(compose(["plugins=[lacking]", *overrides]).tree)

    return trigger


CASES = [
    Case("no such kind", ConfigError, "got tokeniser", new("tokeniser", "my_pkg.mine")),
    Case("no package", ConfigError, "got mine", new("metric", "mine")),
    Case("no identifier", ConfigError, "my-pkg.mine", new("metric", "my-pkg.mine")),
    Case("a keyword", ConfigError, "my_pkg.class", new("metric", "my_pkg.class")),
    Case("upper case", ConfigError, "got Mine", new("metric", "my_pkg.Mine")),
    Case("a shipped option", ConfigError, "got rqvae", new("tokenizer", "my_pkg.rqvae")),
    Case("somebody else's package", ConfigError, "numpy, which is installed", new("metric", "numpy.mine")),
    Case("written already", ConfigError, "mine.py", twice),
    Case("no such metric", ConfigError, "got ndgc", lambda scene: compose(["evaluate.metrics=[recall,ndgc]"])),
    Case("a metric as a choice", ConfigError, "got mrr", lambda scene: compose(["metric=mrr"])),
    Case("without the needed metrics", ConfigError, "['mrr']", lambda scene: compose(["evaluate.metrics=[mrr]"])),
    Case(
        "a metric without a method",
        ConfigError,
        "lacking.parts.Half without from_hits",
        with_classes("evaluate.metrics={recall:{_target_:lacking.parts.Half}}"),
    ),
    Case(
        "a metric without a label",
        ConfigError,
        "lacking.parts.Unlabelled without label",
        with_classes("evaluate.metrics={recall:{_target_:lacking.parts.Unlabelled}}"),
    ),
    Case(
        "a strategy without a kind",
        ConfigError,
        "Kindless with kind None",
        with_classes("decoding=kindless", check=check_decoding),
    ),
    Case(
        "a generator whose constructor leaves something out",
        ConfigError,
        "lacking.parts.Lengthless without max_history_len",
        with_classes("generator=lengthless"),
    ),
]
