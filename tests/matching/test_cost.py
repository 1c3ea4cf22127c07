"""What a request costs is bounded, whatever its JSON is: in the index, and when it is a miss."""

import asyncio
import json
import random
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from replay_proxy.bounds.side_thread import SIDE_THREAD_BYTES
from replay_proxy.cassette import Counts, Interaction, RecordedRequest
from replay_proxy.matching.comparison import Comparison
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.leaves import MOST_LEAVES, leaves
from replay_proxy.matching.miss import explain
from replay_proxy.matching.nearness import features, former_features
from replay_proxy.matching.rules import Rule
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from replay_proxy.store.writing.writer import LARGE_BYTES as LARGE_ROW
from replay_proxy.wire import Request
from tests.near import fill
from tests.store.test_store import interaction
from tests.support.nursery import Nursery
from tests.support.paths import ROOT
from tests.support.rawclient import RawClient
from tests.support.requests import CHAT, EMBEDDINGS, as_json, chat, post

#: A cassette whose index was made when each number of an array was a leaf (commit 1c6e5c4): six
#: chats, nine requests for embeddings of 5 to 2,000 tokens, a chat with a vector of 120 numbers.
FORMER = ROOT / "tests" / "data" / "former-features.sqlite"
#: Of Python's calls, a bound for work on one request that is generous by a factor of three.
MOST_CALLS = 40 * MOST_LEAVES


def asked(body: Any, number: int = 0) -> Request:
    return post(body, EMBEDDINGS, arrived_us=number)


