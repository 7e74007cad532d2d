"""What a call changed of a catalogue, item by item."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Ids by what became of them, each in the order given.

    Args:
        added: new to the catalogue.
        updated: known, and some of their content is another now.
        unchanged: known, and nothing about them changed.
        removed: not recommended from now on.
        restored: recommended again.
        unknown: the catalogue does not have them; nothing was done.
        still_removed: added or updated, and not recommended: they were taken down, and only a restore puts them back.
    """

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    still_removed: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """``num_added``, ``num_updated``, ... in the order of the fields."""
        return {f"num_{field.name}": len(getattr(self, field.name)) for field in fields(self) if field.name != "unknown"}

    def and_then(self, later: Changes) -> Changes:
        """Both, one after the other."""
        return replace(self, **{field.name: getattr(self, field.name) + getattr(later, field.name) for field in fields(self)})

    @property
    def anything(self) -> bool:
        """Whether the catalogue is another one now."""
        return bool(self.added or self.updated or self.removed or self.restored)
