"""``MATCH_IGNORE`` sees what others have recorded and deleted since it has read the cassette."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from replay_proxy.cassette import Interaction, interaction_id
from replay_proxy.matching.rules import Rule
from replay_proxy.store import Store, Tape
from replay_proxy.store.reading import news
from replay_proxy.store.reading.rule_index import RuleIndex
from replay_proxy.store.transaction import transaction
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawClient
from tests.support.script import JSON, Answer, Received
from tests.support.tape import recorded
from tests.support.upstream import Upstream

RULE = Rule(["$.model"])


def ask(proxy: Child, question: int, model: str) -> tuple[bytes, bytes | None]:
    body = json.dumps({"model": model, "messages": [question]}).encode()
    with RawClient(proxy.base_url) as client:
        answer = client.request("POST", "/v1/chat/completions", body=body)
    assert answer.status == 200, answer.body
    return answer.body, answer.header(b"x-replay-source")


def test_what_another_process_has_recorded_is_not_asked_for_again(tmp_path: Path) -> None:
    """Three processes are asked in turn, and each question reaches the upstream once."""
    asked: list[int] = []

    def script(request: Received) -> Answer:
        asked.extend(json.loads(request.body)["messages"])
        return Answer(headers=JSON, steps=[b"%d" % asked[-1]], framing="length")

    with Upstream(script) as upstream, Nursery() as nursery:
        proxies = [
            nursery.start(
                MODE="replay",
                ON_MISS="record",
                MATCH_IGNORE="$.model",
                STORE=str(tmp_path),
                UPSTREAM_BASE_URL=upstream.base_url,
            )
            for _ in range(3)
        ]
        for question in range(30):
            for turn in range(3):
                proxy = proxies[(question + turn) % 3]
                answer, source = ask(proxy, question, f"{question} {turn}")
                assert answer == b"%d" % question
                assert source == (b"cassette" if turn else b"upstream")
        for proxy in proxies:
            proxy.stop()
    assert asked == list(range(30))


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Store]:
    it = Store(tmp_path, writable=False, rule=RULE)
    yield it
    it.close()


def put(directory: Path, run: str, *interactions: Interaction) -> None:
    with transaction(directory / "default.sqlite") as change:
        take = change.join_take(run)
        for each in interactions:
            change.add(take, each)


def drop(directory: Path, *interactions: Interaction) -> None:
    with transaction(directory / "default.sqlite") as change:
        for each in interactions:
            change.delete(each.id)


async def body(tape: Tape, like: Interaction) -> bytes | None:
    found = await tape.next_answer(RULE.key(like.request))
    return None if found is None else found.body


def test_an_answer_that_took_long_is_found_among_many_that_came_later(
    tmp_path: Path, one: Store
) -> None:
    """Ids sort by arrival: what is committed last may have the lowest one."""
    early = recorded("early", b"early")
    later = [recorded(f"later {number}", b"later") for number in range(3 * news.PAGE)]
    put(tmp_path, "run", *later[: 2 * news.PAGE])

    async def scenario() -> None:
        tape = one.cassette("default")
        assert await body(tape, later[0]) == b"later"
        assert await body(tape, early) is None
        put(tmp_path, "run", *later[2 * news.PAGE :])
        assert await body(tape, later[-1]) == b"later"
        put(tmp_path, "run", early)
        assert await body(tape, early) == b"early"
        assert len(await tape.unused([])) == len(later) + 1

    asyncio.run(scenario())


def test_what_others_have_deleted_or_recorded_anew_is_known(tmp_path: Path, one: Store) -> None:
    old, other = recorded("question", b"old"), recorded("other", b"other")
    new = recorded("question", b"new")
    put(tmp_path, "first", old, other)

    async def scenario() -> None:
        tape = one.cassette("default")
        assert await body(tape, old) == b"old"
        put(tmp_path, "second", new)
        assert await body(tape, old) == b"new", "the newest take answers"
        assert await tape.answer_count(RULE.key(old.request)) == 1
        drop(tmp_path, new)
        assert await body(tape, old) == b"old", "and the one before it when that is deleted"
        drop(tmp_path, other)
        put(tmp_path, "third", late := recorded("late", b"late", arrived_us=17))
        assert await body(tape, other) is None
        assert await body(tape, late) == b"late"
        assert await tape.unused([]) == [late.id, old.id]

    asyncio.run(scenario())


def test_repeats_that_others_record_answer_in_their_order(tmp_path: Path, one: Store) -> None:
    answers = [recorded("same", b"%d" % number) for number in range(4)]
    put(tmp_path, "run", answers[0], answers[2])

    async def scenario() -> None:
        tape = one.cassette("default")
        assert await body(tape, answers[0]) == b"0"
        put(tmp_path, "run", answers[1], answers[3])
        assert [await body(tape, answers[0]) for _ in range(4)] == [b"1", b"2", b"3", b"3"]

    asyncio.run(scenario())


def test_a_look_at_what_is_new_does_not_read_what_is_old(
    tmp_path: Path, one: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [recorded(str(number), b"x") for number in range(10 * news.PAGE)]
    put(tmp_path, "run", *many)
    put_keys = RuleIndex._put
    read: list[int] = []

    def count(self: RuleIndex, rows: list[dict[str, int]]) -> None:
        read.append(len(rows))
        put_keys(self, rows)

    async def scenario() -> None:
        tape = one.cassette("default")
        assert await body(tape, many[0]) == b"x"
        monkeypatch.setattr(RuleIndex, "_put", count)
        last = replace(many[0], id=interaction_id(recorded("last", b"").request.arrived_us, 1))
        await recorder.cassette("default").add(recorded("new", b"x"))
        await recorder.cassette("default").add(last)
        assert await body(tape, many[1]) == b"x"
        assert read == [2]
        assert await body(tape, many[2]) == b"x"
        assert read == [2], "and is not repeated while nobody commits"

    recorder = Store(tmp_path, writable=True)
    try:
        asyncio.run(scenario())
    finally:
        recorder.close()
