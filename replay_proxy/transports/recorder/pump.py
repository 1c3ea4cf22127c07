"""``Pump``: reads one answer to its end, with or without a client, which gets it from a relay.

A task of its own reads, stamps and queues each chunk. An answer is kept in memory once until it is
whole, within bounds: beyond them it is still relayed, but not recorded. A client that does not read
makes the pump wait, not grow. What was read is released as soon as the task has ended or the client
has left, without waiting for the garbage collector.
"""

import asyncio
import logging
from contextlib import aclosing
from typing import Protocol

from replay_proxy.answers import losses
from replay_proxy.answers.errors_inside import loss_inside
from replay_proxy.bounds.budget import Budget
from replay_proxy.cassette import Interaction, Recordable, interaction_id
from replay_proxy.errors import ReplayProxyError, RequestError, UpstreamCut
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.storage import stored_request
from replay_proxy.sse.ending import ending_of, known_length
from replay_proxy.sse.terminal import Progress
from replay_proxy.timeline import Clock, Timeline, chunk_ends
from replay_proxy.transports.recorder.ledger import ExchangeOutcome, Ledger
from replay_proxy.transports.recorder.relay import Relay
from replay_proxy.wire import Chunks, Provenance, Request, Response, Source, Transport

logger = logging.getLogger("replay_proxy")

#: Maximum number of bytes that are read ahead of a client; then the upstream has to wait.
UNREAD_BYTES = 1 << 24
#: Size of the steps in which an answer takes its share of the budget. The first step is free.
STEP_BYTES = 1 << 20
#: Size of a chunk in memory and in a row, without its bytes.
CHUNK_BYTES = 200
#: Maximum size of a request and its answer: a row of SQLite holds 1,000,000,000 bytes.
ROW_BYTES = 990_000_000


class PumpOwner(Protocol):
    """What a pump needs of its recorder."""

    upstream: Transport
    cassette: Recordable
    clock: Clock
    process_number: int
    drain_s: float
    budget: Budget
    keep_errors: bool
    ledger: Ledger


