"""Replies sent when they are due: nothing before the first token, then token by token.

In here: the waiting. Not in here: when a token is due (``tempo``), what it says. Deadlines are
absolute: a late stream catches up, and tokens that are due together are one chunk.
"""

from collections.abc import AsyncGenerator
from itertools import islice

from replay_proxy.timeline import Clock
from replay_proxy.transports.dummy.replies import Reply, StreamReply, WholeReply
from replay_proxy.transports.dummy.timing.load import Load
from replay_proxy.transports.dummy.timing.tempo import Pace

#: Maximum number of late tokens that are sent before other requests get a turn.
_PER_TURN = 256
#: Maximum number of gaps that are drawn for a whole answer; further gaps have their average.
_DRAWS = 10_000


async def timely_body(
    reply: Reply, pace: Pace, arrived_s: float, *, clock: Clock, load: Load
) -> "bytes | TimedTokens":
    """The body of a response: a stream when its first token is due, a whole one when its last is.

    Deadlines count from ``arrived_s``; waiting for a place postpones all of them.
    """
    queued_at_s = clock.now_s()
    await load.enter()
    try:
        queued_s = clock.now_s() - queued_at_s
        due_s = arrived_s + queued_s + pace.ttft_ms / 1000
        if isinstance(reply, StreamReply):
            await clock.sleep_until(due_s)
            return TimedTokens(reply, pace, due_s, clock, load)
        await clock.sleep_until(due_s + _rest_s(reply, pace, load.slowdown))
    except BaseException:
        load.leave()
        raise
    load.leave()
    return reply.body


def _rest_s(reply: WholeReply, pace: Pace, slowdown: float) -> float:
    """The time from the first token to the last."""
    gaps = max(0, reply.tokens - 1)
    draws = min(gaps, _DRAWS)
    sum_ms = sum(islice(pace.gaps_ms(), draws))
    return slowdown * sum_ms * (gaps / draws if draws else 0.0) / 1000


class TimedTokens:
    """The chunks of a stream whose first token is due now. It has a place until it is closed."""

    def __init__(
        self, reply: StreamReply, pace: Pace, due_s: float, clock: Clock, load: Load
    ) -> None:
        self._chunks = _chunks(reply, pace, due_s, clock, load)
        self._load: Load | None = load

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        """Give the place back."""
        await self._chunks.aclose()
        if self._load is not None:
            self._load.leave()
            self._load = None


async def _chunks(
    reply: StreamReply, pace: Pace, due_s: float, clock: Clock, load: Load
) -> AsyncGenerator[bytes]:
    due = [reply.opening]
    gaps_ms = pace.gaps_ms()
    for number, token in enumerate(reply.tokens, 1):
        due.append(token)
        if number == reply.count:
            break
        due_s += next(gaps_ms) * load.slowdown / 1000
        if due_s > clock.now_s() or len(due) > _PER_TURN:
            yield b"".join(due)
            due.clear()
            await clock.sleep_until(due_s)
    due.append(reply.closing)
    yield b"".join(due)
