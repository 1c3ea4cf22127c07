"""Are slow streams on time? The dummy next to the blog's server, under many of them at once.

    python -m benchmarks.streams                 # 200 and 1,000 streams of 50 chunks 50 ms apart
    python -m benchmarks.streams --ramp 0        # all requests at the same moment

Each server has one worker, warmed up. A stream's plan begins when its request is sent, on an open
connection, and ends with its last chunk 2.5 s later. How late the ends and the chunks came is
printed, and the server's memory. The requests are sent over ``--ramp`` seconds: all streams are
open together, and their time is measured rather than the time to read a thousand requests.
"""

import argparse
import asyncio
import json
import re
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import cast

import uvloop

from benchmarks.contestants import proxy, uvicorn

CHUNKS = 50
GAP_MS = 50
PLAN_S = CHUNKS * GAP_MS / 1000
PROMPT = "x" * (CHUNKS - len("의 응답 내용"))
BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}], "stream": True}
).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
CONTENT = re.compile(rb'"content": ?"[^"]')

PACE = {"MODE": "dummy", "DUMMY_TTFT_MS": str(GAP_MS), "DUMMY_ITL_MS": str(GAP_MS)}
SERVERS = {
    "dummy": partial(proxy, "dummy", **PACE),
    "blog": partial(uvicorn, "blog", "benchmarks.blog_server:app"),
}


class Stream(asyncio.Protocol):
    """One connection: the times of its request, of each chunk, and of the end."""

    def __init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.chunks_s: list[float] = []
        self.sent_s = self.end_s = 0.0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        self.sent_s = time.perf_counter()
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter() - self.sent_s
        events, _, self._rest = (self._rest + data).rpartition(b"\n\n")
        self.chunks_s += [now_s] * len(CONTENT.findall(events))
        if self._rest.endswith(b"\r\n0\r\n\r\n"):
            self.end_s = now_s
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server closed the connection"))


async def streams(port: int, count: int, ramp_s: float) -> list[Stream]:
    """Open all connections, send the requests over the ramp, and wait for every end."""
    loop = asyncio.get_running_loop()
    opened = []
    for _ in range(count):
        _, stream = await loop.create_connection(Stream, "127.0.0.1", port)
        opened.append(stream)
    await asyncio.sleep(0.5)  # The server has accepted them all.
    for number, stream in enumerate(opened):
        loop.call_later(ramp_s * number / count, stream.send)
    await asyncio.gather(*(stream.ended for stream in opened))
    for stream in opened:
        assert len(stream.chunks_s) == CHUNKS, f"{len(stream.chunks_s)} chunks came"
        stream.transport.close()
    return opened


def late_ms(found: Sequence[Stream]) -> tuple[list[float], list[float]]:
    """How late the ends, and all chunks, were."""
    ends = [1000 * (stream.end_s - PLAN_S) for stream in found]
    chunks = [
        1000 * at_s - number * GAP_MS
        for stream in found
        for number, at_s in enumerate(stream.chunks_s, 1)
    ]
    return sorted(ends), sorted(chunks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, nargs="+", default=[200, 1_000])
    parser.add_argument("--ramp", type=float, default=1.0, help="seconds to send all requests in")
    parser.add_argument("--only", choices=SERVERS, action="append")
    arguments = parser.parse_args()
    print(f"{'':16}{'end late by [ms]':>30}{'chunk late by [ms]':>30}{'memory':>10}")
    print(f"{'server  streams':16}" + f"{'median       p99     worst':>30}" * 2 + f"{'[MB]':>10}")
    for count in arguments.streams:
        for name in arguments.only or SERVERS:
            server = SERVERS[name]()
            try:
                server.wait()
                uvloop.run(streams(server.port, 1, 0.0))  # The first request of a process is slow.
                found = uvloop.run(streams(server.port, count, arguments.ramp))
                memory_mb = server.memory_mb("VmHWM")
            finally:
                server.stop()
            cells = "".join(
                f"{value:>10,.1f}"
                for late in late_ms(found)
                for value in (statistics.median(late), late[int(0.99 * len(late))], late[-1])
            )
            print(f"{name:8}{count:>8,}{cells}{memory_mb:>10.0f}")


if __name__ == "__main__":
    main()
