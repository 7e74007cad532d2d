"""What every metric of conf/metric promises; a new yaml is tested the moment it exists."""

from __future__ import annotations

import pytest
import yaml

from genrec.engine.components import instantiate
from genrec.engine.config import conf_folder
from genrec.engine.options import DEFAULTS
from genrec.evaluation.measure import METRICS
from genrec.testing import MetricContract
from genrec.testing.worlds import Maker

PRESETS = sorted((conf_folder() / "metric").glob("*.yaml"))


class TestEveryMetric(MetricContract):
    @pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
    def make(self, request: pytest.FixtureRequest) -> Maker:
        node = yaml.safe_load(request.param.read_text(encoding="utf-8"))
        return Maker(request.param.stem, lambda: instantiate(node, "metric"))


def test_what_is_counted_by_default_is_what_the_word_default_means() -> None:
    """And each is the option of its name, so that a list that names all counts the same."""
    assert tuple(METRICS) == DEFAULTS["metric"]
    for name, metric in METRICS.items():
        node = yaml.safe_load((conf_folder() / "metric" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert type(instantiate(node, "metric")) is type(metric)
