"""Keys that no component has: found without importing components, and explained where another key is meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genrec.engine.aliases import current, current_parameter
from genrec.engine.components import TARGET, UnknownKeyError, component_class, is_component, parameters
from genrec.engine.signatures import names_in_source
from genrec.errors import ConfigError, GenRecError

# What other libraries call a setting of ours.
SYNONYMS = {
    "learning_rate": "lr",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "n_epochs": "epochs",
    "hidden_size": "dim",
    "hidden_dim": "dim",
    "d_model": "dim",
    "embedding_dim": "dim",
    "embedding_size": "dim",
    "heads": "num_heads",
    "n_heads": "num_heads",
    "n_layers": "num_layers",
    "layers": "num_layers",
    "dropout_prob": "dropout",
    "dropout_rate": "dropout",
    "beam_size": "num_beams",
    "beams": "num_beams",
    "topk": "k",
    "top_k": "k",
    "max_seq_length": "max_history_len",
    "max_seq_len": "max_history_len",
    "max_len": "max_history_len",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "random_seed": "seed",
    "gpu": "device",
    "num_codes": "codebook_size",
    "n_levels": "num_levels",
}

ROOT = ("device", "name", "precision", "seed", "threads")


def is_far(error: GenRecError) -> bool:
    """Whether an unknown key resembles no key of its own component, so that another component may be meant."""
    return isinstance(error, UnknownKeyError) and not error.fix.startswith("did you mean")


def misplaced_key(where: str, tree: Mapping[str, Any], groups: Sequence[str]) -> ConfigError | None:
    """Returns the error of a key that belongs to another component or has another name; None if there is no such key.

    Args:
        where: the unknown key as it was given.
        tree: the whole configuration.
        groups: its groups, in the order in which they are looked through.
    """
    group, key = where.partition(".")[0], where.rpartition(".")[2]
    meant = SYNONYMS.get(key, key)
    if "." in where and meant == key:  # an unknown key of a group: another group's would be a guess too far
        return None
    rooms = [group] if "." in where else ["", *groups]
    places = [f"{room}.{meant}".lstrip(".") for room in rooms if _takes(tree, room, meant)]
    if not places:
        return None
    return ConfigError(where, expected="a known key", got=repr(key), fix=f"did you mean {' or '.join(places[:3])}?")


def _takes(tree: Mapping[str, Any], group: str, key: str) -> bool:
    if not group:
        return key in ROOT
    node = tree.get(group)
    if not isinstance(node, Mapping) or not is_component(node):
        return False
    names = names_in_source(current(str(node[TARGET])))  # importing a class takes a second where torch comes with it
    return key in (parameters(component_class(node, group)) if names is None else names)


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


def _target_at(tree: Mapping[str, Any], key_path: str) -> str | None:
    """Returns the current path of the class of the component at a key; None where there is no component."""
    node: Any = tree
    for part in key_path.split(".") if key_path else ():
        node = node.get(part) if isinstance(node, Mapping) else None
    return current(str(node[TARGET])) if is_component(node) else None
