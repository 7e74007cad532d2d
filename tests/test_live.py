"""Items leave and return, and whole bundles are swapped, while other threads ask for recommendations."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from small_shop import shop

from genrec.errors import DataError
from genrec.recommender.item_changes import Changes
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.recommender import Recommender


def listed(recommender: Recommender, **settings: str) -> list[str]:
    return recommender.recommend(["i1", "i2"], k=20, **settings)["item_id"].to_list()  # type: ignore[arg-type]


def test_removed_items_are_not_listed_and_scores_stay() -> None:
    recommender = Recommender(shop(40))
    whole = recommender.recommend(["i1", "i2"], k=40)
    gone = whole["item_id"][:3].to_list()
    recommender.remove_items(gone)
    assert recommender.removed == sorted(gone, key=lambda item_id: int(item_id[1:]))
    left = recommender.recommend(["i1", "i2"], k=40)
    expected = whole.filter(~pl.col("item_id").is_in(gone))
    assert left.select("item_id", "score").equals(expected.select("item_id", "score"))
    assert not set(listed(recommender, filter="even == true")) & set(gone)
    assert recommender.restore_items(gone[:1]).restored == (gone[0],)
    assert listed(recommender)[0] == gone[0]
    with pytest.warns(UserWarning, match=r"not in the catalogue.*'nowhere'"):
        changes = recommender.remove_items(["i5", "nowhere", "i5", gone[1]])
    assert changes == Changes(removed=("i5",), unchanged=(gone[1],), unknown=("nowhere",))
    assert "i5" in recommender.removed
    with pytest.raises(DataError, match="got 5"):
        recommender.remove_items(["i6", 5])  # type: ignore[list-item]
    with pytest.raises(DataError, match="a list of item ids, got 'i6'"):
        recommender.remove_items("i6")
    assert "i6" not in recommender.removed


@contextmanager
def asked_by_others(live: PersistentRecommender) -> Iterator[list[tuple[frozenset[str], frozenset[str]]]]:
    """Two threads ask all the time; each answer with what had been removed before it was asked for."""
    answers: list[tuple[frozenset[str], frozenset[str]]] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            while not stop.is_set():
                gone = frozenset(live.removed)
                answers.append((gone, frozenset(listed(live))))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield answers
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed


def test_every_answer_is_of_one_state() -> None:
    """Codes of the two shops differ, and items 30.. exist in the second one only; what was removed is removed in both."""
    few, many = shop(30), shop(45, seed=1)
    live = PersistentRecommender(few, Journal(None))
    whole = {frozenset(listed(Recommender(catalogue))) for catalogue in (few, many)}
    with asked_by_others(live) as answers:
        while len(answers) < 30:
            live.swap(many)
            live.swap(few)
    assert {answer for _, answer in answers} == whole

    with asked_by_others(live) as answers:
        for row in range(3, 23):
            live.remove_items([f"i{row}"])
            live.swap(many if row % 2 else few)
            asked = len(answers)
            while len(answers) < asked + 2:
                time.sleep(0.001)
    assert all(not gone & answer for gone, answer in answers)
    assert live.removed == [f"i{row}" for row in range(3, 23)]
    live.restore_items(["i3"])
    live.swap(many)
    assert live.removed == [f"i{row}" for row in range(4, 23)]


def test_items_come_and_go_while_others_ask() -> None:
    """An item that came late is listed like any other, by the IDs of its own shop, until it is removed."""
    few, many = shop(30), shop(45, seed=1)
    live = PersistentRecommender(few, Journal(None))
    with asked_by_others(live) as answers:
        for row in range(30, 40):
            live.add_items([{"item_id": f"late{row}"}])
            assert f"late{row}" in live.recommend([[]], k=1, filter=f'item_id == "late{row}"')["item_id"]
            live.swap(many if row % 2 else few)
            assert live.items.height == (45 if row % 2 else 30) + row - 29
            live.remove_items([f"late{row}"])
            asked = len(answers)
            while len(answers) < asked + 2:
                time.sleep(0.001)
    assert all(not gone & answer for gone, answer in answers)
    assert live.removed == [f"late{row}" for row in range(30, 40)]


def test_nothing_is_lost_by_a_restart(tmp_path: Path) -> None:
    live = PersistentRecommender(shop(30), Journal(tmp_path))
    live.add_items([{"item_id": "late1", "even": True}, {"item_id": "late2"}])
    live.remove_items(["i4", "late2", "i7"])
    assert live.add_items([{"item_id": "i7", "even": True}]) == Changes(updated=("i7",), still_removed=("i7",))
    with pytest.warns(UserWarning, match="nowhere"):
        assert live.update_items([{"item_id": "late1", "even": None}, {"item_id": "nowhere"}]).unknown == ("nowhere",)
    with pytest.raises(DataError, match=r"column even: expected a value of type Boolean, got 'odd'"):
        live.add_items([{"item_id": "late3"}, {"item_id": "late4", "even": "odd"}])
    answer = listed(live)
    live.close()
    again = PersistentRecommender(shop(30), Journal(tmp_path))
    assert listed(again) == answer
    assert again.removed == ["i4", "i7", "late2"]
    assert again.items.tail(3).rows() == [("i29", False), ("late1", None), ("late2", None)]
    assert again.items_with("updated").rows() == [("i7", True), ("late1", None)]
    assert again.items_with("added")["item_id"].to_list() == ["late1", "late2"]
    again.close()
    other = PersistentRecommender(shop(45, seed=1), Journal(tmp_path))
    assert other.removed == ["i4", "i7", "late2"]
    assert other.items.row(7) == ("i7", True), "an update outlives the bundle that it was made on"
