"""The pages of a service: one to try its recommender, and one that lists its calls.

The first is made once for each catalogue, from its columns. The second is made from the OpenAPI document, without a script.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from html import escape
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_table import ItemTable
from genrec.reports.try_it import policy_of, try_it_page
from genrec.serving.limits import Limits
from genrec.serving.page_controls import choices, image_column, ranges


class PageCache:
    """The page of each catalogue that is in use.

    Args:
        limits: of the service, which the page keeps to.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pages: WeakKeyDictionary[ItemTable, tuple[str, str]] = WeakKeyDictionary()

    def page_for(self, catalogue: Catalogue) -> tuple[str, str]:
        """Returns the document, and its Content-Security-Policy."""
        page = self._pages.get(catalogue.table)
        if page is None:
            html = try_it_page(page_data(catalogue, self._limits), lead=_lead(catalogue))
            page = self._pages[catalogue.table] = html, policy_of(html)
        return page


def page_data(catalogue: Catalogue, limits: Limits) -> dict[str, Any]:
    """Returns the data of the page's script: columns, sliders, sample histories and limits."""
    table = catalogue.table
    knobs, kinds = ranges(table.frame), choices(table.frame)
    return {
        "title": table.title,
        "image": image_column(table.frame),
        "facts": [*(kind.column for kind in kinds), *(knob.column for knob in knobs)],
        "ranges": [vars(knob) for knob in knobs],
        "choices": [vars(kind) for kind in kinds],
        "samples": [list(history) for history in catalogue.samples],
        "times": _times(catalogue) if catalogue.needs_times else None,
        "excludeSeen": catalogue.exclude_seen,
        "k": min(10, limits.k, len(table)),
        "found": min(12, limits.k),
        "historyLen": limits.history_len,
        "lookUp": min(50, limits.items),
    }


def _times(catalogue: Catalogue) -> dict[str, Any]:
    """Returns the times of the samples, and when items that a person adds are: the first, and the gap after it.

    The first is as late as the latest event of the samples, and the gap is the median of theirs; without samples, as if the
    training data had dates: now, and a day.
    """
    times = [np.array(clock_times) for clock_times in catalogue.sample_times]
    gaps = np.concatenate([np.diff(clock_times) for clock_times in times]) if times else np.zeros(0)
    gaps = gaps[gaps > 0]
    return {
        "samples": [clock_times.tolist() for clock_times in times],
        "start": float(np.concatenate(times).max()) if times else float(int(time.time())),
        "gap": float(np.median(gaps)) if len(gaps) else 86_400.0,
    }


def _lead(catalogue: Catalogue) -> str:
    sids = catalogue.table.sids
    ids = "" if sids is None else f" by IDs of {' × '.join(map(str, sids.sizes))} codes"
    return f"{type(catalogue.generator).__name__} recommends from {len(catalogue.table):,} items{ids}."


_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}pre{overflow-x:auto;padding:1em}"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def calls_page(document: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the page of the calls, and its Content-Security-Policy."""
    parts = []
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(call.get('description', ''))}</p>")
            names = [parameter["name"] for parameter in call.get("parameters", ())]
            if names:
                parts.append(f"<p>Parameters: {', '.join(f'<code>{escape(name)}</code>' for name in names)}</p>")
            parts += [f"<pre>{escape(json.dumps(example, indent=2))}</pre>" for example in _examples(document, call)[:1]]
    title = f"{escape(document['info']['title'])} {escape(document['info']['version'])}"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    lead = '<p>The whole document: <a href="/openapi.json">/openapi.json</a>. A page to try it: <a href="/">/</a>.</p>'
    return f"{head}<h1>{title}</h1>{lead}{''.join(parts)}</html>", _POLICY


def _examples(document: Mapping[str, Any], call: Mapping[str, Any]) -> list[Any]:
    schema = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return list(document.get("components", {}).get("schemas", {}).get(name, {}).get("examples", ()))
