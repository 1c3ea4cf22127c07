"""Large recordings and requests: none of them holds the event loop, nor all the memory."""

import asyncio
import json
import os
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from replay_proxy.assembly import Assembly
from replay_proxy.bounds import room, side_process
from replay_proxy.bounds.room import Room, TooManyLargeAnswers
from replay_proxy.cassette import Interaction
from replay_proxy.matching import fingerprint
from replay_proxy.matching.rules import Rule
from replay_proxy.serving import data_plane
from replay_proxy.serving.app import ReplayProxy
from replay_proxy.settings import Mode, OnMiss, Settings
from replay_proxy.store import Store
from replay_proxy.store.reading import large_rows
from replay_proxy.store.sqlite import rows
from replay_proxy.transports.faults import limits
from replay_proxy.wire import Headers, Request, Response
from tests.support.requests import CHAT, EMBEDDINGS, JSON, post
from tests.support.script import Answer
from tests.support.tape import EVENTS, make, recorded
from tests.support.upstream import Upstream

MIB = 1 << 20
SIZE = 3 * MIB


def answers(count: int, headers: Headers = JSON) -> list[Interaction]:
    """Recordings of SIZE bytes each, in two chunks, to different questions."""
    half = SIZE // 2
    if headers is JSON:
        headers = (*JSON, (b"content-length", b"%d" % (2 * half)))
    return [recorded(f"q{n}", b"%d" % n * half, b"." * half, headers=headers) for n in range(count)]


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of large values of rows that the main thread has looked through."""
    sizes: list[int] = []

    def crc32(data: bytes, value: int = 0) -> int:
        if len(data) > MIB and threading.current_thread() is threading.main_thread():
            sizes.append(len(data))
        return zlib.crc32(data, value)

    monkeypatch.setattr(rows, "zlib", SimpleNamespace(crc32=crc32))
    return sizes


async def contents(response: Response) -> bytes:
    """The body of a response, closed as the data plane does it."""
    if isinstance(response.body, bytes):
        return response.body
    try:
        return b"".join([chunk async for chunk in response.body])
    finally:
        await response.body.aclose()


async def turns_until(over: asyncio.Future[Any]) -> int:
    """The turns of the event loop until something is done."""
    count = 0
    while not over.done():
        await asyncio.sleep(0)
        count += 1
    return count


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


@pytest.mark.parametrize("headers", [JSON, EVENTS], ids=["with a length", "chunked"])
@pytest.mark.parametrize("repeats", [False, True], ids=["once", "several answers"])
@pytest.mark.parametrize("rule", [Rule(), Rule(["$.user"])], ids=["exact", "MATCH_IGNORE"])
def test_a_large_recording_is_read_beside_the_event_loop(
    tmp_path: Path, on_the_loop: list[int], headers: Headers, repeats: bool, rule: Rule
) -> None:
    it = answers(1, headers)[0]
    more = [recorded("q0", b"x" * SIZE, headers=headers)] if repeats else []
    make(tmp_path / "default.sqlite", [it, *more])
    on_the_loop.clear()
    ignored = ",".join(rule.ignored)
    assembly = Assembly(Settings(store=tmp_path, match_ignore=ignored))

    async def scenario() -> tuple[bytes, int]:
        task = asyncio.ensure_future(assembly.transport(None).handle(it.request))
        turns = await turns_until(task)
        reading = asyncio.ensure_future(contents(task.result()))
        turns = min(turns, await turns_until(reading))
        await assembly.aclose()
        return reading.result(), turns

    body, turns = asyncio.run(scenario())
    assert body == it.body
    assert not on_the_loop
    assert turns >= 3, "others have their turns while it is read, and while it is sent"


def test_large_requests_of_recordings_are_read_beside_the_event_loop(
    tmp_path: Path, on_the_loop: list[int]
) -> None:
    """By a miss that looks for what is near, and for the keys of a rule."""
    first = recorded("x" * SIZE, b"1")
    make(tmp_path / "default.sqlite", [recorded("small", b"0"), first])
    store = Store(tmp_path, writable=False, rule=Rule(["$.user"]))
    tape = store.cassette("default")
    key = Rule(["$.user"]).key

    async def scenario() -> tuple[Any, ...]:
        found = await tape.next_answer(key(first.request))
        late = recorded("y" * SIZE, b"2")
        make(tmp_path / "default.sqlite", [late])
        on_the_loop.clear()
        news = await tape.next_answer(key(late.request))
        near = await tape.near(first.request)
        return found, news, near

    found, news, near = asyncio.run(scenario())
    store.close()
    assert (found.body, news.body) == (b"1", b"2")
    assert first.id in [each.id for each in near]
    assert not on_the_loop


def test_large_recordings_that_are_sent_at_once_have_a_bound_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of ten are in memory at once; the others wait in their order, and all are answered."""
    monkeypatch.setattr(large_rows, "RECORDINGS_BYTES", 3 * SIZE + MIB)
    all_ = answers(10)
    make(tmp_path / "default.sqlite", all_)
    requests, hashes = [each.request for each in all_], [zlib.crc32(each.body) for each in all_]
    del all_
    assembly = Assembly(Settings(store=tmp_path))
    store = assembly._store
    assert store is not None
    store._deck.cache._most_bytes = 0  # Has a bound of its own.

    async def scenario() -> tuple[list[int], int]:
        base = tracemalloc.get_traced_memory()[0]
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        over.set_result(None)
        asking: list[asyncio.Future[Any]] = [
            asyncio.create_task(assembly.transport(None).handle(request)) for request in requests
        ]
        got = []
        for number, task in enumerate(asking):
            response = await task
            waiting = [number for number, each in enumerate(asking) if not each.done()]
            assert waiting == list(range(10))[len(asking) - len(waiting) :], "in their order"
            got.append(zlib.crc32(await contents(response)))
            asking[number] = over
            del response, task
        peak = tracemalloc.get_traced_memory()[1] - base
        await assembly.aclose()
        return got, peak

    tracemalloc.start()
    got, peak = asyncio.run(scenario())
    tracemalloc.stop()
    assert got == hashes
    assert peak < 6 * SIZE, "three, one that is read, and the joined body in this test"


