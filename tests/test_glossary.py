"""Words that no identifier of genrec may be: docs/glossary.md has the terms of the field.

``glossary_exemptions.json`` counts those that are left, file by file. The counts may only shrink;
``python tests/test_glossary.py`` writes the smaller ones.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import genrec
from genrec.engine.config import conf_folder

ROOT = Path(genrec.__file__).parent
# Adjectives and participles where a noun says what a thing is, and private words for what the field has a term for.
BANNED = frozenset(
    {
        *("told", "found", "own", "kept", "wanted", "known", "made", "held", "settled", "wishes"),
        *("floor", "floors", "newcomer", "newcomers", "taught"),
    }
)
PROSE = re.compile(r"\b(told|wishes|newcomers?)\b", re.IGNORECASE)  # in no text, comment or docstring either
FORMER = "engine/former_names.py"  # lists former names
EXEMPTIONS = Path(__file__).with_name("glossary_exemptions.json")  # "identifiers" and "lines": file -> count


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Every name that the code binds: variables, attributes, parameters, functions, classes and imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def banned(source: str) -> Counter[str]:
    """Banned word -> how many identifiers are that word, without leading underscores and whatever their case."""
    words = (name.strip("_").lower() for name in identifiers(ast.parse(source)))
    return Counter(word for word in words if word in BANNED)


FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}
CONF = conf_folder()


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("told = 1", "told"),
        ("for found in (): pass", "found"),
        ("def f(own): pass", "own"),
        ("def _kept(): pass", "kept"),
        ("class Wishes: pass", "wishes"),
        ("x.floors = 1", "floors"),
        ("with open('a') as held: pass", "held"),
        ("[made for made in ()]", "made"),
        ("(known := 2)", "known"),
        ("class A:\n    newcomers: int", "newcomers"),
        ("import os as wanted", "wanted"),
    ],
)
def test_it_sees_every_kind_of_identifier(source: str, word: str) -> None:
    assert banned(source) == {word: 1}


def test_it_leaves_other_names_alone() -> None:
    assert not banned("known_items = floor_of(kept='told'); math.floor(x); founder = unknown = 1")


def counted() -> dict[str, dict[str, int]]:
    """How many identifiers of each file are banned words, and how many lines of it have one that is banned in texts too."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
    conf = {
        f"conf/{path.relative_to(CONF).as_posix()}": path.read_text(encoding="utf-8") for path in sorted(CONF.rglob("*.yaml"))
    }
    identifier_counts = {name: sum(banned(text).values()) for name, text in texts.items()}
    lines = {
        name: sum(bool(PROSE.search(line)) for line in text.splitlines())
        for name, text in {**texts, **conf}.items()
        if name != FORMER
    }
    return {
        kind: {name: count for name, count in counts.items() if count}
        for kind, counts in (("identifiers", identifier_counts), ("lines", lines))
    }


@pytest.mark.parametrize("kind", ["identifiers", "lines"])
def test_there_are_no_more_of_them(kind: str) -> None:
    counts, exempt = counted()[kind], json.loads(EXEMPTIONS.read_text(encoding="utf-8"))[kind]
    more = {name: count for name, count in counts.items() if count > exempt.get(name, 0)}
    assert more == {}, "call it what it is: docs/glossary.md"
    fewer = {name: count for name, count in exempt.items() if counts.get(name, 0) < count}
    assert fewer == {}, "the exemptions may only shrink: run `python tests/test_glossary.py`, which writes the smaller counts"


if __name__ == "__main__":
    EXEMPTIONS.write_text(json.dumps(counted(), indent=1) + "\n", encoding="utf-8")
