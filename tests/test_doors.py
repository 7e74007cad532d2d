"""One name, one meaning and one default for each parameter of a recommender, at every door: Python, HTTP, batch lists, yaml."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small_shop import shop, shop_by_times
from test_service import served

import genrec
from genrec.commands.recommend import settings_of
from genrec.errors import ConfigError, DataError
from genrec.recommender.recommender import Recommender
from genrec.recommender.requests import BeamRequest, ExplainRequest, RecommendRequest, SimilarRequest, field_docs
from genrec.serving import schemas
from genrec.serving.service import batch_group, split_request
from genrec.stages.recommend import RecommendSettings

DOORS: dict[type, tuple[str, type[Any], str]] = {  # request -> method of Recommender, body, path
    RecommendRequest: ("recommend", schemas.RecommendBody, "/recommend"),
    SimilarRequest: ("similar", schemas.SimilarBody, "/similar"),
    ExplainRequest: ("explain", schemas.ExplainBody, "/explain"),
    BeamRequest: ("beams", schemas.BeamsBody, "/beams"),
}
NOT_OVER_HTTP = {"batch_size": "the service puts requests together by limits.batch"}
NOT_A_SETTING = {  # of batch lists
    "histories": "they are the table HISTORIES, which may be larger than memory",
    "times": "they are a column of that table",
}
ONLY_A_SETTING = {"shard_rows": "how the work is cut, and no part of a list"}
NOT_IN_YAML = {  # settings of the stage `recommend`, whose lists are evaluated
    "histories": "they are the users of the dataset",
    "times": "they are those of the dataset",
    "user": "what is known of each user is in the dataset",
    "filter": "lists are evaluated over the whole catalogue",
    "steer": "lists are evaluated as the model makes them",
    "quota": "lists are evaluated as the model makes them",
    "query": "what was asked for before each target is in the dataset: request={text: target}",
    "guidance": "decoding=guided decoding.strength=1.5 says it",
    "wish": "lists are evaluated as the model makes them",
    "wish_strength": "lists are evaluated as the model makes them",
}
ONLY_IN_YAML = {
    "splits": "which targets are evaluated",
    "candidates": "evaluation among given items, user by user",
    "new_item_share": "a rule of the bundle, fixed when it is exported",
    "new_item_reach": "a rule of the bundle, fixed when it is exported",
}


def names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def defaults(kind: type) -> dict[str, Any]:
    """Of the fields that have one; none of the filters and the like is an empty mapping."""
    minimal = {name: "i1" if name == "item_id" else [["i1"]] if name == "histories" else ["i1"] for name in required(kind)}
    return {name: value for name, value in vars(kind(**minimal)).items() if name not in minimal}


def required(kind: type) -> set[str]:
    return {name for name, parameter in inspect.signature(kind).parameters.items() if parameter.default is parameter.empty}


def parameters(method: str) -> Mapping[str, inspect.Parameter]:
    given = dict(inspect.signature(getattr(Recommender, method)).parameters)
    del given["self"]
    return given


@pytest.mark.parametrize("kind", DOORS)
def test_every_door_has_the_fields_of_the_request(kind: type) -> None:
    method, body, _ = DOORS[kind]
    assert set(parameters(method)) == names(kind)
    assert set(body.model_fields) == names(kind) - set(NOT_OVER_HTTP)
    assert set(field_docs(kind)) == names(kind), "each is explained, once"
    assert body.kind is kind
    for name, field in body.model_fields.items():
        assert field.is_required() is (name in required(kind)), name


@pytest.mark.parametrize("kind", DOORS)
def test_every_door_has_the_same_defaults(kind: type) -> None:
    method, body, _ = DOORS[kind]
    for name, value in defaults(kind).items():
        of_python, of_http = parameters(method)[name].default, body.model_fields.get(name)
        assert value == ({} if value == {} and of_python is None else of_python), name
        assert of_http is None or value == of_http.default, name


def test_no_description_of_a_body_is_its_own() -> None:
    with served() as client:
        described = client.get("/openapi.json").json()["components"]["schemas"]
    for kind, (_, body, _) in DOORS.items():
        texts = {name: field["description"] for name, field in described[body.__name__]["properties"].items()}
        assert texts == {name: text for name, text in field_docs(kind).items() if name not in NOT_OVER_HTTP}


def test_batch_lists_have_the_fields_of_a_request() -> None:
    with pytest.raises(ConfigError, match="kk: expected a setting"):
        settings_of(["kk=3"])
    words = {
        "k": ("7", 7),
        "filter": ("even == true", "even == true"),
        "steer": ('{"even == true": 0.5}', {"even == true": 0.5}),
        "quota": ('{"even": 2}', {"even": 2}),
        "request": ('{"event_type": "purchase"}', {"event_type": "purchase"}),
        "user": ('{"age": "young"}', {"age": "young"}),
        "query": ("soap, not perfume", "soap, not perfume"),
        "guidance": ("2", 2.0),
        "wish": ("123", "123"),
        "wish_strength": ("3.5", 3.5),
        "exclude_seen": ("false", False),
        "batch_size": ("3", 3),
        "shard_rows": ("50", 50),
    }
    assert set(words) == names(RecommendRequest) - set(NOT_A_SETTING) | set(ONLY_A_SETTING)
    request, shard_rows = settings_of([f"{name}={text}" for name, (text, _) in words.items()])
    assert request.settings | {"shard_rows": shard_rows} == {name: value for name, (_, value) in words.items()}
    assert settings_of([])[0].settings == RecommendRequest(histories=[[]]).settings


def test_the_stage_calls_them_the_same() -> None:
    assert names(RecommendSettings) - set(ONLY_IN_YAML) == names(RecommendRequest) - set(NOT_IN_YAML)


def test_the_table_of_the_docs() -> None:
    """docs/serving.md says of every parameter where it is taken."""
    text = Path("docs/serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", text.partition("## Parameters")[2].partition("\n## ")[0], re.MULTILINE)
    names_of = {name: [re.findall(r"`([^`]+)`", cell) for cell in cells.split(" | ")[:4]] for name, cells in rows}
    methods = [*(method for method, _, _ in DOORS.values()), "score"]
    everything = {name for method in methods for name in parameters(method)} | set(ONLY_A_SETTING) | set(ONLY_IN_YAML)
    batch = names(RecommendRequest) - set(NOT_A_SETTING) | set(ONLY_A_SETTING)
    expected = {
        name: [
            [method for method in methods if name in parameters(method)],
            [path for _, body, path in DOORS.values() if name in body.model_fields],
            [f"{name}=" for _ in range(name in batch)],
            [f"recommend.{name}" for _ in range(name in names(RecommendSettings))],
        ]
        for name in everything
    }
    assert names_of == expected
    for reasons in (NOT_OVER_HTTP, ONLY_A_SETTING, ONLY_IN_YAML):
        assert all(len(reason) > 10 for reason in reasons.values())


# --- the requests themselves ---


def test_a_request_and_its_fields_are_answered_alike() -> None:
    recommender = Recommender(shop(40))
    wanted: dict[type, dict[str, Any]] = {
        RecommendRequest: {"histories": [["i1"], []], "k": 4, "filter": "even == true", "steer": {"item_id == 'i2'": 2.0}},
        SimilarRequest: {"item_id": "i3", "k": 4, "filter": "even == true"},
        BeamRequest: {"history": ["i1"], "k": 4, "exclude_seen": False},
    }
    for kind, settings in wanted.items():
        method = getattr(recommender, DOORS[kind][0])
        assert method(kind(**settings)).equals(method(**settings))
    why = recommender.explain(ExplainRequest(history=["i1", "i2"], item_id="i7", last=1))
    assert why.because.equals(recommender.explain(["i1", "i2"], "i7", last=1).because)
    assert why.because["item_id"].to_list() == ["i2"]
    assert recommender.recommend(genrec.RecommendRequest(histories=["i1"], k=3)).height == 3


def test_requests_never_change_and_hold_plain_values() -> None:
    request = RecommendRequest(histories=np.array(["i1"]), times=np.array([5.0]), k=np.int64(3), steer=None, exclude_seen=None)
    assert (request.histories, request.times, request.k, request.steer) == ([["i1"]], [[5.0]], 3, {})
    assert request == RecommendRequest(histories=["i1"], times=[5.0], k=3)
    assert type(request.k) is int
    assert replace(request, k=4).k == 4
    with pytest.raises(FrozenInstanceError):
        request.k = 5  # type: ignore[misc]
    with pytest.raises(TypeError, match="positional"):
        RecommendRequest([["i1"]])  # type: ignore[call-arg, misc]
    table = RecommendRequest(histories=pl.LazyFrame({"user_id": ["u"], "item_id": ["i1"]}))
    assert isinstance(table.histories, pl.DataFrame)


@pytest.mark.parametrize(
    ("kind", "settings", "error", "line"),
    [
        (RecommendRequest, {"histories": []}, DataError, "histories: .* got \\[\\]"),
        (RecommendRequest, {"histories": [["i1"]], "times": [[1, 2]]}, DataError, "times of history 0: .* got 2"),
        (RecommendRequest, {"histories": pl.DataFrame({"user_id": []})}, DataError, "item_id"),
        (RecommendRequest, {"histories": [[]], "k": 0}, ConfigError, "k: .* got 0"),
        (RecommendRequest, {"histories": [[]], "quota": {"a": 0}}, ConfigError, "quota a: .* got 0"),
        (RecommendRequest, {"histories": [[]], "batch_size": 2.5}, ConfigError, "batch_size: .* got 2.5"),
        (BeamRequest, {"history": "i1"}, DataError, "histories: .* got 'i1'"),
        (BeamRequest, {"history": [], "filter": 3}, ConfigError, "filter: .* got 3"),
        (ExplainRequest, {"history": [], "item_id": "i1", "last": -1}, ConfigError, "last: .* got -1"),
        (ExplainRequest, {"history": [], "item_id": 7}, DataError, "item_id: .* got 7"),
        (SimilarRequest, {"item_id": None}, DataError, "item_id: .* got None"),
    ],
)
def test_a_request_is_checked_when_it_is_made(kind: type, settings: dict[str, Any], error: type, line: str) -> None:
    with pytest.raises(error, match=line):
        kind(**settings)


def test_the_old_name_of_a_filter_is_still_taken(capsys: pytest.CaptureFixture[str]) -> None:
    recommender = Recommender(shop(40))
    calls: list[Any] = [
        lambda **settings: recommender.recommend(["i1"], 4, **settings),
        lambda **settings: recommender.similar("i1", 4, **settings),
        lambda **settings: recommender.beams(["i1"], 4, **settings),
    ]
    for call in calls:
        with pytest.warns(DeprecationWarning, match="only is called filter now") as caught:
            answer = call(only="even == true")
        assert answer.equals(call(filter="even == true"))
        assert caught[0].filename == __file__
    assert settings_of(["only=even == true"])[0].filter == "even == true"
    assert capsys.readouterr().err == "note: only is called filter now\n"
    with pytest.raises(TypeError, match="only"):
        recommender.explain(["i1"], "i2", only="even == true")  # type: ignore[call-arg]


def test_requests_that_are_answered_together() -> None:
    one = RecommendRequest(histories=[["i1"], []], k=3, steer={"even == true": 1.0})
    assert batch_group(one) == batch_group(replace(one, histories=[["i2"]]))
    for other in (
        replace(one, k=4),
        replace(one, steer={"even == true": 2.0}),
        replace(one, filter="even == true"),
        replace(one, quota={"even": 2}),
        replace(one, exclude_seen=True),
        replace(one, times=[[1.0], []]),
        BeamRequest(history=["i1"], k=3, steer={"even == true": 1.0}),
    ):
        assert batch_group(one) != batch_group(other)
    assert batch_group(SimilarRequest(item_id="a")) != batch_group(SimilarRequest(item_id="b"))
    alone = split_request(replace(one, times=[[1.0], []]))
    assert [(request.histories, request.times) for request in alone] == [([["i1"]], [[1.0]]), ([[]], [[]])]  # type: ignore[union-attr]


def test_times_pass_every_door() -> None:
    recommender, history, times = Recommender(shop_by_times(9)), ["i1", "i3"], [5.0, 900.5]
    expected = recommender.recommend(history, 4, times=times)
    assert recommender.recommend(RecommendRequest(histories=[history], times=[times], k=4)).equals(expected)
    assert not recommender.recommend(history, 9, times=[5.0, 6.0], exclude_seen=False).equals(
        recommender.recommend(history, 9, times=times, exclude_seen=False)
    )
    rows = {"user_id": ["u", "u"], "item_id": history, "timestamp": times}
    assert recommender.recommend(pl.DataFrame(rows), 4)["item_id"].to_list() == expected["item_id"].to_list()
    why = recommender.explain(ExplainRequest(history=history, times=times, item_id="i2"))
    assert why.log_prob == pytest.approx(recommender.score(history, ["i2"], times=times)["score"][0], abs=1e-5)
    with pytest.raises(ConfigError, match=r"generator\.time_gaps: expected times with every history, got none"):
        recommender.explain(history, "i2")