def calls(work: Callable[[], object]) -> int:
    """How many functions the work calls."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event.endswith("call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def explained(request: Request, *recorded: Request, rule: Rule | None = None) -> Any:
    """What a miss says of the nearest recordings."""
    miss = explain(
        request,
        fingerprint="v1:0",
        cassette="c",
        counts=Counts(len(recorded), len(recorded)),
        answers=0,
        candidates=[RecordedRequest(n, f"v1:{n}", each) for n, each in enumerate(recorded)],
        rule=rule or Rule(),
    )
    assert len(miss.message) < 20_000
    return miss.details["nearest"]


HOSTILE = {
    "tokens": b'{"input":[%s1]}' % (b"17," * 40_000),
    "arrays of one": b'{"input":[%s[1]]}' % (b"[17]," * 40_000),
    "objects": b'{"input":[%s{}]}' % (b'{"a":17},' * 20_000),
    "numbers and a text": b'{"input":[%s"x"]}' % (b"17," * 40_000),
    "many keys": json.dumps({f"key_{n}": n for n in range(20_000)}).encode(),
    "keys of keys": json.dumps(
        {f"a{n}": {f"b{m}": m for m in range(90)} for n in range(400)}
    ).encode(),
    "huge keys": json.dumps({f"k{n}" + "x" * 9_000: {"a": n, "b": 17} for n in range(60)}).encode(),
    "below a huge key": b'{"%s":%s}'
    % (
        b"x" * 500_000,
        json.dumps({f"k{n}": n for n in range(9_000)}).encode(),
    ),
    "deep": b'{"a":' * 90 + b"[%s7]" % (b"[1,17]," * 20_000) + b"}" * 90,
    "too deep": b"[" * 100_000 + b"17" + b"]" * 100_000,
    "many values": b'{"input":[%s1]}' % (b"17," * 410_000),
    "one text": b'{"input":"%s17"}' % (b"word " * 200_000),
    "no JSON": bytes(range(256)) * 6_000 + b"17",
    "parts": b"".join(
        b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n17\r\n' for _ in range(12_000)
    )
    + b"--b--\r\n",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_request_is_indexed_and_compared_in_bounded_work_whatever_it_is(body: bytes) -> None:
    headers = ((b"content-type", b"multipart/form-data; boundary=b"),)
    request = replace(asked(body), headers=headers)
    middle = body.index(b"17", len(body) // 2) if b"17" in body[len(body) // 2 :] else 0
    other = replace(request, body=body[:middle] + b"18" + body[middle + 2 :])
    found = leaves(request)
    assert len(found) <= MOST_LEAVES + 10
    assert sum(map(len, found)) < 600 * MOST_LEAVES
    assert len(features(request)) < 100
    assert calls(lambda: features(request)) < MOST_CALLS
    assert calls(lambda: explained(request, other, other)) < 10 * MOST_CALLS
    whole = Comparison(request)
    assert whole.similarity(other) > 0.9
    assert whole.pairs <= 2 * MOST_LEAVES
    assert len(whole.differences(other)) <= MOST_LEAVES
    assert whole.pairs <= 2 * MOST_LEAVES
    assert whole.similarity(request) == 1
    assert whole.differences(request) == []


def tokens(number: int, size: int = 3_000) -> list[int]:
    rng = random.Random(number)
    return [rng.randrange(100_000) for _ in range(size)]


@pytest.mark.parametrize("size", [20, 3_000, 20_000])
def test_of_many_token_arrays_the_one_that_differs_in_little_is_named_with_its_place(
    tmp_path: Path, size: int
) -> None:
    bodies = [{"model": "m", "input": [tokens(number, size)]} for number in range(30)]
    requests = [asked(body, number) for number, body in enumerate(bodies)]
    store = Store(tmp_path, writable=True)
    tape = store.cassette("near")
    fill(tape, requests)
    for number in (3, 17):
        one = tokens(number, size)
        longer = [*one[: size // 2], 7, 8, *one[size // 2 :]]
        changed = [*one[: size // 2], -1, *one[size // 2 + 1 :]]
        for array, path in ((changed, f"$.input[0][{size // 2}]"), (longer, "$.input[0]")):
            request = asked({"model": "m", "input": [array]}, 99)
            near = asyncio.run(tape.near(request))
            first = explained(request, *[each.request for each in near])[0]
            assert near[int(first["interaction"])].request == requests[number]
            assert [each["place"] for each in first["differences"]] == [path]
            assert first["match_ignore"] is None, "these tokens are the prompt"
        assert f"from [{size // 2}] on" in first["differences"][0]["sent_value"]
        assert f"{size + 2:,} elements" in first["differences"][0]["sent_value"]
    store.close()


def test_numbers_of_another_type_differ_in_an_array_too() -> None:
    one, other = ([1.5] * 20 + [last] for last in (1, True))
    request, recorded = asked({"input": one}), asked({"input": other})
    assert Comparison(request).similarity(recorded) < 1
    assert [each.path for each in Comparison(request).differences(recorded)] == ["$.input"]


def former_store(tmp_path: Path) -> Path:
    shutil.copy(FORMER, tmp_path / "former.sqlite")
    return tmp_path / "former.sqlite"


def test_what_an_older_version_has_indexed_is_found_by_a_miss(tmp_path: Path) -> None:
    path = former_store(tmp_path)
    with Archive(path) as archive:
        recorded = [each for _, each in archive.interactions()]
    store = Store(tmp_path, writable=False)
    tape = store.cassette("former")
    for one in recorded:
        body = json.loads(one.request.body)
        body["user"] = "somebody"
        request = replace(one.request, body=json.dumps(body).encode())
        near = asyncio.run(tape.near(request))
        assert one.fingerprint in [each.fingerprint for each in near], one.request.body[:200]
        if "input" in body:
            body.pop("user")
            inner = body["input"][-1]
            inner[len(inner) // 2] += 1
            request = replace(one.request, body=json.dumps(body).encode())
            near = asyncio.run(tape.near(request))
            assert one.fingerprint in [each.fingerprint for each in near], len(inner)
    store.close()


def test_what_an_older_version_has_indexed_leaves_the_index_whole_when_it_goes(
    tmp_path: Path,
) -> None:
    path = former_store(tmp_path)
    with Archive(path) as archive:
        recorded = [each for _, each in archive.interactions()]
    assert any(features(each.request) != former_features(each.request) for each in recorded)
    kept, *gone = recorded
    again = recorded[-1]
    with transaction(path) as change:
        for one in gone:
            change.delete(one.id)
        change.add(change.join_take("later"), again)
        change.delete(again.id)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO nearness (nearness) VALUES ('integrity-check')")
        connection.execute("CREATE VIRTUAL TABLE temp.word USING fts5vocab(main, nearness, row)")
        words = {row[0] for row in connection.execute("SELECT term FROM word")}
    assert words == set(features(kept.request))


def test_a_row_that_is_gone_but_indexed_is_no_near_recording(tmp_path: Path) -> None:
    one = record_chat("hello there", 1)
    store = Store(tmp_path, writable=True)
    put(store, one, "a")
    store.close()
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection, connection:
        connection.execute("DELETE FROM interaction")
    store = Store(tmp_path, writable=False)
    assert asyncio.run(store.cassette("a").near(one.request)) == []
    store.close()


def record_chat(text: str, number: int) -> Interaction:
    request = chat(text, arrived_us=number)
    return replace(interaction(), fingerprint=fingerprint(request), request=request)


def put(store: Store, one: Interaction, cassette: str = "default") -> None:
    asyncio.run(store.cassette(cassette).add(one))


def test_a_small_answer_does_not_wait_for_the_large_ones_before_it(tmp_path: Path) -> None:
    large = [record_chat("x" * LARGE_ROW, number) for number in range(1, 5)]
    small = [record_chat("hello", number) for number in range(5, 8)]
    gate = threading.Event()
    order: list[int] = []

    async def add(tape: Any, one: Interaction, number: int) -> None:
        await tape.add(replace(one, id=number + 1))
        order.append(number)

    async def scenario() -> None:
        store = Store(tmp_path, writable=True)
        tape = store.cassette("a")
        writer = store._deck.writer
        assert writer is not None
        begin = writer._begin

        def held(connection: sqlite3.Connection, path: Path) -> int:
            gate.wait(60)
            return begin(connection, path)

        writer._begin = held
        adding = [asyncio.create_task(add(tape, each, n)) for n, each in enumerate(large + small)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*adding)
        store.close()

    asyncio.run(scenario())
    assert set(order[:4]) == {0, 4, 5, 6}, "the one that was begun, and all small ones"
    assert order[4:] == [1, 2, 3]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def peak_mb(pid: int) -> float:
    """The most memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def test_others_are_answered_while_a_large_miss_is_explained(
    nursery: Nursery, tmp_path: Path
) -> None:
    store = Store(tmp_path, writable=True)
    put(store, known := record_chat("hello", 1))
    large = [{"role": "user", "content": [{"type": "text", "text": f"{n}"}]} for n in range(12_000)]
    for number in range(3):
        body = as_json({"messages": large, "seed": number})
        request = post(body, arrived_us=10 + number)
        one = replace(interaction(), id=10 + number, fingerprint=fingerprint(request))
        put(store, replace(one, request=request))
    store.close()
    assert len(body) > SIDE_THREAD_BYTES
    proxy = nursery.start(MODE="replay", STORE=str(tmp_path))
    over = threading.Event()

    def ask() -> None:
        with RawClient(proxy.base_url) as client:
            for seed in (7, 8):
                body = as_json({"messages": large, "seed": seed})
                answer = client.request("POST", CHAT, body=body)
                assert answer.status == 404
                nearest = json.loads(answer.body)["error"]["nearest"]
                assert [each["place"] for each in nearest[0]["differences"]] == ["$.seed"]
        over.set()

    asking = threading.Thread(target=ask)
    asking.start()
    answered = 0
    with RawClient(proxy.base_url) as client:
        while not over.is_set() and asking.is_alive():
            assert client.request("POST", CHAT, body=known.request.body).status == 200
            answered += 1
    asking.join()
    assert over.is_set()
    assert answered > 10


def test_a_request_of_millions_of_numbers_takes_memory_in_proportion(
    nursery: Nursery, tmp_path: Path
) -> None:
    store = Store(tmp_path, writable=True)
    put(store, record_chat("hello", 1))
    store.close()
    proxy = nursery.start(MODE="replay", STORE=str(tmp_path))
    with RawClient(proxy.base_url) as client:
        client.request("POST", EMBEDDINGS, body=b'{"input":[1]}')
        before_mb = peak_mb(proxy.pid)
        body = b'{"input":[%s1]}' % (b"1," * 3_000_000)
        assert client.request("POST", EMBEDDINGS, body=body).status == 404
        assert peak_mb(proxy.pid) - before_mb < 30 * len(body) / 1e6
