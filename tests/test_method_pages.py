"""The pages of docs/methods: cited from every plug-in, complete in their index, and true to the files that they name."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import genrec
from genrec.engine.components import TARGET
from genrec.engine.config import groups

ROOT = Path(genrec.__file__).parent.parent
PAGES = ROOT / "docs" / "methods"
INDEX = (PAGES / "README.md").read_text(encoding="utf-8")
CITATION = re.compile(r"docs/methods/([\w.-]+\.md)")
FILE = re.compile(r"`((?:genrec|conf|tools|tests)/[\w/.-]+\.\w+)`")
LINK = re.compile(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)")
METHODS = ("tokenizer", "collision", "generator", "objective", "decoding", "encoder")  # groups whose options are methods
BASELINES = ("default", "all_baselines")  # options of evaluate that list all baselines
NO_SOURCE = re.compile(r"design notes|the brief|\bbriefs?\b|DESIGN \d|house plan", re.IGNORECASE)


def targets_in(node: Any) -> list[str]:
    """Every ``_target_`` of a yaml, at any depth."""
    if isinstance(node, list):
        return [target for value in node for target in targets_in(value)]
    if not isinstance(node, dict):
        return []
    first = [node[TARGET]] if TARGET in node else []
    return first + [target for value in node.values() for target in targets_in(value)]


def options() -> list[tuple[str, str, Path]]:
    entries = [(group, option, file) for group in METHODS for option, file in groups()[group].items()]
    return entries + [("evaluate", option, groups()["evaluate"][option]) for option in BASELINES]


OPTIONS = [
    pytest.param(target, id=f"{group}={option}:{target.rpartition('.')[2]}")
    for group, option, file in options()
    for target in targets_in(OmegaConf.to_container(OmegaConf.load(file), resolve=False))
    if not target.startswith("genrec.stages.")
]


def source_of(target: str) -> str:
    spec = find_spec(target.rpartition(".")[0])
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def uncited(source: str) -> str | None:
    """What is wrong with the citations of a plug-in's file, or None."""
    cited = CITATION.findall(source)
    if not cited and "own design" not in source.lower():
        return "cites no page of docs/methods and does not say 'own design'"
    missing = [page for page in cited if not (PAGES / page).is_file()]
    return f"cites pages that are not there: {missing}" if missing else None


@pytest.mark.parametrize("target", OPTIONS)
def test_the_file_of_every_plug_in_cites_its_page(target: str) -> None:
    assert uncited(source_of(target)) is None


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ('"""A quantizer."""', "cites no page"),
        ('"""A quantizer (docs/methods/nowhere.md)."""', "nowhere.md"),
        ('"""A quantizer (docs/methods/rqvae.md)."""', None),
        ('"""A quantizer. Own design."""', None),
    ],
)
def test_what_counts_as_a_citation(source: str, complaint: str | None) -> None:
    answer = uncited(source)
    assert answer == complaint if complaint is None else answer is not None and complaint in answer


def texts() -> dict[str, str]:
    """Everything that may cite: code, yamls, tests and documents."""
    patterns = ("genrec/**/*.py", "conf/**/*.yaml", "tests/**/*.py", "tools/**/*.py", "docs/**/*.md", "README.md", "RESULTS.md")
    files = [file for pattern in patterns for file in ROOT.glob(pattern) if file != Path(__file__)]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def test_every_page_that_is_cited_exists() -> None:
    cited = {(page, where) for where, text in texts().items() for page in CITATION.findall(text)}
    assert len(cited) > 80
    assert {(page, where) for page, where in cited if not (PAGES / page).is_file()} == set()


def test_nothing_cites_a_document_that_is_not_in_the_repository() -> None:
    lines = [f"{where}: {line}" for where, text in texts().items() for line in text.splitlines() if NO_SOURCE.search(line)]
    assert lines == []


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_every_page_names_files_and_pages_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = FILE.findall(text)
    assert named, "a page says which file holds its method"
    assert [file for file in named if not (ROOT / file).is_file()] == []
    assert [link for link in LINK.findall(text) if not (page.parent / link).is_file()] == []


def test_the_index_lists_every_page_and_every_option() -> None:
    listed = set(LINK.findall(INDEX))
    assert {page.name for page in PAGES.glob("*.md")} - {"README.md"} - listed == set()
    named = {name for cell in re.findall(r"`([\w=]+)`", INDEX) for name in (cell, cell.rpartition("=")[2])}
    assert {f"{group}={option}" for group in METHODS for option in groups()[group] if option not in named} == set()


@pytest.mark.parametrize("page", sorted(set(PAGES.glob("*.md")) - {PAGES / "README.md"}), ids=lambda page: page.name)
def test_every_page_says_where_its_method_comes_from(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.search(r"(?m)^## Sources?$", text) or "own design" in text.lower()
