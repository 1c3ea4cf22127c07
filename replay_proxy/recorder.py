"""Recording: a task of its own reads the upstream, and the client's side relays from it.

OpenAI clients leave at ``[DONE]``. What lives in the client's stream is cancelled with it, so a
recorder there loses answers or, under a shield, stores torn ones. Here a pump reads, stamps and
queues each chunk; the client's leaving only starts a clock. An answer is committed before its end
can be seen, and what was cut is never stored. Nothing in here parses a body.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing

from replay_proxy.cassette import Cassette, Interaction, interaction_id
from replay_proxy.ending import ending_of, known_length
from replay_proxy.errors import ReplayProxyError, UpstreamCut
from replay_proxy.fingerprint import fingerprint
from replay_proxy.redaction import stored_request, stored_response_headers
from replay_proxy.sse import Progress
from replay_proxy.timeline import Clock, Timeline
from replay_proxy.wire import Chunks, Provenance, Request, Response, Source, Transport

logger = logging.getLogger("replay_proxy")

#: These say that this client may not ask, not what the API answers.
NEVER_STORED = frozenset({401, 403, 407})
#: These are true at that moment only, like every status from 500 on; ``RECORD_ERRORS=all`` keeps
#: them.
TRANSIENT = frozenset({408, 409, 425, 429})


class Recorder:
    """Passes requests on, relays each answer as it comes, and keeps those that are whole.

    ``drain_s`` bounds how long an answer may go on after its client has left: when it reaches its
    end by then it is kept, and if not it is dropped.
    """

    def __init__(
        self,
        upstream: Transport,
        cassette: Cassette,
        *,
        clock: Clock,
        process_number: int,
        drain_s: float,
        keep_transient: bool,
    ) -> None:
        self.upstream = upstream
        self.cassette = cassette
        self.clock = clock
        self.process_number = process_number
        self.drain_s = drain_s
        self.keep_transient = keep_transient
        self._pumps: set[asyncio.Task[None]] = set()

    async def handle(self, request: Request) -> Response:
        """The upstream's answer. Raises ``UpstreamError``; ``StoreError`` if it cannot be kept."""
        pump = _Pump(self, request)
        self._pumps.add(pump.task)
        pump.task.add_done_callback(self._pumps.discard)
        try:
            return await pump.answer
        except asyncio.CancelledError:
            pump.client_left()
            raise

    async def aclose(self) -> None:
        """End every recording; what reaches its end within ``drain_s`` is kept."""
        pumps = set(self._pumps)
        if pumps:
            await asyncio.wait(pumps, timeout=self.drain_s)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    def keeps(self, status: int) -> bool:
        """Whether an answer of this status is worth replaying."""
        if status in NEVER_STORED:
            return False
        return self.keep_transient or not (status in TRANSIENT or status >= 500)


