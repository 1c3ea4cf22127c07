"""What a recording keeps in memory: once, within bounds, and no longer than somebody needs it."""

import asyncio
import gc
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from replay_proxy.bounds.budget import Budget
from replay_proxy.cassette import Interaction
from replay_proxy.errors import ReplayProxyError, StoreError, UpstreamCut, UpstreamUnreachable
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.store import Store, Tape
from replay_proxy.timeline import MonotonicClock
from replay_proxy.transports.journal import Journal
from replay_proxy.transports.journal.ledger import JournalLedger
from replay_proxy.transports.recorder import pump
from replay_proxy.transports.recorder.recorder import Recorder
from replay_proxy.transports.upstream import Upstream
from replay_proxy.wire import Headers, Request, Response
from tests.support.nursery import Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import get, head, post
from tests.support.script import Answer, Gate
from tests.support.tape import stored
from tests.support.transports import SimpleTransport
from tests.support.upstream import Upstream as ScriptedUpstream

MIB = 1 << 20
#: What an exchange that is measured leaves open.
LEFT_OPEN: list[tuple[Store, TemporaryDirectory[str]]] = []
EVENTS: Headers = ((b"content-type", b"text/event-stream"),)


class Memory(Tape):
    """A tape that keeps what is added, or fails."""

    def __init__(self, error: str = "") -> None:
        self.added: list[Interaction] = []
        self.error = error

    async def add(self, interaction: Interaction) -> int:
        if self.error:
            raise StoreError(self.error)
        self.added.append(interaction)
        return interaction.id


class Api(SimpleTransport):
    """Answers with this many MiB, and then ends, breaks off or hangs."""

    def __init__(self, size: int = 8, end: str = "clean", headers: Headers = EVENTS) -> None:
        self.size = size
        self.end = end
        self.headers = headers
        self.sent = 0

    async def handle(self, request: Request) -> Response:
        if self.end == "unreachable":
            raise UpstreamUnreachable("gone")
        if self.end == "silent":
            await asyncio.Event().wait()
        return Response(200, self.headers, self.body())

    async def body(self) -> AsyncGenerator[bytes]:
        for number in range(self.size):
            self.sent += 1
            await asyncio.sleep(0)
            yield b"%d" % number + bytes(MIB) + b"\n"
        if self.end == "cut":
            raise UpstreamCut("cut")
        if self.end == "hangs":
            await asyncio.Event().wait()


def recorder(
    api: Api, tape: Tape, *, budget: Budget | None = None, drain_s: float = 0.01
) -> Recorder:
    return Recorder(
        api,
        tape,
        clock=MonotonicClock(),
        process_number=1,
        drain_s=drain_s,
        keep_errors=False,
        budget=budget,
    )


def asked(size: int = 0) -> Request:
    return post(bytes(size), "/v1/x", arrived_us=1)


async def read(it: Recorder, request: Request, *, chunks: int | None = None) -> Response:
    """The answer, read so far, and closed as the data plane does it."""
    response = await it.handle(request)
    if not isinstance(response.body, bytes):
        try:
            async for _ in response.body:
                if chunks is not None and (chunks := chunks - 1) == 0:
                    break
        finally:
            await response.body.aclose()
    return response


async def to_the_end() -> None:
    await read(recorder(Api(), Memory()), asked(8 * MIB))


async def cannot_be_stored() -> None:
    with suppress(ReplayProxyError):
        await read(recorder(Api(), Memory("full")), asked(8 * MIB))


async def cannot_be_stored_by_the_writer() -> None:
    with TemporaryDirectory() as directory:
        store = Store(Path(directory), writable=True)
        tape = store.cassette("x")
        os.mkdir(os.path.join(directory, "x.sqlite"))
        with suppress(ReplayProxyError):
            await read(recorder(Api(), tape), asked(8 * MIB))
        store.close()


async def stored_by_a_writer_that_waits_for_more() -> None:
    directory = TemporaryDirectory()
    store = Store(Path(directory.name), writable=True)
    LEFT_OPEN.append((store, directory))
    await read(recorder(Api(), store.cassette("x")), asked(8 * MIB))


async def cut() -> None:
    with suppress(ReplayProxyError):
        await read(recorder(Api(end="cut"), Memory()), asked(8 * MIB))


async def left() -> None:
    it = recorder(Api(end="hangs"), Memory())
    await read(it, asked(8 * MIB), chunks=2)
    await it.aclose()


async def left_unread() -> None:
    it = recorder(Api(end="hangs"), Memory())
    await read(it, asked(8 * MIB), chunks=1)
    await it.aclose()


async def left_before_the_head() -> None:
    it = recorder(Api(end="silent"), Memory())
    task = asyncio.ensure_future(it.handle(asked(8 * MIB)))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await it.aclose()


