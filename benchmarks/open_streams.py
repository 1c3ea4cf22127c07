"""The cost of open streams: 1 to 2,000 of the dummy at once, with 50 ms between their chunks.

A table of ``benchmarks.growth``. Streams are opened and timed as in ``benchmarks.streams``. If the
server had to wait for a core, other work on the machine has made it late.
"""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field

import uvloop

from benchmarks.contestants import Contestant
from benchmarks.streams import CHUNKS, SERVERS, late_ms, streams

OPEN = (1, 10, 100, 500, 1_000, 2_000)
RAMP_S = 1.0
TITLES = (
    "open streams",
    "chunk late, ms: median",
    "worst",
    "processor ms per stream",
    "µs per chunk",
    "share of a core",
    "waiting for a core",
    "peak memory, MB",
    "each further stream, kB",
)


@dataclass
class _Figures:
    """The figures of a server, per round; ``memory_mb`` is the peak over all rounds."""

    median_ms: list[float] = field(default_factory=list)
    worst_ms: list[float] = field(default_factory=list)
    used_s: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    memory_mb: float = 0.0


def table_of_streams(rounds: int) -> None:
    """Measure, and print the table. Fails if a stream lacks a chunk."""
    results = [_Figures() for _ in OPEN]
    with ExitStack() as stack:
        servers = []
        for _ in OPEN:
            servers.append(SERVERS["dummy"]())
            stack.callback(servers[-1].stop)
        for server in servers:
            server.wait()
            uvloop.run(streams(server.port, 1, 0.0))  # The first request of a process is slow.
        for _ in range(rounds):
            for server, count, figures in zip(servers, OPEN, results, strict=True):
                _measure(server, count, figures)
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}")
    first = results[0]
    for count, each in zip(OPEN, results, strict=True):
        used_ms = 1000 * statistics.median(each.used_s) / count
        ratio = used_ms / (1000 * statistics.median(first.used_s) / OPEN[0])
        more_kb = 1024 * (each.memory_mb - first.memory_mb) / (count - OPEN[0] or 1)
        cells = [
            f"{count:,}",
            f"{statistics.median(each.median_ms):,.1f}",
            f"{statistics.median(each.worst_ms):,.1f}",
            f"{used_ms:,.2f} ({ratio:.2f})",
            f"{1000 * used_ms / CHUNKS:,.1f}",
            f"{statistics.median(each.share):.1%}",
            f"{statistics.median(each.waited):.1%}",
            f"{each.memory_mb:,.0f} ({each.memory_mb / first.memory_mb:.2f})",
            f"{more_kb:,.1f}" if count > OPEN[0] else "",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def _measure(server: Contestant, count: int, figures: _Figures) -> None:
    before_s, waited_before_s = server.processor_s(), server.waited_s()
    opened = uvloop.run(streams(server.port, count, RAMP_S))
    used_s, waited_s = server.processor_s() - before_s, server.waited_s() - waited_before_s
    took_s = max(each.sent_s + each.end_s for each in opened) - min(each.sent_s for each in opened)
    _, chunks = late_ms(opened)
    figures.median_ms.append(statistics.median(chunks))
    figures.worst_ms.append(chunks[-1])
    figures.used_s.append(used_s)
    figures.share.append(used_s / took_s)
    figures.waited.append(waited_s / took_s)
    figures.memory_mb = server.memory_mb("VmHWM")
