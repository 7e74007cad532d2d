"""Messages about components given as objects."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl

import genrec
from error_cases import Case, Scene
from genrec.baselines import Transitions
from genrec.core.sids import SIDTable
from genrec.data import MovieLens
from genrec.decoding import Fusion
from genrec.encoders import Concat, TfidfSVD
from genrec.errors import ConfigError
from genrec.generators import EncDec
from genrec.tokenizers import RQKMeans

SIDS = SIDTable(np.array([[0, 0], [0, 1]]), (2, 2))


class Mine(RQKMeans):
    """A tokenizer of a test, which is no package."""


class Forgetful:
    """A component that keeps no setting."""

    needs = traits = sizes = frozenset()
    fit = encode = save = restore = lambda self, *given: None

    def __init__(self, *, num_levels: int = 3, doubled: int = 1) -> None:
        self.doubled = doubled * 2


class Doubling(Forgetful):
    """A component that changes what it keeps."""

    def __init__(self, *, doubled: int = 1) -> None:
        super().__init__(doubled=doubled)


def local_class() -> type:
    class Inside(RQKMeans):
        pass

    return Inside


def given(**settings: Any) -> Callable[[Scene], Any]:
    return lambda scene: genrec.run(quiet=True, **settings)


def in_a_package(component: type, **named: Any) -> Callable[[Scene], Any]:
    """Gives an object of a class as if a package of the user's own had it."""

    def trigger(scene: Scene) -> Any:
        package = scene.path / "corner_shop"
        package.mkdir()
        (package / "__init__.py").touch()
        scene.monkeypatch.syspath_prepend(scene.path)
        module = ModuleType("corner_shop.parts")
        vars(module)[component.__name__] = component
        scene.monkeypatch.setitem(sys.modules, "corner_shop.parts", module)
        scene.monkeypatch.setattr(component, "__module__", "corner_shop.parts")
        return genrec.run(quiet=True, tokenizer=component(**named))

    return trigger


CASES = [
    Case("another group's object", ConfigError, "TfidfSVD", given(tokenizer=TfidfSVD())),
    Case("a helper of genrec", ConfigError, "genrec.core.sids.SIDTable", given(tokenizer=SIDS)),
    Case("a stranger's object", ConfigError, "polars.series.series.Series without", given(tokenizer=pl.Series)),
    Case(
        "an object that needs a run", ConfigError, "an object of EncDec", given(generator=EncDec(sids=SIDS, dim=8, num_heads=2))
    ),
    Case("a class of a script", ConfigError, "error_cases.objects.Mine", given(tokenizer=Mine())),
    Case("a class inside a function", ConfigError, "local_class.<locals>.Inside", given(tokenizer=local_class())),
    Case("a function", ConfigError, "the function <lambda>", given(tokenizer=lambda: RQKMeans())),
    Case("a partial of a function", ConfigError, "functools.partial", given(tokenizer=functools.partial(local_class))),
    Case("a partial for no group", ConfigError, "num_levels=4", given(tokeniser=functools.partial(RQKMeans, num_levels=4))),
    Case("a setting without its name", ConfigError, "4", given(tokenizer=functools.partial(RQKMeans, 4))),
    Case("a setting that there is not", ConfigError, "4", lambda scene: genrec.configured(RQKMeans, num_level=4)),
    Case("what a run supplies", ConfigError, "SIDTable", lambda scene: genrec.configured(EncDec, sids=SIDS)),
    Case("configured without a class", ConfigError, "'rqvae'", lambda scene: genrec.configured("rqvae")),  # type: ignore[arg-type]
    Case("a setting that no yaml holds", ConfigError, "{1}", lambda scene: genrec.configured(RQKMeans, num_levels={1})),
    Case("what is not chosen by a class alone", ConfigError, "nothing", given(data=MovieLens)),
    Case("an object that forgets", ConfigError, "Forgetful", in_a_package(Forgetful)),
    Case("an object that changes a setting", ConfigError, "doubled=4", in_a_package(Doubling, doubled=2)),
    Case(
        "an object that wraps a setting",
        ConfigError,
        "Fusion",
        given(decoding=Fusion(scorers={"transitions": Transitions()}, members=("transitions",))),
    ),
    Case(
        "items without a table of events",
        ConfigError,
        "data='demo'",
        given(data="demo", items=pl.DataFrame({"item_id": ["a"]})),
    ),
    Case(
        "an object in an object",
        ConfigError,
        "error_cases.objects.Mine",
        given(encoder=genrec.configured(Concat, sources={"a": Mine()})),
    ),
]
