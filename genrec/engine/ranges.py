"""The allowed range of each number in the configuration, by its name.

``num_`` counts, ``_rate`` and ``_share`` are in [0, 1], a ``_weight`` is 0 or more.

One table holds for all components of genrec, and a test checks that it covers every number. A configuration is checked against
it before anything runs. Relations between settings of one component are checked by its class in ``check_settings(**settings)``.
Upper limits exclude values that can only be mistakes, or that the machine could not compute.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genrec.errors import ConfigError, GenRecError

CHECK = "check_settings"  # class method of a component: raises ConfigError, its place being the key alone


@dataclass(frozen=True)
class Range:
    """The finite numbers from ``low`` to ``high``, the ends included unless they are open.

    >>> Range(0, 1, high_open=True).words, Range(1).words, Range(0, low_open=True).words
    ('from 0 up to, not including, 1', 'at least 1', 'above 0')
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    @property
    def words(self) -> str:
        """The expectation, for a message."""
        low = "" if self.low == -math.inf else f"above {self.low:,g}" if self.low_open else f"at least {self.low:,g}"
        if self.high == math.inf:
            return low or "a finite number"
        if self.high_open:
            return f"from {self.low:,g} up to, not including, {self.high:,g}"
        high = f"{self.high:,}" if isinstance(self.high, int) else f"{self.high:,g}"
        return f"{low} and at most {high}" if self.low_open else f"from {self.low:,g} to {high}"

    def remedy(self, value: float) -> str:
        """Returns what to do about a value outside."""
        if not math.isfinite(value):
            return "give a number"
        return "raise it" if value < self.low or (self.low_open and value == self.low) else "lower it"


def _count(most: int = 10**9, least: int = 1) -> Range:
    return Range(least, most)


ANY = Range()
RATE, BELOW_ONE = Range(0, 1), Range(0, 1, high_open=True)
ABOVE_ZERO, NOT_NEGATIVE = Range(0, low_open=True), Range(0)
WIDTH, LAYERS, SEED = _count(65_536), _count(1_000), Range(0, 2**32 - 1)

ENDINGS = {
    "_dropout": BELOW_ONE,
    "_rate": RATE,
    "_reach": RATE,
    "_share": RATE,
    "_temperature": ABOVE_ZERO,
    "_weight": Range(0, 10**9),
    "_power": Range(0, 1_000),
    "_layers": LAYERS,
    "_dim": WIDTH,
}
NAMES: dict[str, Range] = {
    # sizes of models
    "dim": WIDTH,
    "hidden": WIDTH,
    "rank": WIDTH,
    "lora_rank": WIDTH,
    "lora_alpha": ABOVE_ZERO,
    "num_heads": _count(1_024),
    "feedforward_mult": _count(256),
    "num_experts": _count(4_096),
    "num_active": _count(4_096),
    "num_groups": _count(10_000, 2),
    "num_steps": _count(1_000),
    "num_samples": _count(1_000),
    "guidance": Range(0, 1_000),
    "strength": Range(0, 1_000),
    "gamma": Range(0, 1_000),
    "half_life": Range(0, 1_000_000, low_open=True),
    "session_len": _count(10_000),
    "max_history_len": _count(100_000),
    "title_history_len": _count(100_000),
    "max_text_len": _count(100_000),
    "dropout": BELOW_ONE,
    "temperature": ABOVE_ZERO,
    "stop_kl": NOT_NEGATIVE,
    # training
    "epochs": _count(100_000),
    "steps": _count(10_000_000),
    "graph_steps": _count(10_000_000),
    "graph_epochs": _count(100_000),
    "free_lr": ABOVE_ZERO,
    "lr": ABOVE_ZERO,
    "weight_decay": NOT_NEGATIVE,
    "betas": BELOW_ONE,
    "clip": ABOVE_ZERO,
    "GroupPolicy.clip": Range(0, 1, low_open=True, high_open=True),
    "early_clip": NOT_NEGATIVE,
    "warmup_steps": Range(0, 10**9),
    "max_targets": _count(10**15),
    "TrainSettings.targets": ANY,  # in the units of a column
    "batch_states": _count(),
    "num_validations": _count(),
    "patience": _count(),
    "devices": _count(100_000),
    "num_nodes": _count(100_000),
    "validation_users": _count(),
    "validation_beams": _count(100_000, 10),
    "accumulate": _count(100_000),
    "log_every_n_steps": _count(),
    "checkpoint_minutes": Range(0, 1_000_000, low_open=True),
    "seed": SEED,
    # objectives
    "weight": NOT_NEGATIVE,
    "beta": ABOVE_ZERO,
    "annealing": Range(1),
    "label_smoothing": BELOW_ONE,
    "noise": NOT_NEGATIVE,
    "distillation_weight": NOT_NEGATIVE,
    "prefix_sharpness": ANY,
    "item_negatives": _count(),
    "items_per_step": _count(),
    "histories_per_step": _count(),
    "num_negatives": _count(),
    "num_rejected": _count(100_000),
    "num_histories": _count(),
    "group_size": _count(100_000, 2),
    "sync_every": _count(),
    # semantic IDs
    "num_levels": _count(1_000),
    "codebook_size": _count(1_000_000, 2),
    "grid": _count(1_000_000, 2),
    "num_bits": _count(24),
    "groups": _count(1_000),
    "branching": _count(1_000_000, 2),
    "leaf_size": _count(),
    "starts": _count(1_000),
    "iterations": Range(0, 1_000_000),
    "rounds": _count(1_000_000),
    "rotations": Range(0, 100_000),
    "commitment": NOT_NEGATIVE,
    "smoothing": NOT_NEGATIVE,
    "key_offset": Range(-(2**31), 2**31),
    "max_group": _count(1_000_000),
    "spare": Range(0, 10**9),
    "path_levels": Range(0, 1_000),
    # encoders and baselines
    "max_features": _count(),
    "window": _count(100_000),
    "last": _count(100_000),
    "neighbours": _count(),
    "max_items": Range(0, 100_000),
    "shift": ABOVE_ZERO,
    "prior_count": NOT_NEGATIVE,
    "decay": RATE,
    "gap_decay": RATE,
    "backward": NOT_NEGATIVE,
    "ridge": NOT_NEGATIVE,
    "shrinkage": NOT_NEGATIVE,
    "k1": Range(0, 1_000),
    "b": RATE,
    "weights": NOT_NEGATIVE,
    # decoding and lists
    "k": _count(1_000_000),
    "batch_size": _count(),
    "num_beams": _count(100_000),
    "num_words": _count(1_000),
    "least_items": _count(),
    "warm_up": Range(0, 1_000),
    "max_divergence": Range(0, 1, low_open=True),
    "num_candidates": _count(100_000),
    "num_neighbours": _count(100_000),
    "num_rounds": _count(1_000),
    "per_prefix": _count(),
    "depth": _count(1_000),
    "top_p": Range(0, 1, low_open=True),
    # evaluation, diagnosis, export
    "ks": _count(1_000_000),
    "draws": _count(1_000_000),
    "num_users": _count(10**9),
    "search_users": Range(0, 10**9),
    "target_weights": NOT_NEGATIVE,
    "because_of": Range(0, 100_000),
    "bins": _count(10_000),
    "sample_users": Range(0, 10**9),
    "pieces": _count(),
    "upload_bytes": Range(0),
    # data
    "num_items": _count(10**9),
    "events_per_user": Range(5, 10_000),
    "loyalty": ABOVE_ZERO,
    "popularity_skew": Range(0, 100),
    "k_core": Range(0, 10**9),
    "min_rating": ANY,
    "test_from": ANY,
    "validation_from": ANY,
}


