"""Run as a program: opens bundles while an audit hook notes what Python does outside them. Prints json, an entry a bundle.

    python watched.py FOLDER NAME ...          all attacks; then, without the checks, those of these names

Native readers (polars, safetensors) open files without telling the hook; what they are given are names that were checked.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
UNGUARDED = sys.argv[2:]

sys.dont_write_bytecode = True
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
warnings.simplefilter("ignore")
sys.path.insert(0, str(FOLDER / "lent"))

import sentence_transformers  # noqa: E402, F401  (what these do when they are imported is theirs)
import sklearn.feature_extraction.text  # noqa: E402, F401
import torch  # noqa: E402
import transformers  # noqa: E402, F401
from hostile_bundles import Attack, attacks, unpacked  # noqa: E402
from small_bundle import listed_anew  # noqa: E402

import genrec  # noqa: E402
from genrec.engine.aliases import current  # noqa: E402
from genrec.errors import GenRecError  # noqa: E402

LENT = {
    "__init__.py": """
from genrec.recommender.journal import Journal

class Mailer:
    def __init__(self, *, to=None):
        open(to, "w")
""",
    "__main__.py": "raise SystemExit(0)\n",
    "_inner.py": """
class Decoding:
    check = decode = lambda self, *given: None
""",
}  # a plug-in
LATE = [{"item_id": "late", "title": "red soap"}]
OURS = [Path(place).resolve() for place in (sys.prefix, sys.base_prefix, "/proc", "/sys", *filter(None, sys.path))]
OURS = [place for place in OURS if not FOLDER.resolve().is_relative_to(place) and place != Path(FOLDER / "lent").resolve()]
PACKAGE = Path(genrec.__file__).resolve().parent
SINGLE = {"/dev/null", "/dev/urandom", "/etc/localtime"}
DEEDS = ("socket.", "subprocess.", "os.", "shutil.", "urllib.", "http.", "ftplib.", "smtplib.", "sqlite3.", "webbrowser.")
HARMLESS = {"os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.getxattr", "os.listxattr"}  # where they look is told below
_watching: list[Any] = []
_allowed: list[Path] = []
_imported: set[str] = set()


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Notes what is none of a bundle's business."""
    if not _watching:
        return
    events = _watching[0]
    if event in ("open", "os.listdir", "os.scandir", "glob.glob"):
        place = arguments[0]
        if not isinstance(place, str | bytes | os.PathLike):
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        file = Path(os.path.realpath(os.fsdecode(place)))
        inside = any(file.is_relative_to(folder) for folder in _allowed)
        if _is_new_code(file):
            events.append(f"code {file}")
        if str(file) in SINGLE or (not writes and (inside or any(file.is_relative_to(place) for place in OURS))):
            return
        events.append(f"{event} {'to write ' if writes else ''}{file}")
    elif event == "import" and str(arguments[0]).partition(".")[0] in ("genrec", "lent", "evil"):
        if arguments[0] not in sys.modules:
            events.append(f"import {arguments[0]}")
    elif event in ("pickle.find_class", "ctypes.dlopen", "exec.evil") or (event.startswith(DEEDS) and event not in HARMLESS):
        if event == "ctypes.dlopen" or event in ("os.putenv", "os.unsetenv"):
            return
        events.append(f"{event} {arguments!r:.200}")


def _is_new_code(file: Path) -> bool:
    """Whether a file of genrec is code that has not been imported: `importlib` tells the hook of files only."""
    if not file.is_relative_to(PACKAGE) or file.suffix not in (".py", ".pyc"):
        return False
    name = ".".join(("genrec", *file.relative_to(PACKAGE).with_suffix("").parts)).replace(".__pycache__", "")
    return name.partition(".cpython")[0].removesuffix(".__init__") not in _imported


def import_all() -> None:
    """All of genrec but its command line's entry."""
    for module in pkgutil.walk_packages(genrec.__path__, "genrec."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)


@contextmanager
def watching(*allowed: Path) -> Iterator[list[str]]:
    """Notes events from here on; ``allowed`` folders may be read."""
    events: list[str] = []
    _allowed[:] = [place.resolve() for place in allowed]
    _imported.update(sys.modules)
    _watching.append(events)
    try:
        yield events
    finally:
        _watching.clear()


