"""DAS (arXiv 2508.10584): an RQ-VAE trained in one stage with a model of who takes what, aligned with its unbiased half.

Users and items have two free vectors each: interest and conformity, property and popularity. Both halves together must tell who
took the item; interest and property alone must tell it beside popular items, so that they need not know popularity; and the
halves of a user or an item stay orthogonal. Contrastive terms then draw an item's quantized bottleneck to its property, to the
interest of who took it, and to the bottleneck of what was taken together with it.

Departures (all of them: docs/methods/das.md): items alone are quantized (a public data set says nothing of
users but what they took), so that three of the paper's six alignments are left; popular items weigh more among the wrong
answers, as the unbiased half's training; temperature and batches are ours. The halves' scores are added, where the paper has a
network of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from genrec.protocols import TokenizerInputs
from genrec.tokenizers.lib.autoencoder import Autoencoder, rotation_trick
from genrec.tokenizers.lib.pair_sampling import Draw, contrast, scores
from genrec.tokenizers.lib.pair_vectors import ppmi_vectors
from genrec.tokenizers.lib.tree_paths import pair_counts


class DualAligned(Autoencoder):
    """An RQ-VAE with rotated gradients and contrastive alignment to what users take, popularity set apart.

    New items need no history: users are only used in training.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector. The paper's is content alone
            (``"text"`` of a ``concat`` encoder).
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck, and of the users' and items' free vectors.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, summed over levels.
        alignment_weight: of the alignments (b of the paper), averaged.
        seed: of the start, of the batches and of the pairs.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings", "train"})

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        alignment_weight: float = 0.02,
        free_start: Literal["random", "pairs"] = "random",
        free_lr: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            sizes=(codebook_size,) * num_levels,
            source=source,
            hidden=hidden,
            latent_dim=latent_dim,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            commitment=commitment,
            seed=seed,
        )
        self.alignment_weight, self.free_start, self.free_lr = alignment_weight, free_start, free_lr

    def fit(self, inputs: TokenizerInputs) -> None:
        """Trains; the global random state is left as it was.

        Raises:
            DataError: when a vector is not finite, or the loss is not.
        """
        train = inputs.train
        assert train is not None
        counts = np.bincount(train.item_idx, minlength=inputs.num_items)
        self._log_counts = torch.from_numpy(np.log(np.maximum(counts, 1))).float()
        events = (np.ones(len(train.item_idx)), (train.item_idx, train.user_idx))
        self._takers = Draw(sparse.csr_array(events, shape=(inputs.num_items, len(train))))
        pairs = pair_counts(train, inputs.num_items)
        self._companions = Draw(pairs.sqrt())  # a popular pair drowns the others
        self._pairs, self._train_part, self._num_users = pairs, train, len(train)
        super().fit(inputs)
        del self._vectors, self._log_counts, self._takers, self._companions, self._users, self._items  # no use any more
        del self._pairs, self._train_part

    def _train(self, vectors: Tensor) -> None:
        self._vectors = vectors
        super()._train(vectors)

    def _start(self, latent: Tensor) -> list[nn.Parameter]:
        """The free vectors: [2, users or items, dim], the half that is aligned first."""
        self._users, self._items = (
            nn.Parameter(torch.randn(2, count, self.latent_dim) * self.latent_dim**-0.5)
            for count in (self._num_users, len(self._vectors))
        )
        if self.free_start == "pairs":
            self._start_from_pairs()
        return [*super()._start(latent), self._users, self._items]

    def _without_decay(self, trained: list[nn.Parameter]) -> list[dict[str, Any]]:
        codebooks = {"params": trained[:-2], "weight_decay": 0.0}
        return [codebooks, {"params": trained[-2:], "weight_decay": 0.0, "lr": self.free_lr or self.lr}]

    def _start_from_pairs(self) -> None:
        """What items are, by what is taken with them; what a user likes is the mean of that of the taken items."""
        train = self._train_part
        vectors = ppmi_vectors(self._pairs, self.latent_dim)
        taken = sparse.csr_array((np.ones(len(train.item_idx)), (train.user_idx, train.item_idx)), (len(train), len(vectors)))
        with torch.no_grad():
            for free, rows in ((self._items, vectors), (self._users, taken @ vectors)):
                there = torch.from_numpy(rows.any(axis=1))
                free[0, there, : rows.shape[1]] = normalize(torch.from_numpy(rows).float())[there]

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        quantized, loss = rotation_trick(latent, chain.vectors), chain.terms.sum()
        was_taken = self._takers.can(rows)
        if was_taken.any():
            items = rows[was_taken]
            users = self._users[:, self._takers.draw(items)]
            loss = loss + self._who_takes(users, items)
            terms = [contrast(quantized[was_taken], users[0]), contrast(quantized[was_taken], self._items[0, items])]
            has_companion = self._companions.can(rows)
            if has_companion.any():
                companion_latent = self._encoder(self._vectors[self._companions.draw(rows[has_companion])])
                terms.append(
                    contrast(quantized[has_companion], rotation_trick(companion_latent, self._chain(companion_latent).vectors))
                )
            loss = loss + self.alignment_weight * torch.stack(terms).mean()
        return quantized, loss

    def _who_takes(self, users: Tensor, rows: Tensor) -> Tensor:
        """Cross-entropy of finding what a user took, by both halves and by the unbiased one; and how alike halves are."""
        items, labels = self._items[:, rows], torch.arange(len(rows))
        unbiased, biased = scores(users[0], items[0]), scores(users[1], items[1])
        # With log counts the wrong answers weigh by their popularity: popularity no longer shows which answer is right.
        loss = cross_entropy(unbiased + biased, labels) + cross_entropy(unbiased + self._log_counts[rows], labels)
        alike = [cosine_similarity(first, second, dim=1).square().mean() for first, second in (users, items)]
        return loss + torch.stack(alike).sum()
