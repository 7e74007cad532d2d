"""Joins several sources to one vector per item, scaled so that no source dominates.

Residual k-means on raw concatenations collapses: the vectors of text models share a large mean, and the source with the larger
scale determines the codes (measured on Beauty: 1.6 of 256 codes in use, against 224 after the steps below).
Own design: see docs/methods/encoders.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from safetensors.numpy import load_file, save_file

from genrec.core.dataset import Sequences
from genrec.errors import ConfigError, DataError, did_you_mean
from genrec.protocols import FitNotes, HasConfidence, ItemEncoder

_MIN_EIGENVALUE = 1e-3  # share of the largest: smaller directions are noise that whitening would amplify
_CONSTANT = 1e-10  # variance per mean square below which vectors are equal up to rounding
_RIDGE = 0.1  # of the mean eigenvalue of the predictors' Gram matrix
_MIN_CONFIDENCE = 0.5  # an item needs it to be fitted in the regression (5 training events at the default prior)
STATE_FILE = "concat.safetensors"


class Concat:
    """Concatenates the sources, each centred, half-whitened on its principal components, cut to ``dim``, normalized, weighted.

    Where a source has no vector of an item (``present`` is False), its part is predicted from the other sources by ridge
    regression. A source with a ``confidence(items)`` in [0, 1] is blended with that prediction in this proportion, so that a
    vector of one or two events has little weight. Statistics are fitted once and applied to new items unchanged.

    Args:
        sources: name -> encoder.
        dim: length of each source's part (fewer when the source has fewer).
        weights: name -> length of the source's part; sources not named have 1.
    """

    def __init__(
        self, *, sources: Mapping[str, ItemEncoder], dim: int = 64, weights: Mapping[str, float] | None = None
    ) -> None:
        if not sources or "item" in sources:
            raise ConfigError(
                "encoder.sources",
                expected="at least one source, none called item",
                got=list(sources),
                fix="add a source, or give it another name",
            )
        unknown = sorted(set(weights or {}) - set(sources))
        if unknown:
            fix = did_you_mean(unknown[0], sources)
            raise ConfigError("encoder.weights", expected="names of the sources", got=unknown[0], fix=fix)
        self.sources, self.dim = dict(sources), dim
        self.weights = {name: float((weights or {}).get(name, 1.0)) for name in self.sources}
        self._state: dict[str, np.ndarray] = {}

    @property
    def notes(self) -> list[str]:
        sources = {name: source for name, source in self.sources.items() if isinstance(source, FitNotes)}
        return [f"{name}: {note}" for name, source in sources.items() for note in source.notes]

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        self._state = {}
        parts, confidence = {}, {}
        for name, source in self.sources.items():
            with _prefix_error_keys(name):
                source.fit(items, train)
                vectors, present = source.encode(items), source.present(items)
            self._state[f"{name}.mean"], self._state[f"{name}.projection"] = half_whitening(vectors[present], self.dim)
            parts[name], confidence[name] = self._part(name, vectors, present), _confidence(source, items)
        for name, part in parts.items():
            others = _other_parts(parts, name)
            fitted = confidence[name] >= _MIN_CONFIDENCE
            self._state[f"{name}.slope"], self._state[f"{name}.intercept"] = ridge(others[fitted], part[fitted])

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        return self.encode_named(items)["item"]

    def encode_named(self, items: pl.DataFrame) -> dict[str, Float[np.ndarray, "items dim"]]:
        """Returns the joint vectors as ``"item"``, and the vectors of each source by its name."""
        raw = {}
        for name, source in self.sources.items():
            with _prefix_error_keys(name):
                raw[name] = source.encode(items)
        parts = {name: self._part(name, raw[name], source.present(items)) for name, source in self.sources.items()}
        joint = []
        for name, source in self.sources.items():
            share = _confidence(source, items)[:, None]
            predicted = _other_parts(parts, name) @ self._state[f"{name}.slope"] + self._state[f"{name}.intercept"]
            joint.append(self.weights[name] * unit_rows(share * parts[name] + (1 - share) * predicted))
        return {"item": np.concatenate(joint, axis=1).astype(np.float32), **raw}

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        return np.any([source.present(items) for source in self.sources.values()], axis=0)

    def save(self, folder: Path) -> None:
        for name, source in self.sources.items():
            (folder / name).mkdir()
            source.save(folder / name)
        save_file({key: np.ascontiguousarray(value) for key, value in self._state.items()}, folder / STATE_FILE)

    def restore(self, folder: Path) -> None:
        for name, source in self.sources.items():
            with _prefix_error_keys(name):
                source.restore(folder / name)
        self._state = load_file(folder / STATE_FILE)

    def _part(self, name: str, vectors: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Returns the source's part of the joint vector before blending; zeros (the centre) where the source has no vector."""
        centred = unit_rows((vectors - self._state[f"{name}.mean"]) @ self._state[f"{name}.projection"])
        return np.where(present[:, None], centred, np.float32(0))


