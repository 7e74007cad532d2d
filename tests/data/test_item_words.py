"""Words of items, drawn as what was asked for before events: which can be drawn, how many, and that draws do not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset, Sequences
from genrec.data.event_columns import EventColumns
from genrec.data.lib.item_words import ItemWords

ITEMS = pl.DataFrame(
    {
        "item_id": ["i0", "i1", "i2", "i3"],
        "title": ["Red Acme LAMP", "red acme lamp, lamp", "blue acme lamp", None],
        "brand": ["Acme", "Acme", "Acme", "Other"],
        "tags": [["light", "desk"], ["light"], None, ["blue"]],
    }
)
WORDS = ItemWords(columns=["title", "tags"], without=["brand"], least_items=2, largest_share=0.5)


def test_words_of_one_item_of_too_many_and_of_the_brand_are_left_out() -> None:
    assert WORDS.of_items(ITEMS) == [["red", "light"], ["red", "light"], ["blue"], ["blue"]]  # no lamp, desk or acme
    frequent = replace(WORDS, largest_share=0.8)
    assert frequent.of_items(ITEMS)[1] == ["red", "lamp", "light"]  # each once


def test_each_event_draws_anew_and_the_same_seed_the_same() -> None:
    events = np.zeros(400, np.int32)
    drawn = WORDS.drawn(ITEMS, events)
    assert drawn.to_list() == WORDS.drawn(ITEMS, events).to_list() != replace(WORDS, seed=1).drawn(ITEMS, events).to_list()
    assert set(drawn) == {"red", "light", "light red"}
    assert abs((drawn == "light red").mean() - 2 / 3) < 0.08  # type: ignore[operator]  # of 1, 2 and 3 words, two are there


def test_a_share_of_the_events_has_no_text() -> None:
    drawn = replace(WORDS, asked_share=0.25, num_words=1).drawn(ITEMS, np.full(2000, 2, np.int32))
    assert set(drawn.drop_nulls()) == {"blue"}
    assert abs(drawn.is_not_null().mean() - 0.25) < 0.05  # type: ignore[operator]


def test_no_text_of_training_is_held_out() -> None:
    title = " ".join(f"w{number}" for number in range(8))
    items = pl.DataFrame({"item_id": ["i0", "i1", "i2"], "title": [title, title, None]})
    words = ItemWords(columns=["title"], least_items=2, largest_share=1.0, asked_share=0.5, held_out_share=0.3)
    events, in_train = np.tile(np.array([0, 1, 2], np.int32), 500), np.arange(1500) < 900
    drawn = words.drawn(items, events, in_train)
    of_training, of_targets = drawn.filter(pl.Series(in_train)), drawn.filter(pl.Series(~in_train))
    assert not set(of_training.drop_nulls()) & set(of_targets.drop_nulls())
    assert all(words.is_held_out(text) for text in of_targets.drop_nulls())
    assert of_targets.null_count() == 200  # only of the item without words
    assert abs(of_training.is_not_null().sum() / 600 - 0.5) < 0.07
    assert set(of_targets.drop_nulls()) > {text for text in of_targets.drop_nulls() if len(text.split()) > 1}


def test_a_dataset_keeps_the_words_as_texts_of_its_events() -> None:
    dataset = Dataset(
        items=ITEMS,
        users=pl.DataFrame({"user_id": ["a"]}),
        events=Sequences(np.array([0, 2, 3], np.int32), np.array([0, 3])),
        train_ends=np.array([1]),
        validation_ends=np.array([2]),
    )
    columns = EventColumns(text=WORDS)
    assert not columns.is_empty
    assert columns.kinds == {}  # no column of the interactions is read
    texts = columns.added_to(dataset, pl.DataFrame({"row": [0, 1, 2]}), None).event_texts
    assert texts is not None
    assert set(texts[0].split()) <= {"red", "light"}
    assert texts[1:].to_list() == ["blue", "blue"]
