"""The demo world: the exact filter against enumeration, the samples against the law, and what the shop promises."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.popularity import Popularity
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset, Sequences
from genrec.data import demo
from genrec.data.demo import DemoShop
from genrec.data.lib.demo_habits import DAY, LAUNCH
from genrec.data.lib.demo_world import PATHS_FILE, WORLD_FILE, Chain, World
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.types import Split

SHOP = {"_target_": "genrec.data.demo.DemoShop", "num_users": 300, "num_items": 200, "events_per_user": 10.0}


@pytest.fixture
def shop(prepare: Callable[..., Any]) -> Dataset:
    return prepare(SHOP).dataset


def rows(sequences: Sequences) -> list[list[int]]:
    return [sequences[user].tolist() for user in range(len(sequences))]


def sequences(histories: list[list[int]]) -> Sequences:
    offsets = np.cumsum([0, *map(len, histories)])
    return Sequences(np.array([item for history in histories for item in history], dtype=np.int32), offsets)


def ndcg_at_10(scores: np.ndarray, dataset: Dataset, split: Split) -> float:
    """Mean over users with one target each; seen items excluded, ties at their middle rank."""
    history, target = dataset.histories(split), dataset.targets(split).item_idx
    scores = scores.astype(np.float64)
    scores[history.user_idx, history.item_idx] = -np.inf
    own = scores[np.arange(len(target)), target][:, None]
    rank = (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return float(np.where(rank < 10, 1 / np.log2(rank + 2), 0.0).mean())


class TestFilter:
    """A tiny chain, where all hidden paths can be enumerated."""

    TOTALS = (3, 5, 4)  # events of each user

    @pytest.fixture
    def chain(self) -> Chain:
        rng = np.random.default_rng(0)
        emission = rng.dirichlet(np.full(8, 0.5), 3)
        emission[:, 6] = 0.0  # never sold
        emission /= emission.sum(axis=1, keepdims=True)
        return Chain(
            initial=rng.dirichlet(np.ones(3)),
            transition=rng.dirichlet(np.ones(3), 3),
            emission=emission,
            arrivals=np.arange(8) == 7,
        )

    @pytest.fixture
    def world(self, chain: Chain) -> World:
        states = np.random.default_rng(1).integers(0, 3, sum(self.TOTALS)).astype(np.uint8)
        on_sale = chain.emission[:, :7].sum(axis=1)
        return World(chain=chain, on_sale=on_sale, states=states, offsets=np.cumsum([0, *self.TOTALS]))

    @staticmethod
    def joint(chain: Chain, items: list[int], total: int, path: tuple[int, ...]) -> float:
        """p(items, path) by its definition, with ``total`` events in the user's life."""
        chance = 1.0
        for t, (item, state) in enumerate(zip(items, path, strict=True)):
            chance *= chain.transition[path[t - 1], state] if t else chain.initial[state]
            possible = [x for x in range(8) if x not in items[:t] and (x != 7 or t == total - 1)]
            chance *= chain.emission[state, item] / chain.emission[state, possible].sum() if item in possible else 0.0
        return float(chance)

    def enumerated(self, chain: Chain, history: list[int], total: int, last_state: int | None = None) -> np.ndarray:
        """p(next item | history), summed over all hidden paths (those through ``last_state`` if given)."""
        paths = [
            path
            for path in product(range(3), repeat=len(history) + 1)
            if last_state is None or not history or path[-2] == last_state
        ]
        joint = [sum(self.joint(chain, [*history, item], total, path) for path in paths) for item in range(8)]
        return np.array(joint) / sum(joint)

    HISTORIES = (
        [[], [], []],
        [[0], [3], [5]],
        [[1, 0], [2, 5, 0, 4], [5, 1, 2]],  # what follows is everybody's last event
        [[1], [4, 3], []],
    )

    @pytest.mark.parametrize("histories", HISTORIES)
    def test_predict_equals_enumeration_of_all_paths(self, chain: Chain, world: World, histories: list[list[int]]) -> None:
        found = world.predict(sequences(histories))
        wanted = [self.enumerated(chain, h, total) for h, total in zip(histories, self.TOTALS, strict=True)]
        np.testing.assert_allclose(found, wanted, atol=1e-6)

    @pytest.mark.parametrize("histories", HISTORIES)
    def test_oracle_equals_enumeration_through_the_true_state(
        self, chain: Chain, world: World, histories: list[list[int]]
    ) -> None:
        found = world.oracle(sequences(histories))
        for user, history in enumerate(histories):
            state = int(world.states[world.offsets[user] + len(history) - 1]) if history else None
            np.testing.assert_allclose(found[user], self.enumerated(chain, history, self.TOTALS[user], state), atol=1e-6)

    def test_an_impossible_history_is_an_error(self, world: World) -> None:
        for item in (6, 7):  # never sold; on sale at the last event only
            with pytest.raises(DataError, match=rf"user_idx 1, event 1: .* got item_idx {item}"):
                world.predict(sequences([[0], [1, item], [2]]))

    def test_some_users_only(self, world: World) -> None:
        histories = sequences([[0], [3, 1], [5]])
        np.testing.assert_array_equal(world.predict(histories, np.array([2, 1])), world.predict(histories)[[2, 1]])

    def test_samples_follow_the_law(self, chain: Chain) -> None:
        """Frequencies of whole item triples against their probabilities, summed over paths."""
        count = 40_000
        items, states = chain.sample(np.full(count, 3), np.random.default_rng(2))
        assert states.max() == 2
        codes, seen = np.unique(items @ [64, 8, 1], return_counts=True)
        for code, number in zip(codes, seen, strict=True):
            triple = [int(code) // 64, int(code) // 8 % 8, int(code) % 8]
            chance = sum(self.joint(chain, triple, 3, path) for path in product(range(3), repeat=3))
            assert abs(number - count * chance) < 5 * np.sqrt(count * chance) + 1


class TestWorld:
    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_probabilities(self, shop: Dataset, split: Split) -> None:
        """Sum to 1 over what is on sale and unseen; the log-probability of what happened is minus the entropy on average."""
        assert shop.folder is not None
        world = World.load(shop.folder)
        histories, target = shop.histories(split), shop.targets(split).item_idx
        for chances in (world.predict(histories), world.oracle(histories)):
            np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-5)
            assert (chances[histories.user_idx, histories.item_idx] == 0).all()
            assert (chances[:, world.chain.arrivals] > 0).any() == (split == "test")
            logs = np.log(np.where(chances > 0, chances, 1.0))
            surprise = logs[np.arange(len(target)), target] - (chances * logs).sum(axis=1)
            assert chances[np.arange(len(target)), target].min() > 0
            assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(surprise))

    def test_follows_the_datasets_order_of_items_and_users(self, shop: Dataset, tmp_path: Path) -> None:
        assert shop.folder is not None
        world = World.load(shop.folder)
        rng = np.random.default_rng(0)
        item_order, user_order = rng.permutation(shop.num_items), rng.permutation(shop.num_users)
        place = np.argsort(item_order)
        moved = [place[shop.events[user]].tolist() for user in user_order]
        events = sequences(moved)
        Dataset(
            items=shop.items[item_order],
            users=shop.users[user_order],
            events=events,
            train_ends=events.offsets[1:] - 2,
            validation_ends=events.offsets[1:] - 1,
        ).save(tmp_path)
        for file in (WORLD_FILE, PATHS_FILE):
            (tmp_path / file).write_bytes((shop.folder / file).read_bytes())
        other, histories = World.load(tmp_path), Dataset.load(tmp_path).histories("test")
        for there, here in ((other.predict, world.predict), (other.oracle, world.oracle)):
            np.testing.assert_allclose(there(histories), here(shop.histories("test"))[user_order][:, item_order], atol=1e-6)

    def test_refuses_what_is_not_the_whole_world(self, prepare: Callable[..., Any], tmp_path: Path) -> None:
        filtered = prepare(SHOP, filters={"k_core": 8}).dataset
        with pytest.raises(DataError, match=r"user user\d+: expected all \d+ events .* got \d+ events"):
            World.load(filtered.folder)
        with pytest.raises(ArtifactError, match=WORLD_FILE):
            World.load(tmp_path)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_baselines_bayes_oracle(self, prepare: Callable[..., Any], seed: int) -> None:
        """On the default world the best baseline is at most 80 % of the Bayes bound, and the oracle is not below the bound."""
        dataset = prepare({"_target_": SHOP["_target_"], "seed": seed}).dataset
        world, histories = World.load(dataset.folder), dataset.histories("test")
        bayes = ndcg_at_10(world.predict(histories), dataset, "test")
        baselines = []
        for baseline in (Popularity(), ItemKNN(), Transitions(), Transitions(window=1, last=1)):
            baseline.fit(dataset)
            baselines.append(ndcg_at_10(baseline.score(histories), dataset, "test"))
        assert 0.02 < min(baselines) < max(baselines) <= 0.8 * bayes
        assert bayes <= ndcg_at_10(world.oracle(histories), dataset, "test")


