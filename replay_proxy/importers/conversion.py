"""Foreign exchanges become interactions, as if replay-proxy had recorded them.

The path begins at ``/v1/`` or ``/openai/``, the body is without its content-encoding, the headers
are those that may be stored, and ids sort in the order of the exchanges in the file.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain

from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.importers.encodings import identity
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried
from replay_proxy.importers.timestamps import moment_us
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.storage import stored_request
from replay_proxy.sse.terminal import event_ends
from replay_proxy.target import ADDRESS_FIELDS, flaw
from replay_proxy.timeline import Timeline, chunk_ends
from replay_proxy.wire import Headers, Request, end_to_end, header, is_event_stream

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*))?([^?#]*)(?:\?([^#]*))?")
_API_PATH = re.compile(r"/(?:v1|openai)/.*")
#: Hosts without such a path that still serve the API, such as api.deepseek.com.
_ENDPOINT = re.compile(
    r"/(?:chat/completions|completions|embeddings|responses|moderations"
    r"|images/(?:generations|edits|variations)|audio/(?:speech|transcriptions|translations))$"
)
#: Headers that describe bytes on a connection; the body here is decoded, and framed again.
_FRAMING = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
#: Statuses without a body (RFC 9110, section 6.4.1).
_BODILESS = (204, 205, 304)
#: Media types whose content is at least two bytes long.
_NEVER_EMPTY = re.compile(rb"application/json|text/event-stream", re.IGNORECASE)
_METHOD = re.compile(r"[A-Z]{1,20}")
#: Endpoints that reject requests without a body, besides those of ``_ENDPOINT``.
_NEEDS_BODY = re.compile(
    r"/(?:files|uploads|parts|batches|assistants|messages|runs|fine_tuning/jobs|audio/voices"
    r"|videos|realtime/(?:sessions|calls|client_secrets)|responses/input_tokens)$"
)
#: Endpoints whose requests have no body.
_NEEDS_NO_BODY = re.compile(r"/(?:cancel|pause|resume|hangup)$")


def carry_over(
    items: Iterable[Exchange | NotCarried], *, begin_us: int
) -> Iterator[Interaction | NotCarried]:
    """The interactions of one file, in its order, and what is not carried over.

    An id is made from the time and the content of an exchange, so that importing a file again gives
    the same ids. Exchanges without a date follow those before them, or get the file's first date;
    a file without any date begins at ``begin_us``, microseconds since 1970.
    """
    rest = iter(items)
    undated: list[Exchange | NotCarried] = []
    last_us = begin_us - 1
    for item in rest:  # Only as far as the first date: files can be larger than the memory.
        undated.append(item)
        if isinstance(item, Exchange) and (date_us := _recorded_us(item)) is not None:
            last_us = date_us - 1
            break
    for item in chain(undated, rest):
        if isinstance(item, NotCarried):
            yield item
            continue
        salt = int.from_bytes(_digest(item)[:8], "big")
        dated_us = _recorded_us(item)
        # Dates are often whole seconds: the content distinguishes exchanges of other files.
        wanted_us = 0 if dated_us is None else dated_us + (salt >> 11) % 1000
        stamp_us = max(last_us + 1, wanted_us)
        try:
            yield _interaction(item, stamp_us, interaction_id(stamp_us, salt))
        except Misshapen as error:
            yield NotCarried(item.where, str(error))
        else:
            last_us = stamp_us


def target(url: str) -> tuple[str, str]:
    """The path and the query under which the proxy serves what this URL serves.

    Raises ``Misshapen`` for a URL that is not of an OpenAI-like API.
    """
    match = _URL.match(url.strip())
    scheme, host, path, query = match.groups() if match else (None, None, "", None)
    if scheme in ("ws", "wss"):
        raise Misshapen("it is a WebSocket, which cannot be replayed")
    if known := _API_PATH.search(path):
        path = known[0]
    elif endpoint := _ENDPOINT.search(path):
        path = "/v1" + endpoint[0]
    else:
        raise Misshapen(f"{host or 'the URL'} has no path of an OpenAI-like API: {path or 'none'}")
    return _ascii(path), _ascii(query or "")


def _interaction(exchange: Exchange, arrived_us: int, id_: int) -> Interaction:
    method = exchange.method.strip().upper()
    if not _METHOD.fullmatch(method):
        raise Misshapen("its method is not an HTTP method")
    path, query = target(exchange.url)
    if cause := flaw(method, path, query):
        raise Misshapen(cause)
    if exchange.status == 101:
        raise Misshapen("it is a WebSocket (101), which cannot be replayed")
    if not 200 <= exchange.status <= 599:
        raise Misshapen(f"its status is {exchange.status}, which is not the status of an answer")
    request_body = _request_body(exchange, method, path)
    body = _answer_body(exchange, method)
    headers = tuple(pair for pair in end_to_end(exchange.headers) if pair[0] not in _FRAMING)
    headers = _with_paths(headers, exchange.url)
    request = Request(method, path, query, exchange.request_headers, request_body, arrived_us)
    return Interaction(
        id=id_,
        fingerprint=fingerprint(request),
        request=stored_request(request),
        status=exchange.status,
        headers=stored_response_headers(headers),
        body=body,
        timeline=_timeline(exchange, body),
    )


def _with_paths(headers: Headers, url: str) -> Headers:
    """The headers, with addresses on the host of the exchange as paths of the proxy."""
    return tuple(
        (name, _path(value.decode("latin-1"), url).encode("latin-1"))
        if name in ADDRESS_FIELDS
        else (name, value)
        for name, value in headers
    )


def _path(address: str, url: str) -> str:
    match, other = _URL.match(url.strip()), _URL.match(address)
    host = other[2] if other else None
    if not match or not host or host.lower() != (match[2] or "").lower():
        return address
    try:
        path, query = target(address)
    except Misshapen:
        return address
    return f"{path}?{query}" if query else path


def _request_body(exchange: Exchange, method: str, path: str) -> bytes:
    """The request's body. Raises ``Misshapen`` if there was one and it is not in the file."""
    if exchange.request_body:
        return exchange.request_body
    length = _length(exchange.request_headers)
    is_missing = bool(length)
    if method in ("POST", "PUT", "PATCH") and length is None and not _NEEDS_NO_BODY.search(path):
        needs_body = _ENDPOINT.search(path) or _NEEDS_BODY.search(path)
        is_missing = exchange.request_body is None or bool(
            needs_body and 200 <= exchange.status < 300
        )
    if is_missing:
        raise Misshapen("the request's body is not in the file")
    return b""


