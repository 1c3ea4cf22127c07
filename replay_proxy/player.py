"""Replay: ``Player`` answers from a cassette; ``Refuse``, ``Unopened``, ``WellFormed`` refuse.

A recorded answer is sent as it was: status, headers and the bytes of each chunk; nothing is parsed
and written again. None of them can reach the network.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine
from functools import partial
from typing import Any

from replay_proxy.aside import Aside
from replay_proxy.cassette import Cassette, Interaction
from replay_proxy.errors import InvalidTarget, RedirectRefused, ReplayProxyError
from replay_proxy.fingerprint import fingerprint, former_fingerprint
from replay_proxy.matching import Rule
from replay_proxy.miss import explain
from replay_proxy.redaction import redacted
from replay_proxy.target import flaw, leads_away
from replay_proxy.timeline import Clock, Pacing
from replay_proxy.waits import replayed_headers
from replay_proxy.wire import (
    Chunks,
    Provenance,
    Request,
    Response,
    Source,
    Transport,
    header,
)

logger = logging.getLogger("replay_proxy")

#: A larger body is sent in turns with other requests, in pieces of this size where it is no stream.
LARGE_BYTES, PIECE_BYTES = 1 << 20, 1 << 18
#: After so many chunks an instant replay lets other requests run.
CHUNKS_PER_TURN = 64


class Player:
    """Answers with the recording, and asks ``otherwise`` when there is none.

    ``joined`` gives up chunk boundaries where all chunks are due at once.
    """

    def __init__(
        self,
        cassette: Cassette,
        *,
        rule: Rule,
        otherwise: Transport,
        pacing: Pacing,
        clock: Clock,
        joined: bool = False,
    ) -> None:
        self._cassette = cassette
        self._rule = rule
        self._otherwise = otherwise
        self._pacing = pacing
        self._clock = clock
        self._joined = joined

    async def handle(self, request: Request) -> Response:
        """The N-th recorded answer to the N-th such request.

        Raises ``StoreError``, and ``RedirectRefused`` for an answer that leads to another server.
        """
        start_s = self._clock.now_s()
        key = self._rule.key(request)
        interaction = await self._cassette.take(key)
        if interaction is None and (former := _former(request, self._rule)) is not None:
            interaction = await self._cassette.take(former)
        if interaction is None:
            return await self._otherwise.handle(request)
        if away := leads_away(interaction.status, interaction.headers):
            raise RedirectRefused(
                f"Interaction {interaction.id} of cassette {self._cassette.name} sends its client "
                f"to another server, {redacted(away)[:100]!r}, and a client's key may go with it. "
                "If that is meant, export the cassette, make its location a path, and import it."
            )
        headers, waits = replayed_headers(interaction.headers, self._pacing.speed)
        body: bytes | Chunks
        if not self._pacing.instant:
            await self._clock.sleep_until(self._pacing.due_s(start_s, interaction.timeline.head_us))
            body = self._paced(interaction, start_s)
        elif self._joined or _is_one_piece(interaction):
            body = interaction.body
            if len(body) > LARGE_BYTES:
                body = _in_turns(interaction)
        else:
            body = _instant(interaction)
        provenance = Provenance(
            Source.CASSETTE, interaction.fingerprint, interaction.id, self._rule.name, waits
        )
        return Response(interaction.status, headers, body, provenance=provenance)

    async def _paced(self, interaction: Interaction, start_s: float) -> AsyncGenerator[bytes]:
        timeline = interaction.timeline
        for offset_us, chunk in timeline.chunks(interaction.body):
            await self._clock.sleep_until(self._pacing.due_s(start_s, offset_us))
            yield chunk
        await self._clock.sleep_until(self._pacing.due_s(start_s, timeline.total_us))


async def _instant(interaction: Interaction) -> AsyncGenerator[bytes]:
    body, start, ends = interaction.body, 0, interaction.timeline.ends
    per_turn = CHUNKS_PER_TURN
    if len(body) > LARGE_BYTES:
        per_turn = max(1, min(per_turn, len(ends) * LARGE_BYTES // len(body)))
    for number, end in enumerate(ends, 1):
        if number % per_turn == 0:
            await asyncio.sleep(0)
        yield body[start:end]
        start = end


async def _in_turns(interaction: Interaction) -> AsyncGenerator[bytes]:
    """A large body in pieces, each in a turn of its own; without a length it is one chunk."""
    body = interaction.body
    has_length = header(interaction.headers, b"content-length") is not None
    size = PIECE_BYTES if has_length else len(body)
    for at in range(0, len(body), size):
        await asyncio.sleep(0)
        yield body[at : at + size]


def _former(request: Request, rule: Rule) -> str | None:
    """The key of the request in a cassette of an earlier version, if it was another one then.

    Under a rule that is not exact the keys of all recordings are made anew.
    """
    return former_fingerprint(request) if rule.exact else None


def _is_one_piece(interaction: Interaction) -> bool:
    """Whether the answer has no chunk boundaries that a client could see."""
    return (
        len(interaction.timeline.ends) <= 1
        or header(interaction.headers, b"content-length") is not None
    )


class Unopened:
    """Answers every request with the error that keeps its cassette from being opened."""

    def __init__(self, error: ReplayProxyError) -> None:
        self._error = error

    async def handle(self, request: Request) -> Response:
        """Raise it."""
        # Anew each time: it would collect the frames of every request.
        raise self._error.with_traceback(None)


class WellFormed:
    """Passes on the requests whose method, path and query have no flaw (``target.flaw``)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def handle(self, request: Request) -> Coroutine[Any, Any, Response]:
        """The transport's answer. Raises ``InvalidTarget``."""
        # No coroutine of its own: every request passes through.
        if cause := flaw(request.method, request.path, request.query):
            raise InvalidTarget(cause)
        return self._transport.handle(request)


class Refuse:
    """Answers every request with a miss: 404 that SDKs do not retry."""

    def __init__(self, cassette: Cassette, *, rule: Rule, aside: Aside) -> None:
        self._cassette = cassette
        self._rule = rule
        self._aside = aside

    async def handle(self, request: Request) -> Response:
        """Raise the miss, explained."""
        key = fingerprint(request)
        counts = await self._cassette.counts()
        answers = await self._cassette.answers(self._rule.key(request))
        if not answers and (former := _former(request, self._rule)) is not None:
            answers = await self._cassette.answers(former)
        near = [] if answers else await self._cassette.near(request)
        explanation = partial(
            explain,
            request,
            fingerprint=key,
            cassette=self._cassette.name,
            counts=counts,
            answers=answers,
            candidates=near,
            rule=self._rule,
        )
        size = len(request.body) + sum(len(each.request.body) for each in near)
        miss = await self._aside.run(explanation, size)
        logger.warning("%s", miss)
        raise miss
