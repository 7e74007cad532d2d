"""Every generator, as the study of all of them has it, learns more of the demo shop than what is popular there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from small_world import language_model

import genrec

STUDY = yaml.safe_load((Path(__file__).parents[1] / "docs" / "sweeps" / "family.yaml").read_text(encoding="utf-8"))
FAMILY = {
    "best": ["experiment=best"],
    **{name: [*STUDY["shared"], *model["settings"]] for name, model in STUDY["models"].items()},
}
SETTINGS = [
    *("data=demo", "data.num_users=600", "data.num_items=200", "data.events_per_user=15.0"),
    *("train.epochs=4", "train.num_validations=1", "train.validation_users=50", "train.batch_states=100", "train.lr=0.003"),
    *("recommend.splits=[test]", "recommend.k=10", "diagnose.num_users=20", "device=cpu"),
]
SMALL_CODEBOOKS = ["tokenizer.codebook_size=16"]
OF_ITS_OWN = {  # instead of small codebooks
    "cobra": ["tokenizer.codebook_size=8"],
    "hybrid_attention": [],
    "tiger": [*SMALL_CODEBOOKS, "generator.num_encoder_layers=1", "generator.num_decoder_layers=1"],  # a T5 is slow
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILY)
def test_is_better_than_popularity(name: str, tmp_path: Path) -> None:
    given = [*FAMILY[name], *SETTINGS, *OF_ITS_OWN.get(name, SMALL_CODEBOOKS), f"paths.runs={tmp_path}"]
    if name == "lc_rec":
        given.append(f"generator.model={language_model('llama')}")
    run = genrec.run(until="evaluate", overrides=given, quiet=True)
    figures = json.loads((run.path / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    own, popular = (table["test/ndcg@10"] for table in (figures["model"], figures["baselines"]["popularity"]))
    assert own > 1.2 * popular, f"{own:.4f} against {popular:.4f}"
