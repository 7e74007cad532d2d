"""The catalogue's IDs by their codes, whatever the order in which codes are written."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.types import PAD


class CodeIndex:
    """From (level, code) pairs to the IDs that have them.

    IDs are counted from 0 in the order of the trie's leaves, pairs level by level.

    Args:
        trie: of the catalogue.

    Attributes:
        codes: [ids, levels].
        level_of, code_of: [pairs].
        count: [pairs], how many IDs have each.
    """

    def __init__(self, trie: PrefixTrie) -> None:
        self.codes = trie.leaf_codes()
        self._sizes = trie.sizes
        sizes = torch.tensor(trie.sizes, device=trie.device)
        self._offsets = sizes.cumsum(0) - sizes
        self.level_of = torch.arange(trie.num_levels, device=trie.device).repeat_interleave(sizes)
        self.code_of = torch.cat([torch.arange(size, device=trie.device) for size in trie.sizes])
        pairs = (self.codes + self._offsets).T.flatten()
        self.count = torch.bincount(pairs, minlength=len(self.code_of))
        self._start = self.count.cumsum(0) - self.count
        self._ids = pairs.argsort(stable=True) % len(self.codes)  # pair after pair

    def having(self, pair: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape width"]:
        """The IDs that have a pair, ``PAD`` after the end."""
        count = self.count[pair]
        slot = torch.arange(max(int(count.max()), 1), device=pair.device)
        index = (self._start[pair].unsqueeze(-1) + slot).clamp(max=len(self._ids) - 1)
        return torch.where(slot < count.unsqueeze(-1), self._ids[index], PAD)

    def existing(self, shown: Int64[Tensor, "rows levels"]) -> tuple[Bool[Tensor, "rows _"], ...]:
        """Returns, level by level, the codes of the IDs that agree with the codes that are shown (``PAD``: hidden)."""
        hidden = shown == PAD
        pairs = torch.where(hidden, 0, shown + self._offsets)
        rarest = self.count[pairs].masked_fill(hidden, len(self.codes) + 1).argmin(dim=1, keepdim=True)
        ids = self.having(pairs.gather(1, rarest).squeeze(1))  # of a row that shows nothing: replaced below
        codes = self.codes[ids.clamp(min=0)]
        agrees = ((codes == shown.unsqueeze(1)) | hidden.unsqueeze(1)).all(dim=2) & (ids != PAD)
        nothing, first, exists = hidden.all(dim=1, keepdim=True), 0, []
        for level, size in enumerate(self._sizes):
            occurs = self.count[first : first + size] > 0
            agreeing = torch.zeros(len(shown), size, dtype=torch.uint8, device=shown.device)
            agreeing = agreeing.scatter_reduce(1, codes[..., level], agrees.byte(), "amax").bool()
            exists.append(torch.where(nothing, occurs, agreeing))
            first += size
        return tuple(exists)
