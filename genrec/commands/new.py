"""Start a plug-in of your own: a working class, its yaml, and a test that checks it against the contract of its kind."""

from __future__ import annotations

import argparse
import ast
import keyword
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from genrec.engine.config import groups
from genrec.engine.overrides import shell_line
from genrec.errors import ConfigError, did_you_mean
from genrec.types import RUNTIME

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_NAME = "mine"  # what a template calls itself; its class is ``Mine``


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in.

    Args:
        contract: the suite in ``genrec.testing``.
        group: its folder below ``conf/``; None: the kind's name.
        use: the setting that chooses it.
        settings: of the suite, in Python: small ones keep the tests fast.
        run: what the printed command runs it with; an experiment may set keys of the generator and objective that it chose.
        place: the keys under which its yaml has it, where it is part of another component.
    """

    contract: str
    use: str
    group: str | None = None
    settings: str = ""
    run: str = "experiment=demo"
    place: tuple[str, ...] = ()


KINDS = {
    "tokenizer": Kind("TokenizerContract", "tokenizer={name}", settings='settings = {"codebook_size": 16}'),
    "generator": Kind(
        "GeneratorContract",
        "generator={name}",
        settings='settings = {"dim": 16, "dropout": 0.0, "max_history_len": 6}\n    larger = {"dim": 32}',
        run="data=demo",
    ),
    "objective": Kind("ObjectiveContract", "objective={name}", run="data=demo"),
    "metric": Kind("MetricContract", "evaluate.metrics=[default,{name}]"),
    "encoder": Kind("EncoderContract", "encoder={name}"),
    "baseline": Kind("BaselineContract", "evaluate={name}", group="evaluate", place=("baselines",)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("kind", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", metavar="PACKAGE.NAME", help="my_pkg.mine: the package and the name")


def main(options: argparse.Namespace) -> int:
    """Writes the files and prints how to test and to use them; returns the exit code."""
    if options.kind not in KINDS:
        fix = did_you_mean(options.kind, list(KINDS))
        raise ConfigError("kind", expected=f"one of {', '.join(KINDS)}", got=options.kind, fix=fix)
    kind, group = KINDS[options.kind], KINDS[options.kind].group or options.kind
    package, name = _check_name(options.name, group)
    module, test = Path(*options.name.split(".")).with_suffix(".py"), Path(*options.name.split(".")[:-1], f"test_{name}.py")
    source = (_TEMPLATES / f"{options.kind}.py").read_text(encoding="utf-8")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    files = {
        module: source.replace('"Mine"', f'"{_label(name)}"')
        .replace("Mine", class_name)
        .replace(f'"""{_NAME}:', f'"""{name}:'),
        Path(package, "conf", group, f"{name}.yaml"): _yaml(source, f"{options.name}.{class_name}", name, kind),
        test: _test(options.name, class_name, kind),
    }
    for file in files:
        if file.exists():
            raise ConfigError(file, expected="a new file", got="an existing one", fix="remove it, or choose another name")
    parts = options.name.split(".")[:-1]
    files |= {init: "" for i in range(len(parts)) if not (init := Path(*parts[: i + 1], "__init__.py")).exists()}
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    print("\n".join(str(file) for file in (*list(files)[:3],)))
    print(f"\nTest it:  {shell_line(['python', '-m', 'pytest', str(test)])}")
    print(f"Use it:   {command_line(options.kind, package, name)}")
    return 0


def command_line(kind: str, package: str, name: str) -> str:
    """Returns the command that runs the demo with a plug-in."""
    return shell_line(["genrec", "run", KINDS[kind].run, f"plugins=[{package}]", KINDS[kind].use.format(name=name)])


def _check_name(dotted: str, group: str) -> tuple[str, str]:
    """Returns the package and the last part of a name.

    Raises:
        ConfigError: when it is not the name of a new module, or is in use already.
    """
    parts = dotted.split(".")
    if len(parts) < 2 or not all(part.isidentifier() and part.isascii() and not keyword.iskeyword(part) for part in parts):
        raise ConfigError("name", expected="a package and a name, such as my_pkg.mine", got=dotted, fix="write it that way")
    package, name = parts[0], parts[-1]
    if name != name.lower():
        raise ConfigError("name", expected="a name in lower case", got=name, fix=f"call it {name.lower()}")
    if name in groups().get(group, {}):
        fix = "choose another name: with the same one it would never be used"
        raise ConfigError("name", expected=f"a name that no option of {group} has", got=name, fix=fix)
    if not Path(package).is_dir():
        try:
            spec = find_spec(package)
        except (ImportError, ValueError):
            spec = None
        if spec is not None:
            fix = "choose another name, or start genrec in the folder that contains the package"
            raise ConfigError("name", expected="a package of your own", got=f"{package}, which is installed", fix=fix)
    return package, name


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _yaml(source: str, target: str, name: str, kind: Kind) -> str:
    """Returns the yaml of the option: every setting with its default and, for a generator, its objective and decoding."""
    tree = ast.parse(source)
    component = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    makers = [node for node in component.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    rows = [f"_target_: {target}"]
    settings = [pair for maker in makers for pair in zip(maker.args.kwonlyargs, maker.args.kw_defaults, strict=True)]
    for parameter, default in settings:
        if parameter.arg not in RUNTIME - {"max_history_len"}:
            value = "${seed}" if parameter.arg == "seed" else "???" if default is None else ast.literal_eval(default)
            rows.append(f"{parameter.arg}: {value}")
    if kind.place:
        lines = ["defaults:", "  - default", "_target_: genrec.stages.evaluate.Evaluator"]
        lines += [f"{'  ' * depth}{key}:" for depth, key in enumerate((*kind.place, name))]
        rows = [*lines, *(f"{'  ' * (len(kind.place) + 1)}{row}" for row in rows)]
    elif kind.contract == "GeneratorContract":
        choices = {"objective": "item_cross_entropy", "decoding": "full_ranking"}
        rows = ["defaults:", *(f"  - override /{key}@_global_.{key}: {value}" for key, value in choices.items()), *rows]
    what = (ast.get_docstring(component) or "").splitlines()[0]
    return "\n".join([f"# {name}: {what}", *rows]) + "\n"


def _test(module: str, class_name: str, kind: Kind) -> str:
    body = f"component = {class_name}" + (f"\n    {kind.settings}" if kind.settings else "")
    return f"""from genrec.testing import {kind.contract}
from {module} import {class_name}


class Test{class_name}({kind.contract}):
    {body}
"""
