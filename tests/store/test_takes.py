"""Takes: recorders that run at the same time share one, and one that runs alone begins a newer."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.cli.tape_tools.prune import prune
from replay_proxy.settings import Repeats
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import CHAT, chat_body, post
from tests.support.script import JSON, Answer, Received
from tests.support.tape import all_stored, recorded
from tests.support.upstream import Upstream

SAME = chat_body()


class Api(Upstream):
    """Answers with the number of the request, from 0."""

    def __init__(self) -> None:
        self.calls = 0
        super().__init__(self.numbered)

    def numbered(self, _: Received) -> Answer:
        self.calls += 1
        return Answer(headers=JSON, steps=[b"%d" % (self.calls - 1)], framing="length")


def ask(proxy: Child, times: int, body: bytes = SAME) -> None:
    with RawClient(proxy.base_url) as client:
        for _ in range(times):
            answer = client.request("POST", CHAT, body=body)
            assert answer.status == 200, answer.body


def replayed(store: Path, times: int, body: bytes = SAME) -> list[int]:
    return [int(each.body) for each in all_stored(store, post(body), limit=times)]


def takes(store: Path) -> int:
    with closing(sqlite3.connect(store / "default.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM take").fetchone()[0])


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def recorder(nursery: Nursery, store: Path, api: Api, **settings: str) -> Child:
    return nursery.start(
        **{"MODE": "record", "STORE": str(store), "UPSTREAM_BASE_URL": api.base_url} | settings
    )


def test_two_proxies_that_record_at_the_same_time_hide_nothing_of_each_other(
    store: Path, nursery: Nursery
) -> None:
    """One asks for a while, then the other, then both in turn: replay has all, by arrival."""
    with Api() as api:
        one, two = (recorder(nursery, store, api) for _ in range(2))
        ask(one, 20)
        ask(two, 20)
        for _ in range(10):
            ask(one, 1)
            ask(two, 1)
        one.stop()
        ask(two, 5)
        two.stop()
        assert replayed(store, 65) == list(range(65))
        prune("default", store=store, as_json=True)
        assert replayed(store, 65) == list(range(65)), "prune deletes none of them"
        assert [each.name for each in store.iterdir()] == ["default.sqlite"]

        again = recorder(nursery, store, api)
        ask(again, 1)
        again.stop()
        assert replayed(store, 2) == [65, 65], "recording again replaces"


def test_a_recorder_that_was_killed_does_not_count_as_one_that_records(
    store: Path, nursery: Nursery
) -> None:
    with Api() as api:
        killed = recorder(nursery, store, api)
        ask(killed, 2)
        killed.kill(wait=True)
        one = recorder(nursery, store, api)
        ask(one, 1)
        two = recorder(nursery, store, api)
        ask(two, 1)
        one.kill(wait=True)  # The take goes on as long as anybody records it.
        three = recorder(nursery, store, api)
        ask(three, 1)
        two.stop()
        three.stop()
        assert replayed(store, 5) == [2, 3, 4, 4, 4]
        assert takes(store) == 2
        assert [each.name for each in store.iterdir()] == ["default.sqlite"]


def test_recordings_of_different_cassettes_are_takes_of_their_own(
    store: Path, nursery: Nursery
) -> None:
    with Api() as api:
        one = recorder(nursery, store, api)
        ask(one, 1)
        two = recorder(nursery, store, api, CASSETTE="other")
        ask(two, 1)
        one.stop()
        again = recorder(nursery, store, api)
        ask(again, 1)
        assert replayed(store, 2) == [2, 2]
        again.stop()
        two.stop()


def test_a_take_that_is_deleted_while_two_record_it_is_begun_again_by_both(
    store: Path, nursery: Nursery
) -> None:
    with Api() as api:
        one, two = (recorder(nursery, store, api) for _ in range(2))
        ask(one, 1)
        ask(two, 1)
        with Archive(store / "default.sqlite") as archive:
            numbers = [each.id for _, each in archive.interactions()]
        with transaction(store / "default.sqlite") as change:
            for number in numbers:
                change.delete(number)
        ask(two, 1)
        ask(one, 1)
        two.stop()
        one.stop()
        assert replayed(store, 2) == [2, 3]
        assert takes(store) == 1


def test_what_is_missing_is_added_to_the_newest_take(store: Path, nursery: Nursery) -> None:
    """Whoever fills gaps stays no rival of a recording: that replaces what was there before."""
    asked = [json.dumps({"user": str(number)}).encode() for number in range(4)]
    with Api() as api:
        filling = [recorder(nursery, store, api, MODE="replay", ON_MISS="record") for _ in range(2)]
        ask(filling[0], 1, asked[0])
        ask(filling[1], 1, asked[1])
        assert takes(store) == 1
        recording = recorder(nursery, store, api)
        ask(recording, 1, asked[0])
        ask(filling[0], 2, asked[2])
        ask(recording, 1, asked[2])
        ask(filling[1], 3, asked[3])
        for each in (*filling, recording):
            each.stop()
        assert takes(store) == 2
        assert [replayed(store, 2, body) for body in asked] == [[2, 2], [1, 1], [3, 4], [5, 5]]


def test_a_take_is_newer_than_one_from_a_clock_that_was_a_year_ahead(
    store: Path, nursery: Nursery
) -> None:
    ahead = recorded("x", b"old", arrived_us=4_000_000_000_000_000)
    with transaction(store / "default.sqlite") as change:
        change.add(change.join_take("ahead"), ahead)
    with closing(sqlite3.connect(store / "default.sqlite")) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE take SET id = ?", (ahead.id,))
        connection.execute("UPDATE interaction SET take_id = ?", (ahead.id,))
        connection.commit()
    with Api() as api:
        now = recorder(nursery, store, api)
        ask(now, 2, ahead.request.body)
        now.stop()
    assert replayed(store, 2, ahead.request.body) == [0, 1]


@pytest.mark.parametrize("ignored", ["", "$.user"])
def test_a_further_answer_does_not_hide_the_ones_before_it_in_an_older_take(
    ignored: str, store: Path, nursery: Nursery
) -> None:
    """What ``REPEATS=fail`` lets ``ON_MISS=record`` ask again comes after what is recorded."""

    def body(user: int) -> bytes:
        asked = {"model": "m", "messages": []} | ({"user": str(user)} if ignored else {})
        return json.dumps(asked).encode()

    def asked(proxy: Child, times: int) -> list[tuple[bytes, bytes | None]]:
        with RawClient(proxy.base_url) as client:
            got = [client.request("POST", CHAT, body=body(n)) for n in range(times)]
        return [(each.body, each.header(b"x-replay-source")) for each in got]

    with Api() as api:
        settings = {"STORE": str(store), "UPSTREAM_BASE_URL": api.base_url}
        for times, other in ((2, body(0)), (1, b'{"model":"other"}')):
            proxy = nursery.start(MODE="record", **settings)
            ask(proxy, times, other)
            proxy.stop()
        assert takes(store) == 2
        settings |= {"MODE": "replay", "REPEATS": "fail", "MATCH_IGNORE": ignored}
        proxy = nursery.start(ON_MISS="record", **settings)
        first = [(b"0", b"cassette"), (b"1", b"cassette"), (b"3", b"upstream"), (b"4", b"upstream")]
        assert asked(proxy, 4) == first
        proxy.stop()
        proxy = nursery.start(**settings)
        again = asked(proxy, 5)
        proxy.stop()
    assert again[:4] == [(answer, b"cassette") for answer in (b"0", b"1", b"3", b"4")]
    assert again[4][1] == b"refused"
    assert takes(store) == 2


def test_a_further_answer_is_kept_where_the_take_of_the_others_is_gone(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was replaced, or pruned, between the look-up and the commit."""
    store.mkdir()
    opened = Store(store, writable=True, fills_gaps=True, repeats=Repeats.FAIL)
    tape = opened.cassette("default")
    monkeypatch.setattr(tape._answers, "newest_take", lambda _: 7)
    each = recorded("1", b"abc")
    asyncio.run(tape.add(each))
    opened.close()
    assert [one.id for one in all_stored(store, each.request, limit=1)] == [each.id]
