"""The way in which contract suites make a plug-in, again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest


@dataclass(frozen=True)
class Maker:
    """Makes a plug-in, not yet fitted.

    Args:
        name: stands for the class and its settings.
        build: returns a new one.
    """

    name: str
    build: Callable[[], Any]

    def __call__(self) -> Any:
        return self.build()


class Contract:
    """The tests of one kind of plug-in. A subclass whose name begins with ``Test`` runs them.

    A suite over many plug-ins overrides the fixture ``make``.
    """

    component: ClassVar[type]  # the plug-in's class
    settings: ClassVar[Mapping[str, Any]] = {}  # arguments of its constructor

    @pytest.fixture
    def make(self) -> Maker:
        """Makes the plug-in of this suite."""
        component, settings = self.component, dict(self.settings)
        return Maker(f"{component.__module__}.{component.__qualname__} {settings}", lambda: component(**settings))
