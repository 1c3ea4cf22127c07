"""A request as its leaves: a JSON body as ``{"$.messages[0].content": "…"}``. Pure.

Besides the body, the leaves are ``method``, ``path``, ``query`` and the headers that count. Paths
are JSONPath (RFC 9535). Not in here: how similar the leaves of two requests are.

The work is bounded for any JSON: an array of numbers is one leaf, and so is an object or an array
that would bring the number of leaves over ``MOST_LEAVES``.
"""

import json
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

from replay_proxy.matching.content_coding import content
from replay_proxy.matching.fingerprint import canonical_body
from replay_proxy.matching.request_json import NO_JSON, request_json
from replay_proxy.wire import SELECTING_FIELDS, SELECTING_METHODS, Request

#: Deepest nesting that is looked at; JSON schemas stay far below.
DEPTH = 100
#: An array of more numbers than this is one leaf: a token array, an embedding.
ROW = 16
#: Maximum number of leaves of a request.
MOST_LEAVES = 10_000
#: A larger body is parsed only if it has at most MOST_VALUES values, by an upper bound that is
#: cheap to count. 400,000 small objects take a tenth of a second and 100 MB.
LARGE_BYTES, MOST_VALUES = 1_000_000, 400_000
#: Longest name of a member in a path; of a longer one the path has the beginning and a hash.
_NAME_CHARS = 1_000
#: Characters of a path that count as one leaf more.
_PATH_CHARS = 256
_DEEPER = "(deeper than is looked at)"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A comma that would end a path in a list of paths.
_LIST_COMMA = re.compile(r",(?=\s*\$)")
_NUMBERS = frozenset({int, float, bool, type(None)})
_CONTAINERS = frozenset({dict, list})


def leaves(request: Request) -> dict[str, Any]:
    """Every leaf of a request by its path, in order, without headers."""
    return leaves_of(tree(request))


def leaves_of(
    whole: dict[str, Any], *, row: float = ROW, most: float = MOST_LEAVES
) -> dict[str, Any]:
    """Every leaf of a ``tree`` by its path, in order.

    A non-empty object or array among them is one that is not looked into: an array of more than
    ``row`` numbers, or one that would bring the number of leaves over ``most``.
    """
    collection = _Collection(row, most)
    for path, value in whole.items():
        collection.add(path, value)
    return collection.leaves


def is_row(value: Any, row: float = ROW) -> bool:
    """Whether a value is an array of numbers that is one leaf."""
    return type(value) is list and len(value) > row and _NUMBERS.issuperset(map(type, value))


def tree(
    request: Request,
    headers: Collection[bytes] = (),
    without: Callable[[Any], Any] | None = None,
    *,
    most_values: float = MOST_VALUES,
) -> dict[str, Any]:
    """The parts of a request by name; a JSON body is one value, ``$``.

    ``headers`` are those that count besides ``selecting_fields``; ``without`` gives the part of a
    JSON body that counts. JSON of more than ``most_values`` values is a text, ``body``.
    """
    parts: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
    }
    selecting = request.method in SELECTING_METHODS
    for name, value in request.headers:
        if name in headers or (selecting and name in SELECTING_FIELDS):
            parts[f"header {name.decode('latin-1')}"] = value.decode("latin-1")
    body_bytes = content(request)
    if has_many_values(body_bytes, most_values):
        return parts | {"body": _text(body_bytes)}
    if (body := request_json(request)) is not NO_JSON:
        body = without(body) if without else body
        if isinstance(body, dict) and body.get("stream") is False:
            # Equal to absent, as in the fingerprint.
            body = {name: value for name, value in body.items() if name != "stream"}
        return parts | {"$": body}
    kind, canonical = canonical_body(request, without)
    if kind == "json" and without:
        try:
            return parts | {"$": orjson.loads(canonical)}
        except ValueError:
            pass  # The part that is left is still one that orjson does not read.
    if kind == "multipart":
        for number, line in enumerate(canonical.split(b"\n", MOST_LEAVES)):
            name, _, digest = line.partition(b"\0")
            parts[f"part {number} ({name.decode('utf-8', 'replace')})"] = digest.decode()
    elif canonical:
        parts["body"] = _text(canonical)
    return parts


def has_many_values(body: bytes, most: float = MOST_VALUES) -> bool:
    """Whether a body may be JSON of so many values that reading it takes long."""
    if len(body) <= LARGE_BYTES or body.lstrip()[:1] not in (b"{", b"["):
        return False
    return body.count(b",") + body.count(b"[") + body.count(b"{") > most


def _text(body: bytes) -> str:
    """A body that is not JSON as a text; a large one with broken UTF-8 as Latin-1."""
    if len(body) <= LARGE_BYTES:
        return body.decode("utf-8", "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:  # To replace each byte would take 50 times as long.
        return body.decode("latin-1")


def step(name: str) -> str:
    """A member in a path: ``.name``, or ``['…']`` where the name is not a plain one."""
    if len(name) <= _NAME_CHARS:
        return _step(name)
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return _step(f"{name[:100]}…{digest}")


@lru_cache(maxsize=4096)
def _step(name: str) -> str:
    return f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{quoted(name)}]"


def quoted(text: str) -> str:
    """A string literal of JSONPath."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    escaped = _LIST_COMMA.sub(r"\\u002c", escaped)
    return f"'{escaped}'"


class _Collection:
    """The leaves so far, and how many more there may be."""

    def __init__(self, row: float, most: float) -> None:
        self.leaves: dict[str, Any] = {}
        self._row = row
        self._left = most

    def add(self, path: str, value: Any, depth: int = 0) -> None:
        """Add the leaves of a value."""
        kind = type(value)
        if (kind is not dict and kind is not list) or not value or depth > DEPTH:
            self.leaves[path] = _DEEPER if depth > DEPTH and kind in _CONTAINERS else value
            return
        size = len(value) + (
            len(value) * len(path) // _PATH_CHARS if len(path) > _PATH_CHARS else 0
        )
        if size > self._left / 2 or is_row(value, self._row):
            self.leaves[path] = value  # Half of the rest is for the members that follow.
            return
        self._left -= size
        if kind is dict:
            members = [(path + step(name), member) for name, member in value.items()]
        else:
            members = [(f"{path}[{number}]", member) for number, member in enumerate(value)]
        for below, member in members:
            if type(member) in _CONTAINERS:
                self.add(below, member, depth + 1)
            else:
                self.leaves[below] = member
