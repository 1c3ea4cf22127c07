"""``Journal``: counts the proxy's answers, per cassette. All figures of the report come from it.

``Journaled`` notes each answer of a transport. ``Journal`` keeps counts, the interactions that were
used, a bounded number of misses and losses, the faults, and the arrivals of requests that had met a
fault. ``ledger`` notes what a recorder keeps and loses.

Not in here: what a cassette holds.
"""

from collections import Counter
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
from replay_proxy.transports.journal.entry import Entry as Entry
from replay_proxy.transports.journal.entry import LostRequest
from replay_proxy.transports.journal.past import Past
from replay_proxy.wire import Provenance, Request, Response, Source, Transport, header

#: Maximum number of cassettes with an entry of their own, and the name of the entry that all others
#: share, which no cassette can have.
KEPT_CASSETTES, OTHERS = 1_000, "(others)"
#: Maximum number of different misses that are kept, over all cassettes; others are only counted.
KEPT_MISSES = 1_000
#: Maximum number of different losses that are kept, over all cassettes; others are only counted.
KEPT_LOSSES = 10_000
#: Maximum number of different interactions that are noted as used, over all cassettes; others are
#: only counted.
KEPT_USED = 200_000
#: Maximum number of requests with a fault whose arrivals are kept, over all cassettes, and of the
#: arrivals of each; others are only counted.
KEPT_CHAINS, KEPT_ARRIVALS = 1_000, 100
#: Refusals that are answers: the dummy's, as the API words them, and those of wrong fault headers.
_ANSWERS = (InvalidRequest, InvalidFault)


class Journal:
    """The entries of all cassettes that requests have named: a bounded number, of bounded size.

    What is not kept is counted, so that the report never hides that it happened.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        #: The number of exchanges in progress, by cassette.
        self.in_progress: Counter[str] = Counter()
        self.past = Past()
        self._misses = self._losses = self._used = self._chains = 0

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
        """Move the entry of a cassette to the past."""
        entry = self.entries.pop(cassette, None)
        if entry is not None:
            self._misses -= len(entry.misses)
            self._losses -= len(entry.losses)
            self._used -= len(entry.replayed) + len(entry.recorded)
            self._chains -= len(entry.chains)
            self.past.add(cassette, entry)

    def note(self, cassette: str, provenance: Provenance) -> None:
        """Note an answer."""
        entry = self.entry(cassette)
        entry.answers[provenance.source] += 1
        if provenance.source is Source.CASSETTE:
            assert provenance.interaction is not None
            if provenance.interaction in entry.replayed or self._may_keep_used(entry):
                entry.replayed[provenance.interaction] += 1

    def begin(self, cassette: str) -> None:
        """Note that an exchange with the upstream has begun."""
        self.in_progress[cassette] += 1

    def end(self, cassette: str) -> None:
        """Note that an exchange has ended, whether its answer is stored or not."""
        self.in_progress[cassette] -= 1
        if not self.in_progress[cassette]:
            del self.in_progress[cassette]

    def keep(self, cassette: str, key: str, request: Request, interaction: int) -> None:
        """Note an answer that is stored, and forget an earlier loss of the same request."""
        entry = self.entry(cassette)
        entry.recorded_total += 1
        if interaction not in entry.recorded and self._may_keep_used(entry):
            entry.recorded.add(interaction)
        self.past.keep(cassette, key, request.arrived_us)
        lost = entry.losses.get((cassette, key))
        if lost is not None and lost.arrived_us < request.arrived_us:
            del entry.losses[cassette, key]
            self._losses -= 1

    def lose(self, cassette: str, key: str, request: Request, loss: dict[str, Any]) -> None:
        """Note an answer that is not stored. Per request, the last arrival's reason counts."""
        entry = self.entry(cassette)
        lost = entry.losses.get((cassette, key))
        if lost is None and self._losses >= KEPT_LOSSES:
            entry.more_losses += 1
            return
        if lost is None:
            self._losses += 1
            lost = entry.losses[cassette, key] = LostRequest(0, {"times": 0})
        times = lost.loss["times"] + 1
        if lost.arrived_us <= request.arrived_us:
            lost.arrived_us = request.arrived_us
            lost.loss = loss | {"fingerprint": fingerprint(request)}
        lost.loss["times"] = times

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
                "request": summary(request),
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
    """Whether an error is a miss, so that an application that swallows it cannot hide it.

    Errors that can be retried are not, and neither are losses.
    """
    if isinstance(error, RequestError):
        return not error.retry and not isinstance(error, _ANSWERS)
    return isinstance(error, StoreError) and not error.is_loss


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
        """Start the report over, and rewind what it wraps."""
        self._journal.forget(self._cassette)
        self._transport.rewind()
