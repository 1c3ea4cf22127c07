"""A request as its leaves: a JSON body as ``{"$.messages[0].content": "…"}``. Pure.

Besides the body, the leaves are ``method``, ``path``, ``query`` and the headers that count. Paths
are JSONPath (RFC 9535). How alike the leaves of two requests are is not known here.
"""

import json
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import orjson

from replay_proxy.fingerprint import canonical_body
from replay_proxy.wire import Request

#: Nesting beyond this is not looked at; JSON schemas stay far below.
DEPTH = 100
_DEEPER = "(deeper than is looked at)"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A comma that would end a path in a list of them.
_LIST_COMMA = re.compile(r",(?=\s*\$)")


def leaves(request: Request) -> dict[str, Any]:
    """Every leaf of a request by its path, in the order in which they stand; no header counts."""
    return leaves_of(tree(request))


def leaves_of(whole: dict[str, Any]) -> dict[str, Any]:
    """Every leaf of a ``tree`` by its path, in the order in which they stand."""
    found: dict[str, Any] = {}
    for path, value in whole.items():
        _collect(path, value, found)
    return found


def tree(
    request: Request,
    headers: Collection[bytes] = (),
    without: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """What a request consists of; a JSON body is one value, ``$``.

    ``headers`` are those that count; ``without`` takes out of a JSON body what does not.
    """
    found: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
    }
    for name, value in request.headers:
        if name in headers:
            found[f"header {name.decode('latin-1')}"] = value.decode("latin-1")
    try:
        body = orjson.loads(request.body)
    except ValueError:
        pass
    else:
        body = without(body) if without else body
        if isinstance(body, dict) and body.get("stream") is False:
            del body["stream"]  # Equal to absent, as in the fingerprint.
        return found | {"$": body}
    kind, canonical = canonical_body(request, without)
    if kind == "json" and without:
        try:
            return found | {"$": orjson.loads(canonical)}
        except ValueError:
            pass  # What orjson does not read is still there.
    if kind == "multipart":
        for number, line in enumerate(canonical.split(b"\n")):
            name, _, digest = line.partition(b"\0")
            found[f"part {number} ({name.decode('utf-8', 'replace')})"] = digest.decode()
    elif canonical:
        found["body"] = canonical.decode("utf-8", "replace")
    return found


@lru_cache(maxsize=4096)
def step(name: str) -> str:
    """A member in a path: ``.name``, or ``['…']`` where the name is not a plain one."""
    return f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{quoted(name)}]"


def quoted(text: str) -> str:
    """A string literal of JSONPath."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    escaped = _LIST_COMMA.sub(r"\\u002c", escaped)
    return f"'{escaped}'"


def _collect(path: str, value: Any, found: dict[str, Any], depth: int = 0) -> None:
    if depth > DEPTH and isinstance(value, dict | list):
        found[path] = _DEEPER
    elif isinstance(value, dict) and value:
        for name, each in value.items():
            _collect(f"{path}{step(name)}", each, found, depth + 1)
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            _collect(f"{path}[{number}]", each, found, depth + 1)
    else:
        found[path] = value
