"""The diagnose stage on untrained generators of every kind, its page, and when the pipeline makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_world import OPTIONS, Option, ring, scrambled, sids_of, stream_of, vectors_of
from test_calibrate import with_conditions, words_before_events
from test_pages import parsed

from genrec.core.dataset import Dataset
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import request_of
from genrec.decoding.lib.candidates import item_log_probs
from genrec.decoding.lib.guidance import guided
from genrec.engine.artifacts import Artifact
from genrec.engine.config import compose
from genrec.engine.pipeline import needed_stages
from genrec.engine.stage import Runtime, StageContext
from genrec.errors import DataError
from genrec.model.event_texts import asking_histories, with_texts
from genrec.reports.charts import reliability_chart
from genrec.reports.diagnosis import diagnosis_sections
from genrec.stages.diagnose import STAGE

BY_ID = {option.id: option for option in OPTIONS}
WORLD, SIDS = ring(num_items=30, num_users=40), sids_of(30, (4, 5, 6))


def diagnosed(
    root: Path,
    option: Option,
    *,
    world: Dataset = WORLD,
    sids: SIDTable = SIDS,
    decoding: dict[str, Any] | None = None,
    recommend: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Runs the stage on scrambled initial weights; returns diagnosis.json, the facts, and what was said.

    Args:
        decoding: another strategy than the generator's own.
        recommend: changes to that group.
        settings: changes to the ``diagnose`` group.
    """
    for kind in ("dataset", "encoder/vectors", "sids", "generator", "diagnosis"):
        (root / kind).mkdir(parents=True)
    world.save(root / "dataset")
    vectors = torch.from_numpy(vectors_of(sids.num_items)).float()
    save_file({"vectors": vectors}, root / "encoder" / "vectors" / "item.safetensors")
    sids = sids.with_streams({"other": stream_of(sids.num_items)})
    sids.save(root / "sids", world.item_ids)
    schema = with_conditions(root, world).schema
    generator = scrambled(option.build(sids, schema=schema))
    told = {"generator": option.node(), "sids_layout": sids.layout, "num_items": sids.num_items, "schema": schema.to_json()}
    (root / "generator" / "config.json").write_text(json.dumps(told), encoding="utf-8")
    save_file(generator.state_dict(), root / "generator" / "model.safetensors")

    config = {
        "decoding": decoding or option.tree["decoding"],
        "recommend": dict(option.tree["recommend"]) | {"k": 12, "batch_size": 16} | (recommend or {}),
        "diagnose": dict(option.tree["diagnose"]) | (settings or {}),
    }
    events = {"text": None if world.event_texts is None else "query"}
    inputs = {kind: Artifact(root / kind) for kind in STAGE.inputs({"generator": option.node(), "events": events})}
    said: list[str] = []
    run = StageContext(config, inputs, root / "diagnosis", root, said.append, Runtime(device="cpu", progress=False))
    facts = STAGE.build(run)
    return json.loads((root / "diagnosis" / "diagnosis.json").read_text(encoding="utf-8")), facts, said


@pytest.fixture(scope="module", params=BY_ID)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Option, dict[str, Any]]:
    option = BY_ID[request.param]
    return option, diagnosed(tmp_path_factory.mktemp("diagnosed"), option)[0]


def has_beams(option: Option) -> bool:
    return str(option.tree["decoding"]["_target_"]).endswith("TrieBeam")


def test_every_generator_is_diagnosed(made: tuple[Option, dict[str, Any]]) -> None:
    option, diagnosis = made
    assert (diagnosis["schema"], diagnosis["split"], diagnosis["users"]) == (1, "test", 40)
    normalization = getattr(option.build(SIDS), "normalization", None)
    assert diagnosis["rules"] == {"list_length": 12, "exclude_seen": True, "normalization": normalization}
    assert (diagnosis["levels"] is not None) == (normalization is not None)
    assert (diagnosis["beams"] is not None) == has_beams(option)
    if normalization is not None:
        assert len(diagnosis["levels"]) == SIDS.num_levels
    if has_beams(option):
        assert len(diagnosis["beams"]["lost"]) == SIDS.num_levels
        assert diagnosis["beams"]["kept"] == 1, "50 beams and 30 items: an exact search"
        assert [entry["k"] for entry in diagnosis["beams"]["lists"]] == [10, 12]
        assert all(entry["search_errors"] == 0 for entry in diagnosis["beams"]["lists"])
    calibration = diagnosis["calibration"]
    assert sum(entry["count"] for entry in calibration["bins"]) == 40 * 10
    assert calibration["mass"] == pytest.approx(sum(e["predicted"] * e["count"] for e in calibration["bins"]) / 40)
    assert calibration["hit_rate"] == pytest.approx(sum(e["observed"] * e["count"] for e in calibration["bins"]) / 40)
    low, high = calibration["hit_rate_interval"]
    assert low < calibration["hit_rate"] < high


