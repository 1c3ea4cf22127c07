"""Replay: ``Player`` answers from a cassette.

A recorded answer is sent as it was: status, headers and the bytes of each chunk; nothing is parsed
and written again. It cannot reach the network.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from replay_proxy.answers.polling import may_be_awaited
from replay_proxy.answers.selection import SELECTED, selected
from replay_proxy.answers.waits import replayed_headers
from replay_proxy.bounds.lru import LRU
from replay_proxy.cassette import Interaction, Playable
from replay_proxy.errors import StoreError
from replay_proxy.matching.rules import Rule
from replay_proxy.redaction.display import redacted
from replay_proxy.target import leads_away
from replay_proxy.timeline import Clock, Pacing
from replay_proxy.wire import (
    SELECTING_METHODS,
    Chunks,
    Headers,
    Provenance,
    Request,
    Response,
    Source,
    Transport,
    header,
    selecting_fields,
)

#: A body larger than LARGE_BYTES is sent in turns with other requests: in pieces of PIECE_BYTES,
#: if it has a length.
LARGE_BYTES, PIECE_BYTES = 1 << 20, 1 << 18
#: Chunks that an instant replay sends before other requests get a turn.
CHUNKS_PER_TURN = 64
#: Maximum number of answers that are tried for a request for a range or with a condition.
TRIED = 1_000
#: Maximum number of interactions whose repeats are counted; a dropped one begins at 1 again.
POLLED = 200


class RedirectRefused(StoreError):
    """The recorded answer would send its client, and maybe a key, to another server."""

    code = "redirect_refused"


class Player:
    """Answers with the recording, and asks ``otherwise`` when there is none.

    ``joined`` gives up chunk boundaries where all chunks are due at once. ``most_repeats`` bounds
    how often an answer is repeated to a client that polls, which could otherwise never end.
    """

    def __init__(
        self,
        cassette: Playable,
        *,
        rule: Rule,
        otherwise: Transport,
        pacing: Pacing,
        clock: Clock,
        joined: bool = False,
        most_repeats: int | None = None,
    ) -> None:
        self._cassette = cassette
        self._rule = rule
        self._otherwise = otherwise
        self._pacing = pacing
        self._clock = clock
        self._joined = joined
        self._most_repeats = most_repeats
        #: How often each interaction was given to a GET.
        self._given: LRU[int, int] = LRU(POLLED)

    async def handle(self, request: Request) -> Response:
        """The N-th recorded answer to the N-th such request.

        Raises ``StoreError``, and ``RedirectRefused`` for an answer that leads to another server.
        """
        start_s = self._clock.now_s()
        match = self._rule.name
        interaction = await self._cassette.next_answer(self._rule.key(request))
        if interaction is None or interaction.status in SELECTED:
            interaction, match = await self._selected(request, interaction)
        if interaction is None or (request.method == "GET" and self._is_used_up(interaction)):
            return await self._otherwise.handle(request)
        if away := leads_away(interaction.status, interaction.headers):
            raise RedirectRefused(
                f"Interaction {interaction.id} of cassette {self._cassette.name} redirects its "
                f"client to another server, {redacted(away)[:100]!r}, possibly with its key. If "
                "that is intended, export the cassette, make its location a path, and import it."
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
            Source.CASSETTE, interaction.fingerprint, interaction.id, match, waits
        )
        return Response(interaction.status, headers, body, provenance=provenance)

    async def aclose(self, drain_s: float | None = None) -> None:
        """Close ``otherwise``."""
        await self._otherwise.aclose(drain_s)

    def rewind(self) -> None:
        """Let the next request get the first answer again."""
        self._given.clear()
        self._cassette.rewind()
        self._otherwise.rewind()

    def _is_used_up(self, answer: Interaction) -> bool:
        """Whether an answer to a GET was repeated so often that its client waits for another."""
        if self._most_repeats is None:
            return False
        given = (self._given.get(answer.id) or 0) + 1
        self._given.put(answer.id, given)
        return given > self._most_repeats + 1 and may_be_awaited(answer)

    async def _selected(
        self, request: Request, recorded: Interaction | None
    ) -> tuple[Interaction | None, str]:
        """The answer and the name of its match, where ``recorded`` is not all to be considered.

        A request for a range, or with a condition, that has no recording of its own is answered
        from a recording of the same request without these fields.
        """
        match = self._rule.name
        recorded = recorded or await self._former(request)
        fields = selecting_fields(request)
        if recorded is None and not fields:
            return None, match
        alone = request.method in SELECTING_METHODS and not fields
        if recorded is not None and not (alone and recorded.status in SELECTED):
            return recorded, match
        names = ",".join(dict.fromkeys(name.decode() for name, _ in fields))
        found = await self._first_selected(request, fields)
        return found, f"{match}; without={names}" if names else match

    async def _first_selected(self, request: Request, fields: Headers) -> Interaction | None:
        """The first recording of the request without these fields that answers it."""
        rest = tuple(pair for pair in request.headers if pair not in fields)
        plain = replace(request, headers=rest)
        for key in (self._rule.key(plain), self._rule.former_key(plain)):
            seen: set[int] = set()
            while key is not None and len(seen) < TRIED:
                # Each range has its own place in the order of whole answers.
                answer = await self._cassette.next_answer(key, f"{self._rule.key(request)} {key}")
                if answer is None or answer.id in seen:
                    break
                if (found := selected(request, answer)) is not None:
                    return found
                seen.add(answer.id)
        return None

    async def _former(self, request: Request) -> Interaction | None:
        """The next answer in a cassette of an earlier version."""
        former = self._rule.former_key(request)
        return None if former is None else await self._cassette.next_answer(former)

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
    """A large body in pieces, in turns with other requests; without a length it is one chunk."""
    body = interaction.body
    has_length = header(interaction.headers, b"content-length") is not None
    size = PIECE_BYTES if has_length else len(body)
    for at in range(0, len(body), size):
        await asyncio.sleep(0)
        yield body[at : at + size]


def _is_one_piece(interaction: Interaction) -> bool:
    """Whether the answer has no chunk boundaries that a client could see."""
    return (
        len(interaction.timeline.ends) <= 1
        or header(interaction.headers, b"content-length") is not None
    )
