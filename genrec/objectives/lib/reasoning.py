"""What objectives of reasoning generators ask of them."""

from __future__ import annotations

from genrec.errors import ConfigError
from genrec.protocols import Generator, ReasoningScorer


def check_readout(generator: Generator, readout: str, *, expected: str, objective: str) -> None:
    """Raises ConfigError when the generator's thoughts do not answer in the way that an objective trains.

    Args:
        generator: to be trained.
        readout: the way, ``mean`` or ``last``.
        expected: the same in words.
        objective: the option's name.
    """
    chosen = generator.readout if isinstance(generator, ReasoningScorer) else type(generator).__name__
    if chosen != readout:
        raise ConfigError(
            "objective",
            expected=expected,
            got=f"{objective} with {chosen}",
            fix=f"use generator=latent_reasoning generator.readout={readout}",
        )
