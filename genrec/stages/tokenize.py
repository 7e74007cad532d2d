"""tokenize: fits the tokenizer on the item vectors, encodes every item, and says how healthy the codes are -> ``tokenizer``."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from genrec.core.item_labels import item_labels, number_labels
from genrec.diagnosis.id_health import health, summary, table, warnings
from genrec.engine.components import instantiate
from genrec.engine.stage import Stage, StageContext
from genrec.model.id_assignment import CODES_FILE, encoder_if_needed, open_tokenizer, tokenizer_inputs
from genrec.model.item_vectors import FITTED, JOINT
from genrec.protocols import FitNotes, HasSource, ItemTokenizer, Reconstructs, TokenizerInputs

HEALTH_FILE = "health.json"


def build(context: StageContext) -> dict[str, Any]:
    """Writes ``fitted/``, ``codes.npy`` int32 [items, levels] (row number == item_idx) and ``health.json``."""
    inputs = tokenizer_inputs(context.parts)
    tokenizer: ItemTokenizer = instantiate(context.config["tokenizer"], "tokenizer")
    tokenizer.fit(inputs)
    for note in tokenizer.notes if isinstance(tokenizer, FitNotes) else ():
        context.log(note)
    (context.folder / FITTED).mkdir()
    tokenizer.save(context.folder / FITTED)
    return _write(context, tokenizer, inputs, np.asarray(tokenizer.encode(inputs), dtype=np.int32))


def extend(context: StageContext) -> dict[str, Any]:
    """The fitted tokenizer as it is; the codes too, and behind them those of the items that came later.

    Raises:
        DataError: when there are such items and the tokenizer has no rule for them.
    """
    assert context.extends is not None
    inputs, codes = tokenizer_inputs(context.parts), np.load(context.extends.path / CODES_FILE, allow_pickle=False)
    shutil.copytree(context.extends.path / FITTED, context.folder / FITTED)
    tokenizer = open_tokenizer(context.config["tokenizer"], context.folder)
    if inputs.num_items > len(codes):
        later = inputs.of(np.arange(len(codes), inputs.num_items))
        codes = np.concatenate([codes, np.asarray(tokenizer.encode(later), dtype=np.int32)])
    return _write(context, tokenizer, inputs, codes)


def _write(context: StageContext, tokenizer: ItemTokenizer, inputs: TokenizerInputs, codes: np.ndarray) -> dict[str, Any]:
    np.save(context.folder / CODES_FILE, codes, allow_pickle=False)

    source = tokenizer.source if isinstance(tokenizer, HasSource) else JOINT
    figures = health(
        codes,
        tokenizer.sizes,
        inputs.embeddings.get(source) if tokenizer.traits.reconstructs else None,
        tokenizer.reconstruct if isinstance(tokenizer, Reconstructs) else None,
        space=inputs.embeddings.get(JOINT),
        ordered=tokenizer.traits.ordered,
        labels={name: number_labels(labels)[1] for name, labels in item_labels(inputs.items).items()},
        train=inputs.train,
    )
    (context.folder / HEALTH_FILE).write_text(json.dumps(figures, indent=2), encoding="utf-8")
    for line in (*table(figures), *warnings(figures, context.config["tokenizer"].get("codebook_size"))):
        context.log(line)
    return {
        "sizes": list(tokenizer.sizes),
        "codebooks": _folder_hash(context.folder / FITTED),
        **summary(figures),
    }


def _folder_hash(folder: Path) -> str:
    """Hash of the fitted state: codes of two tokenizers mean the same only when this is equal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


STAGE = Stage(
    name="tokenize",
    kind="tokenizer",
    version=4,
    reads=("tokenizer",),
    inputs=lambda config: ("dataset", *encoder_if_needed(config)),
    build=build,
    extend=extend,
)