class Pump:
    """One exchange. ``answer`` is there with the upstream's head; ``task`` ends with its body."""

    def __init__(self, recorder: PumpOwner, request: Request) -> None:
        loop = asyncio.get_running_loop()
        self._recorder = recorder
        self._request = request
        self._fingerprint = fingerprint(request)
        self._id = interaction_id(request.arrived_us, recorder.process_number)
        self._chunks: list[bytes] = []
        self._offsets_us: list[int] = []
        self._ends: list[int] = []
        #: The places of pieces that do not end an HTTP chunk.
        self._unfinished: set[int] = set()
        self._head_us = 0
        #: Why the answer is not kept.
        self._loss: losses.Loss | None = None
        self._outcome = ExchangeOutcome(recorder.ledger, request)
        #: Number of committed chunks (-1: none yet), and bytes taken from the budget.
        self._kept, self._taken = -1, 0
        self._left = False
        self._relay: Relay | None = None
        self.answer: asyncio.Future[Response] = loop.create_future()
        self.task = loop.create_task(self._run())

    def client_left(self) -> None:
        """The client has left: the answer has to end within ``drain_s``."""
        if self._left:
            return
        self._left = True
        if self._relay is not None:
            self._relay.close()
        if not self.task.done():
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._recorder.drain_s, self.task.cancel)
            self.task.add_done_callback(lambda _: timer.cancel())

    async def _run(self) -> None:
        try:
            await self._pump()
        except asyncio.CancelledError:
            # Not raised again: the task would hold it, and with it all that was read.
            left = losses.loss_of_departure(self._recorder.drain_s)
            cut = UpstreamCut("The recording was ended before the answer was whole.")
            cut.is_loss = self._outcome.lose(left if self._left else losses.CUT_OFF)
            self._end(cut)
        except RequestError as error:
            self._outcome.drop()  # The report has it among the misses.
            self._end(error.with_traceback(None))
        except ReplayProxyError as error:
            error.is_loss = self._outcome.lose(losses.loss_of_error(error))
            self._end(error.with_traceback(None))
        except Exception:
            logger.exception("A recording failed.")
            self._outcome.lose(losses.BROKEN)
            self._end(ReplayProxyError("The proxy failed while recording; its log says why."))
        else:
            self._end(None)
        finally:
            self._let_go()

    async def _pump(self) -> None:
        answer = await self._recorder.upstream.handle(self._request)
        self._head_us = self._us_since_sent(answer)
        length = known_length(self._request, answer)
        end = ending_of(answer, length)
        self._loss = losses.loss_of_status(answer.status, keep_errors=self._recorder.keep_errors)
        size, granted = 0, STEP_BYTES
        if length is not None and length > granted:
            granted = self._granted(length)
        relay = self._begin(answer) if length is None else None
        held: list[bytes] = []
        # Local names, for the loop over chunks.
        now_s, sent_s, running = self._recorder.clock.now_s, answer.sent_s, Progress.RUNNING
        stamp, keep, feed = self._offsets_us.append, self._chunks.append, end.feed
        assert not isinstance(answer.body, bytes)
        async with aclosing(answer.body):
            async for chunk in answer.body:
                stamp(int((now_s() - sent_s) * 1e6))
                keep(chunk)
                if type(chunk) is not bytes:  # A ``ChunkRest``.
                    self._unfinished.add(len(self._offsets_us) - 2)
                size += len(chunk) + CHUNK_BYTES
                if size > granted:
                    granted = self._granted(size)
                progress = feed(chunk)
                if progress is running and relay is not None and not held:
                    relay.put(chunk)
                    if relay.unread > UNREAD_BYTES:
                        await relay.room()
                    continue
                held.append(chunk)
                if progress is Progress.ENDING:
                    continue
                if progress is Progress.ENDED and self._kept < 0:
                    await self._keep(answer)  # Later chunks are added at the end.
                whole = progress is Progress.ENDED and length is not None
                relay = self._pass_on(answer, held, whole=whole)
        await self._keep(answer)
        self._pass_on(answer, held, whole=True)

    def _granted(self, size: int) -> int:
        """The size up to which an answer of this size may grow without another call.

        An answer that may not grow is no longer recorded, and its chunks are released.
        """
        step = size - size % STEP_BYTES + STEP_BYTES
        if self._loss is None:
            self._loss = self._no_room(size, step)
        if self._loss is not None:
            self._let_go()
        return step

    def _no_room(self, size: int, step: int) -> losses.Loss | None:
        """Why an answer that has this size cannot be recorded; None when it can."""
        most = ROW_BYTES - len(self._request.body)
        if size > most:
            return losses.loss_of_size(f"a cassette holds up to {most:,} bytes of its answer")
        if not self._recorder.budget.take(step - STEP_BYTES - self._taken):
            return losses.loss_of_size("too many large answers are being recorded at once")
        self._taken = step - STEP_BYTES
        return None

    def _let_go(self) -> None:
        # In place, so that references to the pump or to the lists keep nothing alive.
        self._chunks.clear()
        self._offsets_us.clear()
        self._unfinished.clear()
        self._recorder.budget.give(self._taken)
        self._taken = 0

    def _begin(self, answer: Response) -> Relay:
        """Give the client the head; the chunks follow as they arrive."""
        if self._relay is None:
            self._relay = Relay(self.client_left)
            if self._left:
                self._relay.close()
            elif not self.answer.done():
                self.answer.set_result(self._response(answer, self._relay))
        return self._relay

    def _pass_on(self, answer: Response, held: list[bytes], *, whole: bool) -> Relay | None:
        """Give the client the held chunks: as one body if they are the whole answer."""
        if whole and self._relay is None:
            if not self.answer.done():
                self.answer.set_result(self._response(answer, b"".join(held)))
        else:
            relay = self._begin(answer)
            for chunk in held:
                relay.put(chunk)
        held.clear()
        return self._relay

    def _end(self, error: ReplayProxyError | None) -> None:
        if self._relay is not None:
            self._relay.end(error)
        elif error is not None and not self.answer.done():
            self.answer.set_exception(error)

    async def _keep(self, answer: Response) -> None:
        """Commit the chunks so far, unless that is done already, or the answer is not kept."""
        body = b"".join(self._chunks)
        if self._kept < 0 and self._loss is None and not self._recorder.keep_errors:
            self._loss = loss_inside(self._request.method, answer, body)
        if self._loss is not None:
            self._outcome.lose(self._loss)
            return
        if self._kept == len(self._offsets_us):
            return
        ends = self._ends
        # After a commit, the first item of the list is all that was committed.
        ends += chunk_ends(map(len, self._chunks[bool(ends) :]), ends[-1] if ends else 0)
        self._chunks[:] = [body]
        total_us = self._us_since_sent(answer)
        self._id = await self._recorder.cassette.add(
            Interaction(
                id=self._id,
                fingerprint=self._fingerprint,
                request=stored_request(self._request),
                status=answer.status,
                headers=stored_response_headers(answer.headers),
                body=body,
                timeline=Timeline.of_parts(
                    self._head_us, self._offsets_us, ends, self._unfinished, total_us
                ),
            )
        )
        self._kept = len(self._offsets_us)
        self._outcome.keep(self._id)

    def _response(self, answer: Response, body: bytes | Chunks) -> Response:
        stored_as, loss = (self._id, None) if self._loss is None else (None, self._loss.code)
        provenance = Provenance(Source.UPSTREAM, self._fingerprint, stored_as, loss=loss)
        return Response(answer.status, answer.headers, body, provenance=provenance)

    def _us_since_sent(self, answer: Response) -> int:
        return int((self._recorder.clock.now_s() - answer.sent_s) * 1e6)
