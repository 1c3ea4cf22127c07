"""A request's fingerprint: equal for the same method, path, query and canonical body.

Pure. One function serves recording and replay. What it ignores was measured on 5,010 recorded
interactions (docs/decisions/0003): key order and white space of JSON differ between equal requests,
multipart boundaries are random, and nothing else needs to be ignored. Of the headers, only those
that choose the answer to a GET or HEAD count.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson

from replay_proxy.matching.content_coding import content
from replay_proxy.matching.request_json import NO_JSON, is_nested_beyond, request_json
from replay_proxy.redaction.credentials import without_credentials
from replay_proxy.redaction.display import redacted
from replay_proxy.wire import Request, header, selecting_fields

#: Digits of an integer that orjson may read as a rounded float, so that two different ones would be
#: equal. It is searched for with every digit as a 0, which is 14 times as fast as a pattern.
_LONG_NUMBER = b"0" * 19
_DIGITS_AS_0 = bytes.maketrans(b"123456789", b"0" * 9)
#: Levels of nesting that the standard library can read at any depth of its caller's stack. For the
#: plain fingerprint all brackets are counted, as they were when it was stored.
_LEVELS = 250
_BOUNDARY = re.compile(rb'boundary=(?:"([^"]+)"|([^\s;,]+))', re.IGNORECASE)
#: Fields of a query whose values did not count in earlier versions.
_FORMERLY_LEFT_OUT = re.compile(
    r"((?:^|&)(?:api[-_]?key|key|access[-_]token|token|sig|signature)=)[^&]*", re.IGNORECASE
)
#: The name of the former fingerprint in ``Request.memo``; empty where it is the same.
FORMER = "former"
_PART_NAME = re.compile(rb'(?:^|[;\s])name=(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))', re.IGNORECASE)


def fingerprint(request: Request, without: Callable[[Any], Any] | None = None) -> str:
    """``v1:`` and the SHA-256, in hex, of the method, path, sorted query and canonical body.

    The fields that choose the answer to a GET or HEAD (``selecting_fields``) count too.

    ``without`` gives the part of a JSON body that counts, and does not change the body.
    """
    value: str | None = request.memo.get(without)
    if value is None:
        kind, body = canonical_body(request, without)
        value = _digest(request, without_credentials(request.query), kind, body)
        request.memo[without] = value
    return value


def former_fingerprint(request: Request) -> str | None:
    """The fingerprint in cassettes of earlier versions, or None if it is the same.

    They knew fewer credentials in queries, took every ``token`` for one, sorted the parts of a
    multipart body that have one name by their contents, and hashed a compressed body as it was.
    """
    former: str | None = request.memo.get(FORMER)
    if former is not None:
        return former or None
    query = _FORMERLY_LEFT_OUT.sub(r"\1", request.query)
    content_type = header(request.headers, b"content-type") or b""
    is_multipart = b"multipart" in content_type.lower()
    is_coded = header(request.headers, b"content-encoding") is not None
    if query == without_credentials(request.query) and not is_multipart and not is_coded:
        return None
    kind, body = ("raw", request.body) if is_coded else canonical_body(request)
    if kind == "multipart":
        body = b"\n".join(sorted(_parts(content_type, request.body) or ()))
    value = _digest(request, query, kind, body)
    request.memo[FORMER] = former = "" if value == fingerprint(request) else value
    return former or None


def _digest(request: Request, query: str, kind: str, body: bytes) -> str:
    if fields := selecting_fields(request):
        kind += "".join(
            f"\n{name.decode()}: {_canonical_field(value)}" for name, value in sorted(fields)
        )
    head = f"{request.method}\0{request.path}\0{_sorted_query(query)}\0{kind}\0"
    digest = sha256(head.encode("latin-1", "backslashreplace"))
    digest.update(body)
    return f"v1:{digest.hexdigest()}"


def _canonical_field(value: bytes) -> str:
    """A field's value as it is stored, without white space around its parts."""
    return ",".join(part.strip() for part in redacted(value.decode("latin-1")).split(","))


def canonical_body(
    request: Request, without: Callable[[Any], Any] | None = None
) -> tuple[str, bytes]:
    """The kind of the body (``json``, ``multipart`` or ``raw``) and the bytes that stand for it.

    JSON: keys sorted, compact, UTF-8, arrays in order, ``null`` distinct from absent, a top-level
    ``"stream": false`` equal to absent. Multipart: each part's name and content hash, sorted, and
    numbered where several parts have one name, since their order counts; the boundary and file
    names are dropped. Anything else, and what claims to be JSON or multipart and cannot be read as
    such: the raw bytes.
    """
    body = content(request)
    if body[:1] in (b"{", b"[") or body.lstrip()[:1] in (b"{", b"["):
        canonical = _canonical_rest(request, without) if without else _canonical_json(request, body)
        if canonical is not None:
            return "json", canonical
    content_type = header(request.headers, b"content-type") or b""
    if content_type.lower().startswith(b"multipart/"):
        parts = _parts(content_type, body)
        if parts is not None:
            return "multipart", b"\n".join(_by_name(parts))
    return "raw", body


