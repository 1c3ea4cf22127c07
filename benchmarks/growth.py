"""Does cost grow as it should? One table per dimension, with one row per value.

    python -m benchmarks.growth                    # all four: less than 6 minutes
    python -m benchmarks.growth --only prompt

The dimensions: interactions of a cassette (10 to 100,000), chunks of an answer (1 to 5,000), bytes
of a prompt (100 to 5,000,000), and open streams (1 to 2,000). Each value has a server of its own,
one process. All servers of a table run side by side; each is checked, warmed up, and loaded in
turns with the others, and every answer is checked. Figures are medians of the rounds, with the
ratio to the first row in brackets. Processor time is the server's, from the kernel. "Each further"
is the additional cost over the first row, divided by the difference of the values; a difference of
less than a tenth is noise, and left out. Memory is given after the load and at its peak.

The cassettes of different sizes are kept in ``.cache``; the first run takes half a minute longer.
Needs Linux, whose kernel reports memory and time.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import chats
from benchmarks.contestants import Contestant, proxy, uvicorn
from benchmarks.load import UNIQUE
from benchmarks.open_streams import table_of_streams
from benchmarks.turns import CHECKED, CONNECTIONS, Entry, Figures, check, measure

SIZES = (10, 100, 1_000, 10_000, 100_000)
CHUNKS = (1, 10, 100, 1_000, 5_000)
PROMPTS = (100, 1_000, 10_000, 100_000, 1_000_000, 5_000_000)
#: Connections for prompts, of which 5 MB are in progress on each at once.
PROMPT_CONNECTIONS = 4
WARM_S = 0.3
SENTENCE = "Tell me of the sea, and of the ships that sail on it. "


class Growth:
    """The first three tables: requests as fast as the answers come."""

    def __init__(self, directory: Path, rounds: int, seconds: float) -> None:
        self._directory = directory
        self._rounds = rounds
        self._seconds = seconds

    def cassette(self) -> None:
        stores = [chats.cached(size) for size in SIZES]
        start_s: list[list[float]] = [[] for _ in SIZES]
        header("interactions", further=None, more=["start-up, s"])
        for stream in (False, True):
            entries = [
                self._replay_numbered(size, store, stream=stream)
                for size, store in zip(SIZES, stores, strict=True)
            ]
            if not stream:
                for _ in range(self._rounds):
                    for entry, times in zip(entries, start_s, strict=True):
                        times.append(started_in_s(entry))
            results = self._measured(entries)
            more = [[cell] for cell in ratios(list(map(statistics.median, start_s)), 2)]
            rows("replay, streamed" if stream else "replay, plain", SIZES, results, more=more)

    def answer(self) -> None:
        header("chunks", further="chunk, µs")
        replayed = [self._replay_chunks(count) for count in CHUNKS]
        rows("replay", CHUNKS, self._measured(replayed), further=1000.0)
        made_up = []
        for count in CHUNKS:
            says = of_length(count)
            asked = chats.body(UNIQUE.decode(), stream=True)
            start = partial(proxy, f"dummy {count}", MODE="dummy", DUMMY_TEXT=f"fixed:{says}")
            made_up.append(Entry(start, [(asked, '"content":"', count + 1)], says))
        rows("dummy", CHUNKS, self._measured(made_up), further=1000.0)
        with ExitStack() as stack:
            recorded = []
            for entry in replayed:
                upstream = started(stack, entry.start)
                recorded.append(self._record(upstream, entry.questions, entry.says))
            rows("record", CHUNKS, self._measured(recorded), further=1000.0)

    def prompt(self) -> None:
        header("bytes", further="kB, µs")
        measured = partial(self._measured, connections=PROMPT_CONNECTIONS)
        hits = []
        for size in PROMPTS:
            asked = chats.body(of_length(size), stream=False)
            store = self._directory / f"prompt-{size}"
            chats.build(store, [chats.interaction(0, asked, [chats.plain(0)], stream=False)])
            says = chats.text(0, stream=False)
            hits.append(self._replay(store, [(asked, chats.key(0), 1)], says))
        rows("replay", PROMPTS, measured(hits), further=1e6)
        made_up = []
        for size in PROMPTS:
            prompt = unique_of_length(size)
            # Otherwise the answer would quote the prompt, and grow with it.
            says = prompt.replace(UNIQUE.decode(), CHECKED)[:50]
            asked = chats.body(prompt, stream=False, max_completion_tokens=len(says))
            start = partial(proxy, f"dummy {size}", MODE="dummy")
            made_up.append(Entry(start, [(asked, says[len(CHECKED) :], 1)], says))
        rows("dummy", PROMPTS, measured(made_up), further=1e6)
        with ExitStack() as stack:
            upstream = started(
                stack, partial(uvicorn, "the upstream", "benchmarks.bare_asgi:in_chunks")
            )
            bodies = [chats.body(unique_of_length(size), stream=False) for size in PROMPTS]
            says = chats.text(0, stream=False)
            recorded = [self._record(upstream, [(body, chats.key(0), 1)], says) for body in bodies]
            rows("record", PROMPTS, measured(recorded), further=1e6)

    def _replay(self, store: Path, asked: chats.Questions, says: str) -> Entry:
        start = partial(proxy, f"replay of {store.name}", MODE="replay", STORE=str(store))
        return Entry(start, asked, says)

    def _replay_numbered(self, size: int, store: Path, *, stream: bool) -> Entry:
        asked = chats.questions(size, stream=stream)
        return self._replay(store, asked, chats.text(int(asked[0][1][1:]), stream=stream))

    def _replay_chunks(self, count: int) -> Entry:
        *made, last, reason, done = chats.chunks(count, count)
        asked = chats.body(chats.question(count), stream=True)
        store = self._directory / f"chunks-{count}"
        answered = [*made, last + reason + done]
        chats.build(store, [chats.interaction(0, asked, answered, stream=True)])
        # All events are there, and each ends with an HTTP chunk.
        texts = (f"chatcmpl-{count:032x}", "\n\n\r\n")
        says = chats.text(count, stream=True, events=count)
        return self._replay(store, [(asked, text, count) for text in texts], says)

    def _record(self, upstream: Contestant, asked: chats.Questions, says: str) -> Entry:
        store = tempfile.mkdtemp(dir=self._directory)
        url = f"http://127.0.0.1:{upstream.port}/v1"
        settings = {"MODE": "record", "STORE": store, "UPSTREAM_BASE_URL": url}
        return Entry(partial(proxy, "record", **settings), asked, says)

    def _measured(self, entries: Sequence[Entry], connections: int = CONNECTIONS) -> list[Figures]:
        return measure(entries, self._rounds, self._seconds, connections=connections, warm_s=WARM_S)


def started(stack: ExitStack, start: Callable[[], Contestant]) -> Contestant:
    """A server that runs until the stack is closed."""
    server = start()
    stack.callback(server.stop)
    server.wait()
    return server


def of_length(size: int) -> str:
    return (SENTENCE * (size // len(SENTENCE) + 1))[:size]


def unique_of_length(size: int) -> str:
    return UNIQUE.decode() + of_length(size - len(UNIQUE))


def started_in_s(entry: Entry) -> float:
    """Seconds from the start of the process to its first answer."""
    began_s = time.perf_counter()
    server = entry.start()
    try:
        server.wait()
        check(server, entry)
        return time.perf_counter() - began_s
    finally:
        server.stop()


def ratios(values: Sequence[float], digits: int) -> list[str]:
    """The values as text, each with its ratio to the first."""
    pairs = [(value, value / values[0]) for value in values]
    return [f"{value:,.{digits}f} ({ratio:.{2 if ratio > 0.1 else 4}f})" for value, ratio in pairs]


def header(dimension: str, *, further: str | None, more: Sequence[str] = ()) -> None:
    titles = ["work", dimension, "processor ms per answer"]
    titles += [f"each further {further}"] if further else []
    titles += ["answers/s", "memory, MB", "peak, MB", *more]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")


def rows(
    work: str,
    values: Sequence[int],
    results: Sequence[Figures],
    *,
    further: float | None = None,
    more: Sequence[Sequence[str]] = (),
) -> None:
    """Print the rows of a workload. ``further`` converts ms to the unit of "each further"."""
    costs = [each.processor_ms or 0.0 for each in results]
    columns = [[f"{value:,}" for value in values], ratios(costs, 3)]
    if further:
        steps = zip(values[1:], costs[1:], strict=True)
        more_cost = [(cost - costs[0], value - values[0]) for value, cost in steps]
        columns.append(
            ["", *(f"{further * c / v:,.2f}" if c > costs[0] / 10 else "" for c, v in more_cost)]
        )
    columns.append(ratios([each.rate for each in results], 0))
    columns.append(ratios([each.memory_mb or 0.0 for each in results], 0))
    columns.append(ratios([each.peak_mb or 0.0 for each in results], 0))
    for number, cells in enumerate(zip(*columns, strict=True)):
        row = [work, *cells, *(more[number] if more else ())]
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    tables = ("cassette", "answer", "prompt", "streams")
    parser.add_argument("--only", choices=tables, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.8)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that the servers are stopped.
    with tempfile.TemporaryDirectory() as directory:
        growth = Growth(Path(directory), arguments.rounds, arguments.seconds)
        makers: dict[str, Callable[[], None]] = {
            "cassette": growth.cassette,
            "answer": growth.answer,
            "prompt": growth.prompt,
            "streams": partial(table_of_streams, arguments.rounds),
        }
        for name in arguments.only or tables:
            print()
            makers[name]()


if __name__ == "__main__":
    main()
