"""``Assembly``: the transports of one process. Its parts are made once, and closed together.

Each cassette has one nested transport. Not in here: how transports are nested (``modes``), and what
each of them does.
"""

import asyncio

from replay_proxy.bounds.budget import Budget
from replay_proxy.bounds.lru import LRU
from replay_proxy.bounds.side_process import SideProcess
from replay_proxy.bounds.side_thread import SideThread
from replay_proxy.cassette import Cassette, process_number
from replay_proxy.errors import InvalidCassetteName, StoreError
from replay_proxy.matching.rules import Rule
from replay_proxy.modes import nested
from replay_proxy.redaction.display import printable
from replay_proxy.settings import Mode, Settings, cassette_name
from replay_proxy.store import Store
from replay_proxy.timeline import Arrivals, Clock, MonotonicClock, Pacing, own_offset_us
from replay_proxy.transports.dummy import Content, Dummy, Tempo
from replay_proxy.transports.dummy.timing.latencies import latency
from replay_proxy.transports.faults import (
    HEADER_SCRIPTS,
    Faulty,
    HeaderScripts,
    Limited,
    Limits,
    Script,
)
from replay_proxy.transports.journal import OTHERS, Journal, Journaled
from replay_proxy.transports.journal.ledger import JournalLedger
from replay_proxy.transports.player import Player
from replay_proxy.transports.recorder.recorder import ANSWERS_BYTES, Recorder
from replay_proxy.transports.refusal import Refusal, Unopened, WellFormed
from replay_proxy.wire import Request, Transport

#: Maximum number of cassettes, besides the default one, whose transports are kept. A dropped one is
#: opened again when a request names it, and its script of faults then counts from the beginning.
TRANSPORTS = 1_000
#: Time within which a client's departure is noticed; its recording then has ``DRAIN_S`` to end.
NOTICE_S = 1.0


class Assembly:
    """The transports of one process, one per cassette.

    Raises ``StoreError`` when the store does not allow the mode: a strict replay without its
    cassette, a recording without a writable directory, a damaged cassette in any mode. Raises
    ``ConfigurationError`` for a script of faults that cannot be read.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        name, text = settings.fault_script
        script = Script.of_setting(text, name=name, seed=settings.fault_seed)
        self.rule = Rule(settings.ignored_paths, settings.matched_headers, settings.match_replace)
        self._store = None if settings.mode is Mode.DUMMY else _open_store(settings, self.rule)
        #: Stamps all requests.
        self.arrivals = Arrivals.since(self._store.offset_us() if self._store else own_offset_us())
        #: The cassette of requests that name none.
        self.default = settings.cassette
        self.journal = Journal()
        self._side_process = SideProcess()
        clock = clock or MonotonicClock()
        self._shared = _SharedParts(settings, clock, self.rule, script, self.journal)
        self._transports: LRU[str, Transport] = LRU(TRANSPORTS)
        self._default = self._nested(self.default)

    def transport(self, cassette: str | None) -> Transport:
        """The transport for a cassette; for None, that of the default cassette.

        A cassette that cannot be opened, or whose name is not valid, has a transport that refuses
        each request, so that the journal counts it.
        """
        name = self.default if cassette is None else cassette
        if name == self.default:
            return self._default
        if (transport := self._transports.get(name)) is not None:
            return transport
        try:
            transport = self._nested(cassette_name(name))
        except ValueError as error:
            refusal = Unopened(InvalidCassetteName(printable(name), error))
            return Journaled(refusal, self.journal, self.default)
        except StoreError as error:
            return Journaled(Unopened(error), self.journal, name)
        self._transports.put(name, transport)
        return transport

    async def recognise(self, request: Request) -> None:
        """Compute the fingerprints of a large request while other requests are answered."""
        self.rule.note(request, await self._side_process.run(self.rule.fingerprints, request))

    def cassette(self, name: str) -> Cassette | None:
        """A cassette, or None in a mode that has none. Raises ``StoreError``."""
        return self._store.cassette(name) if self._store is not None else None

    def check(self) -> None:
        """Raise ``StoreError`` if the default cassette could not be used now."""
        if (store := self._store) is not None:
            _check_store(store, self._settings)
            store.cassette(self.default).check()

    def rewind(self, name: str) -> None:
        """Start a cassette's order, report and faults over, and the rates of all keys."""
        if name == OTHERS:
            self.journal.forget(name)
            self._shared.limits.rewind()
        else:
            self.transport(name).rewind()

    def _nested(self, name: str) -> Transport:
        parts = _Parts(self._shared, name, self.cassette(name))
        return nested(self._settings.mode, self._settings.on_miss, parts)

    async def drain(self, most_s: float) -> None:
        """Wait until recordings whose client has left have ended, at most ``most_s``."""
        if pumps := set(self._shared.pumps):
            await asyncio.wait(pumps, timeout=min(self._settings.drain_s + NOTICE_S, most_s))

    async def aclose(self, *, drain_s: float | None = None) -> None:
        """Finish recordings within ``drain_s``, and leave each cassette as one plain file."""
        shared = self._shared
        shared.side_thread.close()
        self._side_process.close()
        for transport in (self._default, *self._transports.values()):
            await transport.aclose(drain_s)
        await shared.dummy.aclose()
        if shared.upstream is not None:
            await shared.upstream.aclose()
        if self._store is not None:
            self._store.close()


