"""A cassette that another process has locked holds up its own requests, and nobody else's."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from replay_proxy.errors import CassetteInUse
from replay_proxy.matching.rules import Rule
from replay_proxy.store import Store
from replay_proxy.store.reading import patience
from replay_proxy.store.writing import jobs
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.tape import make, recorded

QUESTION = recorded("question", b"{}").request.body


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("locked", "other"):
        answers = [recorded("question", b'"%s %d"' % (name.encode(), n)) for n in range(5)]
        make(tmp_path / f"{name}.sqlite", answers)
    return tmp_path


def exclusive(connection: sqlite3.Connection) -> None:
    """As a tool that packs a cassette, and a writer with a rollback journal."""
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("UPDATE take SET started_us = started_us + 1")


def exclusive_journal(connection: sqlite3.Connection) -> None:
    """As a program that wants a journal for itself."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("UPDATE take SET started_us = started_us + 1")


@contextmanager
def lock(path: Path, how: Callable[[sqlite3.Connection], None] = exclusive) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        how(connection)
        yield
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def ask(proxy: Child, cassette: str, body: bytes = QUESTION) -> RawAnswer:
    with RawClient(f"http://127.0.0.1:{proxy.port}/cassettes/{cassette}/v1") as client:
        return client.request("POST", f"/cassettes/{cassette}/v1/chat/completions", body=body)


def control(proxy: Child, method: str, path: str) -> RawAnswer:
    with RawClient(f"http://127.0.0.1:{proxy.port}") as client:
        return client.request(method, path)


@pytest.mark.parametrize("how", [exclusive, exclusive_journal])
@pytest.mark.parametrize("opened", [True, False], ids=["opened before", "not opened yet"])
def test_a_locked_cassette_holds_up_nobody_else(
    store: Path, nursery: Nursery, opened: bool, how: Callable[[sqlite3.Connection], None]
) -> None:
    """Look-up, miss, report and rewind of it wait; others are answered, and so are these then."""
    proxy = nursery.start(MODE="replay", STORE=str(store), CASSETTE="other")
    if opened:
        assert ask(proxy, "locked").body == b'"locked 0"'
    with ThreadPoolExecutor(4) as pool:
        waiting: list[Future[RawAnswer]] = []
        with lock(store / "locked.sqlite", how):
            waiting.append(pool.submit(ask, proxy, "locked"))
            waiting.append(pool.submit(ask, proxy, "locked", b'{"unknown": 1}'))
            waiting.append(
                pool.submit(control, proxy, "GET", "/_replay/api/report?cassette=locked")
            )
            for number in range(3):
                assert ask(proxy, "other").body == b'"other %d"' % number
                assert control(proxy, "GET", "/healthz").status == 200
                assert ask(proxy, "other", b'{"unknown": 1}').status == 404
            assert control(proxy, "GET", "/_replay/api/report?cassette=other").status == 200
            assert control(proxy, "POST", "/_replay/api/rewind?cassette=other").status == 200
            assert ask(proxy, "other").body == b'"other 0"'
            assert not any(each.done() for each in waiting)
        hit, miss, report = (each.result() for each in waiting)
    assert hit.body == (b'"locked 1"' if opened else b'"locked 0"')
    assert miss.status == 404
    assert report.status == 200
    proxy.stop()


def test_a_proxy_starts_when_the_lock_on_its_cassette_goes(store: Path, nursery: Nursery) -> None:
    with ThreadPoolExecutor(1) as pool:
        with lock(store / "locked.sqlite"):
            proxy = nursery.start(MODE="replay", STORE=str(store), CASSETTE="locked")
            waiting = pool.submit(ask, proxy, "locked")
        assert waiting.result().body == b'"locked 0"'
    proxy.stop()


@pytest.mark.parametrize("rule", [Rule(), Rule(["$.user"])], ids=["exact", "with MATCH_IGNORE"])
def test_a_lock_that_stays_is_an_error_that_names_it(
    store: Path, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WAIT_S", 0.0)
    it = Store(store, writable=False, rule=rule)

    async def scenario() -> None:
        tape = it.cassette("locked")
        request = recorded("question", b"").request
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "look-up": lambda: tape.next_answer(rule.key(request)),
            "answers": lambda: tape.answer_count(rule.key(request)),
            "near": lambda: tape.near(request),
            "counts": tape.counts,
            "unused": lambda: tape.unused([]),
        }
        for name, call in calls.items():
            with pytest.raises(CassetteInUse, match=r"locked\.sqlite is in use by another") as told:
                await call()
            assert (told.value.status, told.value.code, told.value.retry) == (
                503,
                "cassette_in_use",
                False,
            ), name

    with lock(store / "locked.sqlite"):
        asyncio.run(scenario())
        with pytest.raises(CassetteInUse):
            it.open("locked")
    it.close()


def test_those_that_wait_get_the_answers_in_their_order_and_those_that_leave_get_none(
    store: Path,
) -> None:
    it = Store(store, writable=False)
    key = recorded("question", b"").fingerprint

    async def scenario() -> list[bytes]:
        tape = it.cassette("locked")
        with lock(store / "locked.sqlite"):
            waiting = [asyncio.create_task(tape.next_answer(key)) for _ in range(4)]
            await asyncio.sleep(0)
            waiting[1].cancel()
        last = asyncio.create_task(tape.next_answer(key))
        found = await asyncio.gather(*waiting, last, return_exceptions=True)
        assert isinstance(found.pop(1), asyncio.CancelledError)
        return [each.body for each in found if each and not isinstance(each, BaseException)]

    assert asyncio.run(scenario()) == [b'"locked %d"' % number for number in range(4)]
    it.close()


def test_a_recording_for_a_locked_cassette_delays_none_for_others(store: Path) -> None:
    """It is committed when the lock goes, in its order."""
    answers = [recorded(f"new {n}", b"1") for n in range(6)]

    async def scenario() -> None:
        it = Store(store, writable=True)
        locked, other = it.cassette("locked"), it.cassette("other")
        await locked.add(answers[0])
        with lock(store / "locked.sqlite", immediate):
            waiting = [asyncio.create_task(locked.add(each)) for each in answers[1:3]]
            await asyncio.sleep(0)
            for each in answers[3:]:
                await other.add(each)
            assert not any(each.done() for each in waiting)
            waiting.append(asyncio.create_task(locked.add(answers[5])))
            await asyncio.sleep(0)
        assert await asyncio.gather(*waiting) == [each.id for each in (*answers[1:3], answers[5])]
        it.close()

    asyncio.run(scenario())


def test_a_recording_waits_for_a_lock_to_its_deadline_and_for_the_end_of_the_writer(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, late, last = (recorded(f"new {n}", b"1") for n in range(3))

    async def scenario() -> None:
        it = Store(store, writable=True)
        tape = it.cassette("locked")
        await tape.add(first)
        with lock(store / "locked.sqlite", immediate):
            monkeypatch.setattr(jobs, "BUSY_S", 0.0)
            with pytest.raises(CassetteInUse):
                await tape.add(late)
            monkeypatch.undo()
            adding = asyncio.create_task(tape.add(last))
            await asyncio.sleep(0)
            closing = asyncio.create_task(asyncio.to_thread(it.close))
            await asyncio.sleep(0)
        await closing
        assert await adding == last.id

    asyncio.run(scenario())


def immediate(connection: sqlite3.Connection) -> None:
    """As a tool that changes a cassette beside a recorder."""
    connection.execute("BEGIN IMMEDIATE")
