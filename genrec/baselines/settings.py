"""Settings of baselines that are left open (null), to be chosen on validation (see ``genrec.baselines.search``).

A class that has such settings names the values that are tried, the first of which stands until others were: ``grid``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class OpenSettings:
    """A baseline some of whose settings may be null: chosen on validation, each from the ``grid`` of its class."""

    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    open_settings: tuple[str, ...] = ()

    def settle(self, **settings: Any) -> None:
        """Sets each setting as an attribute; one that is null gets the first value of the grid, and stays open."""
        self.open_settings = (*self.open_settings, *(name for name, value in settings.items() if value is None))
        for name, value in settings.items():
            setattr(self, name, self.grid[name][0] if value is None else value)

    def adopt(self, settings: Mapping[str, Any]) -> None:
        """Sets what was chosen elsewhere and read back, checked as the constructor checks.

        Raises:
            ConfigError: for a value that the constructor does not accept.
        """
        known = {name: settings[name] for name in self.grid if name in settings}
        type(self)(**known)
        for name, value in known.items():
            setattr(self, name, value)

    @property
    def settings(self) -> dict[str, Any]:
        """What stands for each setting that has a grid."""
        return {name: getattr(self, name) for name in self.grid}