def test_whoever_waits_too_long_for_the_memory_of_large_recordings_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "WAIT_S", 0.0)

    async def scenario() -> None:
        it = Room(10 * MIB)
        first = await it.lease(6 * MIB)
        with pytest.raises(TooManyLargeAnswers, match="use all of the 10 MiB"):
            await it.lease(6 * MIB)
        del first
        last = await it.lease(99 * MIB)
        with pytest.raises(TooManyLargeAnswers):
            await it.lease(1)
        del last

    asyncio.run(scenario())


def test_who_leaves_while_it_waits_takes_no_memory_of_large_recordings(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = Room(10 * MIB)
        lease = await it.lease(6 * MIB)
        waiting = [asyncio.create_task(it.lease(6 * MIB)) for _ in range(3)]
        await until(lambda: it._given is not None)
        for each in waiting[:2]:
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
        last = waiting.pop()
        assert not last.done()
        del lease
        await last
        del last
        await asyncio.sleep(0)  # The loop refers to what has woken this up.
        assert it._budget.free == 10 * MIB

    asyncio.run(scenario())


NUMBERS = b'{"model": "m", "input": [%s]}' % b",".join([b"%d" % n for n in range(250_000)])
MESSAGES = json.dumps({"messages": [{"role": "user", "content": "é"}] * 40_000}).encode()
PARTS = b"--b\r\nContent-Disposition: form-data; name=f\r\n\r\n%s\r\n--b--\r\n" % bytes(1_500_000)
FORM: Headers = ((b"content-type", b"multipart/form-data; boundary=b"),)
LONG = json.dumps({"messages": [{"role": "user", "content": "word " * 250_000}]}).encode()
#: Who looks through requests: a name, and what it is a name of.
READERS: tuple[tuple[str, Any], ...] = (
    ("canonical_body", fingerprint),
    ("body_json", limits),
)


@pytest.fixture
def read_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who has looked through a large body on the main thread."""
    monkeypatch.setattr(side_process, "SIDE_PROCESS_BYTES", MIB)
    monkeypatch.setattr(data_plane, "SIDE_PROCESS_BYTES", MIB)
    found: list[str] = []

    def watch(name: str, where: Any) -> None:
        real = getattr(where, name)

        def watched(asked: Any, *more: Any) -> Any:
            body = getattr(asked, "body", asked)
            if len(body) > MIB and threading.current_thread() is threading.main_thread():
                found.append(name)
            return real(asked, *more)

        monkeypatch.setattr(where, name, watched)

    for name, where in READERS:
        watch(name, where)
    return found


async def ask(app: ReplayProxy, request: Request) -> tuple[int, dict[bytes, bytes], int]:
    """The status and the headers of the app's answer, and the turns of the loop until it came."""
    left = asyncio.Event()
    messages: list[Any] = [{"type": "http.request", "body": request.body}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *request.headers],
        "client": ("127.0.0.1", 1),
    }
    task = asyncio.ensure_future(app(scope, receive, send))
    turns = await turns_until(task)
    await task
    return sent[0]["status"], dict(sent[0]["headers"]), turns


