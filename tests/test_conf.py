"""Every shipped yaml is composed, held against its signature, built where nothing is missing; every plug-in has a yaml."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import genrec
from genrec.engine.components import TARGET, parameters
from genrec.engine.config import OVERLAYS, PARTS, compose, conf_folder, groups
from genrec.types import RUNTIME

OPTIONS = [(group, option, file) for group, options in groups().items() for option, file in options.items()]
# What makes a class of a room a plug-in: the methods its protocol demands.
PLUGINS = {
    "data": [{"load"}, {"keep", "split"}],
    "encoders": [{"fit", "encode", "present", "restore"}],
    "tokenizers": [{"fit", "encode", "restore"}, {"resolve"}],
    "generators": [{"target_logits"}],
    "objectives": [{"loss"}],
    "decoding": [{"decode"}],
    "baselines": [{"fit", "score"}],
    "metrics": [{"from_hits"}, {"from_lists"}],
}


def components_in(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        if TARGET in node:
            yield node
        for value in node.values():
            yield from components_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from components_in(value)


def required_values(where: str, node: Any) -> list[str]:
    """Something for every value that the user has to give."""
    if node == "???":
        return [f"{where}=given.parquet"]
    pairs = node.items() if isinstance(node, Mapping) else ()
    return [entry for key, value in pairs for entry in required_values(f"{where}.{key}", value)]


def raw(file: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(file), resolve=False)


@pytest.mark.parametrize(("group", "option", "file"), OPTIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_yaml_composes_and_fits_its_signature(group: str, option: str, file: Path) -> None:
    given = required_values(group, raw(file))
    if group in OVERLAYS:  # what an experiment's choices need is given on its command line
        stated = raw(file)
        chosen = {key: value for entry in stated.get("defaults", []) for key, value in entry.items()}
        for key, value in chosen.items():
            part = key.removeprefix("override /")
            needed = required_values(part, raw(groups()[part][value]))
            given += [entry for entry in needed if entry.partition("=")[0].partition(".")[2] not in stated.get(part, {})]
    chosen = f"evaluate.metrics=[default,{option}]" if group in PARTS else f"{group}={option}"
    config = compose([chosen, *given])
    for key, part in config.tree.items():
        for node in components_in(part):
            supplied = RUNTIME - ({"num_items", "max_history_len"} if key == "data" else {"max_history_len"})
            assert not supplied & set(node), f"{node[TARGET]}: genrec supplies {supplied & set(node)}"


@pytest.mark.parametrize(("group", "option", "file"), OPTIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_yaml_says_what_it_is(group: str, option: str, file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line != "# @package _global_"]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 12
    if group in OVERLAYS:
        assert f"genrec run experiment={option}" in lines[0], "an experiment's first comment is its command"


def test_every_option_of_the_defaults_exists() -> None:
    tree = OmegaConf.load(conf_folder() / "config.yaml")
    listed = {key: value for entry in tree.defaults if isinstance(entry, Mapping) for key, value in entry.items()}
    assert set(listed) == set(groups()) - PARTS
    assert all(value in groups()[key] for key, value in listed.items() if value is not None)


AROUND = ("genrec.decoding.quota", "genrec.decoding.new_item_quota")


def test_every_plugin_has_a_yaml() -> None:
    shipped = set()
    for _, _, file in OPTIONS:
        shipped |= {node[TARGET] for node in components_in(raw(file))}
    found = set()
    for room, protocols in PLUGINS.items():
        for path in (Path(genrec.__file__).parent / room).rglob("*.py"):
            name = ".".join(("genrec", *path.relative_to(Path(genrec.__file__).parent).with_suffix("").parts))
            if ".lib." in name:  # what plug-ins share
                continue
            for class_name, value in vars(importlib.import_module(name.removesuffix(".__init__"))).items():
                if isinstance(vars(value).get("load") if inspect.isclass(value) else None, classmethod):
                    continue  # opens a file; a source's `load` is a method
                ours = inspect.isclass(value) and value.__module__ == name and not class_name.startswith("_")
                if inspect.isabstract(value) or name in AROUND or ".lib." in name:
                    continue  # what plug-ins are made of; what is put around a strategy
                if ours and any(all(hasattr(value, method) for method in methods) for methods in protocols):
                    found.add(f"{name}.{class_name}")
    assert found, "the guard sees the plug-ins"
    assert found - shipped == set()


def test_constructors_are_keyword_only() -> None:
    for group, option, file in OPTIONS:
        for node in components_in(raw(file)):
            module, _, name = node[TARGET].rpartition(".")
            component = getattr(importlib.import_module(module), name)
            signature = inspect.signature(component).parameters
            positional = [key for key in parameters(component) if signature[key].kind is not inspect.Parameter.KEYWORD_ONLY]
            assert not positional, f"{group}={option}: {name} takes {positional} by position"


def test_the_configuration_page_is_up_to_date() -> None:
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location("configuration_page", root / "tools" / "configuration_page.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (root / "docs" / "configuration.md").read_text(encoding="utf-8") == script.page(), "run `make docs`"
