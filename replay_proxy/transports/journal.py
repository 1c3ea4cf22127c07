"""``Journal``: counts what the proxy answers, per cassette: every figure of the report.

``Journaled`` notes each answer of a transport. ``Journal`` keeps counts, the interactions that were
used, a bounded number of misses, the faults, and the arrivals of requests that had met a fault.
What a cassette holds is not known here.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from replay_proxy.answers.conduct import Arrival, retry_after_s
from replay_proxy.errors import (
    CassetteMiss,
    ConnectionDropped,
    InvalidFault,
    InvalidRequest,
    ReplayProxyError,
    RequestError,
    StoreError,
)
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.miss import summary
from replay_proxy.redaction.display import redacted
from replay_proxy.wire import Provenance, Request, Response, Source, Transport, header

#: The most cassettes with an entry of their own. The others share one, under a name that no
#: cassette can have.
KEPT_CASSETTES, OTHERS = 1_000, "(others)"
#: The most different misses that are kept, over all cassettes; further ones are only counted.
KEPT_MISSES = 1_000
#: The most different interactions that are noted as used, over all cassettes; further ones are only
#: counted.
KEPT_USED = 200_000
#: The most requests with a fault whose arrivals are kept, over all cassettes, and the most arrivals
#: of each; further ones are only counted.
KEPT_CHAINS, KEPT_ARRIVALS = 1_000, 100
#: Refusals that are answers: the dummy's in OpenAI's words, and that of a wrong header for faults.
_ANSWERS = (InvalidRequest, InvalidFault)


@dataclass
class Entry:
    """What was answered from one cassette."""

    answers: Counter[str] = field(default_factory=Counter)
    #: The number of times that each interaction was replayed.
    replayed: Counter[int] = field(default_factory=Counter)
    #: The interactions that came from the upstream; stored, unless they were cut.
    recorded: set[int] = field(default_factory=set)
    #: The number of answers whose head said that they are not stored, although they should be.
    lost: int = 0
    #: The error object of each miss, by fingerprint, with ``times``.
    misses: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The number of requests that met each fault.
    faults: Counter[str] = field(default_factory=Counter)
    #: The arrivals of each request from its first fault on, by fingerprint.
    chains: dict[str, list[Arrival]] = field(default_factory=dict)
    #: The number of misses, and of used interactions, that are not in the lists above.
    more_misses: int = 0
    more_used: int = 0


class Journal:
    """The entries of all cassettes that requests have named: a bounded number, of bounded size.

    What is not kept is counted, so that nobody takes it for something that did not happen.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._misses = self._used = self._chains = 0

    def entry(self, cassette: str) -> Entry:
        """The entry of a cassette, new if need be; that of ``OTHERS`` when there are too many."""
        entry = self.entries.get(cassette)
        if entry is None:
            name = cassette if len(self.entries) < KEPT_CASSETTES else OTHERS
            entry = self.entries.setdefault(name, Entry())
        return entry

    def is_separate(self, cassette: str) -> bool:
        """Whether a cassette has an entry of its own, or had no request."""
        return cassette in self.entries or OTHERS not in self.entries

    def forget(self, cassette: str) -> None:
        """Remove the entry of a cassette."""
        entry = self.entries.pop(cassette, None)
        if entry is not None:
            self._misses -= len(entry.misses)
            self._used -= len(entry.replayed) + len(entry.recorded)
            self._chains -= len(entry.chains)

    def note(self, cassette: str, provenance: Provenance) -> None:
        """Note an answer."""
        entry = self.entry(cassette)
        entry.answers[provenance.source] += 1
        if provenance.source is Source.CASSETTE:
            assert provenance.interaction is not None
            if provenance.interaction in entry.replayed or self._may_keep_used(entry):
                entry.replayed[provenance.interaction] += 1
        elif provenance.source is Source.UPSTREAM:
            entry.lost += provenance.loss is not None
            if (
                provenance.interaction is not None
                and provenance.interaction not in entry.recorded
                and self._may_keep_used(entry)
            ):
                entry.recorded.add(provenance.interaction)

    def arrival(self, cassette: str, request: Request) -> Arrival | None:
        """Note a request that has met a fault before; None for any other."""
        entry = self.entries.get(cassette) or self.entries.get(OTHERS)
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
        """Note the fault that a request has met; ``arrival`` is what ``arrival()`` returned."""
        entry = self.entry(cassette)
        entry.faults[met.fault] += 1
        if arrival is not None:
            arrival.fault, arrival.status = met.fault, met.status
            arrival.retry_after_s = met.retry_after_s
            return
        key = fingerprint(request)
        if key not in entry.chains and self._chains < KEPT_CHAINS:
            self._chains += 1
            entry.chains[key] = []
        chain = entry.chains.get(key)  # It may hold one that arrived before this one's fault.
        if chain is not None and len(chain) < KEPT_ARRIVALS:
            chain.append(met)

    def refuse(self, cassette: str, request: Request, error: ReplayProxyError) -> None:
        """Note an error; one that leaves a request without an answer is also a miss."""
        entry = self.entry(cassette)
        entry.answers[Source.REFUSED] += 1
        if isinstance(error, CassetteMiss):
            self._note_miss(entry, error.as_json() | {"explanation": error.explanation})
        elif _leaves_unanswered(error):
            miss = {
                "message": redacted(error.message),
                "explanation": redacted(error.explanation),
                "type": error.type,
                "code": error.code,
                "fingerprint": fingerprint(request),
                "cassette": cassette,
                "asked": summary(request),
            }
            self._note_miss(entry, miss)

    def _note_miss(self, entry: Entry, error: dict[str, Any]) -> None:
        key = error["fingerprint"]
        if key in entry.misses:
            entry.misses[key]["times"] += 1
        elif self._misses < KEPT_MISSES:
            self._misses += 1
            entry.misses[key] = error | {"times": 1}
        else:
            entry.more_misses += 1

    def _may_keep_used(self, entry: Entry) -> bool:
        if self._used >= KEPT_USED:
            entry.more_used += 1
            return False
        self._used += 1
        return True


def _leaves_unanswered(error: ReplayProxyError) -> bool:
    """Whether an error is a miss, so that an application which swallows it cannot hide it.

    Errors that can be retried are none.
    """
    if isinstance(error, RequestError):
        return not error.retry and not isinstance(error, _ANSWERS)
    return isinstance(error, StoreError)


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

    async def aclose(self, drain_s: float | None = None) -> None:
        """Close what it wraps."""
        await self._transport.aclose(drain_s)

    def rewind(self) -> None:
        """Begin the report anew, and rewind what it wraps."""
        self._journal.forget(self._cassette)
        self._transport.rewind()