async def unreachable() -> None:
    with suppress(ReplayProxyError):
        await read(recorder(Api(end="unreachable"), Memory()), asked(8 * MIB))


async def refused_by_a_real_socket() -> None:
    upstream = Upstream("http://127.0.0.1:1/v1", clock=MonotonicClock())
    with suppress(ReplayProxyError):
        await read(recorder(upstream, Memory()), asked(8 * MIB))  # type: ignore[arg-type]
    await upstream.aclose()


@pytest.mark.parametrize(
    "exchange",
    [
        to_the_end,
        cannot_be_stored,
        cannot_be_stored_by_the_writer,
        stored_by_a_writer_that_waits_for_more,
        cut,
        left,
        left_unread,
        left_before_the_head,
        unreachable,
        refused_by_a_real_socket,
    ],
    ids=lambda exchange: exchange.__name__,
)
def test_what_was_read_is_freed_at_once(exchange: Callable[[], Awaitable[None]]) -> None:
    async def scenario() -> int:
        await exchange()  # What is made once is made.
        await asyncio.sleep(0.05)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            await exchange()
            deadline_s = time.monotonic() + 10.0
            while (size := tracemalloc.get_traced_memory()[0]) >= MIB:
                if time.monotonic() > deadline_s:
                    break
                await asyncio.sleep(0.01)  # A thread may be at it.
            return size
        finally:
            tracemalloc.stop()
            gc.enable()

    try:
        assert asyncio.run(scenario()) < MIB
    finally:
        while LEFT_OPEN:
            store, directory = LEFT_OPEN.pop()
            store.close()
            directory.cleanup()


def test_a_client_that_does_not_read_makes_the_upstream_wait() -> None:
    api = Api(size=100)

    async def scenario() -> tuple[int, int]:
        it = recorder(api, Memory())
        response = await it.handle(asked())
        assert not isinstance(response.body, bytes)
        for _ in range(1_000):
            await asyncio.sleep(0)
        ahead = api.sent
        got = [chunk async for chunk in response.body]
        await response.body.aclose()
        return ahead, len(got)

    ahead, got = asyncio.run(scenario())
    assert ahead < 20, "the queue grows with what is not read"
    assert got == 100


def test_a_client_that_leaves_does_not_stop_the_recording_of_what_it_did_not_read() -> None:
    tape, api = Memory(), Api(size=40)

    async def scenario() -> None:
        it = recorder(api, tape, drain_s=30.0)
        response = await it.handle(asked())
        assert not isinstance(response.body, bytes)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert api.sent < 40, "the pump waits for the client"
        await response.body.aclose()
        await it.aclose(5.0)

    asyncio.run(scenario())
    assert [len(each.body) for each in tape.added] == [40 * MIB + 10 + 30 * 2 + 40]


@pytest.mark.parametrize("moment", ["before the head", "with the head"])
def test_a_client_that_leaves_before_it_has_a_body_does_not_stop_the_recording(moment: str) -> None:
    """Nobody has the body then, whose closing would say that the client has left."""
    tape = Memory()
    asking: list[asyncio.Task[Response]] = []

    class Leaving(Api):
        async def handle(self, request: Request) -> Response:
            if moment == "before the head":
                asking[0].cancel()
                await asyncio.sleep(0)
            return await super().handle(request)

        async def body(self) -> AsyncGenerator[bytes]:
            if moment == "with the head":
                asking[0].cancel()
            async for chunk in super().body():
                yield chunk

    async def scenario() -> None:
        it = recorder(Leaving(size=40), tape, drain_s=30.0)
        asking.append(asyncio.ensure_future(it.handle(asked())))
        with pytest.raises(asyncio.CancelledError):
            await asking[0]
        await it.aclose(5.0)

    asyncio.run(scenario())
    assert len(tape.added) == 1


def test_a_fault_of_the_proxy_itself_ends_the_answer_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Memory):
        async def add(self, interaction: Interaction) -> int:
            raise RuntimeError("a mistake of ours")

    async def scenario() -> None:
        await asyncio.wait_for(read(recorder(Api(), Broken()), asked()), 10.0)

    with pytest.raises(ReplayProxyError, match="its log says why"):
        asyncio.run(scenario())
    assert "a mistake of ours" in caplog.text


def test_an_answer_that_no_row_can_hold_is_passed_on_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pump, "ROW_BYTES", 5 * MIB)
    tape = Memory()
    length = ((b"content-length", b"%d" % (8 * MIB + 16)),)

    async def scenario() -> list[Response]:
        answers = []
        for api in (Api(), Api(headers=length)):
            it = recorder(api, tape)
            it.ledger = JournalLedger(Journal(), "c", fingerprint)
            answers.append(await read(it, asked()))
        return answers

    streamed, sized = asyncio.run(scenario())
    assert not tape.added
    assert caplog.text.count("Not recorded: POST /v1/x: a cassette holds up to 5,242,880 byt") == 2
    assert sized.provenance is not None
    assert (sized.provenance.interaction, sized.provenance.loss) == (None, "too_large")
    assert (b"x-replay-loss", b"too_large") in sized.provenance.headers()
    assert streamed.provenance is not None, "its size was not known at its head"
    assert streamed.provenance.loss is None


