"""HAR 1.2 of browsers, proxies and Polly.js, which keeps encoded bodies in pieces; also in YAML.

Sources: the HAR 1.2 specification; ``getBodyFromChunks`` of ``@pollyjs/adapter-node-http`` 1 to 6;
the persister of sourcegraph/cody, which writes YAML and a JSON body as ``textJSON``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlencode

from replay_proxy.importers.bodies import encoded, minified
from replay_proxy.importers.documents import core_document, json_document
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, integer, mapping, sequence, text, utf8
from replay_proxy.importers.timestamps import milliseconds_us, moment_us
from replay_proxy.wire import header, is_event_stream

_LOG = re.compile(rb"\A\s*\{\s*\"log\"\s*:\s*\{")
_YAML = re.compile(
    rb"^[\"']?log[\"']?:\s*\n(?:[ #][^\n]*\n)*?  *[\"']?entries[\"']?:", re.MULTILINE
)
_BODY_KEYS = "mimeType text textJSON encoding _encoding _isBinary size compression comment"
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


def recognises(file: bytes) -> bool:
    """Whether a file looks like HAR."""
    return bool((_LOG.match(file) and b'"entries"' in file) or _YAML.search(file))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges in the order in which they began. Raises ``Misshapen``."""
    is_json = file.lstrip()[:1] == b"{"
    data = json_document(file) if is_json else core_document(file)
    log = mapping(mapping(data, "the file").get("log"), "the log")
    exchanges = list(exchanges_of(sequence(log.get("entries"), "the entries"), "entry", _exchange))
    began_us = 0
    keyed: list[tuple[int, int, Exchange | NotCarried]] = []
    for number, item in enumerate(exchanges):
        if isinstance(item, Exchange) and item.recorded_us is not None:
            began_us = item.recorded_us
        keyed.append((began_us, number, item))  # Without a date it stays in its place.
    yield from (item for _, _, item in sorted(keyed, key=lambda key: key[:2]))


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    entry = mapping(item, "it")
    request = mapping(entry.get("request"), "the request")
    response = mapping(entry.get("response"), "the response")
    if entry.get("_webSocketMessages") is not None:
        raise Misshapen("it is a WebSocket, which cannot be replayed")
    refuse_unread(request, "headers postData queryString _isBinary", "the request")
    refuse_unread(response, "headers content statusText _isBinary", "the response")
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=_url(request),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_request_body(request),
        status=integer(response.get("status"), "the status"),
        headers=headers(response.get("headers"), "the response's headers"),
        body=_body(response),
        recorded_us=moment_us(entry.get("startedDateTime")),
        took_us=milliseconds_us(entry.get("time")) or _timings_us(entry.get("timings")),
    )


def _url(request: Mapping[object, object]) -> str:
    """The URL with the query, which some tools write only beside it."""
    url = text(request.get("url"), "the url")
    fields = sequence(request.get("queryString") or [], "the query")
    if "?" in url or not fields:
        return url
    pairs = _pairs(fields, "the query")
    if any("%" in part or "+" in part for pair in pairs for part in pair):
        raise Misshapen("its query is not in its url, and may be encoded or not")
    return f"{url}?{urlencode(pairs, errors='replace')}"


def _request_body(request: Mapping[object, object]) -> bytes | None:
    size = request.get("bodySize")
    if not request.get("postData"):
        return None if isinstance(size, int) and size > 0 else b""
    data = mapping(request["postData"], "the request's body")
    refuse_unread(data, _BODY_KEYS + " params", "the request's body")
    if data.get("textJSON") is not None:
        return minified(data["textJSON"], "the request's body")
    if data.get("text"):
        body = text(data["text"], "the request's body")
        encoding = data.get("encoding", data.get("_encoding"))
        return _bytes(body, encoding, request.get("_isBinary") is True, "the request's body")
    params = sequence(data.get("params") or [], "the request's parameters")
    if not params:
        return None if isinstance(size, int) and size > 0 else b""
    if "urlencoded" not in text(data.get("mimeType") or "urlencoded", "the request's media type"):
        raise Misshapen("the request's body is in the file as parameters only, without its bytes")
    return urlencode(_pairs(params, "the request's parameters"), errors="replace").encode()


def _pairs(fields: Sequence[object], what: str) -> list[tuple[str, str]]:
    items = [mapping(field, f"one of {what}") for field in fields]
    return [(text(f.get("name"), "a name"), text(f.get("value") or "", "a value")) for f in items]


def _body(response: Mapping[object, object]) -> bytes:
    content = response.get("content") or {}
    data = mapping(content, "the answer's body")
    if data.get("textJSON") is not None:
        return minified(data["textJSON"], "the answer's body")
    if data.get("text") is None:
        refuse_unread(data, _BODY_KEYS, "the answer's body")
        sizes = [size for size in (data.get("size"), response.get("bodySize")) if size != -1]
        # Browsers do not keep a stream that a program has read, and write that it is empty.
        if any(isinstance(size, int) and size > 0 for size in sizes) or _is_stream(data, response):
            raise Misshapen("the answer's body is not in the file: save the HAR with content")
        return b""
    body = text(data["text"], "the answer's body")
    binary = data.get("_isBinary") is True
    return _bytes(body, data.get("encoding"), binary, "the answer's body")


def _is_stream(data: Mapping[object, object], response: Mapping[object, object]) -> bool:
    fields = headers(response.get("headers"), "the response's headers")
    if header(fields, b"content-type") is None:
        fields = ((b"content-type", text(data.get("mimeType") or "", "it").encode()),)
    return is_event_stream(fields)


def _bytes(body: str, encoding: object, is_binary: bool, what: str) -> bytes:
    """The bytes of a text in HAR; Polly.js writes a JSON list of the pieces."""
    if not isinstance(encoding, str) or not encoding:
        if not is_binary:
            return utf8(body, what)
        # Polly.js before version 5 wrote hex, and later base64 without saying so.
        encoding = "hex" if _HEX.match(body.removeprefix('["')) else "base64"
    if encoding in ("base64", "hex") and body.startswith("["):
        pieces = sequence(json_document(utf8(body, what)), what)
        return b"".join(encoded(text(piece, what), encoding, what) for piece in pieces)
    return encoded(body, encoding, what)


def _timings_us(value: object) -> int | None:
    """The sum of the phases; -1 stands for a phase that does not apply."""
    if not isinstance(value, Mapping):
        return None
    phases = [milliseconds_us(value.get(name)) for name in ("blocked", "send", "wait", "receive")]
    return sum(phase for phase in phases if phase) or None
