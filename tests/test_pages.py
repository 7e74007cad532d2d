import re

import numpy as np
import pytest
from html_pages import parsed
from small_evaluation import evaluated, recommended, walks

from genrec.engine.artifacts import Store
from genrec.reports.charts import Bars, bar_chart, curve_chart, grouped_bars
from genrec.reports.lists_sections import popularity_bands
from genrec.reports.page import Markup, join, render, tag
from genrec.reports.report import report


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    root, dataset = tmp_path_factory.mktemp("walk"), walks()
    evaluation = evaluated(root, dataset, recommended(dataset))
    others = {kind: Store(root).find(kind, fingerprint) for kind, fingerprint in evaluation.inputs.items()}
    return report("walk", {**others, "evaluation": evaluation})


def test_the_report_is_well_formed_and_self_contained(page):
    tree = parsed(page)
    for name, attributes in tree.tags:
        assert name not in {"script", "link", "img", "iframe"}
        assert not {"src", "href"} & set(attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_the_report_can_be_read_without_seeing_it(page):
    tags = parsed(page).tags
    assert ("html", {"lang": "en"}) in tags
    assert [name for name, _ in tags].count("h1") == 1
    assert any(name == "meta" and attributes.get("name") == "viewport" for name, attributes in tags)
    charts = [attributes for name, attributes in tags if name == "svg" and "aria-hidden" not in attributes]
    assert all(chart["role"] == "img" and ": " in str(chart["aria-label"]) for chart in charts)
    assert sum("walk" in str(chart["aria-label"]) for chart in charts) == 3
    assert all(attributes.get("scope") in {"col", "row", "colgroup"} for name, attributes in tags if name == "th")


def test_the_report_shows_twenty_users_and_escapes_their_titles(page):
    assert page.count('<article class="user">') == 20
    assert "&lt;Item &amp; " in page
    assert "<Item" not in page
    assert "$5" in page
    hits = re.findall(r'<li class="hit">', page)
    assert len(hits) >= 10  # half of the users were drawn among those with a hit in the first ten


def test_light_and_dark_colours_are_complete():
    style = render("t", lead="", body=Markup(""))
    light, dark = re.findall(r":root \{([^}]*)\}", style)
    names = [set(re.findall(r"(--[a-z-]+):", part)) for part in (light, dark)]
    assert names[0] == names[1]
    assert set(re.findall(r"var\((--[a-z-]+)\)", style)) <= names[0]


def test_text_is_escaped_and_markup_is_not():
    assert tag("p", "<b>", tag("i", 'a"b'), data_x='"') == '<p data-x="&quot;">&lt;b&gt;<i>a&quot;b</i></p>'
    assert join("&", None, Markup("&amp;")) == "&amp;&amp;"
    assert "<title>&lt;x&gt; $y</title>" in render("<x> $y", lead="$z", body=Markup("$w"))


def test_bars_are_as_long_as_their_values():
    chart = bar_chart("NDCG@10", [Bars("baseline", "baseline", 0.1, 0.2), Bars("model", "model", 0.4, None, (0.3, 0.5))])
    widths = [float(attributes["width"].rstrip("%")) for name, attributes in parsed(chart).tags if name == "rect"]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 2, 4], rel=1e-3)
    whisker = next(attributes for name, attributes in parsed(chart).tags if name == "line")
    assert float(whisker["x2"].rstrip("%")) / widths[0] == pytest.approx(5, rel=1e-3)
    assert "model test 0.4000, validation not measured" in chart


def test_charts_of_nothing_but_zeros_can_be_drawn():
    parsed(bar_chart("x", [Bars("a", "model", 0.0, 0.0)]))
    parsed(curve_chart("x", {"a": ("model", {1: 0.0, 10: 0.0})}))


def test_grouped_bars_tell_every_value():
    chart = grouped_bars("Share", {"head": [0.5, 0.25], "tail": [0.5, None]}, {"events": "baseline", "shown": "model"})
    widths = [float(attributes["width"].rstrip("%")) for name, attributes in parsed(chart).tags if "rx" in attributes]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 0.5, 1], rel=1e-3)
    assert "head: events 50.0%, shown 25.0%; tail: events 50.0%" in chart


def test_every_item_stands_in_one_popularity_band():
    counts = np.concatenate([np.zeros(20, dtype=np.int64), np.arange(1, 181)])
    bands = popularity_bands(counts)
    assert np.bincount(bands).tolist() == [2, 8, 30, 60, 80, 20]
    assert counts[bands == 0].tolist() == [179, 180]
