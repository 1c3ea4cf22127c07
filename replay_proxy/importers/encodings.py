"""The body of an answer without its content-encoding: what its bytes say goes before its header.

A third of the ``gzip`` and ``br`` headers in recordings describe a body that the recorder has
already decoded. Sources: RFC 1952 and RFC 8878 for the magic bytes; brotli has none.
"""

import zlib

from replay_proxy.importers.documents import inflated
from replay_proxy.importers.found import Misshapen
from replay_proxy.wire import Headers, header

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
#: Never content that begins with the magic bytes of gzip or zstd of its own.
_TEXT = (b"application/json", b"text/", b"application/x-ndjson", b"application/problem+json")


def identity(body: bytes, headers: Headers) -> bytes:
    """The body decoded. Raises ``Misshapen`` when it is encoded and cannot be decoded."""
    named = [
        value.strip().lower() for value in (header(headers, b"content-encoding") or b"").split(b",")
    ]
    is_text = (header(headers, b"content-type") or b"").lower().startswith(_TEXT)
    for _ in named:
        if body.startswith(_GZIP) and (is_text or any(named)):
            body = inflated(body, "the answer's body")
        elif body.startswith(_ZSTD) and (is_text or b"zstd" in named):
            raise Misshapen("the answer's body is compressed with zstd: record it without")
        elif b"deflate" in named and not _is_text(body):
            body = _deflated(body)
    if b"br" in named and not _is_text(body):
        raise Misshapen("the answer's body is compressed with brotli: record it without")
    return body


def _deflated(body: bytes) -> bytes:
    """``deflate`` is zlib by its standard, and bare to some senders."""
    try:
        return inflated(body, "the answer's body", zlib.MAX_WBITS)
    except Misshapen:
        return inflated(body, "the answer's body", -zlib.MAX_WBITS)


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
