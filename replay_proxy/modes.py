"""The modes: how transports are nested. There is no other ``if mode`` in the code.

record                   Recorder(Upstream, cassette)
replay, ON_MISS=fail     Player(cassette, otherwise=Refuse(cassette))
replay, ON_MISS=dummy    Player(cassette, otherwise=Dummy)
replay, ON_MISS=record   Player(cassette, otherwise=Recorder(Upstream, cassette))
dummy                    Dummy
any of them              Faulty(<above>, script)
any of them, RPM or TPM  Limited(Faulty(<above>, script), limits)
all of these             Journaled(WellFormed(<above>))
"""

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from replay_proxy.apart import Apart
from replay_proxy.aside import Aside
from replay_proxy.bounded import Bounded
from replay_proxy.budget import Budget
from replay_proxy.cassette import Cassette, process_number
from replay_proxy.dummy import Content, Dummy, Tempo
from replay_proxy.errors import InvalidCassetteName, StoreError
from replay_proxy.faults import REMEMBERED, Faulty, Limited, Limits, Remembered, Script
from replay_proxy.journal import OTHERS, Journal, Journaled
from replay_proxy.latencies import latency
from replay_proxy.matching import Rule
from replay_proxy.player import Player, Refuse, Unopened, WellFormed
from replay_proxy.recorder import ANSWERS_BYTES, Recorder
from replay_proxy.settings import Mode, OnMiss, Settings, cassette_name
from replay_proxy.store import Store
from replay_proxy.timeline import Arrivals, Clock, MonotonicClock, Pacing, own_offset_us
from replay_proxy.wire import Request, Transport

if TYPE_CHECKING:
    from replay_proxy.upstream import Upstream


#: This many cassettes besides the default one keep their transports. One that is forgotten is
#: opened anew when it is asked for; a script of faults counts from the beginning then.
TRANSPORTS = 1_000


class _Line(NamedTuple):
    """What answers requests on one cassette, and the part of it that makes faults."""

    transport: Transport
    faulty: Faulty


