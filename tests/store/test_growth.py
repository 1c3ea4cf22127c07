"""Memory does not grow with what clients name, and what was not kept is told."""

import asyncio
import contextlib
import gc
import logging
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import httpx
import pytest

from replay_proxy import assembly
from replay_proxy.assembly import Assembly
from replay_proxy.bounds.lru import LRU
from replay_proxy.cli import verdict
from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin import reports
from replay_proxy.serving.app import ReplayProxy
from replay_proxy.serving.child import server
from replay_proxy.serving.report import report
from replay_proxy.settings import Settings
from replay_proxy.store.reading import readers
from replay_proxy.store.reading.positions import OwnPositions
from replay_proxy.transports import journal
from replay_proxy.transports.faults import limits, script
from replay_proxy.transports.faults import transport as faulty
from replay_proxy.transports.journal import OTHERS
from replay_proxy.wire import Request
from tests.support.paths import ROOT
from tests.support.requests import chat
from tests.support.tape import make
from tests.support.tape import recorded as recording

FAULT = b"x-replay-fault"
_SHARED = (ModuleType, type, FunctionType, CodeType, type(sys.stderr))


def size_of(root: object) -> int:
    """The bytes of everything that an object leads to, but for code."""
    gc.collect()
    seen: set[int] = set()
    left = [root]
    total = 0
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        left += gc.get_referents(one)
    return total


async def ask(assembly: Assembly, request: Request, cassette: str | None = None) -> None:
    with contextlib.suppress(ReplayProxyError):
        await assembly.transport(cassette).handle(request)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """The bounds are 20."""
    for module, names in (
        (journal, ("KEPT_CASSETTES", "KEPT_MISSES", "KEPT_USED", "KEPT_CHAINS")),
        (assembly, ("TRANSPORTS", "HEADER_SCRIPTS")),
        (faulty, ("HEADER_SCRIPTS",)),
        (script, ("REPEAT_COUNTS",)),
        (limits, ("KEPT_KEYS",)),
        (readers, ("OPEN_CASSETTES",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, 20)
    return 20


NAMED: dict[str, Callable[[Assembly, int], Awaitable[None]]] = {
    "cassettes": lambda a, n: ask(a, chat("x"), f"cassette-{n}" + "x" * 80),
    "names that are none": lambda a, n: ask(a, chat(f"{n}"), f"../{n}" + "x" * 1000),
    "cassettes that are there": lambda a, n: ask(a, chat(f"{n}"), f"there-{n % 60}"),
    "requests": lambda a, n: ask(a, chat(f"{n} " + "word " * 100)),
    "keys": lambda a, n: ask(a, chat("x", ((b"authorization", b"Bearer %d" % n),))),
    "faults": lambda a, n: ask(
        a, chat(f"{n}", ((b"x-replay-fault", b"nth=%d rate_limit" % (n + 1)),))
    ),
    "requests of a fault": lambda a, n: ask(a, chat(f"{n}", ((b"x-replay-fault", b"rate_limit"),))),
    "interactions": lambda a, n: ask(a, chat(f"q{n % 150}")),
}


@pytest.mark.parametrize("kind", NAMED)
def test_what_clients_name_does_not_fill_the_memory(
    few: int, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "replay_proxy")
    make(tmp_path / "default.sqlite", [recording(f"q{n}", b"a") for n in range(150)])
    for number in range(60):
        shutil.copy(tmp_path / "default.sqlite", tmp_path / f"there-{number}.sqlite")
    settings = Settings(store=tmp_path, rpm=1_000_000, faults="share=0.01 rate_limit")
    assembly = Assembly(settings)
    assert assembly._store is not None
    assembly._store._deck.cache._most_bytes = 20_000

    async def scenario() -> tuple[int, int]:
        for number in range(60):
            await NAMED[kind](assembly, number)
        before = size_of(assembly)
        for number in range(60, 300):
            await NAMED[kind](assembly, number)
        after = size_of(assembly)
        told = [
            await report(entry, None, assembly.rule, max_age_s=None)
            for entry in assembly.journal.entries.values()
        ]
        assert sum(sum(each["answers"].values()) for each in told) == 300
        await assembly.aclose()
        return before, after

    before, after = asyncio.run(scenario())
    assert after < 1.1 * before + 20_000
    assert len(assembly.journal.entries) <= few + 1


async def get(app: ReplayProxy, path: str, **query: str) -> Any:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get(path, params=query)
        return answer.json() | {"status": answer.status_code}


def test_what_is_not_kept_apart_is_counted_and_fails_a_run(few: int, tmp_path: Path) -> None:
    make(tmp_path / "default.sqlite", [recording(f"q{n}", b"a") for n in range(30)])
    app = ReplayProxy(Settings(store=tmp_path))

    async def scenario() -> Any:
        for number in range(30):
            await ask(app.assembly, chat(f"q{number}"))
            await ask(app.assembly, chat(f"miss {number}"), f"name-{number}")
        one = await get(app, "/_replay/api/report", cassette="name-29")
        assert one["status"] == 400
        assert "rewind cassettes that are done" in one["error"]["message"]
        told = (await get(app, "/_replay/api/report"))["cassettes"]
        app.assembly.rewind("default")
        app.assembly.rewind(OTHERS)
        assert (await get(app, "/_replay/api/report", cassette="name-29"))["status"] == 200
        await ask(app.assembly, chat("q1"))
        again = (await get(app, "/_replay/api/report"))["cassettes"]["default"]
        assert again["used"], "what was forgotten has made room"
        await app.assembly.aclose()
        return told

    told = asyncio.run(scenario())
    others = told[OTHERS]
    assert others["answers"]["refused"] == 11
    assert len(others["misses"]) + others["more_misses"] == 11
    assert sum(len(each["misses"]) + each["more_misses"] for each in told.values()) == 30
    default = told["default"]
    assert (len(default["used"]), default["more_used"], default["unused_total"]) == (20, 10, 0)
    run = verdict.Outcome(["x"], 0, told, fail_unused=True)
    assert verdict.failure_reasons(run)[0] == "30 misses"
    assert any("too many to tell" in reason for reason in verdict.failure_reasons(run))
    assert "It is unknown which recordings of cassette 'default' are unused" in verdict.text(run)
    assert b"further misses" in verdict.junit(run)
    assert any("further misses" in text for text in reports.failures(others, losses=True).values())


def test_a_merged_report_keeps_a_bounded_number_of_misses_and_counts_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "KEPT_MISSES", 5)
    empty: Any = {"answers": {}, "used": [], "unused": [], "expired": [], "saved": {}}
    empty |= {"losses": [], "lost": 0, "recorded": [], "recorded_total": 0, "repeated_total": 0}
    merged: Any = None
    for number in range(9):
        misses = [{"fingerprint": number, "times": 2}]
        merged = reports.report_sum(merged, empty | {"misses": misses})
    assert len(merged["misses"]) == 5
    assert merged["more_misses"] == 8


def test_positions_that_were_put_away_still_count() -> None:
    own = OwnPositions(most=10)
    for turn in range(3):
        for number in range(600):
            assert own.advance(f"c{number % 2}", f"key {number}") == turn
    assert len(own._answered) <= 10
    own.rewind("c0")
    assert [own.advance(f"c{number % 2}", f"key {number}") for number in (2, 3, 598, 599)] == [
        0, 3, 0, 3,
    ]  # fmt: skip
    own.close()


def test_of_a_child_that_writes_without_end_the_end_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "LINES", 10)
    it = server.Server({})

    class Child:
        stderr = (ROOT / "tests" / "data" / "corpus.jsonl").open()

    it.process = Child()  # type: ignore[assignment]
    it._read()
    assert "lines are left out" in it.log.splitlines()[0]
    assert len(it.log) < 12 * server.LINE_CHARS


