"""What a class must have to stand in a place: the members of the place's protocol in ``genrec.protocols``, written once there.

Protocols are loaded by name, when a class that genrec does not ship is chosen: they bring torch, and the shipped classes are
held against them by mypy and the contract suites.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from typing import Any


def missing_members(component: Any, protocols: tuple[str, ...]) -> list[str]:
    """What a class, or one of its objects, lacks of a protocol; of several alternatives, of the one it comes nearest to.

    Args:
        component: a class, of which methods and class attributes are asked for, or an object, of which what its constructor
            sets is, too. Properties are not: some are there after ``fit`` only.
        protocols: names in ``genrec.protocols``; one of them has to fit.
    """
    return min((_missing(component, _protocol(name)) for name in protocols), key=len, default=[])


def members_in_words(protocols: tuple[str, ...]) -> str:
    """``fit, encode, save``: the members that a class must have, the alternatives one after the other."""
    return " or ".join(", ".join(_members(_protocol(name), of_objects=False)) for name in protocols)


def fits_class(component: type, protocol: type) -> bool:
    """Whether objects of a class have a protocol's methods and class attributes; what constructors set is not asked for.

    ``isinstance`` is the test for objects, but a class is often all there is: nothing is built before a run starts.
    """
    return not _missing(component, protocol)


def _missing(component: Any, protocol: type) -> list[str]:
    names = _members(protocol, of_objects=not isinstance(component, type))
    return [name for name in names if not hasattr(component, name)]


def _protocol(name: str) -> type:
    found: type = getattr(importlib.import_module("genrec.protocols"), name)
    return found


def _members(protocol: type, *, of_objects: bool) -> list[str]:
    """Class attributes and methods, those of the protocols that it extends first; with what constructors set if asked for."""
    found: dict[str, bool] = {}  # name -> whether the class has it
    for part in reversed(protocol.__mro__):
        if not getattr(part, "_is_protocol", False) or part is typing.Protocol:
            continue
        found |= {name: "ClassVar" in str(kind) for name, kind in inspect.get_annotations(part).items()}
        found |= {name: True for name, value in vars(part).items() if inspect.isfunction(value) and not name.startswith("_")}
    return [name for name, has_class in found.items() if of_objects or has_class]
