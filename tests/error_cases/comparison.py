"""Messages of `genrec compare` and `genrec check-table`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from small_runs import finished, scores

from error_cases import Case, Scene
from genrec.cli import _dispatch
from genrec.errors import ArtifactError, ConfigError, DataError


def compared(*options: str, users: int = 30, **second: Any) -> Callable[[Scene], Any]:
    """Run a, and run b made with other settings."""

    def trigger(scene: Scene) -> Any:
        finished(scene.path / "runs", "a", scores(0.3, users=users))
        finished(scene.path / "runs", "b", second.pop("values", scores(0.4, users=users)), settings={"dim": 2}, **second)
        return _dispatch("compare", ["a", "b", *options])

    return trigger


def table(text: str) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        (scene.path / "t.csv").write_text(text, encoding="utf-8")
        return _dispatch("check-table", ["t.csv"])

    return trigger


CASES = [
    Case("no run", ArtifactError, "nowhere", compared("nowhere")),
    Case("other data", ConfigError, "d2 (30 users, 50 items)", compared(dataset="d2")),
    Case("other seen rule", ConfigError, "True and False", compared(rules={"exclude_seen": False})),
    Case("other number of users", ConfigError, "30", compared(values=scores(0.4, users=31))),
    Case("other users", ConfigError, "user u0 in the first only", compared(prefix="v")),
    Case("no test split", ConfigError, "got test", compared(splits=("validation",))),
    Case("no such metric", ConfigError, "ndgc@10", compared("--metric", "ndgc@10")),
    Case("one user", ConfigError, "got 1", compared(users=1)),
    Case("no such baseline", ConfigError, "got c", compared("--baseline", "c")),
    Case("no draws", ConfigError, "got 0", compared("--draws", "0")),
    Case("negative seed", ConfigError, "-1", compared("--seed", "-1")),
    Case("no table", DataError, "none.csv", lambda scene: _dispatch("check-table", ["none.csv"])),
    Case("no figures", DataError, "model, accuracy", table("model,accuracy\nx,1\n")),
    Case("empty table", DataError, "no rows", table("\n")),
    Case("a column twice", DataError, "R@5 twice", table("R@5,N@5,R@5\n1,1,1\n")),
    Case("a cell too many", DataError, "3 cells", table("R@5,N@5\n1,1,1\n")),
    Case("a word for a figure", DataError, "'good'", table("R@5,N@5\n0.2,good\n")),
    Case("a decimal comma", DataError, "'0,06'", table('R@5,N@5\n"0,06",0.04\n')),
]