def _sorted_query(query: str) -> str:
    """The query's fields sorted by name; fields of one name keep their order."""
    if "&" not in query:
        return query
    return "&".join(sorted(query.split("&"), key=lambda field: field.partition("=")[0]))


def _canonical_json(request: Request, body: bytes) -> bytes | None:
    """The content with sorted keys and without white space; None if it is not JSON."""
    try:
        value = _loads_exactly(body) if _has_long_number(body) else request_json(request)
        if value is not NO_JSON:
            return orjson.dumps(_without_stream_false(value), option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError, RecursionError):
        pass  # orjson is stricter than JSON's users: lone surrogates, NaN, deep nesting.
    if _is_deep(body):
        return None  # How deep the standard library reads depends on who calls it.
    try:
        return _dumps(_without_stream_false(json.loads(body)))
    except ValueError:
        return None


def _canonical_rest(request: Request, without: Callable[[Any], Any]) -> bytes | None:
    """Like ``_canonical_json``, for the part of the body that ``without`` leaves.

    orjson writes it whenever it can, however the whole body had to be read, so that two bodies that
    differ only in what is left out are written alike.
    """
    try:
        value = _without_stream_false(without(_loads(request)))
    except ValueError:
        return None
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # Half a surrogate pair, a long integer, or deeper than orjson writes.
        return None if is_nested_beyond(_LEVELS, content(request)) else _dumps(value)


def _loads(request: Request) -> Any:
    """The body's JSON, with long integers and half surrogate pairs as they are.

    Raises ``ValueError`` if it is not JSON, or nested too deep to be changed.
    """
    body = content(request)
    if not _has_long_number(body) and (value := request_json(request)) is not NO_JSON:
        return value
    if is_nested_beyond(_LEVELS, body):  # See _canonical_json.
        raise ValueError("nested too deep")
    return json.loads(body)


def _dumps(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _has_long_number(body: bytes) -> bool:
    return _LONG_NUMBER in body.translate(_DIGITS_AS_0)


def _is_deep(body: bytes) -> bool:
    """Whether a body may be nested too deep for some JSON libraries."""
    return body.count(b"[") + body.count(b"{") > _LEVELS


def _loads_exactly(body: bytes) -> Any:
    """JSON as orjson reads it, except for integers beyond 64 bits. Raises ``ValueError``."""

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
        return value

    return json.loads(body, parse_int=_exact, parse_float=finite, parse_constant=finite)


def _exact(digits: str) -> Any:
    """An integer; beyond 64 bits, its digits in a form that orjson can write."""
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else orjson.Fragment(digits)


def _without_stream_false(value: Any) -> Any:
    if isinstance(value, dict) and value.get("stream", True) is False:
        value = {name: member for name, member in value.items() if name != "stream"}
    return value


def _parts(content_type: bytes, body: bytes) -> list[bytes] | None:
    """One line per part: its name and the hash of its content. None if the body cannot be read.

    Source: RFC 2046, section 5.1.1; RFC 7578.
    """
    boundary = _BOUNDARY.search(content_type)
    if not boundary:
        return None
    pieces = (b"\r\n" + body).split(b"\r\n--" + (boundary[1] or boundary[2]))
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        return None
    lines = []
    for piece in pieces[1:-1]:
        head, separator, content = piece.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head)
        if not separator or not name:
            return None
        lines.append((name[1] or name[2] or b"") + b"\0" + sha256(content).hexdigest().encode())
    return lines


def _by_name(lines: list[bytes]) -> list[bytes]:
    """The lines of parts, sorted by name; parts of one name keep their order and are numbered."""
    names = [line.rpartition(b"\0")[0] for line in lines]
    total = Counter(names)
    if len(total) == len(names):
        return sorted(lines)
    count: Counter[bytes] = Counter()
    pairs = []
    for name, line in zip(names, lines, strict=True):
        count[name] += 1
        pairs.append((name, line + b"#%d" % count[name] if total[name] > 1 else line))
    return [line for _, line in sorted(pairs, key=lambda pair: pair[0])]
