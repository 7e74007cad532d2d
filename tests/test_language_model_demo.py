"""Language models on the demo shop: above popularity, with P5's tasks, and with made-up pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_world import language_model
from test_family import SETTINGS, SMALL_CODEBOOKS

import genrec


@pytest.mark.slow
@pytest.mark.parametrize("settings", [["generator=lc_rec", "objective=p5"], ["generator=unimp"]], ids=["p5", "unimp"])
def test_is_better_than_popularity(settings: list[str], tmp_path: Path) -> None:
    """The pictures of ``unimp`` are vectors of the items' texts here: the shop has none."""
    budget = [*SETTINGS, *SMALL_CODEBOOKS, f"paths.runs={tmp_path}", f"generator.model={language_model('llama')}"]
    run = genrec.run(until="evaluate", overrides=[*budget, *settings], quiet=True)
    figures = json.loads((run.path / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    model, popular = (table["test/ndcg@10"] for table in (figures["model"], figures["baselines"]["popularity"]))
    assert model > 1.2 * popular, f"{model:.4f} against {popular:.4f}"
