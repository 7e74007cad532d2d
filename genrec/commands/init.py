"""Look at your interactions file, guess which column is what, check that it loads, and write a data yaml for it."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrec.components import instantiate
from genrec.data.canonical import canonical
from genrec.data.files import read_table, require_columns
from genrec.errors import ConfigError, DataError
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, RATING, TIMESTAMP, USER_ID, WEIGHT

TARGET = "genrec.data.tables.Tables"
# What each column is called in the wild, letters and digits only, most telling first.
NAMES: Mapping[str, tuple[str, ...]] = {
    USER_ID: ("userid", "user", "uid", "useridx", "customerid", "customer", "reviewerid", "visitorid", "memberid",
              "sessionid", "session", "accountid", "clientid", "usr", "u"),
    ITEM_ID: ("itemid", "item", "iid", "itemidx", "parentasin", "asin", "movieid", "productid", "product", "articleid",
              "trackid", "songid", "bookid", "isbn", "newsid", "gameid", "appid", "businessid",
              "sku", "videoid", "contentid", "i"),
    TIMESTAMP: ("timestamp", "time", "ts", "unixreviewtime", "datetime", "date", "eventtime", "tdat", "createdat", "t"),
    POSITION: ("position", "pos", "order", "seq", "index", "step"),
    RATING: ("rating", "stars", "score", "overall", "r"),
    EVENT_TYPE: ("eventtype", "event", "action", "behavior", "behaviortype", "type"),
    WEIGHT: ("weight", "count", "quantity", "playcount", "plays"),
}  # fmt: skip
SHORT_HISTORY = 3  # events below which leave-one-out cannot split a user


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("interactions", help="csv, tsv, jsonl (also .gz) or parquet; one row per user and item")
    parser.add_argument("--items", help="a table of items: its columns feed the item encoder")
    parser.add_argument("--out", help="the yaml to write (default: ./<name of the file>.yaml)")
    for key in NAMES:
        parser.add_argument(
            f"--{key.removesuffix('_id').replace('_', '-')}", dest=key, metavar="COLUMN", help=f"which is {key}"
        )


def main(options: argparse.Namespace) -> int:
    """Writes the yaml and prints how to use it; returns the exit code."""
    source = Path(options.interactions)
    stem = source.name.partition(".")[0]
    out = Path(options.out or f"{stem}.yaml")
    if out.exists():
        raise ConfigError(out, expected="a new file", got="an existing one", fix="remove it, or give another with --out")
    columns = read_table(source).columns
    given = {key: getattr(options, key) for key in NAMES if getattr(options, key)}
    require_columns(list(given.values()), columns, str(source))
    mapping = guess(columns) | given
    for key in (USER_ID, ITEM_ID):
        if key not in mapping:
            fix = f"say which with --{key.removesuffix('_id')} COLUMN"
            raise DataError(source, expected=f"a column that looks like {key}", got=f"columns {', '.join(columns)}", fix=fix)
    node: dict[str, Any] = {"_target_": TARGET, "interactions": str(source), **mapping}
    if options.items:
        items = read_table(options.items).columns
        items_key = mapping[ITEM_ID] if mapping[ITEM_ID] in items else guess(items).get(ITEM_ID)
        if items_key is None:
            raise DataError(
                options.items, expected=f"a column {mapping[ITEM_ID]!r}", got=f"columns {', '.join(items)}", fix="rename it"
            )
        node |= {"items": options.items, "items_key": items_key}
    lines = _check(node)
    out.write_text(_yaml(node, source), encoding="utf-8")
    print(f"wrote {out}:")
    for key, column in mapping.items():
        print(f"  {key:<11} <- {column}")
    unused = [column for column in columns if column not in mapping.values()]
    if unused:
        print(f"  not used:   {', '.join(unused)}")
    for line in lines:
        print(line)
    choice = str(out) if out.is_absolute() else f"./{out}"
    extra = "" if options.items else " encoder=collaborative"  # without item columns there is no text to encode
    print(f"run it with: genrec run data={shlex.quote(choice)}{extra} name={stem}")
    return 0


def guess(columns: Sequence[str]) -> dict[str, str]:
    """Canonical column -> the file's column, for those whose name says what they are."""
    plain = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for key, names in NAMES.items():
        name = next((name for name in names if name in plain and plain[name] not in found.values()), None)
        if name is not None:
            found[key] = plain[name]
    return found


def _check(node: Mapping[str, Any]) -> list[str]:
    """Loads everything as ``prepare`` will; returns what there is to know before running."""
    raw = canonical(instantiate(node, "data").load())
    counts = raw.interactions[USER_ID].value_counts()["count"].to_numpy()
    items = raw.interactions[ITEM_ID].n_unique()
    lines = [
        f"it loads: {raw.interactions.height:,} interactions of {len(counts):,} users with {items:,} items; "
        f"{np.median(counts):g} events per user (median)"
    ]
    if short := int((counts < SHORT_HISTORY).sum()):
        lines.append(
            f"{short:,} users have fewer than {SHORT_HISTORY} events and cannot be split; filters=five_core drops them"
        )
    if raw.items is not None and (unknown := len(set(raw.interactions[ITEM_ID].unique()) - set(raw.items[ITEM_ID]))):
        lines.append(f"{unknown:,} items occur in interactions only; filters.unknown_items=drop leaves those events out")
    return lines


def _yaml(node: Mapping[str, Any], source: Path) -> str:
    told = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in node.items() if key != "_target_"]
    return "\n".join([f"# {source.name}, mapped by genrec init.", f"_target_: {node['_target_']}", *told, ""])
