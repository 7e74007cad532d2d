"""Numbers outside their ranges, and pairs of settings."""

from __future__ import annotations

from typing import Any

from error_cases import Case
from genrec.engine.components import component_errors
from genrec.engine.config import compose
from genrec.errors import ConfigError


def pair(**settings: Any) -> Any:
    raise component_errors({"_target_": "genrec.generators.encdec.EncDec", **settings}, "generator")[0]


def said(*overrides: str) -> Any:
    return compose(overrides)


CASES = [
    Case(
        "heads", ConfigError, "a divisor of generator.dim=32, got 5; choose one of 1, 2, 4", lambda _: pair(dim=32, num_heads=5)
    ),
    Case("experts", ConfigError, "generator.num_active: ", lambda _: said("generator=moe", "generator.num_active=99")),
    *(
        Case(line, ConfigError, value, lambda _, line=line: said(*line.split()))  # type: ignore[misc]
        for line, value in {
            "train.lr=nan": "train.lr: expected above 0, got nan; give a number",
            "train.lr=inf": "got inf; give a number",
            "train.epochs=10000000000000": "train.epochs: expected from 1 to 100,000, got 10000000000000; lower it",
            "generator.max_history_len=0": "generator.max_history_len: expected from 1 to 100,000, got 0; raise it",
            "generator.dim=0": "generator.dim: expected from 1 to 65,536, got 0; raise it",
            "generator.dim=7": "generator.num_heads: expected a divisor of generator.dim=7, got 4; choose one of 1, 7",
            "generator.dropout=1.0": "from 0 up to, not including, 1, got 1.0; lower it",
            "tokenizer.codebook_size=-1": "tokenizer.codebook_size: expected from 2 to 1,000,000, got -1; raise it",
            "tokenizer.codebook_size=1": "from 2 to 1,000,000, got 1; raise it",  # one code says nothing of an item
            "train.betas=[0.9,1.0]": "train.betas[1]: expected from 0 up to, not including, 1, got 1.0",
            "objective.codebook_share=1.5": "objective.codebook_share: expected from 0 to 1, got 1.5; lower it",
            "evaluate.ks=[0,10]": "evaluate.ks[0]: expected from 1 to 1,000,000, got 0; raise it",
            "diagnose.seed=-3": "diagnose.seed: expected from 0 to 4,294,967,295, got -3; raise it",
        }.items()
    ),
    *(
        Case(line, ConfigError, value, lambda _, line=line: said(line))  # type: ignore[misc]
        for line, value in {
            "lr=0.1": "did you mean train.lr?",
            "train.learning_rate=0.1": "did you mean train.lr?",
            "epochs=3": "did you mean train.epochs?",
            "k=20": "did you mean recommend.k?",
            "generator.hidden_size=64": "did you mean generator.dim?",
            "random_seed=3": "did you mean seed or ",
            "demo": "such as experiment=demo",
        }.items()
    ),
    Case("blanks", ConfigError, "write train.lr=0.1, without blanks", lambda _: said("train.lr=", "0.1")),
]
