"""Every value of every root setting and every option of every group does its work once, in a tiny world: no mode is untested.

A new yaml is run the moment it exists. What cannot run here has to say so in one line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_world import SMALL, language_model
from test_conf import OPTIONS, raw

from genrec.engine.config import compose
from genrec.engine.pipeline import execute, plan
from genrec.errors import GenRecError

# The stage that a group's options are for, and so how far they are run.
UNTIL = {
    **dict.fromkeys(("data", "filters", "order", "split", "events"), "prepare"),
    **dict.fromkeys(("generator", "objective", "train", "logger"), "train"),
    **dict.fromkeys(("decoding", "recommend"), "recommend"),
    "encoder": "embed",
    "tokenizer": "tokenize",
    "collision": "assign",
    "calibrate": "calibrate",
    "diagnose": "diagnose",
    **dict.fromkeys(("evaluate", "metric"), "evaluate"),
    "export": "export",
}
SLOW = {"generator", "objective", "tokenizer", "encoder", "calibrate", "logger=wandb"}
TINY = {"codebook_size": 4, "num_levels": 2, "steps": 3, "graph_steps": 3, "leaf_size": 8, "branching": 4, "hidden": [8]}
TINY |= {"latent_dim": 4, "graph_dim": 4, "dim": 8, "num_histories": 4, "group_size": 4, "num_rejected": 2, "num_beams": 8}
WITH = {  # what an option needs beside it
    "decoding=full_ranking": ["generator=sasrec"],
    "decoding=guided_ranking": ["generator=sasrec"],
    "decoding=masked_item": ["generator=masked_diffusion"],
    "decoding=masked_at_once": ["generator=masked_diffusion"],
    "decoding=consistent_item": ["generator=masked_diffusion"],
    "decoding=session": ["generator=moe"],
    "decoding=parallel_graph": ["generator=parallel"],
    "objective=masked_cross_entropy": ["generator=masked_diffusion"],
    "objective=rising_masks": ["generator=masked_diffusion"],
    "objective=denoising": ["generator=continuous"],
    "objective=dual_alignment": ["generator=dual_branch"],
    "objective=session_cross_entropy": ["generator=moe"],
    "objective=progressive_reasoning": ["generator=latent_reasoning"],
    "objective=ensemble_reasoning": ["generator=latent_reasoning_ensemble"],
    "generator=multi_stream": ["tokenizer=multi_stream"],
    "events=item_words": ["events.text.largest_share=1.0"],
    "calibrate=default": ["decoding=fusion"],
    "collision=reassign_last": ["tokenizer.codebook_size=16"],
    **{f"objective={name}": ["generator=sasrec"] for name in ("item_cross_entropy", "in_batch_contrastive", "sampled_softmax")},
}
REFUSED = {  # what cannot run here, and what it says
    **{f"encoder={name}": "got ./nowhere" for name in ("sentence_transformer", "minilm_collaborative")},
    "encoder=image": "encoder.column: expected a column of the items, got image",
    "tokenizer=anchored_rq_kmeans": "tokenizer.anchor",
    "encoder=precomputed": "encoder.path",
    "tokenizer=published": "tokenizer.path",
    "split=column": "split",
    "decoding=grounded_text": "expected a strategy for EncDec (autoregressive), got GroundedText (text)",
    **{f"objective={name}": "train.init_from" for name in ("dpo", "grpo", "ecpo", "minionerec")},
    **{
        f"objective={name}": "objective"
        for name in ("aligned_cross_entropy", "six_tasks", "next_title", "p5", "minionerec_sft")
    },
}
ROOT: list[tuple[str, str | None]] = [  # a root setting, and what is said where it cannot be
    *((f"device={name}", None) for name in ("auto", "cpu")),
    *((f"device={name}", "device: expected one of auto, cpu") for name in ("cuda", "cuda:1", "mps")),
    *((f"precision={name}", None) for name in ("auto", "fp32", "bf16")),
    *((f"threads={number}", None) for number in ("null", "1", "2")),
    ("seed=7", None),
    ("seed=-1", "seed"),
    ("threads=0", "threads"),
    ("recommend.exclude_seen=false", None),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of 40 users and 30 items, and the store that all modes share."""
    folder = tmp_path_factory.mktemp("world")
    rows = [(user, step) for user in range(40) for step in range(8)]
    events = [f"u{user},i{(user * 7 + step * step) % 30},{1_600_000_000 + 1000 * step + user}" for user, step in rows]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *events]), encoding="utf-8")
    words = ["red", "blue", "wool", "steel", "lamp", "shoe"]
    items = [f"i{item},{words[item % 6]} {words[item // 6]},b{item % 3},Home > {words[item % 4]}" for item in range(30)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,brand,categories", *items]), encoding="utf-8")
    return folder


def small(group: str, option: str) -> list[str]:
    """The sizes of an option's yaml, made small."""
    file = next(file for where, name, file in OPTIONS if (where, name) == (group, option))
    sizes = SMALL | TINY if group == "generator" else TINY
    return [f"{group}.{key}={value}".replace(" ", "") for key, value in sizes.items() if key in raw(file)]


def run(world: Path, until: str, *given: str) -> None:
    chosen = dict(one.split("=", 1) for one in given if "." not in one.partition("=")[0])
    generator, tokenizer = chosen.get("generator", "encdec"), chosen.get("tokenizer", "rq_kmeans")
    sizes = [one for group, option in (("generator", generator), ("tokenizer", tokenizer)) for one in small(group, option)]
    base = ["data=tables", f"data.interactions={world / 'events.csv'}", f"data.items={world / 'items.csv'}"]
    base += [f"paths.runs={world / 'runs'}", "threads=1", "train.epochs=1", "train.num_validations=1", "recommend.k=5"]
    base += ["train.batch_states=200", "evaluate.draws=10", "evaluate.search_users=20"]
    overridden = {one.partition("=")[0] for one in given}
    overrides = [one for one in (*base, *sizes) if one.partition("=")[0] not in overridden]
    execute(compose([*overrides, *given]), until=until, log=lambda line: None)


MODES = [
    pytest.param(group, option, id=f"{group}={option}", marks=[pytest.mark.slow] if {group, f"{group}={option}"} & SLOW else [])
    for group, option, _ in OPTIONS
    if group not in ("data", "experiment")
]


def test_every_group_has_a_stage() -> None:
    assert {group for group, _, _ in OPTIONS} - {"experiment"} == set(UNTIL)


@pytest.mark.parametrize(("group", "option"), MODES)
def test_an_option(group: str, option: str, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(world)
    mode = f"{group}={option}"
    chosen = (
        f"evaluate.metrics={json.dumps(['recall', 'ndcg', *({option} - {'recall', 'ndcg'})])}" if group == "metric" else mode
    )
    given = [*WITH.get(mode, []), chosen, *(small(group, option) if group not in ("generator", "tokenizer") else [])]
    for key, value in raw(next(file for where, name, file in OPTIONS if (where, name) == (group, option))).items():
        if value == "???":
            given.append(f"{group}.{key}={language_model('llama') if group == 'generator' else './nowhere'}")
    if mode == "encoder=minilm_collaborative":
        given.append("encoder.sources.text.model=./nowhere")
    if mode == "logger=wandb":
        given.append("logger.mode=offline")
    if mode not in REFUSED:
        run(world, UNTIL[group], *given)
        return
    with pytest.raises(GenRecError) as caught:
        run(world, UNTIL[group], *given)
    assert REFUSED[mode] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given", "refusal"), ROOT, ids=str)
def test_a_root_setting(given: str, refusal: str | None, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if refusal is None:
        run(world, "evaluate", given, "generator=sasrec")
        return
    with pytest.raises(GenRecError) as caught:
        run(world, "evaluate", given, "generator=sasrec")
    assert refusal in str(caught.value)


@pytest.mark.parametrize("option", [option for group, option, _ in OPTIONS if group == "data"])
def test_a_source_can_be_planned(option: str, tmp_path: Path) -> None:
    """Its files are read by tests of their own; here it is composed and planned, or says what it lacks."""
    file = next(file for group, name, file in OPTIONS if (group, name) == ("data", option))
    given: list[Any] = [f"data.{key}=./nowhere" for key, value in raw(file).items() if value == "???"]
    config = compose([f"data={option}", f"paths.runs={tmp_path}", *given])
    if given and option != "huggingface":  # whose word may be a name on the hub
        with pytest.raises(GenRecError, match="nowhere"):
            plan(config, until="prepare")
    else:
        assert [step.action for step in plan(config, until="prepare")] == ["run"]