def test_what_is_used_stays_and_what_is_not_goes_first() -> None:
    kept: LRU[int, str] = LRU(2)
    kept.put(1, "a")
    kept.put(2, "b")
    assert kept.get(1) == "a"
    kept.put(3, "c")
    assert [kept.get(key) for key in (1, 2, 3)] == ["a", None, "c"]


def test_a_large_report_is_made_in_turns_with_other_requests(tmp_path: Path) -> None:
    """No turn of the loop makes more than a small part of the calls that the report needs."""
    size = 2_400
    usage = b'{"usage":{"total_tokens":2}}'
    make(tmp_path / "default.sqlite", [recording(f"q{n}", usage) for n in range(size)])
    app = ReplayProxy(Settings(store=tmp_path))
    calls = most = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event.endswith("call")

    async def turns(over: asyncio.Event) -> int:
        nonlocal calls, most
        count = 0
        while not over.is_set():
            await asyncio.sleep(0)
            most, calls, count = max(most, calls), 0, count + 1
        return count

    async def scenario() -> tuple[Any, int]:
        for number in range(0, size, 2):
            await ask(app.assembly, chat(f"q{number}"))
        for number in range(1_100):
            await ask(app.assembly, chat(f"miss {number}", ((b"x-replay-fault", b""),)))
        over = asyncio.Event()
        ticking = asyncio.create_task(turns(over))
        sys.setprofile(profile)
        try:
            told = await get(app, "/_replay/api/report", max_age_s="0")
        finally:
            sys.setprofile(None)
        over.set()
        count = await ticking
        await app.assembly.aclose()
        return told["cassettes"]["default"], count

    told, count = asyncio.run(scenario())
    assert len(told["used"]) == told["unused_total"] == told["expired_total"] == size // 2
    assert len(told["unused"]) == len(told["expired"]) == 1_000
    assert told["saved"]["tokens"] == size
    assert told["more_misses"] == 100
    assert count > size // 2
    assert most < 20_000
