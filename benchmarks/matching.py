"""The cost of a miss, and of MATCH_IGNORE, among 100,000 recordings, through HTTP.

    python -m benchmarks.matching

A cassette of made-up chat requests (``benchmarks.prompts``) is replayed by one uvicorn process.
A recorded request with one changed field has to get a miss that names the original, or a recording
that is exactly as near, first, and the changed path. After each miss, the hit of the unchanged
request is timed on the same connection. Then the same cassette is replayed with MATCH_IGNORE. With
``--store DIR`` the cassette is kept, and used again.
"""

import argparse
import asyncio
import json
import random
import socket
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import prompts
from benchmarks.serving import Server
from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.matching.comparison import Comparison
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.store import Store
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Request

#: The values of MATCH_IGNORE, one server each. The first ignores nothing.
RULES = ("", "$.user", "$.user,$.messages[*].name,$.tools[*].function.strict")


def build(directory: Path, size: int, name: str = "default") -> None:
    """A cassette of the first ``size`` requests, each answered with its number."""
    store = Store(directory, writable=True)

    async def fill() -> None:
        tape = store.cassette(name)
        for start in range(0, size, 512):
            numbers = range(start, min(start + 512, size))
            await asyncio.gather(*(tape.add(interaction(number)) for number in numbers))

    asyncio.run(fill())
    store.close()


def interaction(number: int) -> Interaction:
    request = prompts.request(number)
    body = json.dumps({"key": number, "text": "x" * 400}).encode()
    return Interaction(
        id=interaction_id(request.arrived_us, 0),
        fingerprint=fingerprint(request),
        request=request,
        status=200,
        headers=((b"content-type", b"application/json"),),
        body=body,
        timeline=Timeline(1000, (0,), (len(body),), 2000),
    )


