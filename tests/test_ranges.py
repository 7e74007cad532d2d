"""Every number of every shipped component: none is silently senseless, none ends in a traceback, however odd it is."""

from __future__ import annotations

import copy
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from test_conf import OPTIONS, components_in, raw

from genrec.engine.components import component_class, component_errors, parameters
from genrec.engine.ranges import Range, range_of
from genrec.engine.registry import any_slot, slot_of
from genrec.engine.signatures import members_of
from genrec.errors import GenRecError
from genrec.types import RUNTIME

HUGE = 10**16
ODD = [0, -1, 0.5, 1, math.nan, math.inf, -math.inf, HUGE, 1e300]
# What may be below zero, and what may be as large as one likes: factors, which are judged by their effect; points in time.
BELOW_ZERO = {"key_offset", "min_rating", "prefix_sharpness", "targets", "test_from", "validation_from"}
UNBOUNDED = {
    *BELOW_ZERO,
    *(
        "lr",
        "free_lr",
        "lora_alpha",
        "weight_decay",
        "clip",
        "temperature",
        "contrast_temperature",
        "beta",
        "annealing",
        "noise",
    ),
    *("distillation_weight", "weight", "commitment", "smoothing", "stop_kl", "early_clip", "shift", "prior_count", "loyalty"),
    *("backward", "ridge", "shrinkage", "weights", "target_weights", "upload_bytes"),
}
PLAIN = (int, float)


def numbers_of(component: type) -> Iterator[tuple[str, Any]]:
    """The settings of a component that are numbers, or hold some."""
    for key, parameter in parameters(component).items():
        kinds = {member for whole in members_of(parameter.annotation) for member in (whole, *typing.get_args(whole))}
        if key != "num_items" and kinds & set(PLAIN):
            yield key, parameter.annotation


def shipped() -> dict[type, tuple[str, Mapping[str, Any]]]:
    """Every class that a yaml names: where it stands and one of its nodes, whatever it nests built as in the yaml."""
    found: dict[type, tuple[str, Mapping[str, Any]]] = {}
    for group, option, file in OPTIONS:
        for node in components_in(raw(file)):
            found.setdefault(component_class(node), (f"{group}={option}", _filled(node)))
    return found


def _filled(node: Any) -> Any:
    """A node of a yaml without interpolations, and with something for what the user has to give."""
    if isinstance(node, Mapping):
        plain = {key: _filled(value) for key, value in node.items() if key != "defaults"}
        return {key: value for key, value in plain.items() if not (isinstance(value, str) and value.startswith("${"))}
    return "given.parquet" if node == "???" else node


COMPONENTS = shipped()


def errors_of(component: type, node: Mapping[str, Any]) -> list[GenRecError]:
    """What is wrong with a node of a component, standing where its yaml has it."""
    slot = slot_of(COMPONENTS[component][0].partition("=")[0])
    return component_errors(node, "x", slot if slot and node["_target_"] in slot.targets else any_slot())


NUMBERS = [(component, key) for component in COMPONENTS for key, _ in numbers_of(component)]


def test_the_table_speaks_of_every_number() -> None:
    assert len(NUMBERS) > 250
    silent = [f"{component.__name__}.{key}" for component, key in NUMBERS if range_of(component.__name__, key) is None]
    assert silent == [], "give it a line in genrec/engine/ranges.py"


def test_every_number_of_a_yaml_is_inside() -> None:
    for component, (where, node) in COMPONENTS.items():
        assert [str(error) for error in errors_of(component, node)] == [], f"{where}: {component.__name__}"


