"""Keys that somebody mistyped on the command line, found without importing the components: an answer at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genrec.engine.aliases import current, current_parameter
from genrec.engine.components import TARGET, UnknownKeyError, is_component
from genrec.engine.misplaced_keys import is_far, misplaced_key
from genrec.engine.signatures import names_in_source
from genrec.errors import GenRecError


def mistyped_keys(
    tree: Mapping[str, Any], typed_keys: Sequence[str], groups: Sequence[str], top_level: Iterable[str]
) -> list[GenRecError]:
    """Returns the errors of unknown keys, where nothing else that was typed can be wrong; the errors of a full check, then.

    Args:
        tree: the whole configuration.
        typed_keys: keys that the user set in groups, or anywhere but at the top level.
        groups: of the configuration.
        top_level: its settings that are in no group.

    Returns:
        One error for each key, in the order of the tree. Nothing when any key may be known, because its value, too, has to be
        held against the component, and nothing when the sources do not tell.
    """
    errors: list[tuple[str, GenRecError]] = []
    for key in typed_keys:
        root, _, rest = key.partition(".")
        if root not in groups:
            if rest:
                return []
            errors.append((root, misplaced_key(key, tree, groups) or UnknownKeyError(key, [*top_level, *groups])))
            continue
        parent, _, name = key.rpartition(".")
        target = _target_at(tree, parent)
        names = None if target is None else names_in_source(target)
        if target is None or names is None or name == TARGET or current_parameter(target, name) in names:
            return []
        error = UnknownKeyError(key, names)
        errors.append((root, (misplaced_key(key, tree, groups) or error) if is_far(error) else error))
    order = list(tree)
    return [error for _, error in sorted(errors, key=lambda pair: order.index(pair[0]))]


def _target_at(tree: Mapping[str, Any], place: str) -> str | None:
    """Returns where the class of the component at a place stands now; None where there is no component."""
    node: Any = tree
    for part in place.split(".") if place else ():
        node = node.get(part) if isinstance(node, Mapping) else None
    return current(str(node[TARGET])) if is_component(node) else None