class Connection:
    """One connection that sends requests and times the answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def ask(self, request: Request, *, method: str = "POST") -> tuple[float, int, Any]:
        """The time in ms, the status, and the JSON of an answer."""
        head = f"{method} {request.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(request.body)}\r\n\r\n"
        began = time.perf_counter()
        self._socket.sendall(head.encode() + request.body)
        status = int(self._file.readline().split()[1])
        length = None
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        body = self._file.read(length) if length is not None else self._chunks()
        return (time.perf_counter() - began) * 1e3, status, json.loads(body)

    def _chunks(self) -> bytes:
        chunks = []
        while size := int(self._file.readline(), 16):
            chunks.append(self._file.read(size))
            self._file.readline()
        self._file.readline()
        return b"".join(chunks)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def misses(store: Path, size: int, sample: int) -> None:
    """Send each kind of request with each field changed, and print the results."""
    rng = random.Random(1)
    server = Server(store)
    connection = Connection(server.port)
    before_mb = server.memory_mb()
    first_ms = connection.ask(prompts.changed(1, "word")[0])[0]
    print(f"the first miss of the process, which counts the recordings, {first_ms:.1f} ms")
    print(
        f"{'prompt':<16}{'field':<12}{'right':>9}{'miss ms: median':>20}{'p95':>7}{'worst':>7}"
        f"{'hit ms: median':>16}{'p95':>7}{'worst':>7}{'ratio':>7}"
    )
    for kind in ("short", *prompts.KINDS):
        among = [n for n in range(size) if prompts.kind(n) == kind]
        total = 0
        all_miss_ms: list[float] = []
        all_hit_ms: list[float] = []
        for field in prompts.FIELDS:
            miss_ms, hit_ms, right = [], [], 0
            for number in rng.choices(among, k=sample):
                right += _miss(connection, number, field, miss_ms)
                took_ms, _, answer = connection.ask(prompts.request(number))
                assert answer["key"] == number
                hit_ms.append(took_ms)
            _print_row(kind, field, right, miss_ms, hit_ms)
            all_miss_ms += miss_ms
            all_hit_ms += hit_ms
            total += right
        _print_row(kind, "any", total, all_miss_ms, all_hit_ms)
    print(
        f"memory {before_mb:.0f} MB before, {server.memory_mb():.0f} MB after, "
        f"{server.memory_mb('VmHWM'):.0f} MB at the most"
    )
    connection.close()
    server.stop()


def _print_row(
    kind: str, field: str, right: int, miss_ms: list[float], hit_ms: list[float]
) -> None:
    ratio = statistics.median(miss_ms) / statistics.median(hit_ms)
    print(
        f"{kind:<16}{field:<12}{right:>4} of {len(miss_ms):<4}{_spread(miss_ms):>31}"
        f"{_spread(hit_ms):>30}{ratio:>7.1f}",
        flush=True,
    )


def _miss(connection: Connection, number: int, field: str, took: list[float]) -> bool:
    asked, path = prompts.changed(number, field)
    took_ms, status, answer = connection.ask(asked)
    assert status == 404, answer
    took.append(took_ms)
    nearest = answer["error"]["nearest"]
    if not nearest:
        return False
    original = prompts.request(number)
    itself = nearest[0]["interaction"] == str(interaction_id(original.arrived_us, 0))
    as_near = nearest[0]["similarity"] >= round(Comparison(asked).similarity(original), 4)
    return (itself or as_near) and path in [each["place"] for each in nearest[0]["differences"]]


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    return f"{statistics.median(ordered):.1f}{p95:>7.1f}{ordered[-1]:>7.1f}"


def ignoring(store: Path, size: int, sample: int) -> None:
    """Print the cost of the first request under a rule, which builds an index, and of later ones.

    Meanwhile ``/healthz`` and a hit on a small cassette are requested every 10 ms.
    """
    if not (store / "small.sqlite").exists():
        build(store, 10, "small")
    print(
        f"{'MATCH_IGNORE':<58}{'first':>8}{'others meanwhile ms: median':>29}{'worst':>7}"
        f"{'short hit ms':>14}{'long':>7}{'tools':>7}{'MB':>6}{'most':>6}"
    )
    for rule in RULES:
        server = Server(store, MATCH_IGNORE=rule)
        connection = Connection(server.port)
        meanwhile_ms: list[float] = []
        with ThreadPoolExecutor() as pool:
            asked = prompts.request(1)
            first = pool.submit(connection.ask, asked)
            other = Connection(server.port)
            while not first.done() or not meanwhile_ms:
                took_ms, status, _ = other.ask(
                    replace(asked, path="/healthz", body=b""), method="GET"
                )
                assert status == 200
                meanwhile_ms.append(took_ms)
                small = replace(prompts.request(2), path="/cassettes/small/v1/chat/completions")
                took_ms, status, _ = other.ask(small)
                assert status == 200
                meanwhile_ms.append(took_ms)
                time.sleep(0.01)
            first_s = first.result()[0] / 1e3
        hits = [
            _hits(connection, size, sample, kind) for kind in ("short", "own document", "tools")
        ]
        print(
            f"{rule or '(exact)':<58}{first_s:>6.2f} s{statistics.median(meanwhile_ms):>29.1f}"
            f"{max(meanwhile_ms):>7.1f}{hits[0]:>14.2f}{hits[1]:>7.2f}{hits[2]:>7.2f}"
            f"{server.memory_mb():>6.0f}{server.memory_mb('VmHWM'):>6.0f}",
            flush=True,
        )
        connection.close()
        other.close()
        server.stop()


def _hits(connection: Connection, size: int, sample: int, kind: str) -> float:
    """The median time in ms of hits with requests of this kind."""
    rng = random.Random(2)
    among = [n for n in range(size) if prompts.kind(n) == kind]
    took = []
    for number in rng.choices(among, k=sample):
        took_ms, status, _ = connection.ask(prompts.request(number))
        assert status == 200
        took.append(took_ms)
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--sample", type=int, default=40, help="requests a row")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--measure", nargs="+", default=["misses", "ignoring"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = arguments.store or Path(directory)
        if not (store / "default.sqlite").exists():
            began = time.perf_counter()
            build(store, arguments.size)
            print(
                f"{arguments.size:,} recordings made in {time.perf_counter() - began:.0f} s, "
                f"{(store / 'default.sqlite').stat().st_size / 1e6:.0f} MB"
            )
        if "misses" in arguments.measure:
            misses(store, arguments.size, arguments.sample)
        if "ignoring" in arguments.measure:
            ignoring(store, arguments.size, arguments.sample)


if __name__ == "__main__":
    main()
