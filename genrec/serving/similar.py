"""Which items are like a given one."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from genrec.serving.catalogue import Catalogue
from genrec.stages.embed import JOINT


@torch.inference_mode()
def similarities(catalogue: Catalogue, item: int) -> Float[Tensor, " items"]:
    """How like every item is to one: by cosine of the encoder's vectors, else of the generator's item vectors if it has some.

    Where there are neither, the share of the levels up to which two IDs are the same.

    Args:
        catalogue: of the items.
        item: item_idx.
    """
    vectors: Any = catalogue.vectors.get(JOINT)
    if vectors is not None:
        vectors = torch.from_numpy(vectors).float()
    elif hasattr(catalogue.generator, "item_table"):
        vectors = catalogue.generator.item_table()
    if vectors is not None:
        return torch.nn.functional.cosine_similarity(vectors, vectors[item].unsqueeze(0), dim=1)
    assert catalogue.trie is not None
    paths = catalogue.trie.paths(torch.arange(len(catalogue.table)))[:, 1:]
    return (paths == paths[item]).float().mean(dim=1)
