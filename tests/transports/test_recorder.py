"""The recorder on its own: what only counting can tell. The traps are in ``test_traps``."""

import asyncio
from collections.abc import AsyncGenerator

from replay_proxy.cassette import Interaction
from replay_proxy.store.sqlite.soundness import check_interaction
from replay_proxy.timeline import MonotonicClock
from replay_proxy.transports.recorder.recorder import Recorder
from replay_proxy.wire import ChunkRest, Request, Response
from tests.support.requests import post
from tests.support.transports import SimpleTransport

DONE = b"data: [DONE]\n\n"


class CountingCassette:
    """Keeps what is added in memory, if the store would keep it."""

    def __init__(self) -> None:
        self.added: list[bytes] = []
        self.ends: list[tuple[int, ...]] = []

    async def add(self, interaction: Interaction) -> int:
        check_interaction(interaction)
        self.added.append(interaction.body)
        self.ends.append(interaction.timeline.ends)
        return interaction.id

    def rewind(self) -> None:
        """Nothing is replayed."""


class Api(SimpleTransport):
    """Answers every request with a stream of these chunks."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    async def handle(self, request: Request) -> Response:
        async def body() -> AsyncGenerator[bytes]:
            for chunk in self.chunks:
                yield chunk

        return Response(200, ((b"content-type", b"text/event-stream"),), body())


def commits(*chunks: bytes) -> list[bytes]:
    """What was committed, one after the other, while a client read the answer to its end."""
    return recorded(*chunks).added


def recorded(*chunks: bytes) -> CountingCassette:
    """The cassette to which this answer was recorded."""
    tape = CountingCassette()

    async def scenario() -> None:
        recorder = Recorder(
            Api(*chunks),
            tape,
            clock=MonotonicClock(),
            process_number=1,
            drain_s=1.0,
            keep_errors=False,
        )
        answer = await recorder.handle(post(b"{}", "/v1/x", arrived_us=1))
        assert not isinstance(answer.body, bytes)
        assert [chunk async for chunk in answer.body] == list(chunks)
        await recorder.aclose(1.0)

    asyncio.run(scenario())
    return tape


def test_an_answer_is_committed_once() -> None:
    assert commits(b"data: 1\n\n", DONE) == [b"data: 1\n\n" + DONE]
    assert commits(b"data: 1\n\n") == [b"data: 1\n\n"]


def test_what_follows_the_end_costs_one_more_commit_however_much_it_is() -> None:
    more = [b": bye\n\n"] * 100
    assert commits(DONE, *more) == [DONE, DONE + b"".join(more)]
    first = b"data: 1\n\n" + DONE
    assert commits(b"data: 1\n\n", DONE, *more) == [first, first + b"".join(more)]


def test_the_parts_of_an_http_chunk_are_one_chunk_of_the_tape() -> None:
    rest = ChunkRest
    assert recorded(b"da", rest(b"ta: 1"), rest(b"\n\n"), b"data: 2\n\n").ends == [(9, 18)]
    assert recorded(b"data: 1\n\n", b"data: ", rest(b"2\n\n")).ends == [(9, 18)]
    assert recorded(b"data: [DO", rest(b"NE]\n\n")).ends == [(14,)]


def test_a_chunk_that_ends_after_the_terminal_event_is_committed_again_as_one() -> None:
    tape = recorded(b"data: 1\n\n", DONE, ChunkRest(b": bye"), ChunkRest(b"\n\n"))
    assert tape.ends == [(9, 23), (9, 30)]
