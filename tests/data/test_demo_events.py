"""The demo shop with events: the filter against enumeration, frequencies against the law, what columns are worth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.core.dataset import Dataset, Sequences
from genrec.data import demo_events
from genrec.data.demo_events import AGE_GROUP, CITY, KINDS, QUERY, DemoEvents
from genrec.data.lib.demo_catalog import SHELVES, TASTES
from genrec.data.lib.demo_world import PATHS_FILE, WORLD_FILE, Chain, Column, World, load_chain, save_chain
from genrec.errors import ConfigError
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, RATING, USER_ID

SHOP = {"_target_": "genrec.data.demo_events.DemoEvents", "num_users": 1500, "num_items": 300}


def subsets(names: list[str]) -> list[tuple[str, ...]]:
    return [chosen for size in range(len(names) + 1) for chosen in combinations(names, size)]


class TestFilter:
    """A tiny chain with columns, where all hidden paths can be enumerated."""

    LENGTHS, TOTALS = (2, 2, 0), (3, 5, 1)  # of the histories; events of each user in all
    ITEMS = ([1, 0], [2, 5], [])
    USE = ("kind", "rating", "query", "age")

    @pytest.fixture
    def chain(self) -> Chain:
        rng = np.random.default_rng(0)
        emission = rng.dirichlet(np.full(8, 0.5), 3) + 0.02
        emission[:, 6] = 0.0  # never sold
        emission /= emission.sum(axis=1, keepdims=True)
        group = np.array([0, 1, 0, 1, 1, 0, 1, 0])
        return Chain(
            initial=rng.dirichlet(np.ones(3)),
            transition=rng.dirichlet(np.ones(3), 3),
            emission=emission,
            arrivals=np.arange(8) == 7,
            columns={
                "kind": Column(rng.dirichlet(np.ones(2), (3, 1)), np.zeros(8, dtype=int), ahead=True),
                "query": Column(rng.dirichlet(np.ones(3), (1, 2)), group, ahead=True),
                "rating": Column(rng.dirichlet(np.ones(4), (3, 2)), group),
            },
            attributes={"age": rng.dirichlet(np.ones(3), 3)},
        )

    @pytest.fixture
    def world(self, chain: Chain) -> World:
        rng = np.random.default_rng(1)
        values = {name: rng.integers(0, column.law.shape[2], 9) for name, column in chain.columns.items()}
        return World(
            chain=chain,
            on_sale=chain.emission[:, :7].sum(axis=1),
            states=rng.integers(0, 3, 9).astype(np.uint8),
            offsets=np.cumsum([0, *self.TOTALS]),
            values=values | {"age": np.array([0, 2, 1])},
        )

    def enumerated(self, world: World, user: int, use: tuple[str, ...], given: tuple[str, ...]) -> np.ndarray:
        """p(next item | history and values) by its definition, summed over all hidden paths."""
        chain, history, total = world.chain, self.ITEMS[user], self.TOTALS[user]
        joint = np.zeros(8)
        for item, path in product(range(8), product(range(3), repeat=len(history) + 1)):
            chance = chain.attributes["age"][path[0], world.values["age"][user]] if "age" in use else 1.0
            items = [*history, item]
            for t, (bought, state) in enumerate(zip(items, path, strict=True)):
                chance *= chain.transition[path[t - 1], state] if t else chain.initial[state]
                possible = [x for x in range(8) if x not in items[:t] and (x != 7 or t == total - 1)]
                chance *= chain.emission[state, bought] / chain.emission[state, possible].sum() if bought in possible else 0.0
                for name in given if t == len(history) else set(use) - {"age"}:
                    column = chain.columns[name]
                    law = np.broadcast_to(column.law, (3, 2, column.law.shape[2]))
                    group = column.group[bought] if column.law.shape[1] > 1 else 0
                    chance *= law[state, group, world.values[name][world.offsets[user] + t]]
            joint[item] += chance
        return joint / joint.sum()

    @pytest.mark.parametrize("use", subsets(list(USE)))
    def test_every_subset_equals_enumeration(self, world: World, use: tuple[str, ...]) -> None:
        offsets = np.cumsum([0, *self.LENGTHS])
        histories = Sequences(np.array([item for items in self.ITEMS for item in items], dtype=np.int32), offsets)
        for given in subsets(["kind", "query"]):
            predicted = world.predict(histories, use=use, given=given)
            expected = [self.enumerated(world, user, use, given) for user in range(3)]
            np.testing.assert_allclose(predicted, expected, atol=1e-6)

    def test_bounds_name_each_column_that_is_worth_something(self, world: World) -> None:
        with_columns = [
            "bayes with kind",
            "bayes with rating",
            "bayes with users",
            "bayes with next kind",
            "bayes with next query",
        ]
        assert list(world.bounds()) == ["bayes", *with_columns, "bayes with all", "oracle"]

    def test_draws_follow_the_law(self, chain: Chain) -> None:
        states, items = np.repeat([0, 1, 2], 20_000), np.tile([0, 1], 30_000)
        for column in chain.columns.values():
            drawn = column.draw(states, items, np.random.default_rng(3))
            law = np.broadcast_to(column.law, (3, 2, column.law.shape[2]))
            for state, item in product(range(3), (0, 1)):
                counts = np.bincount(drawn[(states == state) & (items == item)], minlength=law.shape[2])
                np.testing.assert_allclose(counts / 10_000, law[state, item], atol=0.025)

    def test_a_saved_chain_is_the_same(self, chain: Chain, tmp_path: Path) -> None:
        save_chain(chain, pl.Series(ITEM_ID, list("abcdefgh")), tmp_path / "chain")
        loaded, item_ids = load_chain(tmp_path / "chain")
        assert item_ids.to_list() == list("abcdefgh")
        assert list(loaded.columns) == list(chain.columns)
        for name, column in chain.columns.items():
            np.testing.assert_array_equal(loaded.columns[name].law, column.law)
            np.testing.assert_array_equal(loaded.columns[name].group, column.group)
            assert bool(loaded.columns[name].ahead) == column.ahead
        np.testing.assert_array_equal(loaded.attributes["age"], chain.attributes["age"])


def world_of(shop: DemoEvents, folder: Path) -> tuple[World, Sequences]:
    """The world of a shop without the prepare stage, and all events but each user's last."""
    raw = shop.load()
    for name, write in raw.extra_files.items():
        write(folder / name)
    chain, item_ids = load_chain(folder / WORLD_FILE)
    paths = pl.read_parquet(folder / PATHS_FILE)
    lengths = paths["states"].list.len().to_numpy().astype(np.int64)
    rows = dict(zip(item_ids, range(len(item_ids)), strict=True))
    items = raw.interactions[ITEM_ID].replace_strict(rows, return_dtype=pl.Int32).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    world = World(
        chain=chain,
        on_sale=chain.emission[:, ~chain.arrivals].sum(axis=1),
        states=paths["states"].list.explode().to_numpy(),
        offsets=offsets,
        values={name: paths[name].list.explode().to_numpy() for name in chain.columns}
        | {name: paths[name].to_numpy() for name in chain.attributes},
    )
    is_last = np.isin(np.arange(len(items)), offsets[1:] - 1)
    return world, Sequences(items[~is_last], np.concatenate([[0], np.cumsum(lengths - 1)]))


