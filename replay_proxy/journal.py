"""What a server has answered, cassette by cassette: the facts of its report.

``Journaled`` notes each answer of a transport; ``Journal`` keeps counts, the interactions that were
used, a bounded number of misses, the faults that were met, and when a request came again that had
met one. What a cassette holds is not known here.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from replay_proxy.conduct import Arrival, retry_after_s
from replay_proxy.errors import (
    CassetteMiss,
    ConnectionDropped,
    InvalidCassetteName,
    InvalidTarget,
    NotAllowed,
    NotImplementedByDummy,
    ReplayProxyError,
    StoreError,
)
from replay_proxy.fingerprint import fingerprint
from replay_proxy.miss import summary
from replay_proxy.redaction import redacted
from replay_proxy.wire import Provenance, Request, Response, Source, Transport, header

#: So many different misses are kept for a cassette; further ones are only counted.
KEPT_MISSES = 1000
#: Of so many requests that met a fault, and so often each, the arrivals are kept; further faults
#: are only counted.
KEPT_CHAINS, KEPT_ARRIVALS = 1000, 100
#: Errors of the proxy, which an application that swallows them must not hide. What the dummy
#: refuses as OpenAI would is an answer, and what the API does not answer may be asked again.
_UNANSWERED = (
    StoreError,
    InvalidCassetteName,
    InvalidTarget,
    NotAllowed,
    NotImplementedByDummy,
)


@dataclass
class Entry:
    """What was answered from one cassette."""

    answers: Counter[str] = field(default_factory=Counter)
    #: How often each interaction was replayed.
    replayed: Counter[int] = field(default_factory=Counter)
    #: The interactions that came from the upstream; stored, unless they were cut.
    recorded: set[int] = field(default_factory=set)
    #: The error object of each miss, by fingerprint, with ``times``.
    misses: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: How often each fault was met.
    faults: Counter[str] = field(default_factory=Counter)
    #: The arrivals of each request that met a fault, from that one on, by fingerprint.
    chains: dict[str, list[Arrival]] = field(default_factory=dict)


class Journal:
    """The entries of all cassettes that were asked for."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def entry(self, cassette: str) -> Entry:
        """The entry of a cassette, begun if need be."""
        entry = self.entries.get(cassette)
        if entry is None:
            entry = self.entries[cassette] = Entry()
        return entry

    def note(self, cassette: str, provenance: Provenance) -> None:
        """Take down an answer."""
        entry = self.entry(cassette)
        entry.answers[provenance.source] += 1
        if provenance.source is Source.CASSETTE:
            assert provenance.interaction is not None
            entry.replayed[provenance.interaction] += 1
        elif provenance.source is Source.UPSTREAM:
            entry.recorded.add(provenance.interaction or 0)  # 0 for one that is not stored.

    def arrival(self, cassette: str, request: Request) -> Arrival | None:
        """Take down a request that has met a fault before; None for any other."""
        entry = self.entries.get(cassette)
        if entry is None or not entry.chains:
            return None
        chain = entry.chains.get(fingerprint(request))
        if chain is None or len(chain) >= KEPT_ARRIVALS:
            return None
        chain.append(Arrival(request.arrived_us))
        return chain[-1]

    def note_fault(
        self, cassette: str, request: Request, arrival: Arrival | None, met: Arrival
    ) -> None:
        """Take down the fault that a request has ``met``; ``arrival`` is what it had before."""
        entry = self.entry(cassette)
        entry.faults[met.fault] += 1
        if arrival is not None:
            arrival.fault, arrival.status = met.fault, met.status
            arrival.retry_after_s = met.retry_after_s
            return
        key = fingerprint(request)
        if key in entry.chains or len(entry.chains) < KEPT_CHAINS:
            chain = entry.chains.setdefault(key, [])
            if len(chain) < KEPT_ARRIVALS:  # It may hold one that arrived before this one's fault.
                chain.append(met)

    def refuse(self, cassette: str, request: Request, error: ReplayProxyError) -> None:
        """Take down an error; one that leaves a request without any answer is a miss too."""
        entry = self.entry(cassette)
        entry.answers[Source.REFUSED] += 1
        if isinstance(error, CassetteMiss):
            _note_miss(entry, error.as_json())
        elif isinstance(error, _UNANSWERED):
            told = {
                "message": redacted(error.message),
                "type": error.type,
                "code": error.code,
                "fingerprint": fingerprint(request),
                "cassette": cassette,
                "asked": summary(request),
            }
            _note_miss(entry, told)


def _note_miss(entry: Entry, error: dict[str, Any]) -> None:
    key = error["fingerprint"]
    if key in entry.misses:
        entry.misses[key]["times"] += 1
    elif len(entry.misses) < KEPT_MISSES:
        entry.misses[key] = error | {"times": 1}


class Journaled:
    """A transport whose answers are noted."""

    def __init__(self, transport: Transport, journal: Journal, cassette: str) -> None:
        self._transport = transport
        self._journal = journal
        self._cassette = cassette

    async def handle(self, request: Request) -> Response:
        """The transport's answer."""
        arrival = self._journal.arrival(self._cassette, request)
        try:
            response = await self._transport.handle(request)
        except ConnectionDropped as drop:
            self._journal.entry(self._cassette).answers[Source.FAULT] += 1
            met = Arrival(request.arrived_us, drop.fault)
            self._journal.note_fault(self._cassette, request, arrival, met)
            raise
        except ReplayProxyError as error:
            self._journal.refuse(self._cassette, request, error)
            raise
        provenance = response.provenance
        assert provenance is not None
        self._journal.note(self._cassette, provenance)
        if provenance.fault is not None:
            wait_s = retry_after_s(
                header(response.headers, b"retry-after"),
                header(response.headers, b"retry-after-ms"),
            )
            met = Arrival(request.arrived_us, provenance.fault, response.status, wait_s)
            self._journal.note_fault(self._cassette, request, arrival, met)
        return response
