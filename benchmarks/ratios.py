"""The cost of an answer: the proxy's modes next to the blog's server, bare uvicorn and aimock.

    python -m benchmarks.ratios            # less than 3 minutes
    python -m benchmarks.ratios --large    # also replay from 100,000 interactions

All servers of a workload run side by side, one process each. Each first has to give the right
answer, and is warmed up; then they are loaded in turns, and medians are printed. The figure to
compare is the server's processor time per answer: a client in Python is slower than the servers, so
requests per second say as much about the client. Without /proc only these are shown. aimock is
included if npm is present. ``benchmarks.streams`` measures whether slow streams are on time.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import chats
from benchmarks.contestants import (
    Contestant,
    aimock,
    has_aimock,
    proxy,
    uvicorn,
    write_fixtures,
)
from benchmarks.load import UNIQUE
from benchmarks.turns import CHECKED, Entry, Figures, measure


@dataclass
class Bench:
    """What all workloads need: a directory, whether aimock is there, and sizes of cassettes."""

    directory: Path
    aimock: bool
    sizes: list[int]

    def dummy(self, *, stream: bool) -> list[Entry]:
        again = chats.DUMMY_PROMPT + CHECKED
        says = f"{again}의 응답 내용"
        expected = ('"content":"', chats.EVENTS) if stream else (chats.DUMMY_PROMPT, 1)
        other = chats.DUMMY_PROMPT + UNIQUE.decode()
        entries = [
            Entry(partial(proxy, name, MODE="dummy"), [asked], says)
            for name, asked in (
                ("dummy", (chats.body(other, stream=stream), *expected)),
                ("dummy, the same request again", (chats.body(again, stream=stream), *expected)),
            )
        ]
        asked = entries[0].questions
        if stream:
            blog = partial(uvicorn, "the blog's", "benchmarks.blog_server:app", GAP_S="0")
            entries.append(Entry(blog, asked, says))
        if self.aimock:
            path = self.directory / "dummy.json"
            fixtures = write_fixtures(path, {chats.DUMMY_PROMPT: says})
            start = partial(aimock, "aimock", fixtures, "--chunk-size", "1")
            entries.append(Entry(start, asked, says))
        return [*entries, *bare_entries(stream=stream)]

    def replay(self, *, stream: bool) -> list[Entry]:
        entries: list[Entry] = []
        for size in self.sizes:
            asked = chats.questions(size, stream=stream)
            says = chats.text(number_of(asked), stream=stream)
            started = self._replaying(size, stream=stream)
            entries += [Entry(start, asked, says) for start in started]
        return [*entries, *bare_entries(stream=stream)]

    def _replaying(self, size: int, *, stream: bool) -> list[Callable[[], Contestant]]:
        store = str(chats.cached(size))
        among = f"of {size:,}"
        started = [partial(proxy, f"replay {among}", MODE="replay", STORE=store)]
        if stream:
            joined = {"MODE": "replay", "STORE": store, "REPLAY_CHUNKS": "joined"}
            started.append(partial(proxy, f"replay {among}, joined", **joined))
        if self.aimock:
            answers = {
                chats.question(number): chats.text(number, stream=stream)
                for number in range(size // 2)
            }
            path = self.directory / f"{size}-{stream}.json"
            fixtures = write_fixtures(path, answers)
            chunk = ("--chunk-size", str(chats.EVENT_SIZE))
            started.append(partial(aimock, f"aimock {among}", fixtures, *chunk))
        return started

    def record(self, upstream: Contestant, *, stream: bool) -> list[Entry]:
        url = f"http://127.0.0.1:{upstream.port}"
        asked = [(chats.body(f"record {UNIQUE.decode()}", stream=stream), chats.key(0), 1)]
        place = self.directory / f"record-{stream}"
        place.mkdir()
        settings = {"MODE": "record", "STORE": str(place), "UPSTREAM_BASE_URL": f"{url}/v1"}
        started = [partial(proxy, "record", **settings)]
        if self.aimock:
            fixtures = self.directory / f"aimock-{stream}"
            fixtures.mkdir()
            options = ("--record", "--provider-openai", url)
            started.append(partial(aimock, "aimock", fixtures, *options))
        says = chats.text(0, stream=stream)
        entries = [Entry(start, asked, says) for start in started]
        return [*entries, *bare_entries(stream=stream, alone="in_chunks")]


def bare_entries(*, stream: bool, alone: str | None = None) -> list[Entry]:
    """The entries for bare uvicorn, with both kinds of its streams or only one."""
    names = {"in_chunks": "bare ASGI, event by event", "whole": "bare ASGI, in one send"}
    if not stream:
        names = {"whole": "bare ASGI"}
    elif alone:
        names = {alone: names[alone]}
    asked = [(chats.body(chats.question(0), stream=stream), chats.key(0), 1)]
    return [
        Entry(
            partial(uvicorn, name, f"benchmarks.bare_asgi:{app}"),
            asked,
            chats.text(0, stream=stream),
        )
        for app, name in names.items()
    ]


def number_of(asked: chats.Questions) -> int:
    """The number of the first question."""
    return int(asked[0][1].removeprefix("K"))


def print_rows(work: str, results: list[Figures]) -> None:
    for each in results:
        cells = ["", ""]
        if each.processor_ms is not None and results[0].processor_ms:
            ratio = each.processor_ms / results[0].processor_ms
            cells = [f"{each.processor_ms:.3f}", f"{ratio:.2f}"]
        row = [work, each.name, *cells, f"{each.rate:,.0f}", f"{each.rate / results[0].rate:.2f}"]
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--large", action="store_true", help="a cassette of 100,000 too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.2)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that the servers are stopped.
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        sizes = [10, 1_000, *([100_000] if arguments.large else [])]
        bench = Bench(Path(directory), has_aimock(), sizes)
        upstream = uvicorn("the upstream", "benchmarks.bare_asgi:in_chunks")
        stack.callback(upstream.stop)
        upstream.wait()
        print("| work | server | processor ms per answer | ratio | answers/s | ratio |")
        print("|---|---|---|---|---|---|")
        for work, entries in (
            ("W1 dummy, plain", bench.dummy(stream=False)),
            ("W2 dummy, streamed", bench.dummy(stream=True)),
            ("W3 replay, plain", bench.replay(stream=False)),
            ("W4 replay, streamed", bench.replay(stream=True)),
            ("W5 record, plain", bench.record(upstream, stream=False)),
            ("W5 record, streamed", bench.record(upstream, stream=True)),
        ):
            print_rows(work, measure(entries, arguments.rounds, arguments.seconds))
    if not bench.aimock:
        print("\naimock did not run: npm is not there.")
    print("\nW6, are slow streams on time: python -m benchmarks.streams")


if __name__ == "__main__":
    main()
