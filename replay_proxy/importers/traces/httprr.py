"""httprr of Go projects (``httprr trace v1``): requests and answers as they are on the wire.

Source: ``internal/httprr/rr.go`` of langchaingo, after golang.org/x/oscar. Each record is a line
with two lengths, then the request and the answer in these lengths.
"""

import re
from collections.abc import Iterator

from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried
from replay_proxy.wire import Headers, header

_MAGIC = re.compile(rb"\Ahttprr trace v1\r?\n")
_LENGTHS = re.compile(rb"(\d{1,12}) (\d{1,12})\r?\n")
_REQUEST = re.compile(rb"([A-Za-z]+) (\S+) HTTP/[\d.]+\Z")
_STATUS = re.compile(rb"HTTP/[\d.]+ (\d{3})\b")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[^\r\n]*\r?\n")
_LINE_END = re.compile(rb"\r?\n")


def recognises(file: bytes) -> bool:
    """Whether a file is a trace of httprr."""
    return bool(_MAGIC.match(file))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a trace. After a wrong length nothing more can be read.

    Raises ``Misshapen``.
    """
    magic = _MAGIC.match(file)
    if not magic:
        raise Misshapen('it does not begin with "httprr trace v1"')
    position, number = magic.end(), 0
    while position < len(file):
        number += 1
        where = f"record {number}"
        lengths = _LENGTHS.match(file, position)
        if not lengths:
            yield NotCarried(where, "its line of lengths is damaged: it and all after it are lost")
            return
        middle = lengths.end() + int(lengths[1])
        end = middle + int(lengths[2])
        if end > len(file):
            yield NotCarried(where, f"the file ends {end - len(file)} bytes before the record does")
            return
        try:
            yield _exchange(where, file[lengths.end() : middle], file[middle:end])
        except Misshapen as error:
            yield NotCarried(where, str(error))
        position = end


def _exchange(where: str, request: bytes, answer: bytes) -> Exchange:
    asked, request_headers, request_body = _parts(request, "the request")
    answered, headers, body = _parts(answer, "the answer")
    line, status = _REQUEST.match(asked), _STATUS.match(answered)
    if not line:
        raise Misshapen("its request does not begin with a request line")
    if not status:
        raise Misshapen("its answer does not begin with a status line")
    url = line[2].decode("latin-1")
    if url.startswith("/"):
        url = f"http://{(header(request_headers, b'host') or b'').decode('latin-1')}{url}"
    return Exchange(
        where=where,
        method=line[1].decode(),
        url=url,
        request_headers=request_headers,
        request_body=_unframed(request_body, request_headers, "the request's body"),
        status=int(status[1]),
        headers=headers,
        body=_unframed(body, headers, "the answer's body", head=line[1].upper() == b"HEAD"),
    )


def _parts(message: bytes, what: str) -> tuple[bytes, Headers, bytes]:
    """A message's first line, header fields and body."""
    lines: list[bytes] = []
    position = 0
    while match := _LINE_END.search(message, position):
        line, position = message[position : match.start()], match.end()
        if not line:
            break
        lines.append(line)
    else:
        raise Misshapen(f"the head of {what} does not end")
    if not lines:
        raise Misshapen(f"{what} is empty")
    pairs = [line.partition(b":") for line in lines[1:]]
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return lines[0], headers, message[position:]


def _unframed(body: bytes, headers: Headers, what: str, *, head: bool = False) -> bytes:
    """The body without the framing of HTTP/1.1 (RFC 9112, section 6)."""
    if head:
        return b""
    if (header(headers, b"transfer-encoding") or b"").lower().endswith(b"chunked"):
        return _dechunked(body, what)
    length = header(headers, b"content-length")
    if length is not None and length.isdigit() and int(length) > len(body):
        raise Misshapen(f"{what} has {len(body)} bytes of {int(length)}")
    return body


def _dechunked(body: bytes, what: str) -> bytes:
    pieces: list[bytes] = []
    position = 0
    while size := _CHUNK.match(body, position):
        end = size.end() + int(size[1], 16)
        if end == size.end():
            return b"".join(pieces)
        pieces.append(body[size.end() : end])
        line_end = _LINE_END.match(body, end)
        if not line_end:
            break
        position = line_end.end()
    raise Misshapen(f"{what} is chunked and breaks off")
