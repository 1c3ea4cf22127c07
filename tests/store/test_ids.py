"""Ids never collide: no recording is lost because another process has given it the same id."""

import asyncio
import json
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from replay_proxy.cassette import Interaction, interaction_id, process_number
from replay_proxy.cli.tape_tools.merge import merge
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from replay_proxy.timeline import Timeline
from tests.support.child_code import COARSE_CLOCK, SAME_PROCESS_NUMBER, child_environment
from tests.support.nursery import Nursery
from tests.support.rawclient import RawClient
from tests.support.requests import CHAT, post
from tests.support.script import JSON, Answer, Received
from tests.support.tape import make, recorded, stored
from tests.support.upstream import Upstream

DONE = b"data: [DONE]\n\n"


def test_two_containers_that_are_both_process_1_lose_no_answer(tmp_path: Path) -> None:
    """Their requests come at the same time, they give the same ids, and all answers are kept."""

    def script(request: Received) -> Answer:
        if json.loads(request.body)["stream"]:
            return Answer(steps=[b"data: " + request.body + b"\n\n", DONE])
        return Answer(headers=JSON, steps=[request.body], framing="length")

    bodies = [
        [json.dumps({"user": f"{name} {n}", "stream": n % 2 == 0}).encode() for n in range(100)]
        for name in range(8)
    ]
    told: dict[bytes, bytes | None] = {}
    store = tmp_path / "store"
    env = child_environment(tmp_path / "injected", COARSE_CLOCK, SAME_PROCESS_NUMBER)
    with Upstream(script) as upstream, Nursery(env) as nursery:
        containers = [
            nursery.start(MODE="record", STORE=str(store), UPSTREAM_BASE_URL=upstream.base_url)
            for _ in range(2)
        ]

        def ask(name: int) -> None:
            with RawClient(containers[name % 2].base_url) as client:
                for body in bodies[name]:
                    answer = client.request("POST", CHAT, body=body)
                    assert answer.status == 200, answer.body
                    told[body] = answer.header(b"x-replay-interaction")

        threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for container in containers:
            container.stop()

    assert len(told) == 800
    with closing(sqlite3.connect(store / "default.sqlite")) as connection:
        rows = connection.execute("SELECT id, request_body, body FROM interaction").fetchall()
    by_request = {request: (number, body) for number, request, body in rows}
    assert len(rows) == 800
    for body, header in told.items():
        number, kept = by_request[body]
        if json.loads(body)["stream"]:
            assert kept == b"data: " + body + b"\n\n" + DONE
        else:
            assert kept == body
            assert header == str(number).encode(), "the head comes after the commit, and is right"
    for body in (bodies[0][0], bodies[7][99]):
        found = stored(store, post(body))
        assert found is not None
        assert found.request.body == body


def same_id(*texts: str) -> list[Interaction]:
    """Different exchanges that came in one microsecond and got one id."""
    return [recorded(text, text.encode(), arrived_us=1_700_000_000_000_000) for text in texts]


def test_an_id_that_is_taken_becomes_another_one_of_the_same_microsecond(tmp_path: Path) -> None:
    first, second, last = same_id("first", "second", "last")
    last = replace(last, id=interaction_id(last.request.arrived_us, 2047))
    later = recorded("later", b"later", arrived_us=first.request.arrived_us + 1)

    async def scenario() -> list[int]:
        ids = []
        for each in (first, last, replace(second, id=last.id), later, second):
            store = Store(tmp_path, writable=True)  # Each is another process.
            ids.append(await store.cassette("default").add(each))
            store.close()
        return ids

    ids = asyncio.run(scenario())
    assert len(set(ids)) == 5
    assert ids[0] == first.id
    assert ids[1] == last.id
    assert sorted(ids)[-1] == later.id, "order by arrival stays"
    assert {number >> 11 for number in ids} == {each.request.arrived_us for each in (first, later)}
    for each in (first, second, last, later):
        found = stored(tmp_path, each.request)
        assert found is not None
        assert found.body == each.body


def test_an_answer_that_grows_replaces_itself_and_nobody_else(tmp_path: Path) -> None:
    mine, other = same_id("mine", "other")
    timeline = Timeline(5_000, (10_000,), (len(b"mine and more"),), 20_000)

    async def scenario() -> None:
        store, others = Store(tmp_path, writable=True), Store(tmp_path, writable=True)
        assert await others.cassette("default").add(other) == other.id
        number = await store.cassette("default").add(mine)
        grown = replace(mine, id=number, body=b"mine and more", timeline=timeline)
        assert await store.cassette("default").add(grown) == number
        store.close()
        others.close()

    asyncio.run(scenario())
    with Archive(tmp_path / "default.sqlite") as archive:
        assert sorted(each.body for _, each in archive.interactions()) == [
            b"mine and more",
            b"other",
        ]


def test_processes_draw_their_numbers_at_random() -> None:
    assert len({process_number() for _ in range(100)}) > 50
    assert all(0 <= process_number() < 2048 for _ in range(100))


def test_a_merge_keeps_both_of_two_exchanges_with_one_id(tmp_path: Path) -> None:
    one, two = same_id("one", "two")
    make(tmp_path / "a.sqlite", [one])
    with transaction(tmp_path / "b.sqlite") as change:
        change.add(change.join_take("another run"), two)
    for _ in range(2):  # The second time nothing is new.
        merge("a", ["b"], store=tmp_path, as_json=True)
        with Archive(tmp_path / "a.sqlite") as archive:
            assert [each.body for _, each in archive.interactions()] == [b"one", b"two"]


def test_a_merge_puts_the_same_exchange_in_place_of_itself(tmp_path: Path) -> None:
    one = recorded("one", b"one")
    make(tmp_path / "a.sqlite", [one])
    with Archive(tmp_path / "a.sqlite") as archive:
        (take,) = archive.takes()
    with transaction(tmp_path / "b.sqlite") as change:
        change.add_take(take)
        change.add(take.id, replace(one, body=b"eno"))
    merge("a", ["b"], store=tmp_path, as_json=True)
    with Archive(tmp_path / "a.sqlite") as archive:
        assert [each.body for _, each in archive.interactions()] == [b"eno"]


def test_a_merge_does_not_double_an_exchange_that_stands_in_another_take(tmp_path: Path) -> None:
    one = recorded("one", b"one")
    make(tmp_path / "a.sqlite", [one])
    with transaction(tmp_path / "b.sqlite") as change:
        change.add(change.join_take("another run"), one)
    merge("a", ["b"], store=tmp_path, as_json=True)
    with Archive(tmp_path / "a.sqlite") as archive:
        assert [each.body for _, each in archive.interactions()] == [b"one"]


def test_an_answer_that_was_deleted_and_grows_keeps_the_words_of_its_request(
    tmp_path: Path,
) -> None:
    mine, other = same_id("mine", "other")
    other = replace(other, id=interaction_id(other.request.arrived_us, 2047))

    async def scenario() -> None:
        store = Store(tmp_path, writable=True)
        cassette = store.cassette("default")
        assert await cassette.add(mine) == mine.id
        with transaction(tmp_path / "default.sqlite") as change:
            change.delete(mine.id)
            change.add(change.join_take("merged"), other)
        # In one commit with an id that is taken, so that each row is put alone.
        await asyncio.gather(cassette.add(other), cassette.add(mine))
        near = await cassette.near(mine.request)
        assert {each.request.body for each in near} >= {mine.request.body, other.request.body}
        store.close()

    asyncio.run(scenario())
