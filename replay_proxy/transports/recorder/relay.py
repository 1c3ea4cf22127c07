"""``Relay``: what a pump has read and its client has not, as the body of the client's answer."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from replay_proxy.errors import ReplayProxyError


class Relay:
    """The client's side of an exchange: yields what the pump has read, as it comes.

    A class rather than a generator, since one that was never started would not notice its end.
    ``left`` is called once, when the client reads no further. ``unread`` counts bytes.
    """

    def __init__(self, left: Callable[[], None]) -> None:
        self.unread = 0
        #: None is a clean end.
        self._items: deque[bytes | ReplayProxyError | None] = deque()
        self._left: Callable[[], None] | None = left
        #: The client's side, when it waits for more, and the pump's, when it waits for the client.
        self._empty: asyncio.Future[None] | None = None
        self._full: asyncio.Future[None] | None = None

    def put(self, chunk: bytes) -> None:
        """Let the client's side go on; what comes until it does, it takes in one go."""
        if self._left is not None:
            self._items.append(chunk)
            self.unread += len(chunk)
            if self._empty is not None:
                self._wake()

    def end(self, error: ReplayProxyError | None) -> None:
        """Let the answer end behind what was put, or break off."""
        if self._left is not None:
            self._items.append(error)
            self._wake()

    async def room(self) -> None:
        """Wait until the client has read half of what it had not, or has left."""
        enough = self.unread // 2
        while self.unread > enough:
            self._full = asyncio.get_running_loop().create_future()
            await self._full
        self._full = None

    def close(self) -> None:
        """The client reads no further: let go what it has not read, now."""
        self._items.clear()
        self.unread = 0
        _wake(self._full)
        left, self._left = self._left, None  # The pump refers to this, too.
        if left is not None:
            left()

    async def aclose(self) -> None:
        """The client reads no further."""
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
                del item  # The error refers to this frame, and the frame to the error.
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