@pytest.mark.parametrize("strength", [None, 2.0])
def test_it_asks_for_what_the_lists_ask_for(strength: float | None, tmp_path: Path) -> None:
    """With guidance, of the mixture that the search sees."""
    option, world, request = BY_ID["encdec"], words_before_events(WORLD), {"text": "target"}
    decoding: Any = {"_target_": "genrec.decoding.trie_beam.TrieBeam", "num_beams": 50}
    if strength is not None:
        decoding = {"_target_": "genrec.decoding.guided.Guided", "strength": strength, "strategy": decoding}
    diagnosis, _, _ = diagnosed(tmp_path, option, world=world, decoding=decoding, recommend={"request": request})
    read = with_texts(world, {"conditions": tmp_path / "conditions"})
    generator = scrambled(option.build(SIDS.with_streams({"other": stream_of(30)}), schema=read.schema))
    histories, targets = asking_histories(read, "test", request), world.targets("test")
    batch = request_of(generator, histories, np.arange(40), k=12, exclude_seen=True).batch
    mixed: Any = generator if strength is None else guided(generator, strength)
    items = torch.tensor([[int(targets[user][0])] for user in range(40)])
    expected = item_log_probs(mixed, PrefixTrie.build(SIDS), batch, items).mean()
    assert sum(level["log_prob"] for level in diagnosis["levels"]) == pytest.approx(float(expected), abs=1e-4)
    assert all(entry["search_errors"] == 0 for entry in diagnosis["beams"]["lists"])
    unasked = request_of(generator, world.histories("test"), np.arange(40), k=12, exclude_seen=True).batch
    assert abs(float(item_log_probs(generator, PrefixTrie.build(SIDS), unasked, items).mean() - expected)) > 1e-3


def test_users_are_told_as_they_are(made: tuple[Option, dict[str, Any]]) -> None:
    option, diagnosis = made
    cards = diagnosis["because_of"]
    assert [card["drawn"] for card in cards].count("random") == 10
    assert len({card["user_id"] for card in cards}) == len(cards) > 10
    for card in cards:
        user = WORLD.user_ids.to_list().index(card["user_id"])
        history = [f"i{item}" for item in WORLD.histories("test")[user]]
        target = f"i{WORLD.targets('test')[user][0]}"
        read = history[-option.node()["max_history_len"] :][-10:]
        assert [entry["item_id"] for entry in card["history"]] == read
        assert card["history_length"] == len(history)
        listed = [entry["item_id"] for entry in card["recommended"]]
        assert len(listed) == 10
        assert set(listed).isdisjoint(history)
        assert [entry["hit"] for entry in card["recommended"]] == [item == target for item in listed]
        assert card["targets"][0]["item_id"] == target
        if target in listed and option.name not in (
            "masked_diffusion",
            "mdgr",
            "reg4rec",
        ):  # their search adds up another order
            entry = card["recommended"][listed.index(target)]
            assert entry["probability"] == pytest.approx(card["target_probability"], rel=1e-3)
            assert card["targets"][0]["rank"] == listed.index(target) + 1
        elif target not in listed:
            assert card["drawn"] == "random"
        assert any(entry["first"] != 0 for entry in card["history"])


def test_the_page_shows_it(made: tuple[Option, dict[str, Any]]) -> None:
    option, diagnosis = made
    page = diagnosis_sections(diagnosis)
    tags = parsed(page).tags
    titles = ["Where beams die", "How often the next code is right", "Are its probabilities honest?", "Because of what?"]
    assert [title in page for title in titles] == [has_beams(option), diagnosis["levels"] is not None, True, True]
    assert [name for name, _ in tags].count("article") == len(diagnosis["because_of"])
    assert all(chart.get("role") == "img" or "aria-hidden" in chart for name, chart in tags if name == "svg")
    assert page.count("✓ hit") == sum(entry["hit"] for card in diagnosis["because_of"] for entry in card["recommended"])


