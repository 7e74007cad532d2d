"""docs/every_night.md: its commands run, in their order, as they stand there."""

from __future__ import annotations

import shlex
from pathlib import Path

import polars as pl
import pytest
from test_extend import ALL, OLD, SETTINGS, tables
from test_feed_command import served

from genrec.cli import main
from genrec.recommender.bundle import open_catalogue
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender

PAGE = Path(__file__).parents[1] / "docs" / "every_night.md"


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENREC_ADMIN_TOKEN", "s3cret")
    lines = [line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("    genrec ")]
    commands = [shlex.split(line)[1:] for line in lines]
    assert [words[0] for words in commands] == ["export", "serve", "feed", "feed", "recommend", "export"]
    tables(tmp_path / "day", range(OLD))
    for name in ("items", "events"):
        (tmp_path / "day" / f"{name}.parquet").rename(tmp_path / f"{name}.parquet")
    small = [word for word in SETTINGS if not word.startswith("data=")]
    assert main([*commands[0], *small]) == 0
    tables(tmp_path / "night", range(2, ALL))
    (tmp_path / "night" / "items.parquet").replace(tmp_path / "items.parquet")
    (tmp_path / "takedowns.txt").write_text("i05\n", encoding="utf-8")
    bundle = tmp_path / "runs" / "shop" / "bundle"
    with served(
        PersistentRecommender(open_catalogue(bundle), Journal(tmp_path / "state")), bundle
    ) as url:  # as `genrec serve` does it
        assert main([url if word.startswith("http") else word for word in commands[2]]) == 0
    assert "20 new, 0 updated, 58 unchanged, 2 taken down" in capsys.readouterr().out
    assert main(commands[3]) == 0
    assert "0 new, 0 updated, 78 unchanged, 1 taken down" in capsys.readouterr().out
    pl.DataFrame({"user_id": ["u"], "item_id": ["i07"]}).write_parquet("histories.parquet")
    assert main(commands[4]) == 0
    assert main(commands[5]) == 0
    week = open_catalogue(tmp_path / "runs" / "shop_week" / "bundle")
    assert len(week.table) == ALL
    live = PersistentRecommender(week, Journal(tmp_path / "state"))
    assert live.removed == ["i00", "i01", "i05"], "takedowns outlive the bundle"
    live.close()
