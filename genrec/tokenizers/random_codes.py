"""Random codes: what semantic IDs are worth that know nothing of the items. The control that every comparison needs.

"Random indexing" of "How to Index Item IDs" (arXiv 2305.06569) writes a random permutation of the items as digits. Here every
item's codes are drawn from a hash of its ``item_id`` instead: they depend on no other item, so a new item gets its own and
moves none. In return a few items collide by chance (of N items in M cells
``M (1 - exp(-N / M)) / N`` have distinct IDs) and are left to the collision policy. See docs/methods/item_indexing.md.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.residual import at_least
from genrec.types import ITEM_ID

SEED_FILE = "seed.json"


class RandomCodes:
    """Independent uniform codes, the same for the same ``item_id`` and seed on every machine.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        seed: of the draw.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=False, reconstructs=False, scale_free=True)

    def __init__(self, *, num_levels: int = 3, codebook_size: int = 256, seed: int = 0) -> None:
        at_least(1, num_levels=num_levels, codebook_size=codebook_size)
        self.num_levels, self.codebook_size, self.seed = num_levels, codebook_size, seed

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        """Learns nothing."""

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        drawn = [self._draw(str(item)) for item in inputs.items[ITEM_ID]]
        return np.array(drawn, dtype=np.int64).reshape(-1, self.num_levels)

    def save(self, folder: Path) -> None:
        """Writes the seed: the hash of the fitted state tells draws apart."""
        (folder / SEED_FILE).write_text(json.dumps({"seed": self.seed}), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Nothing to read: the configuration has the seed."""

    def _draw(self, item: str) -> list[int]:
        return [
            int.from_bytes(hashlib.blake2b(f"{self.seed}/{level}/{item}".encode(), digest_size=8).digest()) % self.codebook_size
            for level in range(self.num_levels)
        ]
