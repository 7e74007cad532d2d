"""RecTools' BERT4Rec on a dataset that genrec prepared: trains it with early stopping, writes our recommendations table.

python tools/peers/rectools_bert4rec.py runs/NAME/dataset OUT.parquet --epochs 100
"""

from __future__ import annotations

from typing import Any

import numpy as np
from rectools.models import BERT4RecModel
from rectools_sasrec import main


def masked_targets(lengths: np.ndarray, model: Any) -> float:
    """The expected number of masked events; RecTools trains on users with two or more."""
    return float(
        np.minimum(lengths[lengths >= model.train_min_user_interactions], model.session_max_len).sum() * model.mask_prob
    )


if __name__ == "__main__":
    main(BERT4RecModel, masked_targets, __doc__ or "")