class _Pump:
    """One exchange: reads the upstream's answer to its end, whoever listens."""

    def __init__(self, recorder: Recorder, request: Request) -> None:
        loop = asyncio.get_running_loop()
        self._recorder = recorder
        self._request = request
        self._fingerprint = fingerprint(request)
        self._id = interaction_id(request.arrived_us, recorder.process_number)
        self._chunks: list[bytes] = []
        self._offsets_us: list[int] = []
        self._head_us = 0
        self._kept = -1
        #: What the client's side still has to send; None is a clean end.
        self.relayed: deque[bytes | ReplayProxyError | None] = deque()
        #: The client's side, when it waits for more.
        self.waiting: asyncio.Future[None] | None = None
        self.answer: asyncio.Future[Response] = loop.create_future()
        self.task = loop.create_task(self._run())

    def client_left(self) -> None:
        """Nobody listens any more: the end has to come within ``drain_s``."""
        if not self.task.done():
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._recorder.drain_s, self.task.cancel)
            self.task.add_done_callback(lambda _: timer.cancel())

    async def _run(self) -> None:
        try:
            await self._pump()
        except asyncio.CancelledError:
            self._end(UpstreamCut("The recording was ended before the answer was whole."))
            raise
        except ReplayProxyError as error:
            logger.warning("%s %s: %s", self._request.method, self._request.path, error)
            self._end(error)
        except Exception:
            logger.exception(
                "%s %s could not be recorded", self._request.method, self._request.path
            )
            self._end(ReplayProxyError("The proxy failed while recording; its log says why."))
        else:
            self._end(None)
        finally:
            self._chunks = []  # The relay, which refers to this, may live for long.

    async def _pump(self) -> None:
        answer = await self._recorder.upstream.handle(self._request)
        self._head_us = self._us_since_sent(answer)
        length = known_length(self._request, answer)
        end = ending_of(answer, length)
        if length is None:
            self._begin(answer)
        held: list[bytes] = []
        # What happens to every chunk has a short way.
        now_s, sent_s, running = self._recorder.clock.now_s, answer.sent_s, Progress.RUNNING
        stamp, keep, feed = self._offsets_us.append, self._chunks.append, end.feed
        assert not isinstance(answer.body, bytes)
        async with aclosing(answer.body):
            async for chunk in answer.body:
                stamp(int((now_s() - sent_s) * 1e6))
                keep(chunk)
                progress = feed(chunk)
                if progress is running and length is None and not held:
                    self._relay(chunk)
                    continue
                held.append(chunk)
                if progress is Progress.ENDING:
                    continue
                if progress is Progress.ENDED and self._kept < 0:
                    await self._keep(answer)  # What may still follow is added at the end.
                self._pass_on(answer, held, whole=progress is Progress.ENDED and length is not None)
        await self._keep(answer)
        self._pass_on(answer, held, whole=True)

    def _begin(self, answer: Response) -> None:
        """Give the client the head; the chunks follow as they come."""
        if not self.answer.done():
            self.answer.set_result(self._response(answer, _Relay(self)))

    def _pass_on(self, answer: Response, held: list[bytes], *, whole: bool) -> None:
        """Give the client what is held, as one answer when nothing went before and none follows."""
        if whole and not self.answer.done():
            self.answer.set_result(self._response(answer, b"".join(held)))
        else:
            self._begin(answer)
            for chunk in held:
                self._relay(chunk)
        held.clear()

    def _relay(self, item: bytes | ReplayProxyError | None) -> None:
        """Let the client's side go on; what comes until it does, it takes in one go."""
        self.relayed.append(item)
        if self.waiting is not None:
            if not self.waiting.done():
                self.waiting.set_result(None)
            self.waiting = None

    def _end(self, error: ReplayProxyError | None) -> None:
        if error is not None and not self.answer.done():
            self.answer.set_exception(error)
        else:
            self._relay(error)

    async def _keep(self, answer: Response) -> None:
        """Commit the answer as far as it is here, unless it is committed so far already."""
        if self._kept == len(self._chunks) or not self._recorder.keeps(answer.status):
            return
        ends: list[int] = []
        for chunk in self._chunks:
            ends.append(len(chunk) + (ends[-1] if ends else 0))
        self._id = await self._recorder.cassette.add(
            Interaction(
                id=self._id,
                fingerprint=self._fingerprint,
                request=stored_request(self._request),
                status=answer.status,
                headers=stored_response_headers(answer.headers),
                body=b"".join(self._chunks),
                timeline=Timeline(
                    self._head_us,
                    tuple(self._offsets_us),
                    tuple(ends),
                    self._us_since_sent(answer),
                ),
            )
        )
        self._kept = len(self._chunks)

    def _response(self, answer: Response, body: bytes | Chunks) -> Response:
        stored_as = self._id if self._recorder.keeps(answer.status) else None
        provenance = Provenance(Source.UPSTREAM, self._fingerprint, stored_as)
        return Response(answer.status, answer.headers, body, provenance=provenance)

    def _us_since_sent(self, answer: Response) -> int:
        return int((self._recorder.clock.now_s() - answer.sent_s) * 1e6)


class _Relay:
    """The client's side of an exchange: yields what the pump has read, as it comes.

    A class rather than a generator, since one that was never started would not notice its end.
    """

    def __init__(self, pump: _Pump) -> None:
        self._pump = pump

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        pump = self._pump
        while not pump.relayed:
            pump.waiting = asyncio.get_running_loop().create_future()
            await pump.waiting
        item = pump.relayed.popleft()
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, ReplayProxyError):
            raise item
        return item

    async def aclose(self) -> None:
        """The client reads no further."""
        self._pump.client_left()
