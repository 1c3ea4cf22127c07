"""Faults in an event stream: a missing end, an error, a wrong event.

Each is a function of the answer, the clock and the arguments that a script gives. An answer that is
not an event stream is not altered. The first paragraph of its docstring says what the fault does,
and the last one what a user of the OpenAI SDK sees; docs/faults.md shows both, and
tests/transports/faults/test_sdk.py checks the latter.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from replay_proxy.sse.terminal import Progress, TerminalEvent
from replay_proxy.timeline import Clock
from replay_proxy.transports.faults.body import Alter, altered_answer, streams_events
from replay_proxy.transports.faults.wording import error_object
from replay_proxy.wire import Response

_MESSAGE = "The server had an error while processing your request. Sorry about that!"


def _by_event(answer: Response, alter: Alter) -> Response:
    return altered_answer(answer, alter, by_event=True) if streams_events(answer) else answer


def _at(number: int, change: Callable[[bytes], tuple[bytes, ...]]) -> Alter:
    """An alteration that changes the event after the first ``number``, and no other."""

    async def alter(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        passed = 0
        async for event in events:
            for altered in change(event) if passed == number else (event,):
                yield altered
            passed += 1

    return alter


async def no_done(answer: Response, clock: Clock, /) -> Response:
    """The stream ends cleanly, but without its terminal event (`[DONE]`, `response.completed`, …).

    the whole text after 1 request: it does not notice the missing end.
    """

    async def alter(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for event in events:
            if TerminalEvent().feed(event) is Progress.RUNNING:
                yield event

    return _by_event(answer, alter)


async def error_event(answer: Response, clock: Clock, /, after_events: int = 1) -> Response:
    """After `after_events` of a 200 stream comes an error, and the stream is over.

    `APIError` after 1 request, with the text until then.
    """

    async def alter(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        passed = 0
        named = False
        while passed < after_events:
            try:
                event = await anext(events)
            except StopAsyncIteration:
                break
            named = named or event.startswith(b"event:")
            passed += 1
            yield event
        if named:  # The responses API names its events, and its error is one of them.
            fields = {"type": "error", "code": "server_error", "message": _MESSAGE, "param": None}
            fields["sequence_number"] = passed  # type: ignore[assignment]
            yield b"event: error\ndata: " + json.dumps(fields).encode() + b"\n\n"
        else:
            yield b"data: " + json.dumps(error_object(_MESSAGE, "server_error")).encode() + b"\n\n"

    return _by_event(answer, alter)


async def malformed(answer: Response, clock: Clock, /, after_events: int = 1) -> Response:
    """The event after `after_events`, or a body of JSON, lacks its last character.

    `JSONDecodeError` after 1 request, with the text until then.
    """

    def shortened(event: bytes) -> tuple[bytes, ...]:
        text = event.rstrip()
        return (text[:-1] + event[len(text) :],)

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        held = b""
        async for chunk in chunks:
            if held:
                yield held
            held = chunk
        yield held.rstrip()[:-1]

    if streams_events(answer):
        return _by_event(answer, _at(after_events, shortened))
    return altered_answer(answer, alter)


async def duplicate(answer: Response, clock: Clock, /, after_events: int = 1) -> Response:
    """The event after `after_events` comes twice.

    a wrong text after 1 request: it does not notice the repetition.
    """
    return _by_event(answer, _at(after_events, lambda event: (event, event)))


async def reorder(answer: Response, clock: Clock, /, after_events: int = 1) -> Response:
    """The two events after `after_events` change places.

    a wrong text after 1 request: it does not notice the changed order.
    """

    async def alter(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        passed = 0
        held = b""
        async for event in events:
            if passed == after_events:
                held = event
            else:
                yield event
                if passed == after_events + 1:
                    yield held
                    held = b""
            passed += 1
        if held:
            yield held

    return _by_event(answer, alter)