def test_honest_points_lie_on_the_diagonal() -> None:
    points = [{"predicted": p, "observed": p, "low": p / 2, "high": 2 * p, "count": 10} for p in (0.0, 0.001, 0.02, 0.3)]
    tags = parsed(reliability_chart("x", points)).tags
    diagonal = next(line for name, line in tags if name == "line" and "curve" in str(line["class"]))
    x1, x2, y1, y2 = (float(str(diagonal[key]).rstrip("%")) for key in ("x1", "x2", "y1", "y2"))
    circles = [circle for name, circle in tags if name == "circle"]
    assert len(circles) == len(points)
    for circle, point in zip(circles, points, strict=True):
        right = (float(str(circle["cx"]).rstrip("%")) - x1) / (x2 - x1)
        up = (float(str(circle["cy"])) - y1) / (y2 - y1)
        assert right == pytest.approx(up, abs=1e-3)
        assert right == pytest.approx((point["predicted"] / 0.6) ** 0.5, abs=1e-3)
    parsed(reliability_chart("nothing", []))


def test_the_same_again(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    settings = {"num_users": 15, "because_of": 4}
    one, two = (diagnosed(tmp_path / name, BY_ID["encdec"], settings=settings)[0] for name in ("a", "b"))
    assert one == two
    assert (one["users"], len(one["because_of"])) == (15, 4)
    other = diagnosed(tmp_path / "c", BY_ID["encdec"], settings=settings | {"seed": 1, "because_of": 0})[0]
    assert other["because_of"] == []
    assert other["calibration"] != one["calibration"]
    assert "Because of what?" not in diagnosis_sections(other)


def test_exhaustive_search_has_no_beams(tmp_path: Path) -> None:
    exhaustive = {"_target_": "genrec.decoding.exhaustive.Exhaustive", "batch_size": 4}
    diagnosis, facts, said = diagnosed(tmp_path, BY_ID["encdec"], decoding=exhaustive)
    assert diagnosis["beams"] is None
    assert all(level["own_accuracy"] is None for level in diagnosis["levels"])
    assert "lost" not in facts
    assert not any("beam" in line for line in said)
    assert "Where beams die" not in diagnosis_sections(diagnosis)


def test_test_stays_out_of_sight_where_it_is_not_recommended_for(tmp_path: Path) -> None:
    diagnosis, facts, said = diagnosed(tmp_path, BY_ID["sasrec"], recommend={"splits": ["validation"]})
    assert diagnosis["split"] == facts["split"] == "validation"
    assert said[0] == "40 validation users"


def test_a_shared_id_and_lost_mass_are_told(tmp_path: Path) -> None:
    option = Option("encdec", (("normalization", "codebook"),))
    diagnosis, _, _ = diagnosed(tmp_path, option, sids=sids_of(30, (3, 4, 3), distinct=False))
    assert all(level["mass"] < 0.999 for level in diagnosis["levels"][1:])
    page = diagnosis_sections(diagnosis)
    assert "codes without items keep a share" in page
    assert "real mass" in page


def test_nobody_to_diagnose(tmp_path: Path) -> None:
    world = ring(num_items=30, num_users=40)
    ends = np.asarray(world.events.offsets[1:])
    nothing = Dataset(items=world.items, users=world.users, events=world.events, train_ends=ends, validation_ends=ends)
    with pytest.raises(DataError, match=r"recommend\.splits"):
        diagnosed(tmp_path, BY_ID["sasrec"], world=nothing)


def test_a_whole_run_makes_it_and_an_evaluation_of_lists_does_not() -> None:
    config = compose([]).tree
    names = [stage.name for stage in needed_stages(config, "evaluate")]
    assert names[-3:] == ["recommend", "diagnose", "evaluate"]
    assert "diagnose" not in [stage.name for stage in needed_stages(config, "export")]
    alone = [stage.name for stage in needed_stages(config, "diagnose")]
    assert alone[-2:] == ["train", "diagnose"], "it decodes for itself"
    scorer = [stage.name for stage in needed_stages(compose(["generator=sasrec"]).tree, "evaluate")]
    assert scorer == ["prepare", "train", "recommend", "diagnose", "evaluate"]
