"""How much each training event counts as a target: some kinds of events are context only, some count more than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap

import numpy as np
from jaxtyping import Float

from genrec.core.dataset import Dataset
from genrec.core.event_schema import Column
from genrec.errors import ConfigError
from genrec.types import EVENT_TYPE

_TOLERANCE = 1e-5  # a column is standardized in single precision: a 4 comes back as 3.9999998


def target_weights(
    dataset: Dataset, targets: Sequence[str] | Mapping[str, float] | None, weight: str | Mapping[str, float] | None
) -> Float[np.ndarray, " events"] | None:
    """Returns a weight for each training event, 0 where it is context only; those above 0 have a mean of 1. None: all alike.

    Args:
        dataset: prepared, with the columns that are asked for.
        targets: kinds of events, or columns of numbers and the least number of each with which an event counts; None: all.
        weight: a column of numbers, or a number for each kind; None: all alike.

    Raises:
        ConfigError: when there is no such column or kind, for weights below 0, and when no target is left.
    """
    if targets is None and weight is None:
        return None
    weights = np.ones(len(dataset.train.item_idx))
    if isinstance(weight, str):
        numbers = _numbers(dataset, weight, "train.weight")
        weights = np.where(np.isnan(numbers), 1.0, numbers)  # an event without a number counts like any other
    elif weight is not None:
        weights = _of_kinds(dataset, weight, "train.weight")
    if targets is not None:
        if not targets:
            raise ConfigError("train.targets", expected="kinds of events, or null", got=[], fix="name those to predict")
        if isinstance(targets, Mapping):
            for name, least in targets.items():
                weights = weights * (_numbers(dataset, name, "train.targets") >= least - _TOLERANCE * max(1.0, abs(least)))
        else:
            weights = weights * (_of_kinds(dataset, dict.fromkeys(targets, 1.0), "train.targets", otherwise=0.0))
    if (weights < 0).any():
        raise ConfigError("train.weight", expected="weights of 0 or more", got=float(weights.min()), fix="correct them")
    if not (weights > 0).any():
        fix = "name other kinds" if not isinstance(targets, Mapping) else "lower the least number"
        raise ConfigError("train.targets", expected="a training event that counts", got="none", fix=fix)
    return (weights / weights[weights > 0].mean()).astype(np.float32)


def _numbers(dataset: Dataset, name: str, where: str) -> Float[np.ndarray, " events"]:
    """Returns a column of numbers as it was in the data, NaN where it has none."""
    column = _column(dataset, name, "number", where)
    return dataset.train.columns[name].astype(np.float64) * column.std + column.mean


def _of_kinds(dataset: Dataset, weights: Mapping[str, float], where: str, otherwise: float = 1.0) -> np.ndarray:
    column = _column(dataset, EVENT_TYPE, "category", where)
    for kind in weights:
        if kind not in column.vocabulary:
            expected = "kinds of events: " + ", ".join(column.vocabulary[:20])
            raise ConfigError(where, expected=expected, got=kind, fix="name one of these")
    of_code = np.array([otherwise, *(weights.get(word, otherwise) for word in column.vocabulary)])
    return of_code[dataset.train.columns[EVENT_TYPE]]


def _column(dataset: Dataset, name: str, kind: str, where: str) -> Column:
    if name in dataset.schema.names and dataset.schema[name].kind == kind:
        return dataset.schema[name]
    others = ", ".join(starmap("{} ({})".format, ((c.name, c.kind) for c in dataset.schema.columns))) or "there are none"
    expected = f"a {kind} among events.columns: {others}"
    raise ConfigError(where, expected=expected, got=name, fix=f"add it: events.columns.{name}={kind}")
