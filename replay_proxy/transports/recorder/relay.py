"""``Relay``: the body of a client's answer, fed by a pump."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from replay_proxy.errors import ReplayProxyError


class Relay:
    """The client's side of an exchange: yields what the pump has read, as it arrives.

    A class rather than a generator, since a generator that was never started does not notice that
    it is closed. ``left`` is called once, when the client stops reading. ``unread`` counts bytes.
    """

    def __init__(self, left: Callable[[], None]) -> None:
        self.unread = 0
        #: None is a clean end.
        self._items: deque[bytes | ReplayProxyError | None] = deque()
        self._left: Callable[[], None] | None = left
        #: Set while the client's side waits for a chunk, and while the pump waits for the client.
        self._empty: asyncio.Future[None] | None = None
        self._full: asyncio.Future[None] | None = None

    def put(self, chunk: bytes) -> None:
        """Add a chunk, and wake the client's side, which then takes all chunks."""
        if self._left is not None:
            self._items.append(chunk)
            self.unread += len(chunk)
            if self._empty is not None:
                self._wake()

    def end(self, error: ReplayProxyError | None) -> None:
        """End the answer after its chunks, or break it off with an error."""
        if self._left is not None:
            self._items.append(error)
            self._wake()

    async def room(self) -> None:
        """Wait until the client has read half of the unread bytes, or has left."""
        enough = self.unread // 2
        while self.unread > enough:
            self._full = asyncio.get_running_loop().create_future()
            await self._full
        self._full = None

    def close(self) -> None:
        """The client stops reading: release what it has not read."""
        self._items.clear()
        self.unread = 0
        _wake(self._full)
        left, self._left = self._left, None  # The pump holds a reference to it, too.
        if left is not None:
            left()

    async def aclose(self) -> None:
        """The client stops reading."""
        self.close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        items = self._items
        while not items:
            self._empty = asyncio.get_running_loop().create_future()
            await self._empty
        item = items.popleft()
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, ReplayProxyError):
            try:
                raise item
            finally:
                del item  # The error and this frame would hold each other.
        self.unread -= len(item)
        if self._full is not None:
            _wake(self._full)
        return item

    def _wake(self) -> None:
        _wake(self._empty)
        self._empty = None


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
