"""A limit to what tensors take while something is built, told before they are made: sizes in a stranger's file may be any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_SPARE = 1 << 26  # numbers beside the weights: masks, tables of codes, tries
_SPARE_CALLS = 5000
_ANY_SIZE = {"repeat", "repeat_interleave", "constant_pad_nd", "new_empty", "new_zeros", "new_ones", "new_full", "one_hot"}


class Allotment(TorchDispatchMode):
    """Within it, operations that would make more numbers than allowed, all together, are refused before they make them.

    Args:
        weights: numbers in the file that all this is made for.
        tensors: that they stand in.

    Raises:
        ValueError: by the operation that wants too much.
    """

    def __init__(self, weights: int, tensors: int) -> None:
        super().__init__()
        self._calls = 50 * tensors + _SPARE_CALLS
        self._all = self._left = 8 * weights + _SPARE

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        from_tensors = any(isinstance(argument, torch.Tensor) for argument in args)
        if from_tensors and func.overloadpacket.__name__ not in _ANY_SIZE:
            return func(*args, **(kwargs or {}))  # views, sums, copies: as large as what they are made of
        if (wanted := max((_numbers(argument) for argument in args), default=0)) > self._left:
            raise ValueError(f"{wanted:,} numbers by {func}, of {self._all:,} that weights of this size call for")
        self._calls -= 1
        made = func(*args, **(kwargs or {}))
        self._left -= made.numel() if isinstance(made, torch.Tensor) else 0
        if self._left < 0 or self._calls < 0:
            raise ValueError(f"more tensors, or more than the {self._all:,} numbers, than weights of this size call for")
        return made


def _numbers(argument: Any) -> int:
    """How many numbers an argument asks for: a shape, or an end to count to."""
    if isinstance(argument, list | tuple) and argument and all(type(size) is int for size in argument):
        return math.prod(size for size in argument if size > 0)
    return argument if type(argument) is int else 0
