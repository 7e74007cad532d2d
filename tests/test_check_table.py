"""`genrec check-table`: tables as papers print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrec.cli import main
from genrec.commands.check_table import read

TRUE = "model,R@5,R@10,N@5,N@10\nS3-Rec,0.0387,0.0647,0.0244,0.0327\n"


def written(folder: Path, text: str, name: str = "t.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_true_rows_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-table", written(tmp_path, TRUE)]) == 0
    assert "1 rows, 4 columns of figures, read as shares of 1\nno row is impossible" in capsys.readouterr().out


def test_impossible_rows_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-table", written(tmp_path, TRUE + "\nFancy,0.0387,0.0647,0.0244,0.0427\n")]) == 2
    told = capsys.readouterr().out
    assert "line 4, Fancy: NDCG@10 - NDCG@5 is 0.0183; Recall@10 - Recall@5 of 0.0260 allows 0.0074 to 0.0094" in told
    assert "1 of 2 rows cannot be true" in told


def test_percent_and_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """Table 2.

| Model | Beauty Recall@5 | Beauty Recall@10 | Beauty NDCG@5 | Beauty NDCG@10 | Toys HR@1 (%) | Toys NDCG@1 ↑ |
|:------|----:|----:|----:|----:|----:|----:|
| **S3-Rec** | 3.87 | **6.47*** | 2.44 ± 0.01 | †3.27 | 1.2 | - |
| Fancy | 3.87 | 6.47 | 2.44 | 3.27 | 1.2 | 1.5% |

Text with | bars | after it.
"""
    assert main(["check-table", written(tmp_path, text, "t.md")]) == 2
    told = capsys.readouterr().out
    assert "2 rows, 6 columns of figures, read as percent" in told
    assert "line 6, Fancy: Toys: NDCG@1 is 1.5000; HR@1 of 1.2000 allows 1.1000 to 1.3000" in told
    assert "S3-Rec" not in told


@pytest.mark.parametrize(
    ("column", "heading"),
    [
        ("R@10", ("", "recall", 10)),
        ("recall @ 5", ("", "recall", 5)),
        ("test/recall@10", ("test", "recall", 10)),
        ("HR@1", ("", "hit", 1)),
        ("Hit@20", ("", "hit", 20)),
        ("hit_rate@20", ("", "hit", 20)),
        ("Hit Ratio@20", ("", "hit", 20)),
        ("N@5", ("", "ndcg", 5)),
        ("Toys & Games NDCG@5 (%)", ("Toys Games", "ndcg", 5)),
        ("NDCG@5 (val)", ("val", "ndcg", 5)),
        ("MRR@10", ("", "mrr", 10)),
        ("map@100", ("", "map", 100)),
    ],
)
def test_spellings(tmp_path: Path, column: str, heading: tuple[str, str, int]) -> None:
    headings, lines = read(Path(written(tmp_path, f"model\tP@10\tPrecision@10\t{column}\tR@3\nx\t1\t2\t.5\t0.5\n", "t.tsv")))
    assert headings == {column: heading, "R@3": ("", "recall", 3)}
    assert lines[0].name == "x"


def test_figures_written_short_are_given_their_slack(tmp_path: Path) -> None:
    """.3 may be .3499: a cell says itself how far it was rounded."""
    assert main(["check-table", written(tmp_path, "R@5;N@5\n0.30;0.3499\n")]) == 2
    assert main(["check-table", written(tmp_path, "R@5;N@5\n0.3;0.3499\n")]) == 0
