"""encdec: a causal encoder over items and a small decoder that writes the next item's codes (default generator).

One token per history item (the sum of its code embeddings), so a history of T items costs T positions, not T x levels; and
since the encoder is causal, ONE pass over a sequence trains the prediction of every item in it. Own design: the optional
identity embedding and the dense item head take up ideas of H2Rec and LIGER, and docs/methods/encdec.md says how they differ.
"""

from __future__ import annotations

from genrec.nn.encoder_decoder import EncoderDecoder


class EncDec(EncoderDecoder):
    """The default generator.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_history_layers: causal blocks over the history.
        num_decoder_layers: blocks over the codes of the item being written.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        identity: add a gated identity embedding to each history item (see ``ItemEmbedding``).
        identity_dropout: probability of hiding an identity in training.
        item_head: also score whole items from the history state (a joint dense head, trained by ``item_weight``).
        normalization: "trie" (probabilities over the catalogue) or "codebook".
        time_gaps: also attend by the gap in time, for data with times; every history that is asked about needs them then.
        max_history_len: longest history, in items.
    """
