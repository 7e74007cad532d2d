"""One ID per source: each as its own quantizer tells it, nothing where a source knows nothing, all of them in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_codes import clustered, make_inputs

from genrec.protocols import TokenizerInputs
from genrec.tokenizers.multi_stream import MultiStream
from genrec.tokenizers.rq_kmeans import RQKMeans

INPUTS = make_inputs(clustered(200))  # every fifth item has no collaborative vector
KNOWN = np.arange(200) % 5 > 0


def fitted() -> MultiStream:
    tokenizer = MultiStream(codebook_size=16, streams=["collaborative"])
    tokenizer.fit(INPUTS)
    return tokenizer


def alone(source: str, inputs: TokenizerInputs) -> np.ndarray:
    quantizer = RQKMeans(codebook_size=16, source=source)
    quantizer.fit(inputs)
    return np.asarray(quantizer.encode(inputs))


def test_every_source_is_quantized_by_itself() -> None:
    tokenizer = fitted()
    np.testing.assert_array_equal(tokenizer.encode(INPUTS), alone("item", INPUTS))
    stream = tokenizer.encode_streams(INPUTS)["collaborative"]
    assert stream.sizes == (16, 16, 16)
    np.testing.assert_array_equal(stream.codes[KNOWN], alone("collaborative", INPUTS.of(np.flatnonzero(KNOWN))))
    assert (stream.codes[~KNOWN] == -1).all()


def test_streams_come_back_and_are_told_row_by_row(tmp_path: Path) -> None:
    tokenizer, again = fitted(), MultiStream(codebook_size=16, streams=["collaborative"])
    tokenizer.save(tmp_path)
    again.restore(tmp_path)
    rows = np.array([7, 3, 190, 5])
    whole = tokenizer.encode_streams(INPUTS)["collaborative"].codes
    np.testing.assert_array_equal(again.encode_streams(INPUTS.of(rows))["collaborative"].codes, whole[rows])
