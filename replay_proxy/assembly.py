"""``Assembly``: one process. Its parts are made once, and closed together.

Each cassette has one nested transport (``modes``). Not in here: how transports are nested, and what
each of them does.
"""

import asyncio
from typing import TYPE_CHECKING

from replay_proxy.bounds.budget import Budget
from replay_proxy.bounds.lru import LRU
from replay_proxy.bounds.side_process import SideProcess
from replay_proxy.bounds.side_thread import SideThread
from replay_proxy.cassette import Cassette, process_number
from replay_proxy.errors import InvalidCassetteName, StoreError
from replay_proxy.matching.rules import Rule
from replay_proxy.modes import nested
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
from replay_proxy.transports.player import Player
from replay_proxy.transports.recorder.recorder import ANSWERS_BYTES, Recorder
from replay_proxy.transports.refusal import Refusal, Unopened, WellFormed
from replay_proxy.wire import Request, Transport

if TYPE_CHECKING:
    from replay_proxy.transports.upstream import Upstream


#: This many cassettes besides the default one keep their transports. One that is forgotten is
#: opened anew when it is asked for; a script of faults counts from the beginning then.
TRANSPORTS = 1_000


class Assembly:
    """The transports of one process, one per cassette.

    Raises ``StoreError`` when the store does not allow the mode: a strict replay without its
    cassette, a recording without a writable directory, a damaged cassette in any mode. Raises
    ``ConfigurationError`` for a script of faults that cannot be read.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or MonotonicClock()
        name, text = settings.fault_script
        self.script = Script.of_setting(text, name=name, seed=settings.fault_seed)
        self.limits = Limits(rpm=settings.rpm, tpm=settings.tpm, clock=self.clock)
        self.header_scripts = HeaderScripts(HEADER_SCRIPTS)
        self.rule = Rule(settings.ignored_paths, settings.matched_headers)
        self._store = None if settings.mode is Mode.DUMMY else _open_store(settings, self.rule)
        self.upstream = _upstream(settings, self.clock) if settings.may_reach_upstream else None
        #: The answers that are recorded now, of all cassettes, and the memory for large ones.
        self.pumps: set[asyncio.Task[None]] = set()
        self.answers = Budget(ANSWERS_BYTES)
        self.process_number = process_number()
        #: Stamps all requests.
        self.arrivals = Arrivals.since(self._store.offset_us() if self._store else own_offset_us())
        # One for all cassettes: its load is that of the process.
        self.dummy = Dummy(
            Content.of(settings),
            Tempo.of(settings, latency(settings) if settings.may_answer_dummy else None),
            capacity=settings.dummy_capacity,
            clock=self.clock,
        )
        #: The cassette of requests that name none.
        self.default = settings.cassette
        self.journal = Journal()
        #: For what takes long: explaining a large miss, reading a large request.
        self.aside, self._apart = SideThread(), SideProcess()
        self._transports: LRU[str, Transport] = LRU(TRANSPORTS)
        self._default = self._nested(self.default)

    def transport(self, cassette: str | None) -> Transport:
        """What answers requests on a cassette; on None the one that the settings name.

        What cannot be opened, or named, refuses each request, so that the journal knows of it.
        """
        name = self.default if cassette is None else cassette
        if name == self.default:
            return self._default
        if (known := self._transports.get(name)) is not None:
            return known
        try:
            made = self._nested(cassette_name(name))
        except ValueError as error:
            refusal = Unopened(InvalidCassetteName(name, error))
            return Journaled(refusal, self.journal, self.default)
        except StoreError as error:
            return Journaled(Unopened(error), self.journal, name)
        self._transports.put(name, made)
        return made

    async def recognise(self, request: Request) -> None:
        """Compute what a large request is known by, while others have their turns."""
        self.rule.note(request, await self._apart.run(self.rule.fingerprints, request))

    def cassette(self, name: str) -> Cassette | None:
        """A cassette, or None in a mode that has none. Raises ``StoreError``."""
        return self._store.cassette(name) if self._store is not None else None

    def check(self) -> None:
        """Raise ``StoreError`` if the default cassette could not be used now."""
        if self._store is not None:
            _check_store(self._store, self.settings)
            self._store.cassette(self.default).check()

    def rewind(self, name: str) -> None:
        """Start a cassette's order over, its report and its faults, and every key's rates."""
        if name == OTHERS:
            self.journal.forget(name)
            self.limits.rewind()
        else:
            self.transport(name).rewind()

    def _nested(self, name: str) -> Transport:
        return nested(self.settings.mode, self.settings.on_miss, _Parts(self, name))

    async def aclose(self, *, drain_s: float | None = None) -> None:
        """Finish what is recorded within ``drain_s``; leave each cassette as one plain file."""
        self.aside.close()
        self._apart.close()
        for transport in (self._default, *self._transports.values()):
            await transport.aclose(drain_s)
        await self.dummy.aclose()
        if self.upstream is not None:
            await self.upstream.aclose()
        if self._store is not None:
            self._store.close()


class _Parts:
    """The parts for one cassette of an assembly. Raises ``StoreError``."""

    def __init__(self, assembly: Assembly, name: str) -> None:
        self._assembly, self._settings = assembly, assembly.settings
        self._name = name
        self._opened = assembly.cassette(name)

    @property
    def _cassette(self) -> Cassette:
        assert self._opened is not None
        return self._opened

    def recorder(self) -> Transport:
        """Records on the cassette what the upstream answers."""
        assembly = self._assembly
        assert assembly.upstream is not None
        return Recorder(
            assembly.upstream,
            self._cassette,
            clock=assembly.clock,
            process_number=assembly.process_number,
            drain_s=self._settings.drain_s,
            keep_transient=self._settings.record_errors == "all",
            budget=assembly.answers,
            pumps=assembly.pumps,
        )

    def player(self, otherwise: Transport) -> Transport:
        """Answers from the cassette."""
        return Player(
            self._cassette,
            rule=self._assembly.rule,
            otherwise=otherwise,
            pacing=Pacing(self._settings.replay_speed),
            clock=self._assembly.clock,
            joined=self._settings.replay_chunks == "joined",
        )

    def refusal(self) -> Transport:
        """Explains a miss."""
        return Refusal(self._cassette, rule=self._assembly.rule, aside=self._assembly.aside)

    def dummy(self) -> Transport:
        """Makes answers up."""
        return self._assembly.dummy

    def faulty(self, transport: Transport) -> Transport:
        """Follows the script of faults, from its beginning."""
        assembly = self._assembly
        return Faulty(
            transport,
            assembly.script.with_own_counts(),
            seed=self._settings.fault_seed,
            clock=assembly.clock,
            header_scripts=assembly.header_scripts,
        )

    def limited(self, transport: Transport) -> Transport:
        """Keeps the rates of each key, where rates are set."""
        limits = self._assembly.limits
        return Limited(transport, limits) if limits else transport

    def well_formed(self, transport: Transport) -> Transport:
        """Refuses a request that is not served."""
        return WellFormed(transport)

    def journaled(self, transport: Transport) -> Transport:
        """Notes each answer for the report."""
        return Journaled(transport, self._assembly.journal, self._name)


def _upstream(settings: Settings, clock: Clock) -> "Upstream":
    # A strict replay does not even import an HTTP client.
    from replay_proxy.transports.upstream import Upstream

    key = settings.upstream_api_key
    return Upstream(
        settings.upstream_base_url,
        api_key=key.get_secret_value() if key else None,
        timeout_s=settings.upstream_timeout_s,
        clock=clock,
    )


def _open_store(settings: Settings, rule: Rule) -> Store:
    """The store, if it allows the mode."""
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
    """Raise ``StoreError`` if the mode cannot be with what is there."""
    if settings.may_reach_upstream:
        store.prepare()
    else:
        store.require(settings.cassette if settings.named("cassette") else None)