def without_guards() -> None:
    """Takes the checks away, to see that the hook sees what they prevent."""
    from genrec.engine import components
    from genrec.recommender import bundle
    from genrec.recommender import bundle_components as nodes

    def any_class(node: Any, *more: Any, **and_more: Any) -> type:
        module, _, name = current(node["_target_"]).rpartition(".")
        found: type = getattr(importlib.import_module(module), name)
        return found

    components.component_class = any_class  # type: ignore[assignment]
    bundle.check_components = lambda path, config, generator, **more: nodes.BundleComponents(
        {**config, "generator": generator}, {}
    )  # type: ignore[assignment]
    for name in ("check_files", "check_listed", "check_sizes"):
        setattr(bundle, name, lambda *arguments: None)
    time.sleep = lambda seconds: None  # the hub is asked again and again


def tried(path: Path, *, add: bool = True, **how: Any) -> dict[str, Any]:
    """Opens a bundle and adds an item; what came of it."""
    more = [Path(place) for place in how.get("external", {}).values()]
    more += [FOLDER / "lent"] if how.get("plugins") else []
    outcome: dict[str, Any] = {"opened": False, "error": None, "message": ""}
    with watching(path, *more) as events:
        try:
            recommender = genrec.load(path, **how)
            outcome["opened"] = True
            outcome["listed"] = recommender.recommend([[]], k=3).height
            if add:
                recommender.add_items(LATE)
        except BaseException as error:
            outcome |= {"error": type(error).__name__, "message": str(error), "ours": isinstance(error, GenRecError)}
    return outcome | {"events": events}


def attacked(attack: Attack, good: Path) -> dict[str, Any]:
    """Makes the bundle, in a folder of its own with one beside that it must not touch, and tries it."""
    folder = FOLDER / "attack"
    shutil.rmtree(folder, ignore_errors=True)
    out = folder / "out"
    out.mkdir(parents=True)
    (folder / "model").symlink_to(good / "model")
    path = folder / "bundle"
    shutil.copytree(good / attack.of, path)
    attack.change(path, out)
    if attack.sealed:
        listed_anew(path)
    before = sorted(str(file) for file in out.rglob("*"))
    external = {place: there.replace("OUT", str(out)) for place, there in attack.external.items()}
    start = time.perf_counter()
    outcome = tried(path, plugins=attack.plugins, external=external)
    outcome["seconds"] = time.perf_counter() - start
    outcome["left"] = sorted(set(map(str, out.rglob("*"))) - set(before))
    return outcome


def every_class(path: Path) -> dict[str, Any]:
    """Every public class of genrec in every slot that opens, with something saved and without: which were not refused."""
    from genrec.engine.registry import slot_of
    from genrec.recommender.bundle_components import LATER, OPENED, check_components

    config = json.loads((path / "bundle.json").read_text(encoding="utf-8"))["config"]
    names = {
        f"{module}.{name}"
        for module in [name for name in sys.modules if name.startswith("genrec.")]
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, type) and not name.startswith("_")
    }
    tried, passed = 0, []
    with watching(path) as events:
        for name in sorted(names):
            for slot in (*OPENED, *LATER):
                for saved in (False, True):
                    node, tried = {"_target_": name}, tried + 1
                    changed = {**config, slot: node}
                    try:
                        check_components(path, changed, changed["generator"], saved=saved)
                        if name not in slot_of(slot).targets:  # type: ignore[union-attr]
                            passed.append([name, slot])
                    except GenRecError:
                        pass
    return {"tried": tried, "classes": len(names), "passed": passed, "events": events}


def main() -> None:
    good = FOLDER / "good"
    if not good.exists():
        unpacked(good)
    for name, text in LENT.items():
        (FOLDER / "lent" / "lent").mkdir(parents=True, exist_ok=True)
        (FOLDER / "lent" / "lent" / name).write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    sys.path_importer_cache.clear()
    torch.set_num_threads(1)
    os.chdir(FOLDER)
    model = {"encoder.model": str(good / "model")}
    import_all()
    for kind in ("codes", "text", "language"):  # what opening imports is imported
        genrec.load(good / kind, external=model if kind == "text" else {}).add_items(LATE)
    sys.addaudithook(hook)
    outcomes: dict[str, Any] = {}
    for kind in ("codes", "scores", "text", "language"):
        given = {"external": model} if kind == "text" else {}
        outcomes[f"good {kind}"] = tried(good / kind, add=kind != "scores", **given)
    for attack in attacks():
        outcomes[attack.name] = attacked(attack, good)
    outcomes["every class"] = every_class(good / "codes")
    without_guards()
    for attack in attacks():
        if attack.name in UNGUARDED:
            outcomes[f"unguarded {attack.name}"] = attacked(attack, good)
    shutil.rmtree(FOLDER / "attack", ignore_errors=True)
    sys.stdout.write("\n" + json.dumps(outcomes))


if __name__ == "__main__":
    main()
