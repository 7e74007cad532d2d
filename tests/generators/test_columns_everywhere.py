"""Which shipped generators read columns of events, requests and users: all but a list that may only shrink."""

from __future__ import annotations

from pathlib import Path

import yaml

from genrec.engine.components import component_class, parameters

CONF = Path(__file__).resolve().parents[2] / "conf" / "generator"
WITHOUT_COLUMNS: set[str] = set()


def test_all_generators_read_columns_but_a_few() -> None:
    without = {
        file.stem
        for file in CONF.glob("*.yaml")
        if "schema" not in parameters(component_class(yaml.safe_load(file.read_text(encoding="utf-8")), "generator"))
    }
    assert without == WITHOUT_COLUMNS
