"""Does the size of a cassette matter? Start-up, memory and speed of replay, side by side.

    python -m benchmarks.size            # 10, 1,000 and 100,000 interactions

For each size a cassette of chat answers (half of them streams of 100 events) is made, and one
uvicorn process replays it. Rounds are interleaved; medians are printed, and each figure's ratio to
that of the smallest cassette. Load: 8 connections, random keys, every answer's key checked.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.serving import Server
from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.fingerprint import fingerprint
from replay_proxy.store import Store
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Request

CONNECTIONS = 8
EVENTS = 100


def request_body(number: int, *, stream: bool) -> bytes:
    messages = [{"role": "user", "content": f"Question number {number}: " + "why? " * 20}]
    return json.dumps({"model": "gpt-4o", "messages": messages, "stream": stream}).encode()


def interaction(number: int, *, stream: bool) -> Interaction:
    arrived_us = 1_700_000_000_000_000 + 2 * number + stream
    body = request_body(number, stream=stream)
    request = Request("POST", "/v1/chat/completions", "", (), body, arrived_us)
    if stream:
        event = {"choices": [{"index": 0, "delta": {"content": "t"}}], "id": f"key-{number}"}
        chunks = [b"data: " + json.dumps(event).encode() + b"\n\n"] * EVENTS
        chunks.append(b"data: [DONE]\n\n")
        media_type = b"text/event-stream; charset=utf-8"
    else:
        chunks = [json.dumps({"id": f"key-{number}", "text": "x" * 400}).encode()]
        media_type = b"application/json"
    return kept(request, chunks, media_type)


def kept(request: Request, chunks: list[bytes], media_type: bytes) -> Interaction:
    """The interaction of a request whose answer came at once, in these chunks."""
    ends = [sum(map(len, chunks[: count + 1])) for count in range(len(chunks))]
    return Interaction(
        id=interaction_id(request.arrived_us, 0),
        fingerprint=fingerprint(request),
        request=request,
        status=200,
        headers=((b"content-type", media_type),),
        body=b"".join(chunks),
        timeline=Timeline(1000, tuple(range(len(chunks))), tuple(ends), 2000),
    )


def build(directory: Path, size: int) -> None:
    """A cassette ``default`` with ``size`` interactions."""
    store = Store(directory, writable=True)

    async def fill() -> None:
        tape = store.cassette("default")
        for start in range(0, size, 512):
            numbers = range(start, min(start + 512, size))
            await asyncio.gather(
                *(tape.add(interaction(number // 2, stream=bool(number % 2))) for number in numbers)
            )

    asyncio.run(fill())
    store.close()


async def load(port: int, numbers: list[int], *, stream: bool, seconds: float) -> float:
    """Requests a second over ``seconds`` (at least one request a connection)."""
    deadline = time.perf_counter() + seconds
    count = 0

    async def connection(seed: int) -> None:
        nonlocal count
        rng = random.Random(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            number = rng.choice(numbers)
            body = request_body(number, stream=stream)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            answer = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert b'"key-%d"' % number in answer
            assert answer.startswith(b"HTTP/1.1 200")
            count += 1
            if time.perf_counter() >= deadline:
                break
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection(seed) for seed in range(CONNECTIONS)))
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 1_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp())
    figures: dict[int, dict[str, list[float]]] = {}
    try:
        for size in arguments.sizes:
            (directory / str(size)).mkdir()
            build(directory / str(size), size)
        for _ in range(arguments.rounds):
            for size in arguments.sizes:
                measured = measure(directory / str(size), size, arguments.seconds)
                for name, value in measured.items():
                    figures.setdefault(size, {}).setdefault(name, []).append(value)
    finally:
        shutil.rmtree(directory)
    report(figures)


def measure(store: Path, size: int, seconds: float) -> dict[str, float]:
    numbers = random.Random(size).sample(range(size // 2), min(size // 2, 2_000))
    began = time.perf_counter()
    server = Server(store)
    try:
        asyncio.run(load(server.port, [0], stream=False, seconds=0.0))
        return {
            "start-up [s]": time.perf_counter() - began,
            "plain [requests/s]": asyncio.run(
                load(server.port, numbers, stream=False, seconds=seconds)
            ),
            "streamed [requests/s]": asyncio.run(
                load(server.port, numbers, stream=True, seconds=seconds)
            ),
            "memory [MB]": server.memory_mb(),
        }
    finally:
        server.stop()


def report(figures: dict[int, dict[str, list[float]]]) -> None:
    smallest = figures[min(figures)]
    print(f"{'interactions':>24}" + "".join(f"{size:>18,}" for size in figures))
    for name in smallest:
        cells = []
        for of_size in figures.values():
            median = statistics.median(of_size[name])
            ratio = median / statistics.median(smallest[name])
            cells.append(f"{median:>10,.2f} ({ratio:.2f})")
        print(f"{name:>24}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
