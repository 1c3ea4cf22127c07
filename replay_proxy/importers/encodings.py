"""The body of an answer without its content-encoding. Its bytes count more than its header.

A third of the ``gzip`` and ``br`` headers in recordings describe a body that the recorder has
already decoded. Sources: RFC 1952 and RFC 8878 for the magic bytes; brotli has none.
"""

import re
import zlib

from replay_proxy.importers.documents import inflated
from replay_proxy.importers.exchange import Misshapen
from replay_proxy.matching.content_coding import MOST_BYTES, ContentTooLarge, decoded
from replay_proxy.wire import Headers, header

_GZIP = b"\x1f\x8b\x08"
#: A frame, or one to be skipped before it (RFC 8878, section 3.1).
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
#: Encodings that the bytes show, or that mean nothing; some recorders name a character set.
_KNOWN = frozenset({b"", b"identity", b"gzip", b"x-gzip", b"deflate", b"zstd", b"br", b"utf-8"})
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
#: Media types whose content never begins with the magic bytes of gzip or zstd.
_TEXT = (b"application/json", b"text/", b"application/x-ndjson", b"application/problem+json")


def identity(body: bytes, headers: Headers) -> bytes:
    """The body decoded. Raises ``Misshapen`` when it is encoded and cannot be decoded."""
    fields = b",".join(value for name, value in headers if name == b"content-encoding")
    named = [value.strip().lower() for value in fields.split(b",")]
    is_text = (header(headers, b"content-type") or b"").lower().startswith(_TEXT)
    for _ in named:
        if body.startswith(_GZIP) and (is_text or any(named)):
            body = inflated(body, "the answer's body")
        elif _ZSTD.match(body) and (is_text or b"zstd" in named):
            body = _decoded(body, b"zstd")
        elif b"deflate" in named and not _is_text(body):
            body = _deflated(body)
        elif b"br" in named and not _is_text(body):
            body = _decoded(body, b"br")
    if (unknown := [name for name in named if name not in _KNOWN]) and not _is_text(body):
        raise Misshapen(
            f"the answer's body is compressed with {_name(unknown[0])}: record it without"
        )
    return body


def _decoded(body: bytes, coding: bytes) -> bytes:
    try:
        return decoded(body, coding)
    except ContentTooLarge:
        cause = f"it is larger than {MOST_BYTES >> 20} MiB when decompressed"
    except ValueError as error:
        cause = str(error)
    raise Misshapen(
        f"the answer's body is compressed with {_name(coding)} and cannot be decompressed: {cause}"
    )


def _name(coding: bytes) -> str:
    return "brotli" if coding == b"br" else coding.decode("latin-1")


def _deflated(body: bytes) -> bytes:
    """``deflate`` is zlib by the standard; some senders leave out its header."""
    try:
        return inflated(body, "the answer's body", zlib.MAX_WBITS)
    except Misshapen:
        return inflated(body, "the answer's body", -zlib.MAX_WBITS)


def _is_text(body: bytes) -> bool:
    """Whether a body is not encoded. A short encoded one may be UTF-8, but with odd characters."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return not _CONTROLS.search(body)
