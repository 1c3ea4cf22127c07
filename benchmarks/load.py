"""The load generator: keep-alive connections that send requests and check every answer.

    python -m benchmarks.load < job.json

It is a process of its own, so that it shares no interpreter with the server that it measures. Its
input is a ``Job``, its output the number of answers and the seconds. A wrong answer ends it.
"""

import asyncio
import dataclasses
import itertools
import json
import random
import sys
import time
from typing import cast

import uvloop

#: Placeholder in a body for the request's number, which no other request has.
UNIQUE = b"########"
END = b"\r\n0\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Job:
    """A port to send questions to, and for how long.

    ``questions`` are bodies, each with a text and how often its answer must have it at least.
    ``first`` is the number of the first request, for ``UNIQUE``.
    """

    port: int
    seconds: float
    connections: int
    stream: bool
    first: int
    questions: list[tuple[str, str, int]]


class Asker(asyncio.Protocol):
    """One connection, which sends questions until the time of ``load`` is over."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._answer = bytearray()
        self._length: int | None = None
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        request, self._expected, self._times = self._load.next()
        self._answer.clear()
        self._length = None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._length is None:
            head, found, _ = self._answer.partition(b"\r\n\r\n")
            if not found:
                return
            _, found, length = head.lower().partition(b"\r\ncontent-length:")
            self._length = len(head) + 4 + int(length.split(b"\r\n")[0]) if found else 0
        length = self._length
        whole = len(self._answer) >= length if length else self._answer.endswith(END)
        if whole and not self.ended.done():
            self._check_and_go_on()

    def _check_and_go_on(self) -> None:
        right = (
            self._answer.startswith(b"HTTP/1.1 200 ")
            and self._answer.count(self._expected) >= self._times
            and (not self._load.job.stream or b"data: [DONE]" in self._answer[-40:])
        )
        if not right:
            self.ended.set_exception(AssertionError(f"a wrong answer: {bytes(self._answer)!r}"))
        elif self._load.goes_on():
            self._ask()
        else:
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server closed the connection"))


class Load:
    """The requests, at random, and the count of answers."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.count = 0
        self._numbers = itertools.count(job.first)
        self._random = random.Random(job.first)
        self._requests = [
            (_request(body.encode()), text.encode(), times) for body, text, times in job.questions
        ]

    def next(self) -> tuple[bytes, bytes, int]:
        request, expected, times = self._random.choice(self._requests)
        return request.replace(UNIQUE, b"%08d" % next(self._numbers)), expected, times

    def goes_on(self) -> bool:
        self.count += 1
        return time.perf_counter() < self._deadline_s

    async def run(self) -> float:
        """Run the load. Returns the seconds until the last answer, at least one per connection."""
        loop = asyncio.get_running_loop()
        began_s = time.perf_counter()
        self._deadline_s = began_s + self.job.seconds
        opened = [
            await loop.create_connection(lambda: Asker(self), "127.0.0.1", self.job.port)
            for _ in range(self.job.connections)
        ]
        await asyncio.gather(*(asker.ended for _, asker in opened))
        took_s = time.perf_counter() - began_s
        for transport, _ in opened:
            transport.close()
        return took_s


def _request(body: bytes) -> bytes:
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer x\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )


def main() -> None:
    load = Load(Job(**json.load(sys.stdin)))
    took_s = uvloop.run(load.run())
    print(json.dumps([load.count, took_s]))


if __name__ == "__main__":
    main()
