"""recommend.candidates: ranking among given items, for the model and every baseline alike, and stamped so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from small_evaluation import BASELINES, evaluated, metrics_of, recommended, walks
from small_world import OPTIONS, ring, sids_of

from genrec.baselines.lib.ranking import ranked_tables, scores_of
from genrec.baselines.popularity import Popularity
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset, users_with_targets
from genrec.core.trie import PrefixTrie
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.lib.batch_decoding import recommend_users
from genrec.decoding.trie_beam import TrieBeam
from genrec.errors import ConfigError, DataError
from genrec.evaluation.candidate_lists import read_candidates
from genrec.reports.evaluated_runs import _check_comparable
from genrec.types import SPLITS

SIZE = 8  # candidates of a user: the target and seven others


def candidates_of(dataset: Dataset, seed: int = 0, with_target: bool = True) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    rows = []
    for split in SPLITS:
        targets = dataset.targets(split)
        for user, item in zip(targets.user_idx, targets.item_idx, strict=True):
            others = [other for other in random.permutation(dataset.num_items) if other != item][: SIZE - with_target]
            chosen = [*others, *([item] if with_target else [])]
            rows += [(split, dataset.user_ids[int(user)], dataset.item_ids[int(other)]) for other in chosen]
    return pl.DataFrame(rows, schema=["split", "user_id", "item_id"], orient="row").sample(fraction=1, shuffle=True, seed=seed)


def write(table: pl.DataFrame, path: Path) -> Path:
    {".csv": table.write_csv, ".parquet": table.write_parquet, ".jsonl": table.write_ndjson}[path.suffix](path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_baselines_rank_the_candidates_alone(suffix: str, exclude_seen: bool, tmp_path: Path) -> None:
    dataset = walks()
    table = candidates_of(dataset)
    said: list[str] = []
    lists = read_candidates(write(table, tmp_path / f"c{suffix}"), dataset, SPLITS, said.append)
    assert lists is not None
    of_user = {key: set(part["item_id"]) for key, part in table.partition_by("split", "user_id", as_dict=True).items()}
    for baseline in (Popularity(), Transitions()):
        baseline.fit(dataset)
        for split in SPLITS:
            options: dict[str, Any] = {"k": 50, "exclude_seen": exclude_seen}
            every = pl.concat(ranked_tables(scores_of(baseline), dataset, split, **options))
            among = pl.concat(ranked_tables(scores_of(baseline), dataset, split, **options, allowed=lists.mask(split)))
            for (user,), part in every.partition_by("user_id", as_dict=True).items():
                order = [item for item in part["item_id"] if item in of_user[split, user]]
                assert among.filter(pl.col("user_id") == user)["item_id"].to_list() == order
    assert "candidates: 8 items a user (at most 8) of 30" in said[0]


def test_figures_are_stamped_and_count_among_the_candidates(tmp_path: Path) -> None:
    dataset = walks()
    file = write(candidates_of(dataset), tmp_path / "c.csv")
    lists = read_candidates(file, dataset, SPLITS, lambda line: None)
    assert lists is not None
    baseline = Transitions()
    baseline.fit(dataset)
    tables = [
        table
        for split in SPLITS
        for table in ranked_tables(scores_of(baseline), dataset, split, k=10, exclude_seen=True, allowed=lists.mask(split))
    ]
    full = metrics_of(evaluated(tmp_path / "full", dataset, recommended(dataset), search_users=0))
    among = metrics_of(evaluated(tmp_path / "among", dataset, pl.concat(tables), candidates=file, search_users=0))
    assert full["rules"]["candidates"] is None
    assert among["rules"]["candidates"] | {"sha256": ""} == {"sha256": "", "mean": 8.0, "largest": 8}
    assert any("ranked among 8 candidates a user, not among all 30 items" in line for line in among["warnings"])
    for name in BASELINES:
        assert among["baselines"][name]["test/ndcg@5"] > full["baselines"][name]["test/ndcg@5"]
    assert (
        among["model"]["test/recall@10"] == among["baselines"]["transitions"]["test/recall@10"] == 1.0
    )  # 8 candidates, 10 places
    first, second = (SimpleNamespace(name=name, metrics=metrics) for name, metrics in (("a", full), ("b", among)))
    users = pl.DataFrame({"user_id": ["u"]})
    with pytest.raises(ConfigError, match="expected the same candidates, got None and"):
        _check_comparable(first, second, users, users, "test")  # type: ignore[arg-type]


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.id in ("encdec", "tiger", "parallel")], ids=str)
def test_a_generator_ranks_the_candidates_by_their_probability(option: Any, tmp_path: Path) -> None:
    dataset, sids = ring(num_items=40, num_users=12), sids_of(40, (4, 5, 6))
    trie = PrefixTrie.build(sids)
    torch.manual_seed(0)
    generator = option.build(sids, train_counts=dataset.train_counts).eval()
    lists = read_candidates(write(candidates_of(dataset), tmp_path / "c.csv"), dataset, SPLITS, lambda line: None)
    assert lists is not None
    users = users_with_targets(dataset, "test")
    options: dict[str, Any] = {"exclude_seen": True, "batch_size": 5}
    every = recommend_users(generator, Exhaustive(), trie, dataset.histories("test"), users, k=40, **options)
    allowed = lists.allowed("test", np.arange(dataset.num_users))
    for strategy in (Exhaustive(), TrieBeam(num_beams=SIZE)):
        options["candidates"] = lists.mask("test")
        among = recommend_users(generator, strategy, trie, dataset.histories("test"), users, k=SIZE, **options)
        for user in users:
            ranked = every.filter(pl.col("user_idx") == user)["item_idx"].to_list()
            got = among.filter(pl.col("user_idx") == user)["item_idx"].to_list()
            assert got == [item for item in ranked if allowed[user, item]]
            assert got


def test_targets_that_are_no_candidates_are_told(tmp_path: Path) -> None:
    dataset = walks()
    lists = read_candidates(
        write(candidates_of(dataset, with_target=False), tmp_path / "c.csv"), dataset, SPLITS, lambda line: None
    )
    assert lists is not None
    assert lists.doubts[0].startswith("60 of 60 validation targets are not among their user's candidates")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.drop("item_id"), "expected a column 'item_id'"),
        (lambda table: table.drop("split"), "expected candidates for every user with a validation target, got none for user"),
        (lambda table: table.filter(pl.col("user_id") != "u7"), "got none for user 'u7' (1 such users); add rows for them"),
        (lambda table: table.with_columns(split=pl.lit("tset")), "expected validation or test, got tset; did you mean test?"),
        (lambda table: table.with_columns(item_id=pl.lit("zzz")), "with item 'zzz' and no known pair"),
    ],
)
def test_faulty_candidates_are_refused(spoil: Any, message: str, tmp_path: Path) -> None:
    dataset = walks()
    file = write(spoil(candidates_of(dataset)), tmp_path / "c.csv")
    with pytest.raises(DataError) as caught:
        read_candidates(file, dataset, SPLITS, lambda line: None)
    assert message in str(caught.value)


def test_a_table_without_splits_is_enough_for_the_test_part(tmp_path: Path) -> None:
    dataset = walks()
    table = candidates_of(dataset).filter(pl.col("split") == "test").drop("split")
    lists = read_candidates(write(table, tmp_path / "c.csv"), dataset, ["test"], lambda line: None)
    assert lists is not None
    assert (lists.allowed("test", np.arange(60)).sum(1) == SIZE).all()


def test_lists_of_others_hold_candidates_only(tmp_path: Path) -> None:
    dataset = walks()
    file = write(recommended(dataset), tmp_path / "lists.csv")
    candidates = write(candidates_of(dataset), tmp_path / "c.csv")
    with pytest.raises(
        DataError, match=r"expected candidates of the user only, because recommend\.candidates is given, got item"
    ):
        evaluated(tmp_path / "runs", dataset, pl.DataFrame(), file=file, candidates=candidates, search_users=0)