class TestShop:
    def test_nobody_buys_twice_and_time_goes_on(self, shop: Dataset) -> None:
        assert shop.timestamps is not None
        for user, items in enumerate(rows(shop.events)):
            times = shop.timestamps[shop.events.offsets[user] : shop.events.offsets[user + 1]]
            assert len(set(items)) == len(items) >= 5
            assert (np.diff(times) > 0).all()
            assert times[-2] < LAUNCH <= times[-1]
            assert times[-1] - times[0] < 366 * DAY

    def test_new_and_unsold_items(self, shop: Dataset) -> None:
        assert shop.folder is not None
        world = World.load(shop.folder)
        counts = np.bincount(shop.events.item_idx, minlength=shop.num_items)
        unsold = world.chain.emission.sum(axis=0) == 0
        assert (world.chain.arrivals.sum(), unsold.sum()) == (6, 2)
        assert shop.train_counts[world.chain.arrivals].sum() == 0 < counts[world.chain.arrivals].sum()
        assert counts[unsold].sum() == 0
        assert not world.chain.arrivals[shop.targets("validation").item_idx].any()

    def test_items_are_readable(self) -> None:
        items = DemoShop().load().items
        assert items is not None
        assert items.columns == ["item_id", "title", "brand", "categories", "price", "description"]
        assert items["title"].n_unique() == items["item_id"].n_unique() == items.height == 800
        assert items["categories"].n_unique() == 16
        assert items["price"].min() > 1
        for row in items.iter_rows(named=True):
            assert row["title"].startswith(row["brand"])
            assert row["categories"].split(" > ")[-1] in row["title"]

    def test_deterministic_and_the_shop_does_not_depend_on_its_users(self, tmp_path: Path) -> None:
        one, same = (DemoShop(num_users=50).load() for _ in range(2))
        assert one.interactions.equals(same.interactions)
        more, another = DemoShop(num_users=60).load(), DemoShop(num_users=50, seed=2).load()
        assert one.items.equals(same.items)
        assert one.items.equals(more.items)
        assert not one.items.equals(another.items)
        for name, raw in (("one", one), ("same", same), ("more", more)):
            raw.extra_files[WORLD_FILE](tmp_path / name)
        assert len({(tmp_path / name).read_bytes() for name in ("one", "same", "more")}) == 1

    def test_knobs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demo, "USERS_AT_ONCE", 300)  # several chunks
        raw = DemoShop(num_users=1000, num_items=400, events_per_user=12.0).load()
        lengths = raw.interactions.group_by("user_id").len()["len"]
        assert (len(lengths), raw.items.height) == (1000, 400)
        assert (lengths.min(), lengths.max()) == (5, 36)
        assert 11 < lengths.mean() < 13
        flat = DemoShop(num_users=1000, num_items=400, events_per_user=12.0, popularity_skew=0.0).load()
        skew = [table["item_id"].value_counts()["count"].std() for table in (raw.interactions, flat.interactions)]
        assert skew[0] > 1.5 * skew[1]

    def test_loyal_users_buy_their_own_taste(self) -> None:
        def brands_per_shelf(loyalty: float) -> float:
            raw = DemoShop(num_users=300, loyalty=loyalty).load()
            bought = raw.interactions.join(raw.items, on="item_id")
            return float(bought.group_by("user_id", "categories").agg(pl.col("brand").n_unique() / pl.len())["brand"].mean())

        assert brands_per_shelf(100.0) < 0.9 * brands_per_shelf(1.0)

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("num_users", 0),
            ("num_items", 100),
            ("events_per_user", 5.0),
            ("seed", -1),
            ("loyalty", 0.5),
            ("popularity_skew", 3.0),
            ("new_rate", 0.4),
            ("unsold_rate", -0.1),
        ],
    )
    def test_bad_settings(self, setting: str, value: float) -> None:
        with pytest.raises(ConfigError, match=rf"data\.{setting}: .* got {value};"):
            DemoShop(**{setting: value})
