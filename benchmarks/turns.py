"""Servers side by side: all started, each checked and warmed up, then loaded in turns.

Not in here: which servers are compared.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chats import Questions
from benchmarks.contestants import Contestant, first_text
from benchmarks.load import UNIQUE, Job

CONNECTIONS = 32
#: Warm-up of a server: Node compiles code that has run for a while.
WARM_S = 1.0
#: Replaces ``UNIQUE`` in the request that checks a server; no load reaches this number.
CHECKED = "99999999"


@dataclass
class Entry:
    """A server, its questions, and the text of the answer to the first one."""

    start: Callable[[], Contestant]
    questions: Questions
    says: str


@dataclass
class Figures:
    """A server's processor ms per answer and answers per second in each round, and its memory.

    A figure that the system does not report is None.
    """

    name: str
    loads: list[tuple[float | None, float]] = field(default_factory=list)
    memory_mb: float | None = None
    peak_mb: float | None = None

    @property
    def rate(self) -> float:
        """Answers per second, the median of the rounds."""
        return statistics.median(rate for _, rate in self.loads)

    @property
    def processor_ms(self) -> float | None:
        """Processor time of the server per answer, the median of the rounds."""
        known = [ms for ms, _ in self.loads if ms is not None]
        return statistics.median(known) if known else None


def measure(
    entries: Sequence[Entry],
    rounds: int,
    seconds: float,
    *,
    connections: int = CONNECTIONS,
    warm_s: float = WARM_S,
) -> list[Figures]:
    """The figures of each entry. Raises ``RuntimeError`` at the first wrong answer."""
    with ExitStack() as stack:
        servers = []
        for entry in entries:
            servers.append(entry.start())
            stack.callback(servers[-1].stop)
        for server, entry in zip(servers, entries, strict=True):
            server.wait()
            check(server, entry)
            server.load(_job(server, entry.questions, warm_s, connections, 0))
        results = [Figures(server.name) for server in servers]
        for number in range(1, rounds + 1):
            for server, entry, figures in zip(servers, entries, results, strict=True):
                # No two rounds use the same numbers for ``UNIQUE``.
                first = number * 1_000_000
                job = _job(server, entry.questions, seconds, connections, first)
                figures.loads.append(server.load(job))
        if Path("/proc/self/status").exists():
            for server, figures in zip(servers, results, strict=True):
                figures.memory_mb = server.memory_mb()
                figures.peak_mb = server.memory_mb("VmHWM")
    return results


def check(server: Contestant, entry: Entry) -> None:
    """Raise ``RuntimeError`` unless the first question is answered as it should be."""
    body = entry.questions[0][0].replace(UNIQUE.decode(), CHECKED)
    if (said := first_text(server, body)) != entry.says:
        raise RuntimeError(f"{server.name} says {said!r}, and not {entry.says!r}")


def _job(
    server: Contestant, questions: Questions, seconds: float, connections: int, first: int
) -> Job:
    stream = '"stream":true' in questions[0][0]
    return Job(server.port, seconds, connections, stream, first, questions)
