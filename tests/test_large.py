"""Large recordings and requests: none of them holds the event loop, nor all the memory."""

import asyncio
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from replay_proxy import room
from replay_proxy.cassette import Interaction
from replay_proxy.matching import Rule
from replay_proxy.modes import Assembly
from replay_proxy.room import Room, TooManyLargeAnswers
from replay_proxy.settings import Settings
from replay_proxy.store import Store, large, rows
from replay_proxy.wire import Headers, Response
from tests.support.tape import EVENTS, JSON, make, recorded

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
        found = await tape.take(key(first.request))
        late = recorded("y" * SIZE, b"2")
        make(tmp_path / "default.sqlite", [late])
        on_the_loop.clear()
        news = await tape.take(key(late.request))
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
    monkeypatch.setattr(large, "RECORDINGS_BYTES", 3 * SIZE + MIB)
    all_ = answers(10)
    make(tmp_path / "default.sqlite", all_)
    requests, hashes = [each.request for each in all_], [zlib.crc32(each.body) for each in all_]
    del all_
    assembly = Assembly(Settings(store=tmp_path))
    store = assembly._store
    assert store is not None
    store._kept._most_bytes = 0  # Has a bound of its own.

    async def scenario() -> tuple[list[int], int]:
        base = tracemalloc.get_traced_memory()[0]
        asking: list[asyncio.Future[Any]] = [
            asyncio.create_task(assembly.transport(None).handle(request)) for request in requests
        ]
        got = []
        for number, task in enumerate(asking):
            response = await task
            waiting = [number for number, each in enumerate(asking) if not each.done()]
            assert waiting == list(range(10))[len(asking) - len(waiting) :], "in their order"
            got.append(zlib.crc32(await contents(response)))
            asking[number] = asyncio.ensure_future(asyncio.sleep(0))
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
        with pytest.raises(TooManyLargeAnswers, match="holds 10 MiB of them at once"):
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
