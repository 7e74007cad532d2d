"""What every metric promises."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genrec.engine.registry import missing_members
from genrec.metrics.lib.tables import find_hits, first_items
from genrec.protocols.metrics import HitMetric, ListMetric, MetricInputs
from genrec.testing.worlds import Contract, Maker, ring, vectors_of

K = 5


def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lists of 8 items for 19 of 20 users, and their targets: at rank 1, 2, 3 ... of the list, and in no list."""
    users = [f"u{user}" for user in range(20)]
    lists = [(user, f"i{(row + rank) % 30}", rank) for row, user in enumerate(users[:-1]) for rank in range(1, 9)]
    targets = [(user, f"i{(row + 1 + row % 10) % 30}") for row, user in enumerate(users)]
    table = pl.DataFrame(lists, schema=["user_id", "item_id", "rank"], orient="row")
    return table, pl.DataFrame(targets, schema=["user_id", "item_id"], orient="row")


def inputs_of(table: pl.DataFrame, targets: pl.DataFrame, k: int = K) -> MetricInputs:
    """Returns everything that a metric of lists may look at."""
    import scipy.sparse as sparse

    dataset = ring(num_items=30)
    users = targets["user_id"].unique(maintain_order=True)
    shares = sparse.csr_array((np.ones(30), (np.arange(30), np.arange(30) % 3)), (30, 3))
    return MetricInputs(
        lists=first_items(table, dataset, "test", users, k),
        table=table,
        targets=targets,
        dataset=dataset,
        vectors=vectors_of(30),
        codes=np.stack([np.arange(30) // 6, np.arange(30) % 6], axis=1),
        category_shares=shares,
        popular=table.filter(pl.col("rank") > 4),
    )


class MetricContract(Contract):
    """The tests of a metric, of hits or of whole lists."""

    def figures(self, make: Maker, table: pl.DataFrame, targets: pl.DataFrame, k: int = K) -> np.ndarray:
        """The figures of all users, or the one of all lists."""
        metric = make()
        if isinstance(metric, HitMetric):
            return np.asarray(metric.from_hits(find_hits(table, targets), k))
        figure = metric.from_lists(inputs_of(table, targets, k), k)
        assert figure is not None, "everything is known here"
        return np.asarray(figure, dtype=float)

    def test_it_is_a_metric(self, make: Maker) -> None:
        metric = make()
        assert missing_members(metric, ("HitMetric", "ListMetric")) == []
        assert isinstance(metric, HitMetric) != isinstance(metric, ListMetric)
        assert metric.label.strip()

    def test_one_figure_a_user_or_one_of_all(self, make: Maker) -> None:
        table, targets = tables()
        figures = self.figures(make, table, targets)
        assert figures.shape in ((20,), ())
        assert not np.isinf(figures).any()
        if isinstance(make(), HitMetric):
            assert figures.shape == (20,)
            assert np.isfinite(figures).all()

    def test_the_order_of_rows_does_not_matter(self, make: Maker) -> None:
        table, targets = tables()
        shuffled = table.sample(fraction=1.0, shuffle=True, seed=3)
        np.testing.assert_allclose(self.figures(make, shuffled, targets), self.figures(make, table, targets), atol=1e-12)

    def test_what_is_beyond_k_does_not_count(self, make: Maker) -> None:
        table, targets = tables()
        short = table.filter(pl.col("rank") <= K)
        np.testing.assert_allclose(self.figures(make, short, targets), self.figures(make, table, targets), atol=1e-12)

    def test_without_a_hit_it_is_zero(self, make: Maker) -> None:
        """What is kept of baselines leaves out users without a hit."""
        if not isinstance(make(), HitMetric):
            pytest.skip("counts lists, not hits")
        table, targets = tables()
        figures = self.figures(make, table, targets)
        hit = table.filter(pl.col("rank") <= K).join(targets, on=["user_id", "item_id"], how="semi")["user_id"]
        without = ~targets["user_id"].is_in(hit.implode()).to_numpy()
        assert without.any()
        assert (figures[without] == 0).all()
        assert figures[~without].any()

    def test_users_without_a_list_are_counted(self, make: Maker) -> None:
        table, targets = tables()
        empty = self.figures(make, table.clear(), targets)
        assert empty.shape == self.figures(make, table, targets).shape
        assert not np.isinf(empty).any()