def _with(node: Mapping[str, Any], key: str, annotation: Any, value: Any) -> dict[str, Any] | None:
    """The node with an odd value, in a list or mapping where the setting is one; None where it is not of its kind."""
    changed = copy.deepcopy(dict(node))
    kinds = {typing.get_origin(member) or member for member in members_of(annotation)}
    whole = not isinstance(value, float)
    inner = {part for member in members_of(annotation) for part in typing.get_args(member)}
    if (kinds & {int} and whole) or kinds & {float}:
        changed[key] = value
    elif float in inner or (int in inner and whole):
        mapping = any(isinstance(kind, type) and issubclass(kind, Mapping) for kind in kinds)
        pair = tuple(arguments for member in members_of(annotation) if len(arguments := typing.get_args(member)) == 2)
        changed[key] = {"text": value} if mapping else [value, 0.9] if pair and Ellipsis not in pair[0] else [value]
    else:
        return None
    return changed


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_odd_numbers(component: type) -> None:
    """Infinite, no number, below zero, huge: refused in one line with the key and the value; what is let through is meant."""
    _, node = COMPONENTS[component]
    for key, annotation in numbers_of(component):
        for value in ODD:
            changed = _with(node, key, annotation, value)
            if changed is None:
                continue
            errors = errors_of(component, changed)  # a traceback fails here
            for error in errors:
                assert "\n" not in str(error)
                assert len(str(error)) < 400, "no dump of settings"
            mine = [error for error in errors if error.where.startswith(f"x.{key}")]
            must = not math.isfinite(value) or (value < 0 and key not in BELOW_ZERO)
            must |= value in (HUGE, 1e300) and key not in UNBOUNDED
            if must:
                assert mine, f"{component.__name__}.{key}={value} is let through"
                shown = value if isinstance(value, int) else repr(value)
                assert any(str(shown) in str(error) for error in mine)


PAIRS: list[tuple[str, dict[str, Any], str]] = [
    *(
        (
            option,
            {"dim": 32, "num_heads": 5},
            "x.num_heads: expected a divisor of x.dim=32, got 5; choose one of 1, 2, 4, 8, 16, 32",
        )
        for option in ("decoder_only", "moe", "cobra", "human_priors", "hybrid_attention", "parallel", "masked_diffusion")
    ),
    ("sasrec", {"dim": 7}, "x.num_heads: expected a divisor of x.dim=7, got 2; choose one of 1, 7, or another x.dim"),
    ("hstu", {"dim": 30}, "x.num_heads: expected a divisor of x.dim=30, got 4"),
    ("latent_reasoning", {"num_heads": 3}, "x.num_heads: expected a divisor of x.dim=128, got 3"),
    ("encdec", {"num_heads": 12}, "x.num_heads: expected a divisor of x.dim=128, got 12"),
    ("multi_stream", {"num_heads": 6}, "x.num_heads: expected a divisor of x.dim=128, got 6"),
    ("moe", {"num_experts": 4, "num_active": 5}, "x.num_active: expected 1 to 4 experts, got 5"),
]


@pytest.mark.parametrize(("option", "changes", "told"), PAIRS, ids=str)
def test_settings_that_do_not_go_together(option: str, changes: dict[str, Any], told: str) -> None:
    file = next(file for group, name, file in OPTIONS if (group, name) == ("generator", option))
    (error,) = component_errors(_filled(raw(file)) | changes, "x")
    assert str(error).startswith(told)


def test_tiger_has_heads_of_their_own_width() -> None:
    file = next(file for group, name, file in OPTIONS if (group, name) == ("generator", "tiger"))
    assert component_errors(_filled(raw(file)) | {"num_heads": 5}, "x") == []


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        (Range(0, 1), [0, 1, 0.5], [-0.1, 1.1, math.nan, math.inf, "1", None]),
        (Range(0, 1, high_open=True), [0, 0.999], [1, 1.0, -1]),
        (Range(0, low_open=True), [1e-9, 1e300], [0, 0.0, -1, math.inf]),
        (Range(1, 10), [1, 10], [0, 11, math.nan]),
        (Range(), [-1e300, 0, 5], [math.nan, math.inf, -math.inf]),
    ],
)
def test_a_range(limits: Range, inside: list[Any], outside: list[Any]) -> None:
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)


def test_what_genrec_supplies_has_no_range() -> None:
    assert all(range_of("Any", key) is None for key in RUNTIME - {"max_history_len", "num_items"})
