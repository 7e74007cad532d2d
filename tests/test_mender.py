"""Mender: on the demo shop a preference beats the history alone, and the five axes say what words do to lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measure_preferences import Listener, Row, measure, ndcg, words_of

import genrec
from genrec.data.lib.item_words import ItemWords
from genrec.engine.runs import Run
from genrec.errors import ConfigError

EVENTS = {"_target_": "genrec.data.event_columns.EventColumns"}
SMALL = {"tokenizer.codebook_size": 32, "tokenizer.num_levels": 2, "generator.dim": 64, "generator.num_history_layers": 1}
SMALL |= {"generator.num_decoder_layers": 1, "train.epochs": 12, "train.batch_states": 100, "train.lr": 0.003}
SMALL |= {"train.num_validations": 1, "train.validation_users": 200, "decoding.strategy.num_beams": 20, "recommend.k": 10}
SMALL |= {"evaluate.search_users": 20, "evaluate.draws": 10, "threads": 1, "device": "cpu"}


def test_a_wanted_item_counts_by_its_place() -> None:
    assert ndcg(np.array([[3, 5], [3, 5], [3, 5]]), np.array([3, 5, 7])) == pytest.approx([1, 1 / np.log2(3), 0])


def test_words_are_those_of_the_run_or_of_columns() -> None:
    drawn = {"_target_": "genrec.data.lib.item_words.ItemWords", "columns": ["title"], "num_words": 2}
    assert words_of({**EVENTS, "text": drawn}, None) == ItemWords(columns=["title"], num_words=2)
    assert words_of({**EVENTS, "text": "query"}, ["tags"]) == ItemWords(columns=["tags"])
    for text, where in (("query", "--columns"), (None, "events.text")):
        with pytest.raises(ConfigError, match=where):
            words_of({**EVENTS, "text": text}, None)


@pytest.mark.slow
def test_the_demo_shop_hears_preferences(tmp_path: Path) -> None:
    overrides = ["experiment=mender", "data=demo_events", "data.num_users=800", "data.num_items=120"]
    overrides += ["events.text.without=[brand]", "events.text.largest_share=0.3", "recommend.splits=[test]"]
    overrides += [f"{key}={value}" for key, value in SMALL.items()]
    run = genrec.run(quiet=True, overrides=[*overrides, f"paths.runs={tmp_path}", "name=mender"])
    figures = run.metrics
    assert figures["model"]["test/ndcg@10"] > 2 * figures["baselines"]["popularity"]["test/ndcg@10"]
    rows: dict[tuple[str, float], Row] = {}
    for row in measure(Listener(Run(tmp_path / "mender"), 300), [0.0, 1.0]):
        rows[row.axis, row.strength] = row
    plain, asked = ({axis: row for (axis, at), row in rows.items() if at == strength} for strength in (0.0, 1.0))
    assert {row.ndcg for row in plain.values()} == {plain["contrary"].ndcg}, "one list without a request"
    assert asked["recommendation, matched"].ndcg > 1.2 * plain["contrary"].ndcg
    for axis in ("fine steering", "coarse steering"):
        assert asked[axis].wanted > 2 * plain[axis].wanted
    assert asked["contrary"].carry > 3 * plain["contrary"].carry
    assert asked["contrary"].change + asked["contrary"].half_width < 0, "the price"
    assert asked["sentiment"].followed is not None
    assert asked["sentiment"].followed > 0.9
    assert plain["contrary"].ndcg < asked["consolidation"].ndcg < asked["recommendation, matched"].ndcg