@pytest.fixture(scope="module")
def bounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    world, histories = world_of(DemoEvents(num_users=1500), tmp_path_factory.mktemp("world"))
    discount = 1 / np.log2(np.arange(10) + 2)

    def expected(chances: np.ndarray) -> float:
        return float((-np.sort(-chances, axis=1)[:, :10] @ discount).mean())

    users = np.arange(len(histories))
    return {name: expected(predict(histories, users)) for name, predict in world.bounds().items()}


@pytest.fixture(scope="module")
def raw() -> RawData:
    return DemoEvents().load()


@pytest.fixture(scope="module")
def events(raw: RawData) -> pl.DataFrame:
    assert raw.items is not None
    return raw.interactions.join(raw.items, on=ITEM_ID, how="left", maintain_order="left")


class TestWorth:
    """What the columns are worth on the default world, by the expected NDCG@10 of each bound's own ranking."""

    @pytest.mark.parametrize(
        ("name", "least"),
        [
            ("with event_type", 1.10),
            ("with rating", 1.10),
            ("with users", 1.07),
            ("with next event_type", 1.25),
            ("with next query", 1.5),
            ("with all", 2.0),
        ],
    )
    def test_each_column_lifts_the_bound(self, bounds: dict[str, float], name: str, least: float) -> None:
        assert bounds[f"bayes {name}"] > least * bounds["bayes"]

    def test_more_knowledge_never_lowers_it(self, bounds: dict[str, float]) -> None:
        assert bounds["bayes with event_type"] < bounds["bayes with next event_type"] < bounds["bayes with all"]
        assert max(bounds.values()) in (bounds["bayes with all"], bounds["oracle"])
        assert bounds["bayes with all"] < 1.02 * bounds["oracle"]


