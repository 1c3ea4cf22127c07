"""Clients that leave before their answer is complete: ``Departures`` ends their requests' tasks.

ASGI reports a client's departure only to a task that waits for it, and such a task costs more than
a short answer.
"""

import asyncio

from replay_proxy.serving.connection import Receive

#: A request is watched after one or two of these periods; most are answered by then.
WATCH_AFTER_S = 0.03


class Departures:
    """The requests in progress. One that takes long is watched for its client's departure.

    Most requests are answered before that. One timer finds those that are not.
    """

    def __init__(self) -> None:
        self._young: set[Departure] = set()
        self._older: set[Departure] = set()
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, receive: Receive) -> "Departure":
        """Watch the request of this task; ``close`` ends it."""
        departure = Departure(receive)
        departure.others = self._young
        self._young.add(departure)
        if self._timer is None:
            self._start_timer()
        return departure

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._watch_older)

    def _watch_older(self) -> None:
        self._timer = None
        for departure in self._older:
            departure.watch()
        self._older.clear()
        self._young, self._older = self._older, self._young
        if self._older:
            self._start_timer()


class Departure:
    """Ends a request's task when its client leaves before the answer is complete."""

    __slots__ = ("_receive", "_task", "_watch", "happened", "others")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self.others: set[Departure]
        self.happened = False

    def watch(self) -> None:
        """Begin to wait for the client's departure."""
        self._watch = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.happened = True
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Stop watching."""
        self.others.discard(self)
        if self._watch is not None:
            self._watch.cancel()
