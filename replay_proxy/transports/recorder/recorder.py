"""``Recorder``: a separate task reads the upstream, and the client's side relays from it.

OpenAI clients leave at ``[DONE]``. What lives in the client's stream is cancelled with it, so a
recorder there loses answers or, under a shield, stores torn ones. Here a pump reads, stamps and
queues each chunk; the client's leaving only starts a clock. An answer is committed before its end
can be seen, and what was cut is never stored. Nothing in here parses a body.
"""

import asyncio

from replay_proxy.bounds.budget import Budget
from replay_proxy.cassette import Recordable
from replay_proxy.timeline import Clock
from replay_proxy.transports.recorder.ledger import Ledger, NoLedger
from replay_proxy.transports.recorder.pump import Pump
from replay_proxy.wire import Request, Response, Transport

#: Maximum number of bytes of large answers in progress in a process.
ANSWERS_BYTES = 1 << 30


class Recorder:
    """Passes requests on, relays each answer as it comes, and keeps those that are whole.

    ``drain_s`` bounds how long an answer may go on after its client has left: if it ends in time it
    is kept, otherwise it is dropped. ``budget`` and ``pumps`` (answers in progress) may be shared
    with other recorders, which are then closed together. ``keep_errors`` keeps errors that are
    transient or depend on the API key, and ``ledger`` notes what is kept and what is lost.
    """

    def __init__(
        self,
        upstream: Transport,
        cassette: Recordable,
        *,
        clock: Clock,
        process_number: int,
        drain_s: float,
        keep_errors: bool,
        ledger: Ledger | None = None,
        budget: Budget | None = None,
        pumps: set[asyncio.Task[None]] | None = None,
    ) -> None:
        self.upstream = upstream
        self.cassette = cassette
        self.clock = clock
        self.process_number = process_number
        self.drain_s = drain_s
        self.keep_errors = keep_errors
        self.ledger = ledger or NoLedger()
        self.budget = budget or Budget(ANSWERS_BYTES)
        self._pumps = set() if pumps is None else pumps

    async def handle(self, request: Request) -> Response:
        """The upstream's answer. Raises ``UpstreamError``; ``StoreError`` if it cannot be kept."""
        pump = Pump(self, request)
        self._pumps.add(pump.task)
        pump.task.add_done_callback(self._pumps.discard)
        try:
            return await pump.answer
        except asyncio.CancelledError:
            pump.client_left()
            raise
        finally:
            del pump  # An error that the pump holds would hold this frame.

    def rewind(self) -> None:
        """Let a replay of the cassette begin with the first answers again."""
        self.cassette.rewind()

    async def aclose(self, drain_s: float | None = None) -> None:
        """End every recording; what reaches its end within ``drain_s`` is kept."""
        pumps = set(self._pumps)
        if pumps:
            limit_s = self.drain_s if drain_s is None else drain_s
            await asyncio.wait(pumps, timeout=limit_s)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