@contextmanager
def _prefix_error_keys(name: str) -> Iterator[None]:
    """Rewrites the keys in a source's errors to their keys here: ``encoder.sources.<name>.columns``."""
    try:
        yield
    except (ConfigError, DataError) as error:
        where, fix = (re.sub(r"\bencoder\.", f"encoder.sources.{name}.", text) for text in (error.where, error.fix))
        raise type(error)(where, expected=error.expected, got=error.got, fix=fix) from error


def half_whitening(vectors: np.ndarray, dim: int) -> tuple[Float[np.ndarray, " in"], Float[np.ndarray, "in dim"]]:
    """Mean, and the projection on the first ``dim`` principal components, each divided by the fourth root of its variance.

    Full whitening (the square root) would give noise directions the same variance as informative ones; without whitening the
    first few directions alone would determine the first level of a quantizer.
    """
    if len(vectors) == 0:
        width = vectors.shape[1]
        return np.zeros(width, np.float32), np.eye(width, min(dim, width), dtype=np.float32)
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    variance, directions = np.linalg.eigh(centred.T @ centred / len(vectors))
    variance, directions = variance[::-1][:dim], directions[:, ::-1][:, :dim]
    if variance[0] <= _CONSTANT * np.square(vectors).mean():  # only rounding errors: unit length would amplify them
        return mean.astype(np.float32), np.zeros_like(directions, dtype=np.float32)
    scale = np.maximum(variance, _MIN_EIGENVALUE * variance[0]) ** -0.25
    return mean.astype(np.float32), np.ascontiguousarray(directions * scale, dtype=np.float32)


def ridge(predictors: np.ndarray, targets: np.ndarray) -> tuple[Float[np.ndarray, "in out"], Float[np.ndarray, " out"]]:
    """Fits slope and intercept of a ridge regression; without rows or predictors, predicts the targets' mean (or zero)."""
    inputs, outputs = predictors.shape[1], targets.shape[1]
    if len(targets) == 0:
        return np.zeros((inputs, outputs), np.float32), np.zeros(outputs, np.float32)
    x, y = predictors.astype(np.float64), targets.astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    gram = (x - x_mean).T @ (x - x_mean)
    penalty = _RIDGE * np.trace(gram) / max(inputs, 1) + np.finfo(np.float32).tiny
    slope = np.linalg.solve(gram + penalty * np.eye(inputs), (x - x_mean).T @ (y - y_mean))
    return slope.astype(np.float32), (y_mean - x_mean @ slope).astype(np.float32)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one; zero rows stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _confidence(source: ItemEncoder, items: pl.DataFrame) -> np.ndarray:
    if isinstance(source, HasConfidence):
        return np.asarray(source.confidence(items), dtype=np.float32)
    return source.present(items).astype(np.float32)


def _other_parts(parts: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Concatenates the parts of the other sources: [items, their dims], without columns when there is no other source."""
    rows = len(parts[name])
    return np.concatenate([np.zeros((rows, 0), np.float32), *(part for other, part in parts.items() if other != name)], axis=1)
