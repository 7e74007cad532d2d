"""The check that the numbers of every tokenizer share."""

from __future__ import annotations

from genrec.errors import ConfigError


def at_least(least: int, **settings: int) -> None:
    """Raises ``ConfigError`` for the first of the settings that is smaller than ``least``."""
    for name, value in settings.items():
        if value < least:
            raise ConfigError(f"tokenizer.{name}", expected=f"at least {least}", got=value, fix="raise it")
