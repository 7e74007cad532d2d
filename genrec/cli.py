"""The command line: it finds the command, silences libraries, and turns errors into one line and an exit code.

Exit codes: 0 done, 2 an error that the user can fix (one line explains how), 1 a bug, 130 interrupted.
``GENREC_TRACEBACK=1`` shows tracebacks. Nothing heavy is imported before the command is known.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from genrec import __version__
from genrec.engine.machine import wrap_os_errors
from genrec.engine.pipeline import STAGES
from genrec.errors import GenRecError
from genrec.references import mask_secrets

_PACKAGE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"genrec {__version__}")
        return 0
    _quiet_libraries()
    try:
        return _dispatch(words[0], words[1:])
    except GenRecError as error:
        if os.environ.get("GENREC_TRACEBACK") == "1":
            return _traceback()
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, for example `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        return _traceback()


def _traceback() -> int:
    """Raises the current error. If it contains a secret, it prints the masked traceback and returns the exit code."""
    text = traceback.format_exc()
    if mask_secrets(text) == text:
        raise
    print(mask_secrets(text), file=sys.stderr)
    return 1


@wrap_os_errors()
def _dispatch(name: str, words: Sequence[str]) -> int:
    names = [*STAGES, *_files("commands")]
    if name not in names:
        from genrec.errors import ConfigError, did_you_mean

        raise ConfigError("command", expected="a command of genrec", got=name, fix=did_you_mean(name, names))
    is_stage = name in STAGES and not _names_a_folder(name, words)
    command = importlib.import_module(f"genrec.commands.{'run' if is_stage else name.replace('-', '_')}")
    description = _summary(name) if is_stage else _summary(name, ("commands",))
    if is_stage and name in _files("commands"):
        description += f"\nOf a bundle, `genrec {name} BUNDLE --help`: {_summary(name, ('commands',))}"
    parser = argparse.ArgumentParser(
        prog=f"genrec {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_arguments(command, parser, words)
    options = parser.parse_intermixed_args(words)
    if is_stage:
        options.until = name
    code: int = command.main(options)
    return code


def _names_a_folder(name: str, words: Sequence[str]) -> bool:
    """Whether the first word of a verb that is both a stage and a command is a folder, and not a setting of a run."""
    return name in _files("commands") and bool(words) and "=" not in words[0] and not words[0].startswith("-")


def _add_arguments(command: ModuleType, parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    command.add_arguments(parser)
    if {"-h", "--help"} & set(words) and hasattr(command, "epilog"):
        parser.epilog = command.epilog()


def _files(folder: str) -> list[str]:
    return sorted(path.stem.replace("_", "-") for path in (_PACKAGE / folder).glob("[!_]*.py"))


def _summary(name: str, folders: Sequence[str] = ("stages", "commands")) -> str:
    """Returns the first line of a verb's file, read without importing it."""
    for folder in folders:
        file = _PACKAGE / folder / f"{name.replace('-', '_')}.py"
        if file.exists():
            first = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
            return first.removeprefix(f"{name}: ").replace("``", "")
    return ""


def _overview() -> str:
    def table(names: Sequence[str]) -> list[str]:
        return [f"  {name:<11} {_summary(name)}" for name in names]

    commands = [name for name in _files("commands") if name != "run" and name not in STAGES]
    return "\n".join(
        [
            "usage: genrec <command> [group=option] [key=value] ...",
            "",
            "Turn item content into semantic IDs, train a model that generates the next item's ID,",
            "decode only items that exist.",
            "",
            *table(["run"]),
            "",
            "stages (each makes what it needs first):",
            *table([stage for stage in STAGES if (_PACKAGE / "stages" / f"{stage}.py").exists()]),
            "",
            "looking and tidying:",
            *table(commands),
            "",
            "start with:  genrec run experiment=demo          all settings:  genrec run --help",
        ]
    )


def _quiet_libraries() -> None:
    """Hides the messages of other libraries; genrec's warnings, and any that the user asks Python for, are shown."""
    for key, value in {
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "WANDB_SILENT": "true",
    }.items():
        os.environ.setdefault(key, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module=r"genrec(\.|$)")
    import logging

    for library in ("lightning", "lightning.pytorch", "lightning.fabric", "torch.distributed"):
        logging.getLogger(library).setLevel(logging.ERROR)
