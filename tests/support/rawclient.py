"""A raw HTTP/1.1 client on a blocking socket that shows what was on the wire, and when.

    with RawClient(base_url) as client:
        answer = client.request("POST", "/v1/chat/completions", body=b"{}")
        answer.chunks, answer.offsets, answer.clean

httpx and in-process clients join chunks and hide their boundaries; this client shows them.
"""

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

Pairs = Sequence[tuple[bytes, bytes]]


class NoAnswerError(ConnectionError):
    """The connection ended, or sent something other than HTTP, before a head was complete."""


class BodyCutError(ConnectionError):
    """The connection ended before the body did."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Read at most ``size`` bytes at once, and pause ``pause_s`` before each read."""

    size: int
    pause_s: float


@dataclass
class RawAnswer:
    """One answer as it was on the wire; offsets are seconds since the request was sent.

    ``chunks`` are the HTTP chunks; with another framing they are what each read of the socket
    returned. ``clean`` is true if the body ended as its framing requires.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    framing: Literal["chunked", "length", "eof", "none"]
    head_offset: float
    chunks: list[bytes] = field(default_factory=list)
    offsets: list[float] = field(default_factory=list)
    clean: bool = False
    #: Why the body is not clean: an error, or this side left.
    fault: str = ""

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, its name in lower case."""
        return next((value for key, value in self.headers if key == name), None)


class Incoming(Iterator[bytes]):
    """An answer in progress: each ``next()`` blocks until another chunk is complete.

    It ends with the body, cleanly or not (see ``answer.clean``).
    """

    def __init__(self, client: "RawClient", answer: RawAnswer) -> None:
        self.answer = answer
        self._client = client
        self._chunks = client.chunks_of(answer)

    def __next__(self) -> bytes:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self.answer.clean = True
            if self.answer.framing == "eof" or self.answer.header(b"connection") == b"close":
                self._client.close()
            raise
        except TimeoutError:
            self._client.close()
            raise
        except OSError as error:
            self.answer.fault = f"{type(error).__name__}: {error}"
            self._client.close()
            raise StopIteration from None
        self.answer.offsets.append(time.perf_counter() - self._client.sent_at)
        self.answer.chunks.append(chunk)
        return chunk

    def leave(self) -> RawAnswer:
        """Close the connection now, as a client does that needs no more."""
        self._client.close()
        self.answer.fault = "this side left"
        return self.answer

    def read(self, *, leave_after: bytes | None = None) -> RawAnswer:
        """Read to the end, or close as soon as the body contains ``leave_after``."""
        tail = b""
        for chunk in self:
            if leave_after is not None:
                tail = tail[-len(leave_after) :] + chunk
                if leave_after in tail:
                    return self.leave()
        return self.answer


class RawClient:
    """One connection to a URL's host, opened by the first request, and again after a close."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 30.0,
        throttle: Throttle | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.sent_at = 0.0
        self._timeout_s = timeout_s
        self._throttle = throttle
        self._receive_buffer = receive_buffer
        self._socket: socket.socket | None = None
        self._buffer = b""

    def request(
        self,
        method: str,
        target: str,
        headers: Pairs = (),
        body: bytes = b"",
        *,
        leave_after: bytes | None = None,
    ) -> RawAnswer:
        """Send a request and read its answer to the end."""
        return self.send(method, target, headers, body).read(leave_after=leave_after)

    def send(self, method: str, target: str, headers: Pairs = (), body: bytes = b"") -> Incoming:
        """Send a request, with ``host`` and ``content-length`` added; read its answer's head."""
        lines = [
            f"{method} {target} HTTP/1.1".encode(),
            f"host: {self.address[0]}:{self.address[1]}".encode(),
        ]
        lines += [name + b": " + value for name, value in headers]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(b"content-length: %d" % len(body))
        return self.send_raw(b"\r\n".join(lines) + b"\r\n\r\n" + body, bodiless=method == "HEAD")

    def send_raw(self, data: bytes, *, bodiless: bool = False) -> Incoming:
        """Send bytes as they are and read the head of an answer."""
        try:
            if self._socket is None:
                self._socket = self._connected()
            self.sent_at = time.perf_counter()
            self._socket.sendall(data)
            return Incoming(self, self._read_head(bodiless=bodiless))
        except OSError as error:
            self.close()
            raise NoAnswerError(f"no answer: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if self._receive_buffer is not None:  # must be set before connecting
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            sock.settimeout(self._timeout_s)
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _fill(self) -> None:
        assert self._socket is not None, "this answer's connection is closed"
        if self._throttle is not None:
            time.sleep(self._throttle.pause_s)
        data = self._socket.recv(self._throttle.size if self._throttle else 1 << 18)
        if not data:
            raise BodyCutError("the connection ended before the answer did")
        self._buffer += data

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _take_line(self, end: bytes = b"\r\n") -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._fill()
        return self._take(at + len(end))[: -len(end)]

    def _read_head(self, *, bodiless: bool) -> RawAnswer:
        first, *lines = self._take_line(b"\r\n\r\n").split(b"\r\n")
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise NoAnswerError(f"not HTTP: {first[:80]!r}")
        status = int(rest[:3])
        if 100 <= status < 200:
            return self._read_head(bodiless=bodiless)
        parted = (line.partition(b":") for line in lines)
        headers = [(name.lower(), value.strip()) for name, _, value in parted]
        answer = RawAnswer(status, headers, "eof", time.perf_counter() - self.sent_at)
        if bodiless or status in (204, 304):
            answer.framing = "none"
        elif answer.header(b"transfer-encoding") is not None:
            answer.framing = "chunked"
        elif answer.header(b"content-length") is not None:
            answer.framing = "length"
        return answer

    def chunks_of(self, answer: RawAnswer) -> Iterator[bytes]:
        """The body of the answer whose head was read last; raises ``OSError`` if it is cut."""
        if answer.framing == "chunked":
            while size := int(self._take_line().partition(b";")[0], 16):
                yield self._take(size + 2)[:-2]
            while self._take_line():
                pass  # trailers
        elif answer.framing == "length":
            left = int(answer.header(b"content-length") or 0)
            while left:
                if not self._buffer:
                    self._fill()
                piece = self._take(min(left, len(self._buffer)))
                left -= len(piece)
                yield piece
        elif answer.framing == "eof":
            with contextlib.suppress(BodyCutError):
                while True:
                    if not self._buffer:
                        self._fill()
                    yield self._take(len(self._buffer))
