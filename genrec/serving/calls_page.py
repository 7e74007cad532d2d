"""The calls of a service as a page, from its OpenAPI document: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em}pre{overflow-x:auto;padding:1em}"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def calls_page(document: Mapping[str, Any]) -> tuple[str, str]:
    """The page, and its Content-Security-Policy."""
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
