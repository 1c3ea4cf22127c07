"""Real traffic through the proxy and back: ``python -m tests.corpus``.

Four legs, the last with the process of the third:
record      every request through ``MODE=record``, to a scripted upstream that gives its answer
replay      the same requests in the same order through ``MODE=replay``, without the upstream
reworded    the same requests as another client spells them, and in another order; only identical
            requests keep theirs. Only this leg shows a key that merges or splits too much.
again       each different request once more, past its end: its last recorded answer

In each leg status, end-to-end headers (order and repeats), bytes and chunk boundaries must be
those of the recording. All source cassettes share one cassette, so identical requests from
several of them must be replayed in order too.

Requests to other hosts are sent as a user of the proxy sends them: see ``Record.target``.
``--open`` and ``--compat``, or the directory in ``CORPUS``, name the corpus; the default is the
selection in ``tests/data``.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import differences
from tests.support.corpus import Pairs, Record, load, without
from tests.support.equality import identity, interleaved, reworded
from tests.support.rawclient import NoAnswerError, RawAnswer, RawClient
from tests.support.script import Answer, Received
from tests.support.servers import Proxy
from tests.support.upstream import Upstream

DATA = Path(__file__).parent / "data"

#: Headers that are passed on while recording, and never stored.
SECRET_HEADERS = frozenset({b"set-cookie", b"openai-organization", b"openai-project"})
CLIENT_KEY = b"Bearer sk-corpus-client-key"
#: What no file of the store may contain: the client's key, and a cookie of the recorded answers.
SECRETS = (CLIENT_KEY[7:], b"_cfuvid=")
NEVER_STORED, CREDENTIAL = frozenset({407}), frozenset({401, 403})
TRANSIENT = frozenset({408, 409, 425, 429, *range(500, 600)})


@dataclass
class Leg:
    """The results of sending every request once."""

    name: str
    source: bytes | None
    equal: int = 0
    absent: int = 0
    skipped: int = 0
    seconds: float = 0.0
    differences: list[str] = field(default_factory=list)

    def note(self, record: Record, found: Sequence[str]) -> None:
        """Count one interaction, with its differences."""
        self.equal += not found
        self.differences += [f"{self.name} {record.id} {what}" for what in found]


class Run:
    """The interactions, and how each answer is cut; each leg sends them all."""

    def __init__(self, records: Sequence[Record], variant: str = "events", seed: int = 0) -> None:
        self.records = records
        self.seed = seed
        cuts = (random.Random(f"{seed} {r.id}") if variant == "random" else None for r in records)
        self.pieces = {r.id: r.pieces(cut) for r, cut in zip(records, cuts, strict=True)}
        self.all_errors = os.environ.get("RECORD_ERRORS") == "all"
        self.received: dict[bytes, Received] = {}
        if len(self.pieces) != len(records):
            raise ValueError("two records have one id")

    def through_proxy(self) -> list[Leg]:
        """Record in one process and replay in others; then search all files for secrets."""
        errors = {"RECORD_ERRORS": "all"} if self.all_errors else {}
        with tempfile.TemporaryDirectory() as name:
            cwd, store = Path(name), Path(name, "store")
            env = {"STORE": str(store), "CASSETTE": "corpus", **errors}
            with self.upstream() as upstream:
                url = upstream.base_url
                with Proxy(cwd, MODE="record", UPSTREAM_BASE_URL=url, **env) as proxy:
                    record = self.record(proxy.origin, b"upstream")
                log = proxy.stderr.encode()
            with Proxy(cwd, MODE="replay", **env) as proxy:
                replay = self.replay("replay", proxy.origin, self.records)
            log += proxy.stderr.encode()
            with Proxy(cwd, MODE="replay", **env) as proxy:
                others = [reworded(r) for r in interleaved(self.records, self.seed)]
                spelled = self.replay("reworded", proxy.origin, others)
                again = self.replay("again", proxy.origin, self._last_stored())
            held = {path.name: path.read_bytes() for path in store.rglob("*") if path.is_file()}
            held["the log"] = log + proxy.stderr.encode()
        record.differences += [
            f"secret {secret!r} in {name}"
            for name, data in held.items()
            for secret in SECRETS
            if secret in data
        ]
        return [record, replay, spelled, again]

    def direct(self) -> list[Leg]:
        """Send the requests to the upstream itself, which checks the instruments."""
        with self.upstream() as upstream:
            return [self.record(upstream.base_url, None)]

    def upstream(self) -> Upstream:
        """An upstream that gives each request the answer named by its ``x-corpus-id``."""
        answers = {r.id.encode(): self._answer(r) for r in self.records}

        def script(request: Received) -> Answer:
            id_ = request.header(b"x-corpus-id") or b""
            self.received[id_] = request
            return answers[id_]

        return Upstream(script)

    def record(self, origin: str, source: bytes | None) -> Leg:
        """Send every request once; compare each answer, and each request that the upstream got."""
        leg = Leg("record", source)
        began = time.perf_counter()
        with RawClient(origin) as client:
            for record in self.records:
                found = self._ask(client, record, record.sent_headers, leg)
                received = self.received.get(record.id.encode())
                leg.note(
                    record, found + differences.of_requests(record, _headers(record), received)
                )
        leg.seconds = time.perf_counter() - began
        return leg

    def replay(self, name: str, origin: str, records: Sequence[Record]) -> Leg:
        """Send every request again; one whose answer may not be stored must be a miss."""
        leg = Leg(name, b"cassette")
        stored = {identity(record) for record in self.records if self._is_stored(record)}
        began = time.perf_counter()
        with RawClient(origin) as client:
            for record in records:
                if self._is_stored(record):
                    headers = without(record.sent_headers, SECRET_HEADERS)
                    leg.note(record, self._ask(client, record, headers, leg))
                elif identity(record) in stored:
                    leg.skipped += 1  # the same request also has a stored answer
                else:
                    leg.absent += 1
                    leg.differences += [
                        f"{name} {record.id} {what}" for what in _miss(_send(client, record))
                    ]
        leg.seconds = time.perf_counter() - began
        return leg

    def _ask(self, client: RawClient, record: Record, headers: Pairs, leg: Leg) -> list[str]:
        answer = _send(client, record)
        if isinstance(answer, str):
            return [answer]
        found = differences.of_answers(record, self.pieces[record.id], headers, answer)
        if (source := answer.header(b"x-replay-source")) != leg.source:
            found.append(f"source: {source!r}")
        return found

    def _last_stored(self) -> list[Record]:
        """The last stored interaction of each different request."""
        stored = [record for record in self.records if self._is_stored(record)]
        return list({identity(record): record for record in stored}.values())

    def _answer(self, record: Record) -> Answer:
        framing = "chunked" if record.framing == "none" else record.framing
        return Answer(record.status, record.sent_headers, self.pieces[record.id], framing)

    def _is_stored(self, record: Record) -> bool:
        stable = record.status not in CREDENTIAL | TRANSIENT
        return record.status not in NEVER_STORED and (stable or self.all_errors)


def _headers(record: Record) -> Pairs:
    kept = without(record.request_headers, differences.PER_HOP)
    return (*kept, (b"authorization", CLIENT_KEY), (b"x-corpus-id", record.id.encode()))


def _send(client: RawClient, record: Record) -> RawAnswer | str:
    try:
        return client.request(record.method, record.target, _headers(record), record.request_body)
    except (NoAnswerError, TimeoutError) as error:
        client.close()
        return str(error)


def _miss(answer: RawAnswer | str) -> list[str]:
    if isinstance(answer, str):
        return [answer]
    got = (answer.status, *map(answer.header, (b"x-replay-source", b"x-should-retry")))
    return [] if got == (404, b"refused", b"false") else [f"miss expected, got {got}"]


def report(run: Run, legs: Sequence[Leg]) -> int:
    """Print the counts and every difference. Returns the number of differences."""
    streams = [r for r in run.records if r.is_stream]
    repeated = Counter(map(identity, run.records))
    print(f"{len(run.records):7} interactions, {len(streams)} of them streams")
    print(f"{sum(len(run.pieces[r.id]) for r in streams):7} chunks of streams")
    print(f"{sum(len(r.response_body) for r in run.records):7} bytes")
    print(f"{len(run.records) - len(repeated):7} repeated requests")
    for leg in legs:
        print(f"{leg.equal:7} equal in {leg.name}, {leg.absent} rightly absent,", end=" ")
        print(f"{leg.skipped} not asked, {leg.seconds:.1f} s")
    differences = [line for leg in legs for line in leg.differences]
    print(f"{len(differences):7} differences", *differences, sep="\n        ")
    return len(differences)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 when anything differs."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.corpus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--open", type=Path, help="a .jsonl or .jsonl.gz file of interactions")
    parser.add_argument("--compat", type=Path, help="another one, of compatible hosts")
    parser.add_argument("--data", type=Path, default=DATA, help="the selection's directory")
    parser.add_argument("--variant", choices=("events", "random"), default="events")
    parser.add_argument("--seed", type=int, default=0, help="of cuts and orders")
    parser.add_argument("--limit", type=int, help="only the first N interactions")
    parser.add_argument("--direct", action="store_true", help="without a proxy: self-check")
    given = parser.parse_args(arguments)
    paths = [path for path in (given.open, given.compat) if path]
    if not paths and (corpus := os.environ.get("CORPUS")):
        paths = sorted(Path(corpus).glob("*open.jsonl.gz"), reverse=True)
    paths = paths or [given.data / "corpus.jsonl"]
    records = [record for path in paths for record in load(path)][: given.limit]
    run = Run(records, given.variant, given.seed)
    return min(1, report(run, run.direct() if given.direct else run.through_proxy()))


if __name__ == "__main__":
    sys.exit(main())
