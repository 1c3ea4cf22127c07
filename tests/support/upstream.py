"""A scripted upstream: an HTTP/1.1 server on a real socket that controls every byte it sends.

    def script(request: Received) -> Answer:
        return Answer(steps=[b"data: 1\\n\\n", Wait(0.03), b"data: [DONE]\\n\\n", Wait(0.03)])

    with Upstream(script) as upstream:
        ...  # upstream.base_url, upstream.requests

It runs in its own thread, without a framework. ``tests.support.script`` has the steps of a script.
"""

import asyncio
import contextlib
import http
import socket
import struct
import threading
from typing import Self

from tests.support.script import Answer, Cut, Gate, Hangup, Head, Raw, Received, Script, Wait

_LIMIT = 1 << 20  # bytes of a request's head
_SPIN_S = 0.001  # timers of the event loop are no finer
_BODILESS = (204, 304)


class Upstream:
    """Serves the script on a free port of 127.0.0.1 until the ``with`` block ends.

    An exception in the script closes the connection, and is raised again at the end.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Received] = []
        self.connections = 0
        self.port = 0
        self._errors: list[Exception] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def base_url(self) -> str:
        """The value for ``UPSTREAM_BASE_URL`` or a client's ``base_url``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Received]:
        """All requests, after at least ``count`` have been received."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise TimeoutError(f"{len(self.requests)} of {count} requests received")
            return list(self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        with self._changed:
            if not self._changed.wait_for(lambda: self.port, 10.0):
                raise TimeoutError("the scripted upstream did not start")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._errors and kind is None:
            raise self._errors[0]

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert isinstance(reader, _Reader)
            self.connections += 1
            task = self._loop.create_task(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(_Reader(limit=_LIMIT), connected)

        server = await self._loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
        with self._changed:
            self.port = server.sockets[0].getsockname()[1]
            self._changed.notify_all()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    async def _connection(self, reader: "_Reader", writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # drain() waits until the kernel has everything
        try:
            while (request := await _read_request(reader)) and await self._answer(
                request, reader, writer
            ):
                pass
        except Exception as error:  # of the script; the test's thread has to see it
            self._errors.append(error)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(
        self, request: Received, reader: "_Reader", writer: asyncio.StreamWriter
    ) -> bool:
        """Play the script's answer. Returns whether the connection can take another request."""
        due = self._loop.time()
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        answer = self.script(request)
        playing = self._loop.create_task(_play(answer, request, writer, due))
        leaving = self._loop.create_task(reader.gone.wait())
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                return playing.result() and request.header(b"connection") != b"close"
            request.client_left.set()
        except ConnectionError:  # seen by a write before the reader
            request.client_left.set()
        finally:
            playing.cancel()
            leaving.cancel()
        return False


class _Reader(asyncio.StreamReader):
    """A reader that also reports, without reading, that the other side has left."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    """The next request of a connection, or None if the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        method, target, _ = first.decode("ascii").split(" ")
        headers = [(name, value.strip()) for name, _, value in (x.partition(b":") for x in lines)]
        request = Received(method, target, headers, b"")
        if request.header(b"transfer-encoding"):
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                request.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            request.body = await reader.readexactly(int(request.header(b"content-length") or 0))
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
    return request


async def _play(
    answer: Answer, request: Received, writer: asyncio.StreamWriter, due: float
) -> bool:
    """Send the answer step by step. Returns whether the connection is still open."""
    loop = asyncio.get_running_loop()

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    if answer.head:
        await send(_head(answer))
    for step in answer.steps:
        match step:
            case bytes():
                request.written += 1  # before the client can receive it
                await send(b"%x\r\n%b\r\n" % (len(step), step) if _chunked(answer) else step)
            case Wait(seconds):
                due += seconds
                await asyncio.sleep(due - loop.time() - _SPIN_S)
                while loop.time() < due:  # noqa: ASYNC110 - more precise than a timer
                    await asyncio.sleep(0)
            case Gate(event):
                while not event.is_set():  # noqa: ASYNC110 - another thread sets it
                    await asyncio.sleep(_SPIN_S)
                due = max(due, loop.time())
            case Head():
                await send(_head(answer))
            case Raw(data):
                await send(data)
            case Cut():
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case Hangup():
                writer.close()
                return False
    if _chunked(answer):
        await send(b"0\r\n\r\n")
    request.finished.set()
    return answer.framing != "eof"


def _chunked(answer: Answer) -> bool:
    return answer.framing == "chunked" and answer.status not in _BODILESS


def _head(answer: Answer) -> bytes:
    try:
        phrase = http.HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    headers = list(answer.headers)
    if answer.status not in _BODILESS:
        size = sum(len(step) for step in answer.steps if isinstance(step, bytes))
        headers.append(
            {
                "chunked": (b"transfer-encoding", b"chunked"),
                "length": (b"content-length", b"%d" % size),
                "eof": (b"connection", b"close"),
            }[answer.framing]
        )
    lines = [b"HTTP/1.1 %d %b" % (answer.status, phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