def range_of(component: str, key: str) -> Range | None:
    """Returns the range of a setting, or None where its name defines none.

    >>> range_of("EncDec", "identity_dropout") == BELOW_ONE, range_of("EncDec", "sids")
    (True, None)
    """
    for name in (f"{component}.{key}", key):
        if name in NAMES:
            return NAMES[name]
    return next((limits for ending, limits in ENDINGS.items() if key.endswith(ending)), None)


def range_errors(component: type, settings: Mapping[str, Any], where: str) -> Iterator[GenRecError]:
    """Yields the errors of numbers outside their ranges, and of settings of a component that do not fit together.

    Args:
        component: its class; of a plug-in only what no setting can be, infinite or no number, is refused by name.
        settings: the values of all its parameters, defaults included; without those that genrec supplies.
        where: the component's place.
    """
    ours = component.__module__.partition(".")[0] == "genrec"
    errors = [
        error
        for key, value in settings.items()
        for error in _range_violations(value, (range_of(component.__name__, key) if ours else None) or ANY, f"{where}.{key}")
    ]
    yield from errors
    if errors:
        return
    dim, heads = settings.get("dim"), settings.get("num_heads")
    if isinstance(dim, int) and isinstance(heads, int) and "head_dim" not in settings and dim % heads:
        fits = [number for number in range(1, min(dim, 64) + 1) if dim % number == 0]
        fix = f"choose one of {', '.join(map(str, fits))}, or another {where}.dim"
        yield ConfigError(f"{where}.num_heads", expected=f"a divisor of {where}.dim={dim}", got=heads, fix=fix)
    check = getattr(component, CHECK, None)
    if check is not None:
        try:
            check(**settings)
        except GenRecError as error:
            yield type(error)(f"{where}.{error.where}", expected=error.expected, got=error.got, fix=error.fix)


def _range_violations(value: Any, limits: Range, where: str) -> Iterator[GenRecError]:
    if isinstance(value, Mapping):
        if "_target_" in value:  # a component, which is looked at by itself
            return
        for key, item in value.items():
            yield from _range_violations(item, limits, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _range_violations(item, limits, f"{where}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool) and value not in limits:
        yield ConfigError(where, expected=limits.words, got=value, fix=limits.remedy(value))
