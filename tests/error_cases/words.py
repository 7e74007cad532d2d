"""What can be wrong with a package that is asked in words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import small_shop

from error_cases import Case, Scene
from genrec.decoding.lib.guidance import guided
from genrec.encoders.collaborative import Collaborative
from genrec.engine.config import compose
from genrec.engine.early_checks import check_before
from genrec.engine.pipeline import needed_stages
from genrec.errors import ConfigError, DataError
from genrec.recommender.recommender import Recommender


def asked(encoder: Any = None, *, dim: int = 8, query: Any = "soap") -> Any:
    def ask(scene: Scene) -> None:
        catalogue = small_shop.shop_with_words(12)
        if encoder is not None:
            vars(catalogue.texts)["encoder"] = encoder
        model = replace(catalogue.model, schema=small_shop.SCHEMA.with_text(dim))
        Recommender(replace(catalogue, model=model)).recommend([[]], query=query)

    return ask


def planned(*words: str) -> Any:
    def check(scene: Scene) -> None:
        config = compose(["data=demo_events", *words])
        check_before(config, needed_stages(config.tree, "export"))

    return check


ENDLESS = SimpleNamespace(
    **dict.fromkeys(("fit", "encode", "present", "save", "restore")),
    encode_texts=lambda texts: np.full((len(texts), 8), np.inf),
)
CASES = [
    Case("texts for others", DataError, "query: expected texts for 1 histories, got 2", asked(query=["soap", None])),
    Case("vectors of another length", ConfigError, "query: expected texts as vectors of 3, got of 8", asked(dim=3)),
    Case(
        "an encoder without texts", ConfigError, "query: expected a package whose encoder reads texts", asked(Collaborative())
    ),
    Case("a vector without end", ConfigError, "got no finite numbers", asked(ENDLESS)),
    Case("guidance of no generator", ConfigError, "got SimpleNamespace", lambda scene: guided(SimpleNamespace(), 1.0)),
    Case(
        "graphs of a model with columns",
        ConfigError,
        "onnx beside events.text",
        planned("events.text=query", "export.runtime=onnx"),
    ),
    Case(
        "words without an encoder of texts",
        ConfigError,
        "one that reads texts, for export.words",
        planned("generator=sasrec", "encoder=collaborative", "export.words=true"),
    ),
]