@pytest.mark.parametrize(
    ("path", "body", "headers", "ignore"),
    [
        ("/v1/embeddings", NUMBERS, JSON, "$.user"),
        (CHAT, MESSAGES, JSON, ""),
        ("/v1/files", PARTS, FORM, ""),
        ("/v1/files", PARTS, FORM, "$.user"),
    ],
    ids=["numbers", "messages", "a form", "a form, MATCH_IGNORE"],
)
def test_what_a_large_request_is_known_by_is_computed_beside_the_event_loop(
    tmp_path: Path,
    read_on_the_loop: list[str],
    path: str,
    body: bytes,
    headers: Headers,
    ignore: str,
) -> None:
    """When it misses, is recorded and hits."""
    request = post(body, path, headers)
    known = fingerprint.fingerprint(replace(request))
    assert read_on_the_loop, "the test sees who reads"
    read_on_the_loop.clear()

    async def scenario(upstream: Upstream) -> list[tuple[int, dict[bytes, bytes], int]]:
        settings = Settings(
            store=tmp_path,
            mode=Mode.REPLAY,
            on_miss=OnMiss.RECORD,
            match_ignore=ignore,
            upstream_base_url=upstream.base_url,
        )
        app = ReplayProxy(settings)
        answers = [await ask(app, request), await ask(app, request)]
        await app.assembly.aclose()
        return answers

    with Upstream(lambda _: Answer(steps=[b"{}"])) as upstream:
        answers = asyncio.run(scenario(upstream))
    assert [told[b"x-replay-source"] for _, told, _ in answers] == [b"upstream", b"cassette"]
    assert {told[b"x-replay-fingerprint"].decode() for _, told, _ in answers} == {known}
    assert not read_on_the_loop
    assert min(turns for *_, turns in answers) > 3


def test_what_a_large_request_costs_is_estimated_beside_the_event_loop(
    read_on_the_loop: list[str],
) -> None:
    app = ReplayProxy(Settings(mode=Mode.DUMMY, tpm=1_000))
    request = post(LONG, headers=JSON)
    refused, told, _ = asyncio.run(ask(app, request))
    assert (refused, told[b"x-replay-fault"]) == (429, b"request_too_large")
    assert not read_on_the_loop


def test_a_large_request_is_known_without_another_process_where_there_is_none(
    read_on_the_loop: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that may not start one, or where it ends before its answer."""
    request = post(NUMBERS, EMBEDDINGS, JSON)
    known = fingerprint.fingerprint(replace(request))
    for broken in ("/nowhere", "false"):
        monkeypatch.setattr("sys.executable", broken)
        assert (
            asyncio.run(side_process.SideProcess().run(fingerprint.fingerprint, request)) == known
        )


def test_a_large_request_leaves_no_process_and_is_read_in_another_one() -> None:
    request = post(b" [" + b"1," * side_process.SIDE_PROCESS_BYTES + b"1]", EMBEDDINGS, JSON)

    async def scenario() -> int:
        it = side_process.SideProcess()
        pid = await it.run(pid_of, request)
        it.close()
        return pid

    pid = asyncio.run(scenario())
    assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def pid_of(request: Request) -> int:
    """The process that has a request."""
    return os.getpid() if request.body.endswith(b"1]") else 0
