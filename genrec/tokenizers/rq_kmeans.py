"""Residual k-means: level by level, k-means on what the levels before left over.

The quantizer that GRID (arXiv 2507.22224) calls RK-Means; ours runs full Lloyd iterations from k-means++ starts instead of
mini-batches. Like GRID it scales residuals to length one; unlike GRID it can still tell vectors from codes: beside the
codebooks that choose, it keeps the mean residual of each code in the input's own scale, and these add up. See
docs/methods/residual_kmeans.md.
"""

from __future__ import annotations

from genrec.tokenizers.lib.residual_kmeans import ResidualKMeans


class RQKMeans(ResidualKMeans):
    """Residual k-means on all items' vectors, cold items included (content is not a label).

    A catalogue with fewer items than codes works: the codes left over are never chosen. One of more than 256 items a code is
    clustered on a sample, corrected by two Lloyd iterations over all items, and read chunk by chunk: vectors mapped from disk
    stay there.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        iterations: most Lloyd iterations per level and start.
        starts: k-means++ starts per level; the one with the least inertia is kept. A level of more than 65,536 rows gets one.
        normalize_residuals: scale residuals to length one. Without it the later levels spend their codes on the few items
            far from everything, and dense groups of similar items share all codes (Beauty, tfidf_svd + collaborative:
            perplexity 235 and 243 of 256 at levels 1 and 2 instead of 157 and 105, 91.4 % of the items with an ID of their own
            instead of 85.4 %, and a smaller reconstruction error).
        seed: of the starts.
    """