class _SharedParts:
    """What the transports of all cassettes share."""

    def __init__(
        self, settings: Settings, clock: Clock, rule: Rule, script: Script, journal: Journal
    ) -> None:
        self.settings, self.clock, self.rule = settings, clock, rule
        self.script, self.journal = script, journal
        self.limits = Limits(rpm=settings.rpm, tpm=settings.tpm, clock=clock)
        self.header_scripts = HeaderScripts(HEADER_SCRIPTS)
        self.upstream: Transport | None = None
        if settings.may_reach_upstream:  # A strict replay does not even import an HTTP client.
            from replay_proxy.transports.upstream import Upstream

            self.upstream = Upstream.of(settings, clock=clock)
        # One for all cassettes: its load is the load of the process.
        self.dummy = Dummy(
            Content.of(settings),
            Tempo.of(settings, latency(settings) if settings.may_answer_dummy else None),
            capacity=settings.dummy_capacity,
            clock=clock,
        )
        self.side_thread = SideThread()
        self.process_number = process_number()
        #: The recordings under way, and the memory for their large answers.
        self.pumps: set[asyncio.Task[None]] = set()
        self.budget = Budget(ANSWERS_BYTES)


class _Parts:
    """Makes the transports of one cassette; ``cassette`` is None in a mode that has none."""

    def __init__(self, shared: _SharedParts, name: str, cassette: Cassette | None) -> None:
        self._shared, self._settings = shared, shared.settings
        self._name = name
        self._opened = cassette

    @property
    def _cassette(self) -> Cassette:
        assert self._opened is not None
        return self._opened

    def recorder(self) -> Transport:
        assert self._shared.upstream is not None
        return Recorder(
            self._shared.upstream,
            self._cassette,
            clock=self._shared.clock,
            process_number=self._shared.process_number,
            drain_s=self._settings.drain_s,
            keep_errors=self._settings.record_errors == "all",
            ledger=JournalLedger(self._shared.journal, self._name, self._shared.rule.key),
            budget=self._shared.budget,
            pumps=self._shared.pumps,
        )

    def player(self, otherwise: Transport) -> Transport:
        return Player(
            self._cassette,
            rule=self._shared.rule,
            otherwise=otherwise,
            pacing=Pacing(self._settings.replay_speed),
            clock=self._shared.clock,
            joined=self._settings.replay_chunks == "joined",
            most_repeats=self._settings.most_repeats,
        )

    def refusal(self) -> Transport:
        shared, most = self._shared, self._settings.most_repeats
        return Refusal(self._cassette, rule=shared.rule, aside=shared.side_thread, repeated=most)

    def dummy(self) -> Transport:
        return self._shared.dummy

    def faulty(self, transport: Transport) -> Transport:
        return Faulty(
            transport,
            self._shared.script.with_own_counts(),
            seed=self._settings.fault_seed,
            clock=self._shared.clock,
            header_scripts=self._shared.header_scripts,
        )

    def limited(self, transport: Transport) -> Transport:
        return Limited(transport, self._shared.limits) if self._shared.limits else transport

    def well_formed(self, transport: Transport) -> Transport:
        return WellFormed(transport)

    def journaled(self, transport: Transport) -> Transport:
        return Journaled(transport, self._shared.journal, self._name)


def _open_store(settings: Settings, rule: Rule) -> Store:
    """Open the store. Raises ``StoreError`` if it does not allow the mode."""
    store = Store(
        settings.store,
        writable=settings.may_reach_upstream,
        fills_gaps=settings.mode is Mode.REPLAY,
        repeats=settings.repeats,
        rule=rule,
    )
    _check_store(store, settings)
    store.open(settings.cassette)
    return store


def _check_store(store: Store, settings: Settings) -> None:
    """Raise ``StoreError`` if what is stored does not allow the mode."""
    if settings.may_reach_upstream:
        store.prepare()
    else:
        store.require(settings.cassette if settings.named("cassette") else None)