def _answer_body(exchange: Exchange, method: str) -> bytes:
    """The answer's body, decoded. Raises ``Misshapen`` if there was one and it is not in the file.

    Some recorders write an empty text for a stream that they could not read.
    """
    if exchange.body:
        return identity(exchange.body, exchange.headers)
    length = _length(exchange.headers)
    if method == "HEAD" or exchange.status in _BODILESS or length == 0:
        return b""
    media = header(exchange.headers, b"content-type") or b""
    is_success = 200 <= exchange.status < 300
    if exchange.body is None or length or (is_success and _NEVER_EMPTY.match(media)):
        raise Misshapen("the answer's body is not in the file")
    return b""


def _length(fields: Headers) -> int | None:
    value = header(fields, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def _timeline(exchange: Exchange, body: bytes) -> Timeline:
    """The recorded chunks; if there are none, each event is a chunk, and all arrive at the end."""
    chunks = exchange.chunks or ()
    if chunks and b"".join(piece for _, piece in chunks) == body:
        offsets: list[int] = []
        for offset_us, _ in chunks:
            offsets.append(max(0, offset_us, offsets[-1] if offsets else 0))
        ends = chunk_ends(len(piece) for _, piece in chunks)
        return Timeline(
            offsets[0], tuple(offsets), tuple(ends), max(offsets[-1], exchange.took_us or 0)
        )
    took_us = max(0, exchange.took_us or 0)
    one = [len(body)] if body else []
    ends = event_ends(body) if _is_stream(exchange.headers, body) else one
    return Timeline(took_us, (took_us,) * len(ends), tuple(ends), took_us)


def _is_stream(headers: Headers, body: bytes) -> bool:
    if header(headers, b"content-type") is None:  # Some recorders are configured to drop headers.
        return body.startswith((b"data:", b"event:", b": "))
    return is_event_stream(headers)


def _recorded_us(exchange: Exchange) -> int | None:
    if exchange.recorded_us is not None:
        return exchange.recorded_us
    return moment_us(header(exchange.headers, b"date"))


def _digest(exchange: Exchange) -> bytes:
    digest = sha256(
        f"{exchange.method}\0{exchange.url}\0{exchange.status}\0".encode("utf-8", "replace")
    )
    for part in (
        exchange.request_body or b"",
        repr(exchange.headers).encode(),
        exchange.body or b"",
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _ascii(text: str) -> str:
    """The text as it is sent: percent-encoded where it is not printable ASCII."""
    raw = text.encode("utf-8", "replace")
    return "".join(chr(byte) if 0x20 < byte < 0x7F else f"%{byte:02X}" for byte in raw)
