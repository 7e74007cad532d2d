"""The layers of docs/architecture.md: imports point down only, siblings do not know each other, file names say something."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import genrec
from genrec.stages.pipeline import STAGES

ROOT = Path(genrec.__file__).parent
FLOORS = {
    0: {"aliases", "allocator", "deadlines", "devices", "errors", "machine", "paths", "plain_json", "references", "types"},
    1: {
        "artifacts",
        "components",
        "config",
        "environment",
        "experiments",
        "fingerprints",
        "given_tables",
        "links",
        "locks",
        "option_files",
        "overrides",
        "misplaced",
        "named_parts",
        "mistyped",
        "option_names",
        "ranges",
        "registry",
        "requirements",
        "runs",
        "sources",
        "signatures",
    },
    2: {"protocols", "sids", "trie", "batch", "dataset", "item_vectors", "nn"},
    3: {"data", "encoders", "tokenizers", "generators", "losses", "decoding", "metrics", "baselines"},
    4: {"training", "audits", "id_assignment", "model"},
    5: {"stages", "commands", "serving", "pages", "templates", "testing"},
    6: {"cli", "api", "__main__"},
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
VERBS = set(STAGES)  # files of stages/ that are stages
ENGINE = {"extend", "foresight", "models", "outside_content", "pipeline", "progress", "rehearsal", "stage", "sweep", "track"}
PLUG_INS = {"data", "encoders", "tokenizers", "generators", "losses", "decoding", "baselines", "nn", "model", "audits"}
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")  # the lazy facade aside


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden(path: Path, name: str) -> str | None:
    """Why a file must not import a module, or None."""
    parts, room = name.split("."), room_of(path)
    floor = FLOOR_OF[room]
    if parts[0] == "lightning" and floor < 4:
        return "lightning below floor 4"
    if parts[0] != "genrec" or parts[1] == "__version__":
        return None
    other = parts[1]
    if other in ("audit", "compare", "load", "run"):
        return "the public API from inside"
    if FLOOR_OF[other] > floor:
        return f"floor {FLOOR_OF[other]} from floor {floor}"
    if floor == 3 and FLOOR_OF[other] == 3 and other != room:
        return f"a sibling ({other}) from {room}"
    return _among_neighbours(path, room, other, parts[2] if len(parts) > 2 else "")


def _among_neighbours(path: Path, room: str, other: str, file: str) -> str | None:
    """Why a file must not import a file of a room on its own floor, or None."""
    if room == "stages":
        if other in ("pages", "commands") or (other == "serving" and file != "bundle_layout"):
            return f"{other} from a stage"
        if other == "stages" and file in VERBS and file != path.stem:
            return f"the stage {file} from another file of stages"
        if path.stem in ENGINE and (other in PLUG_INS or (other == "stages" and file not in ENGINE)):
            return f"{other}.{file} from the engine"
    if other == "stages" and (room == "serving" or (room == "pages" and file not in ENGINE)):
        return f"a stage from {room}"
    if other == "commands" and room in ("commands", "api"):
        return f"a command from {room}"
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    assert [f"{name}: {why}" for name in imports(path) if (why := forbidden(path, name))] == []


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} <= set(FLOOR_OF)


def test_the_rules_bite() -> None:
    encoder = ROOT / "encoders" / "x.py"
    assert forbidden(encoder, "genrec.training.fit")
    assert forbidden(encoder, "genrec.tokenizers.rq_kmeans")
    assert forbidden(encoder, "lightning.pytorch")
    assert forbidden(ROOT / "errors.py", "genrec.types.PAD") is None
    assert forbidden(ROOT / "artifacts.py", "genrec.sids.SIDTable")
    assert forbidden(encoder, "genrec.encoders.text.fill") is None
    serving, evaluate = ROOT / "serving" / "x.py", ROOT / "stages" / "evaluate.py"
    assert forbidden(serving, "genrec.stages.train")
    assert forbidden(evaluate, "genrec.pages.terminal.print_comparison")
    assert forbidden(evaluate, "genrec.stages.recommend.build")
    assert forbidden(ROOT / "stages" / "pipeline.py", "genrec.data.files.read_table")
    assert forbidden(ROOT / "stages" / "pipeline.py", "genrec.stages.standings.standings")
    assert forbidden(ROOT / "commands" / "feed.py", "genrec.commands.serve.main")
    assert forbidden(ROOT / "stages" / "export.py", "genrec.serving.bundle_layout.SCHEMA") is None
    assert forbidden(ROOT / "pages" / "audit_run.py", "genrec.stages.pipeline.run_of") is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_names_say_something(path: Path) -> None:
    assert not BANNED & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}


def test_nobody_pickles() -> None:
    for path in FILES:
        found = {name.split(".")[0] for name in imports(path)} & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
        assert not found, f"{path} imports {found}"
