"""Replies sent when they are due: nothing before the first token, then token by token.

In here: the waiting. Not in here: when something is due (``tempo``), what it says. Deadlines are
absolute: what is late is caught up with, and tokens that are due together are one chunk.
"""

from collections.abc import AsyncGenerator
from itertools import islice

from replay_proxy.timeline import Clock
from replay_proxy.transports.dummy.replies import Reply, Streamed, Whole
from replay_proxy.transports.dummy.timing.load import Load
from replay_proxy.transports.dummy.timing.tempo import Pace

# How many tokens that are late, or due at once, go without a turn for every other request.
_PER_TURN = 256
# How many gaps are drawn for a whole answer; those of a longer one are as long on average.
_DRAWN = 10_000


async def timely(
    reply: Reply, pace: Pace, arrived_s: float, *, clock: Clock, load: Load
) -> "bytes | Tokens":
    """The body of a response: a stream's when its first token is due, a whole one when its last is.

    Deadlines count from ``arrived_s``; waiting for a place postpones all of them.
    """
    asked_s = clock.now_s()
    await load.enter()
    try:
        queued_s = clock.now_s() - asked_s
        due_s = arrived_s + queued_s + pace.ttft_ms / 1000
        if isinstance(reply, Streamed):
            await clock.sleep_until(due_s)
            return Tokens(reply, pace, due_s, clock, load)
        await clock.sleep_until(due_s + _rest_s(reply, pace, load.slowdown))
    except BaseException:
        load.leave()
        raise
    load.leave()
    return reply.body


def _rest_s(reply: Whole, pace: Pace, slowdown: float) -> float:
    """From the first token to the last."""
    gaps = max(0, reply.tokens - 1)
    drawn = min(gaps, _DRAWN)
    sum_ms = sum(islice(pace.gaps_ms(), drawn))
    return slowdown * sum_ms * (gaps / drawn if drawn else 0.0) / 1000


class Tokens:
    """The chunks of a stream whose first token is due now. It has a place, until it is closed."""

    def __init__(self, reply: Streamed, pace: Pace, due_s: float, clock: Clock, load: Load) -> None:
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
    reply: Streamed, pace: Pace, due_s: float, clock: Clock, load: Load
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
