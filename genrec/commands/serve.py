"""Answer other programs over HTTP from a bundle: recommendations, similar items, takedowns, new items, metrics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrec.engine.former_names import FORMER_LIMITS
from genrec.engine.runs import bundle_path
from genrec.errors import ConfigError, did_you_mean
from genrec.recommender.command_options import TOKEN_VARIABLE, add_external, parse_external, read_token
from genrec.references import expand_path

if TYPE_CHECKING:
    from genrec.serving.limits import Limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("bundle", type=Path, help="runs/NAME (exported), or a bundle wherever it was copied to")
    parser.add_argument("limits", nargs="*", metavar="limit=value", help="such as k=50 timeout=5; see below")
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--state-dir", type=Path, metavar="DIR", help="keep added and removed items here (default: in memory only)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"the token of admin calls (default: ${TOKEN_VARIABLE}, else refused)"
    )
    parser.add_argument("--threads", type=int, help="of the model (default: a core each)")
    parser.add_argument("--plugins", nargs="+", default=(), metavar="PACKAGE", help="whose classes the bundle may name")
    add_external(parser)
    parser.add_argument("--log-histories", action="store_true", help="write the bodies of requests to the log")


def epilog() -> str:
    """Describes the limits and their defaults."""
    from genrec.serving.limits import Limits

    descriptions = (Limits.__doc__ or "").partition("Args:")[2].strip().splitlines()
    defaults = [f"{field.name}={field.default:g}" for field in fields(Limits)]
    return "\n".join(["limits:", *(f"  {line.strip()}" for line in descriptions), "", f"  default: {' '.join(defaults)}"])


def main(options: argparse.Namespace) -> int:
    """Serves until the process is asked to stop; returns the exit code."""
    try:
        from genrec.serving.app import create_app
        from genrec.serving.connections import bounded_server
    except ModuleNotFoundError as error:
        expected, fix = "the packages fastapi and uvicorn", 'install them: pip install "genrec[serve]"'
        raise ConfigError("serve", expected=expected, got=f"no {error.name}", fix=fix) from error
    from genrec.engine.logs import log_to_stderr
    from genrec.recommender.bundle import open_catalogue, warm_up
    from genrec.recommender.catalogue import process_memory
    from genrec.recommender.journal import Journal
    from genrec.recommender.persistent import PersistentRecommender
    from genrec.serving.service import Service

    limits, token, external = limits_of(options.limits), read_token(options.token_file), parse_external(options.external)
    for parameter, path in external.items():
        print(f"new items are made with {parameter}={path}", flush=True)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    bundle = bundle_path(expand_path(options.bundle))
    catalogue = open_catalogue(bundle, plugins=options.plugins, external=external)
    log_to_stderr()
    service = Service(PersistentRecommender(warm_up(catalogue), Journal(options.state_dir)), limits)
    app = create_app(
        service,
        bundle,
        token=token,
        plugins=options.plugins,
        external=external,
        log_histories=options.log_histories,
    )
    print(
        f"{service.recommender} at http://{options.host}:{options.port}; process {process_memory() / 1e6:,.0f} MB", flush=True
    )
    server = bounded_server(app, limits, host=options.host, port=options.port)
    with suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 3  # uvicorn has said why


def limits_of(words: Sequence[str]) -> Limits:
    """``["k=50", "timeout=5"]`` -> limits.

    Raises:
        ConfigError: for unknown ones, and values that are no numbers.
    """
    from genrec.serving.limits import Limits

    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(Limits)}
    values: dict[str, Any] = {}
    for word in words:
        old, _, value = word.partition("=")
        name = FORMER_LIMITS.get(old, old)
        if name != old:
            print(f"note: {old} is called {name} now", file=sys.stderr)
        if name not in kinds:
            raise ConfigError(f"limits.{name}", expected="a limit", got=word, fix=did_you_mean(name, kinds))
        try:
            values[name] = kinds[name](value)
        except ValueError:
            raise ConfigError(f"limits.{name}", expected="a number", got=value, fix=f"give {name}=NUMBER") from None
    return Limits(**values)