class TestShop:
    def test_kinds_follow_each_other_by_the_law(self, events: pl.DataFrame) -> None:
        assert set(events[EVENT_TYPE]) == set(KINDS)
        after = events.with_columns(next=pl.col(EVENT_TYPE).shift(-1).over(USER_ID)).drop_nulls("next")
        carts = after.filter(pl.col(EVENT_TYPE) == "cart")
        law = demo_events._next_kind()[:, 1]  # by taste; each has a share of the carts
        bought = (carts["next"] == "purchase").mean()
        assert law[:, 2:].sum(axis=1).min() < bought < law[:, 2:].sum(axis=1).max()
        assert bought > 2 * (after.filter(pl.col(EVENT_TYPE) == "view")["next"] == "purchase").mean()

    def test_ratings_are_of_purchases(self, events: pl.DataFrame) -> None:
        rated = events.filter(pl.col(RATING).is_not_null())
        assert set(rated[EVENT_TYPE]) == {"purchase"}
        assert set(rated[RATING]) == {1.0, 2.0, 3.0, 4.0, 5.0}
        share = rated.height / (events[EVENT_TYPE] == "purchase").sum()
        assert abs(share - demo_events.RATED) < 0.02
        pleased = np.array(demo_events.STARS)[:, 3:].sum(axis=1) @ [1 - demo_events.PLEASED, demo_events.PLEASED]
        assert abs((rated[RATING] > 3).mean() - pleased) < 0.02

    def test_queries_are_words_of_the_item(self, events: pl.DataFrame) -> None:
        asked = events.filter(pl.col(QUERY).is_not_null())
        assert abs(asked.height / events.height - demo_events.ASKED) < 0.01
        shelf = {shelf.noun: shelf for shelf in SHELVES}
        adjectives = {adjective.lower() for taste in TASTES for adjective in taste.adjectives}
        right, with_adjective = 0, 0
        for query, path in asked.select(QUERY, "categories").iter_rows():
            kind = shelf[path.split(" > ")[-1]]
            right += kind.noun.lower() in query or kind.purpose.rstrip(".").lower() in query
            with_adjective += query.split()[0] in adjectives
        assert abs(right / asked.height - demo_events.RIGHT_SHELF) < 0.015
        assert abs(with_adjective / asked.height - demo_events.WITH_ADJECTIVE) < 0.015

    def test_age_tells_the_brands_and_the_city_nothing(self, raw: RawData, events: pl.DataFrame) -> None:
        assert raw.users is not None
        assert raw.users.columns == [USER_ID, AGE_GROUP, CITY]
        assert raw.users[USER_ID].n_unique() == raw.users.height == 8000
        liked = events.filter(pl.col(RATING) > 3).join(raw.users, on=USER_ID)

        def largest_share(column: str) -> float:  # of a group among those who like one brand
            counts = liked.group_by("brand", column).len().with_columns(all=pl.col("len").sum().over("brand"))
            return float((counts["len"] / counts["all"]).max())  # type: ignore[arg-type]

        assert largest_share(AGE_GROUP) > 0.6
        assert largest_share(CITY) < 0.4

    def test_looks_and_purchases_have_different_favourites(self, events: pl.DataFrame) -> None:
        counts = events.pivot(EVENT_TYPE, index=ITEM_ID, values=USER_ID, aggregate_function="len").fill_null(0)
        looks, purchases, carts = (counts[kind].to_numpy() for kind in ("view", "purchase", "cart"))
        assert np.corrcoef(carts, purchases)[0, 1] > np.corrcoef(looks, purchases)[0, 1] + 0.3

    def test_deterministic_and_the_shop_does_not_depend_on_its_users(self, tmp_path: Path) -> None:
        one, same, more = (DemoEvents(num_users=count).load() for count in (50, 50, 60))
        assert one.interactions.equals(same.interactions)
        assert one.users is not None
        assert one.users.equals(same.users)
        assert one.items.equals(more.items)
        for name, raw in (("one", one), ("more", more)):
            raw.extra_files[WORLD_FILE](tmp_path / name)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "more").read_bytes()

    def test_the_prepared_world_is_that_of_the_dataset(self, prepare: Callable[..., Any]) -> None:
        dataset: Dataset = prepare(SHOP).dataset
        assert dataset.folder is not None
        world, histories = World.load(dataset.folder), dataset.histories("validation")
        target = dataset.targets("validation").item_idx
        for predict in world.bounds().values():
            chances = predict(histories, np.arange(len(histories)))
            np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-5)
            logs = np.log(np.where(chances > 0, chances, 1.0))
            surprise = logs[np.arange(len(target)), target] - (chances * logs).sum(axis=1)
            assert chances[np.arange(len(target)), target].min() > 0
            assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(surprise))

    @pytest.mark.parametrize(("setting", "value"), [("events_per_user", 3.0), ("num_items", 60), ("loyalty", 0.5)])
    def test_bad_settings(self, setting: str, value: float) -> None:
        with pytest.raises(ConfigError, match=rf"data\.{setting}: .* got {value};"):
            DemoEvents(**{setting: value})
