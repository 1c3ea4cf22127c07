"""One answer as it arrives on one of aiohttp's connections: its head, and its body by chunks.

The connection gives all that it receives to its current reader (`set_parser`, made for WebSockets),
and httptools finds the end of each HTTP chunk. Not in here: writing, and opening connections.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial

import aiohttp
import httptools
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError

from replay_proxy.transports.upstream.errors import as_httpx_errors
from replay_proxy.wire import ChunkRest

#: Maximum of what a server may send besides a body: bytes in a row, bytes per header, headers.
HEAD_BYTES, FIELD_BYTES, FIELDS = 1 << 20, 65_536, 1_000
#: Maximum wait for the rest of an HTTP chunk before its beginning is passed on alone.
REJOIN_S = 0.02
#: Received bytes that have not been taken at which receiving stops.
WAITING_BYTES = 1 << 18


class AnswerReader(httpx.AsyncByteStream):
    """Reads one answer, and then gives the connection back or closes it.

    ``headers`` (as they are on the wire) are complete after ``head()``. It cannot read the answer
    to a HEAD, which has no body whatever its headers say.
    """

    def __init__(
        self,
        connection: Connection,
        protocol: ResponseHandler,
        transport: asyncio.Transport,
        request: httpx.Request,
        timeout_s: float | None,
    ) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self._request = request
        self._connection = connection
        self._protocol = protocol
        self._transport = transport
        self._timeout_s = timeout_s
        #: The body as it arrived; None follows the last piece of every HTTP chunk.
        self._pieces: deque[bytes | None] = deque()
        #: ``_begun``: the beginning of an HTTP chunk was passed on alone.
        self._chunked = self._framed = self._begun = False
        self._whole = self._reusable = self._lost = self._paused = False
        self._error: BaseException | None = None
        #: Bytes received since something was taken, including an incomplete head.
        self._received = 0
        self._waiting: asyncio.Future[None] | None = None
        # Not Python functions, since they are called for every chunk.
        self.on_body = self._pieces.append
        self.on_chunk_complete = partial(self._pieces.append, None)
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # As lenient as aiohttp is to servers.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        protocol.set_parser(self, self)
        protocol.read_timeout = timeout_s

    async def head(self) -> int:
        """Wait for the head. Returns the status. Interim answers (1xx) are dropped."""
        while self.status is None:
            if self._error is not None:
                raise self._error
            if self._lost:
                raise self._protocol.exception() or aiohttp.ServerDisconnectedError
            await self._more()
        return self.status

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        """HTTP chunks if there are any, else pieces as they arrive; see ``ChunkRest``."""
        pieces = self._pieces
        with as_httpx_errors(self._request):
            while True:
                taken = bool(pieces)
                while pieces:
                    piece = pieces.popleft()
                    if piece is None:
                        self._begun = False
                        continue
                    continues = self._begun
                    if self._chunked and not (pieces and pieces[0] is None):
                        piece = await self._rejoined(piece)
                    yield ChunkRest(piece) if continues else piece
                if self._ended():
                    return
                if taken:
                    self._take_more()
                await self._more()

    async def aclose(self) -> None:
        """Stop reading: the connection is closed unless it was given back."""
        self._parser = None
        self._connection.close()

    def _ended(self) -> bool:
        """Whether the body is complete. Raises the error that broke it off."""
        if self._whole:
            return True
        if self._error is not None:
            raise self._error
        if not self._lost:
            return False
        cleanly = isinstance(self._protocol.exception(), aiohttp.ServerDisconnectedError)
        if cleanly and not self._framed:
            return True
        raise aiohttp.ClientPayloadError("the connection was lost")

    async def _rejoined(self, piece: bytes) -> bytes:
        """The HTTP chunk that begins with ``piece``, as far as it arrives within REJOIN_S."""
        chunk = [piece]
        self._begun = True
        with suppress(TimeoutError):  # The sender is slow within a chunk.
            async with asyncio.timeout(REJOIN_S):
                while True:
                    while self._pieces and (more := self._pieces[0]) is not None:
                        chunk.append(more)
                        self._pieces.popleft()
                    if self._pieces or self._lost or self._error:
                        break
                    self._take_more()
                    await self._more()
        return b"".join(chunk)

    async def _more(self) -> None:
        """Wait until something has arrived or ended."""
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _take_more(self) -> None:
        """Continue to receive, since everything has been taken."""
        self._received = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
            self._protocol.read_timeout = self._timeout_s
            self._protocol.start_timeout()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Parse received bytes."""
        if self._parser is None:
            return False, b""  # Reading has stopped.
        self._received += len(data)
        try:
            self._parser.feed_data(data)
            if self._received > HEAD_BYTES and (self.status is None or not self._pieces):
                raise httptools.HttpParserError("too many bytes that are not a body")
        except httptools.HttpParserUpgrade:
            self._whole, self._reusable = True, False
        except httptools.HttpParserError as error:
            self._reusable = False
            if not self._whole:
                self._broken(error)
        if self._whole:
            self._give_back()
        elif self._received > WAITING_BYTES and not self._paused and self.status and self._pieces:
            self._paused = True
            self._transport.pause_reading()
            self._protocol.read_timeout = None  # The server is not the slow side.
            self._protocol.start_timeout()
        self._wake()
        return False, b""

    def feed_eof(self) -> None:
        """The connection is lost; its exception, when it has one, follows in the same turn."""
        self._lost = True
        self._wake()

    def set_exception(self, error: BaseException) -> None:
        """Nothing arrived in time."""
        self._error = error
        self._wake()

    def is_eof(self) -> bool:
        """Whether the answer is whole."""
        return self._whole

    def _broken(self, error: httptools.HttpParserError) -> None:
        if self.status is None:
            self._error = HttpProcessingError(code=400)
        else:
            self._error = aiohttp.ClientPayloadError("broken framing")
        self._error.__cause__ = error
        self._parser = None
        self._connection.close()

    def _give_back(self) -> None:
        self._parser = None
        self._take_more()
        self._protocol.set_parser(None, None)
        if self._reusable:
            self._connection.release()
        else:
            self._connection.close()

    def _wake(self) -> None:
        if self._waiting is not None:
            if not self._waiting.done():
                self._waiting.set_result(None)
            self._waiting = None

    def on_message_begin(self) -> None:
        """Refuse bytes after the end: nobody requested another answer."""
        if self._whole:
            raise ValueError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is dropped."""
        if self.status is not None:
            return
        if len(name) + len(value) > FIELD_BYTES or len(self.headers) >= FIELDS or b"\0" in value:
            raise ValueError("a header that cannot be passed on")
        self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head is complete, of the answer or of an interim one."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self.headers.clear()
            return
        self.status = status
        self._pieces.clear()
        self._reusable = self._parser.should_keep_alive()
        for name, value in self.headers:
            match name.lower():
                case b"content-length":
                    self._framed = True
                case b"transfer-encoding":  # The last coding counts (RFC 9112, section 6.3).
                    self._chunked = value.lower().rpartition(b",")[2].strip() == b"chunked"
        self._framed |= self._chunked

    def on_message_complete(self) -> None:
        """The body is complete, unless it was that of an interim answer."""
        self._whole = self.status is not None
