"""A request's content: its body without the content coding (RFC 9110, section 8.4). Pure.

Codex and others compress their requests, and a compressor may write the time into its output: the
same JSON has other bytes each second. Requests are matched and explained by their content; stored
and sent is the body.
"""

import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import zstandard

from replay_proxy.wire import Request, header

#: Maximum size of a content that is looked at.
MOST_BYTES = 32 << 20
#: Maximum number of codings of one body.
_CODINGS = 3
#: Bytes of Zstandard that are decoded at once: they yield a few megabytes at most, and the decoder
#: has no bound of its own.
_STEP_BYTES = 256
#: The keys of the content, and of whether it is too large, in a request's memo.
_CONTENT, _TOO_LARGE = object(), object()


class ContentTooLarge(ValueError):
    """The content is larger than ``MOST_BYTES``."""


def content(request: Request) -> bytes:
    """The content; the body itself if its coding is unknown, or the content damaged or huge."""
    body: bytes | None = request.memo.get(_CONTENT)
    if body is not None:
        return body
    body = request.body
    coding = header(request.headers, b"content-encoding")
    if coding is not None:
        try:
            body = decoded(request.body, coding)
        except ValueError as error:
            request.memo[_TOO_LARGE] = isinstance(error, ContentTooLarge)
    request.memo[_CONTENT] = body
    return body


def is_too_large(request: Request) -> bool:
    """Whether the content is larger than ``MOST_BYTES``."""
    content(request)
    return bool(request.memo.get(_TOO_LARGE))


def decoded(body: bytes, codings: bytes) -> bytes:
    """A body without the codings of its ``Content-Encoding``.

    Raises ``ContentTooLarge``, and ``ValueError`` for an unknown coding and for damage.
    """
    names = [name.strip().lower() for name in codings.split(b",") if name.strip()]
    if len(names) > _CODINGS:
        raise ValueError(f"it has {len(names)} codings")
    for name in reversed(names):
        body = _DECODERS[name](body) if name in _DECODERS else _unknown(name)
    return body


def _unknown(name: bytes) -> bytes:
    raise ValueError(f"its coding {name[:40]!r} is not known")


def _gunzip(body: bytes) -> bytes:
    """The members of a gzip file, one after another (RFC 1952, section 2.2)."""
    content = b""
    while body:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        content += _inflate(member, body, MOST_BYTES - len(content))
        body = member.unused_data
    return content


def _deflate(body: bytes) -> bytes:
    """A zlib stream (RFC 1950), or a bare one, which some clients send."""
    try:
        return _inflate(zlib.decompressobj(), body, MOST_BYTES)
    except ContentTooLarge:
        raise
    except ValueError:
        return _inflate(zlib.decompressobj(-zlib.MAX_WBITS), body, MOST_BYTES)


def _inflate(stream: "zlib._Decompress", body: bytes, most: int) -> bytes:
    try:
        content = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > most:
        raise ContentTooLarge
    if not stream.eof:
        raise ValueError("it breaks off")
    return content


def _unzstd(body: bytes) -> bytes:
    """Frames of Zstandard, one after another (RFC 8878)."""
    pieces, size = [], 0
    while body:
        frame, at = zstandard.ZstdDecompressor().decompressobj(), 0
        while at < len(body) and not frame.eof:
            try:
                piece = frame.decompress(body[at : at + _STEP_BYTES])
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from None
            at += _STEP_BYTES
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise ContentTooLarge
        if not frame.eof:
            raise ValueError("it breaks off")
        body = frame.unused_data + body[at:]
    return b"".join(pieces)


def _unbrotli(body: bytes) -> bytes:
    """A stream of Brotli (RFC 7932)."""
    stream, pieces, size = brotli.Decompressor(), [], 0
    try:
        piece = stream.process(body, output_buffer_limit=MOST_BYTES + 1)
        while True:
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise ContentTooLarge
            if stream.is_finished() or stream.can_accept_more_data():
                break
            piece = stream.process(b"", output_buffer_limit=MOST_BYTES + 1)
    except brotli.error as error:
        raise ValueError(str(error)) from None
    if not stream.is_finished():
        raise ValueError("it breaks off")
    return b"".join(pieces)


_DECODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _deflate,
    b"zstd": _unzstd,
    b"br": _unbrotli,
    b"identity": bytes,
}