def test_the_request_has_its_share_of_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "ROW_BYTES", 5 * MIB)
    tape = Memory()

    async def scenario() -> None:
        await read(recorder(Api(size=3), tape), asked(1 * MIB))
        await read(recorder(Api(size=3), tape), asked(3 * MIB))

    asyncio.run(scenario())
    assert [len(each.request.body) for each in tape.added] == [1 * MIB]


def test_large_answers_have_a_bound_together() -> None:
    tape = Memory()
    budget = Budget(12 * MIB)

    async def scenario() -> None:
        it = recorder(Api(), tape, budget=budget)
        await asyncio.gather(*(read(it, asked()) for _ in range(3)))
        assert len(tape.added) == 1
        await read(it, asked())
        await it.aclose()

    asyncio.run(scenario())
    assert len(tape.added) == 2, "what was given up or stored is given back"
    assert budget.free == 12 * MIB


def test_chunks_count_besides_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes memory of its own, and a number in the row."""
    monkeypatch.setattr(pump, "STEP_BYTES", 100)
    tape = Memory()

    class Dripping(Api):
        async def body(self) -> AsyncGenerator[bytes]:
            for _ in range(self.size):
                yield b"\n"

    async def scenario() -> None:
        await read(recorder(Dripping(size=10), tape, budget=Budget(2_000)), asked())
        await read(recorder(Dripping(size=100), tape, budget=Budget(2_000)), asked())

    asyncio.run(scenario())
    assert [len(each.body) for each in tape.added] == [10]


def test_what_is_not_to_be_kept_is_not_kept_in_memory() -> None:
    class Failing(Api):
        async def handle(self, request: Request) -> Response:
            return Response(500, EVENTS, self.body())

    async def scenario() -> int:
        it = recorder(Failing(size=60), Memory())
        tracemalloc.start()
        try:
            await read(it, asked())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert asyncio.run(scenario()) < 30 * MIB


# --- in a process of its own --------------------------------------------------------------------


def test_a_recording_client_that_never_reads_costs_bounded_memory_and_is_dropped(
    tmp_path: Path,
) -> None:
    never = threading.Event()
    body = b'{"model": "m", "messages": []}'
    answer = Answer(steps=[b"data: " + bytes(MIB) + b"\n\n"] * 150 + [Gate(never)])
    with ScriptedUpstream(lambda _: answer) as upstream, Nursery() as nursery:
        child = nursery.start(
            MODE="record",
            STORE=str(tmp_path),
            UPSTREAM_BASE_URL=upstream.base_url,
            STALL_S="0.5",
            DRAIN_S="0.1",
        )
        levels = [child.rss]
        for number in range(1, 4):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", child.port))
                sock.sendall(head(f"content-length: {len(body)}") + body)
                request = upstream.wait_for(number)[-1]
                assert request.client_left.wait(30.0), "it waits for ever for a client that stalls"
            levels.append(child.rss)
        assert child.peak_rss - levels[0] < 100 * MIB, "the queue grows with what is not read"
        assert levels[-1] - levels[1] < 20 * MIB, "what a client left unread is kept"
        child.kill()
    assert stored(tmp_path, post(body)) is None


@pytest.mark.parametrize("length", [True, False], ids=["of known length", "chunked"])
def test_a_large_answer_is_in_memory_twice_at_the_most_while_it_is_recorded(
    tmp_path: Path, length: bool
) -> None:
    size = 48 * MIB
    pieces = [b"%d" % number + bytes(MIB - 2) for number in range(10, 58)]
    script = Answer(
        steps=pieces,
        headers=[(b"content-type", b"x/y")],
        framing="length" if length else "chunked",
    )
    with (
        ScriptedUpstream(
            lambda asked: script if asked.method == "GET" else Answer(steps=[b"{}"])
        ) as upstream,
        Nursery() as nursery,
    ):
        child = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        with RawClient(child.base_url) as client:
            client.request("POST", "/v1/warm", body=b"{}")
            before = child.rss
            child.forget_peak()
            body = client.request("GET", "/v1/files/1/content").body
        grown = child.peak_rss - before
        child.stop()
    assert body == b"".join(pieces)
    recorded = stored(tmp_path, get("/v1/files/1/content"))
    assert recorded is not None
    assert recorded.body == body
    assert grown < 2.6 * size, f"{grown / size:.1f} times its size"
