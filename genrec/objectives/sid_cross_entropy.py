"""Cross-entropy on semantic IDs, normalized over the catalogue's trie (docs/methods/sid_cross_entropy.md)."""

from __future__ import annotations

from genrec.objectives.lib.sid_loss import SIDLoss


class SIDCrossEntropy(SIDLoss):
    """L = mean over levels of -log p(code | prefix, history), plus the item head's cross-entropy.

    With ``normalization: trie`` the softmax at a prefix runs over the codes that exist below it, so that the probabilities of
    all items sum to one. A prefix with a single child then costs nothing and teaches nothing about that child's siblings-to-be;
    ``codebook_share`` mixes in a share of the codebook-wide softmax, so that items added later get honest probabilities.

    With ``distillation_weight`` the item head, which knows each item and not only its codes, is distilled into the codes: the
    target at a prefix is in part the head's own distribution, summed over the items below each child and held fixed.

    Args:
        codebook_share: share of the codebook-wide term under trie normalization, in [0, 1].
        label_smoothing: mass of the target that is spread evenly over the codes that exist below the prefix, in [0, 1); a code
            without items never gets any.
        item_weight: weight of the dense head's cross-entropy over items; 0 without an item head.
        item_negatives: sampled negatives of that cross-entropy; None for all items.
        item_popular_share: share of those drawn by training popularity (see ``SampledSoftmax``), in [0, 1).
        distillation_weight: share of the codes' targets that the item head decides, in [0, 1]; it takes the softmax over all
            items.

    Raises:
        ConfigError: for shares outside their ranges, a popular share of no sample, and a head that teaches from a sample.
    """
