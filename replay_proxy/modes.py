"""The modes: how transports are nested. There is no other ``if mode`` in the code.

record                   Recorder(Upstream, cassette)
replay, ON_MISS=fail     Player(cassette, otherwise=Refuse(cassette))
replay, ON_MISS=dummy    Player(cassette, otherwise=Dummy)
replay, ON_MISS=record   Player(cassette, otherwise=Recorder(Upstream, cassette))
dummy                    Dummy
"""

import os
from typing import TYPE_CHECKING

from replay_proxy.dummy import Dummy
from replay_proxy.player import Player, Refuse
from replay_proxy.recorder import Recorder
from replay_proxy.settings import Mode, OnMiss, Settings
from replay_proxy.store import Store
from replay_proxy.timeline import Clock, MonotonicClock, Pacing
from replay_proxy.wire import Transport

if TYPE_CHECKING:
    from replay_proxy.upstream import Upstream


class Assembly:
    """The transport of one process, and what has to be closed behind it.

    Raises ``StoreError`` when the store does not allow the mode: a strict replay without its
    cassette, a recording without a writable directory, a damaged cassette in any mode.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or MonotonicClock()
        self._store: Store | None = None
        self._upstream: Upstream | None = None
        self._recorder: Recorder | None = None
        self.transport = self._transport()

    def _transport(self) -> Transport:
        settings = self._settings
        if settings.mode is Mode.DUMMY:
            return Dummy()
        self._store = Store(settings.store, writable=settings.may_reach_upstream)
        if settings.may_reach_upstream:
            self._store.prepare()
        else:
            self._store.require(settings.cassette if settings.named("cassette") else None)
        cassette = self._store.cassette(settings.cassette)
        if settings.mode is Mode.RECORD:
            return self._recording(self._store)
        otherwise: Transport
        match settings.on_miss:
            case OnMiss.FAIL:
                otherwise = Refuse(cassette)
            case OnMiss.DUMMY:
                otherwise = Dummy()
            case OnMiss.RECORD:
                otherwise = self._recording(self._store)
        return Player(
            cassette,
            otherwise=otherwise,
            pacing=Pacing(settings.replay_speed),
            clock=self._clock,
        )

    def _recording(self, store: Store) -> Recorder:
        # A strict replay does not even import an HTTP client.
        from replay_proxy.upstream import Upstream

        settings = self._settings
        key = settings.upstream_api_key
        self._upstream = Upstream(
            settings.upstream_base_url,
            api_key=key.get_secret_value() if key else None,
            timeout_s=settings.upstream_timeout_s,
            clock=self._clock,
        )
        self._recorder = Recorder(
            self._upstream,
            store.cassette(settings.cassette),
            clock=self._clock,
            process_number=os.getpid(),
            drain_s=settings.drain_s,
            keep_transient=settings.record_errors == "all",
        )
        return self._recorder

    async def aclose(self) -> None:
        """Finish what is being recorded and leave each cassette as one plain file."""
        if self._recorder is not None:
            await self._recorder.aclose()
        if self._upstream is not None:
            await self._upstream.aclose()
        if self._store is not None:
            self._store.close()
