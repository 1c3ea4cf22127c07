"""How alike two requests are, and where they differ. Pure.

A request is seen as its leaves: a JSON body as ``{"$.messages[0].content": "…"}``, besides
``method``, ``path`` and ``query``. ``features`` are what an index finds alike requests by;
``compare`` judges the few that it found. Paths are JSONPath (RFC 9535).
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import orjson

from replay_proxy.fingerprint import canonical_body
from replay_proxy.wire import Request

#: Stands for a leaf that one of two requests does not have.
ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()

#: What a leaf counts that both have, with another value of the same type.
SAME_KIND = 0.1
#: Into so many parts are a request's leaves put; a feature is all of them but one.
PARTS = 12
#: From each of so many texts, so many words.
TEXTS, WORDS = 4, 6
#: Of a long text only its beginning and its end are read for words.
_READ_CHARS = 20_000
#: Nesting beyond this is not looked at; JSON schemas stay far below.
_DEPTH = 100
_WORD = re.compile(r"\w+")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A comma that would end a path in a list of them.
_LIST_COMMA = re.compile(r",(?=\s*\$)")


@dataclass(frozen=True, slots=True)
class Difference:
    """A leaf that differs; ``ABSENT`` where one of the requests has none."""

    path: str
    recorded: Any
    asked: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """``similarity`` is the share of leaves that agree, from 0 to 1, texts in part."""

    similarity: float
    differences: tuple[Difference, ...]


def leaves(request: Request, headers: Collection[bytes] = ()) -> dict[str, Any]:
    """Every leaf of a request by its path, in the order in which they stand, and some headers."""
    found: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "query": request.query,
    }
    for name, value in request.headers:
        if name in headers:
            found[f"header {name.decode('latin-1')}"] = value.decode("latin-1")
    try:
        _collect("$", orjson.loads(request.body), found)
    except ValueError:
        pass
    else:
        if found.get("$.stream") is False:
            del found["$.stream"]  # Equal to absent, as in the fingerprint.
        return found
    kind, body = canonical_body(request)
    if kind == "multipart":
        for number, line in enumerate(body.split(b"\n")):
            name, _, digest = line.partition(b"\0")
            found[f"part {number} ({name.decode('utf-8', 'replace')})"] = digest.decode()
    elif body:
        found["body"] = body.decode("utf-8", "replace")
    return found


def compare(recorded: Request, asked: Request, headers: Collection[bytes] = ()) -> Comparison:
    """How alike two requests are, and every leaf that differs; of the headers only these count."""
    old, new = leaves(recorded, headers), leaves(asked, headers)
    agreed = 0.0
    differences = []
    for path in [*old, *(path for path in new if path not in old)]:
        before, now = old.get(path, ABSENT), new.get(path, ABSENT)
        if type(before) is type(now) and before == now:
            agreed += 1
        else:
            differences.append(Difference(path, before, now))
            if isinstance(before, str) and isinstance(now, str):
                agreed += SAME_KIND + (0.9 - SAME_KIND) * _text_similarity(before, now)
            elif type(before) is type(now):
                agreed += SAME_KIND
    return Comparison(agreed / len(old.keys() | new.keys()), tuple(differences))


def features(request: Request) -> list[str]:
    """Words for an index in which alike requests share some.

    Two kinds. Everything but one part: the leaves are put into parts by their path, and each word
    stands for all leaves outside of one part, so that requests that differ in one leaf share one
    word exactly. And single words of the texts, the same ones whatever stands around them.
    """
    sums = [0] * PARTS
    texts: list[str] = []
    for path, value in leaves(request).items():
        text = value if isinstance(value, str) else repr(value)
        encoded = text.encode("utf-8", "surrogatepass")
        key = path.encode("utf-8", "surrogatepass")
        digest = blake2b(key + b"\0" + encoded, digest_size=8).digest()
        part = blake2b(key, digest_size=2).digest()
        sums[int.from_bytes(part, "big") % PARTS] += int.from_bytes(digest, "big")
        if path.startswith("$") and isinstance(value, str) and len(value) > 3:
            texts.append(value)
    total = sum(sums)
    found = [f"p{number}x{(total - each) % 2**64:x}" for number, each in enumerate(sums)]
    last = texts[-(TEXTS - 1) :]
    for text in dict.fromkeys([*texts[:1], *last]):
        found += _rarest_words(text)
    return list(dict.fromkeys(found))


def _rarest_words(text: str) -> list[str]:
    """Some words of a text, chosen by their hash, so that alike texts choose alike."""
    read = text if len(text) <= 2 * _READ_CHARS else text[:_READ_CHARS] + text[-_READ_CHARS:]
    words = {word.lower() for word in _WORD.findall(read)}
    hashed = sorted(
        sha256(word.encode("utf-8", "surrogatepass")).hexdigest()[:12] for word in words
    )
    return [f"w{each}" for each in hashed[:WORDS]]


def _collect(path: str, value: Any, found: dict[str, Any], depth: int = 0) -> None:
    if depth > _DEPTH and isinstance(value, dict | list):
        found[path] = "(deeper than is looked at)"
    elif isinstance(value, dict) and value:
        for name, each in value.items():
            _collect(f"{path}{step(name)}", each, found, depth + 1)
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            _collect(f"{path}[{number}]", each, found, depth + 1)
    else:
        found[path] = value


def step(name: str) -> str:
    """A member in a path: ``.name``, or ``['…']`` where the name is not a plain one."""
    return f".{name}" if _PLAIN_NAME.fullmatch(name) else f"[{quoted(name)}]"


def quoted(text: str) -> str:
    """A string literal of JSONPath."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    escaped = _LIST_COMMA.sub(r"\\u002c", escaped)
    return f"'{escaped}'"


def around_difference(one: str, other: str, context: int) -> tuple[str, str]:
    """The parts of two texts that differ, with so many characters on either side of them."""
    before, after = common_ends(one, other)
    start = max(0, before - context)
    shown = [
        ("…" if start else "")
        + text[start : len(text) - max(0, after - context)]
        + ("…" if after > context else "")
        for text in (one, other)
    ]
    return shown[0], shown[1]


def _text_similarity(one: str, other: str) -> float:
    """The share of the longer text that is a common beginning or end."""
    longer = max(len(one), len(other))
    before, after = common_ends(one, other)
    return (before + after) / longer if longer else 1.0


def common_ends(one: str, other: str) -> tuple[int, int]:
    """How many characters two texts have in common at their beginning, and at their end."""
    before = _common_beginning(one, other)
    rest = min(len(one), len(other)) - before
    return before, min(_common_beginning(one[::-1], other[::-1]), rest)


def _common_beginning(one: str, other: str) -> int:
    """By halving, which compares slices in C: a character at a time takes 30 times as long."""
    known, most = 0, min(len(one), len(other))
    while known < most:
        middle = (known + most + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            most = middle - 1
    return known