class Assembly:
    """The transports of one process, one a cassette, and what has to be closed behind them.

    Raises ``StoreError`` when the store does not allow the mode: a strict replay without its
    cassette, a recording without a writable directory, a damaged cassette in any mode. Raises
    ``ConfigurationError`` for a script of faults that cannot be read.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or MonotonicClock()
        name, text = settings.fault_script
        self._script = Script.of_setting(text, name=name, seed=settings.fault_seed)
        self._limits = Limits(rpm=settings.rpm, tpm=settings.tpm, clock=self._clock)
        self._remembered = Remembered(REMEMBERED)
        self.rule = Rule(settings.ignored_paths, settings.matched_headers)
        self._store = None if settings.mode is Mode.DUMMY else _open_store(settings, self.rule)
        self._upstream = self._reach() if settings.may_reach_upstream else None
        #: Those whose transport is forgotten are there as long as they record.
        self._recorders: WeakSet[Recorder] = WeakSet()
        self._answers = Budget(ANSWERS_BYTES)
        self._process_number = process_number()
        #: Stamps all requests.
        self.arrivals = Arrivals.since(self._store.offset_us() if self._store else own_offset_us())
        # One for all cassettes: its load is that of the process.
        self._dummy = Dummy(
            Content.of(settings),
            Tempo.of(settings, latency(settings) if settings.may_answer_dummy else None),
            capacity=settings.dummy_capacity,
            clock=self._clock,
        )
        self._transports: Bounded[str, _Line] = Bounded(TRANSPORTS)
        #: The cassette of requests that name none.
        self.default = settings.cassette
        self.journal = Journal()
        #: For what takes long: explaining a large miss, reading a large request.
        self.aside, self._apart = Aside(), Apart()
        self._default = self._journaled(self.default)

    def transport(self, cassette: str | None) -> Transport:
        """What answers requests on a cassette; on None the one that the settings name.

        What cannot be opened, or named, refuses each request, so that the journal knows of it.
        """
        name = self.default if cassette is None else cassette
        if name == self.default:
            return self._default.transport
        if (known := self._transports.get(name)) is not None:
            return known.transport
        try:
            made = self._journaled(cassette_name(name))
        except ValueError as error:
            refusal = Unopened(InvalidCassetteName(name, error))
            return Journaled(refusal, self.journal, self.default)
        except StoreError as error:
            return Journaled(Unopened(error), self.journal, name)
        self._transports.put(name, made)
        return made.transport

    async def recognise(self, request: Request) -> None:
        """Compute what a large request is known by, while others have their turns."""
        self.rule.note(request, await self._apart.run(self.rule.fingerprints, request))

    def cassette(self, name: str) -> Cassette | None:
        """A cassette, or None in a mode that has none. Raises ``StoreError``."""
        return self._store.cassette(name) if self._store is not None else None

    def check(self) -> None:
        """Raise ``StoreError`` if the default cassette could not be used now."""
        if self._store is not None:
            _check_store(self._store, self._settings)
            self._store.cassette(self.default).check()

    def rewind(self, name: str) -> None:
        """Start a cassette's order over, its report and its faults, and every key's rates."""
        self.journal.forget(name)
        line = self._default if name == self.default else self._transports.get(name)
        if line is not None:
            line.faulty.rewind()
        self._limits.rewind()
        cassette = self.cassette(name) if name != OTHERS else None
        if cassette is not None:
            cassette.rewind()

    def _journaled(self, name: str) -> "_Line":
        faulty = Faulty(
            self._nested(name),
            self._script.afresh(),
            seed=self._settings.fault_seed,
            clock=self._clock,
            remembered=self._remembered,
        )
        transport = Limited(faulty, self._limits) if self._limits else faulty
        return _Line(Journaled(WellFormed(transport), self.journal, name), faulty)

    def _nested(self, name: str) -> Transport:
        if self._store is None:
            return self._dummy
        cassette = self._store.cassette(name)
        if self._settings.mode is Mode.RECORD:
            return self._recorder(cassette)
        otherwise: Transport
        match self._settings.on_miss:
            case OnMiss.FAIL:
                otherwise = Refuse(cassette, rule=self.rule, aside=self.aside)
            case OnMiss.DUMMY:
                otherwise = self._dummy
            case OnMiss.RECORD:
                otherwise = self._recorder(cassette)
        pacing = Pacing(self._settings.replay_speed)
        return Player(
            cassette,
            rule=self.rule,
            otherwise=otherwise,
            pacing=pacing,
            clock=self._clock,
            joined=self._settings.replay_chunks == "joined",
        )

    def _recorder(self, cassette: Cassette) -> Recorder:
        assert self._upstream is not None
        recorder = Recorder(
            self._upstream,
            cassette,
            clock=self._clock,
            process_number=self._process_number,
            drain_s=self._settings.drain_s,
            keep_transient=self._settings.record_errors == "all",
            budget=self._answers,
        )
        self._recorders.add(recorder)
        return recorder

    def _reach(self) -> "Upstream":
        # A strict replay does not even import an HTTP client.
        from replay_proxy.upstream import Upstream

        key = self._settings.upstream_api_key
        return Upstream(
            self._settings.upstream_base_url,
            api_key=key.get_secret_value() if key else None,
            timeout_s=self._settings.upstream_timeout_s,
            clock=self._clock,
        )

    async def aclose(self, *, drain_s: float | None = None) -> None:
        """Finish what is recorded within ``drain_s``; leave each cassette as one plain file."""
        self.aside.close()
        self._apart.close()
        self._limits.close()
        await asyncio.gather(*(recorder.aclose(drain_s) for recorder in self._recorders))
        if self._upstream is not None:
            await self._upstream.aclose()
        if self._store is not None:
            self._store.close()


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
