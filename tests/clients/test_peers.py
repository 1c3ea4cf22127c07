"""The probes that other recorders fail, one test a row, through real sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replay_proxy.errors import CassetteDamaged
from replay_proxy.store import Store
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.script import JSON, Answer, Gate, Hangup, Received, Wait
from tests.support.upstream import Upstream

CHAT = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def chat(text: str, *, system: str = "Be kind.", **more: object) -> bytes:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return json.dumps({"model": "gpt-4o", "messages": messages, **more}).encode()


class Tape:
    """Records bodies through one proxy, and asks another one that replays them."""

    def __init__(self, nursery: Nursery, store: Path) -> None:
        self.nursery = nursery
        self.store = store

    def record(
        self, script: Callable[[Received], Answer], *bodies: bytes, **settings: str
    ) -> list[RawAnswer]:
        with Upstream(script) as upstream:
            settings.setdefault("UPSTREAM_BASE_URL", upstream.base_url)
            proxy = self.nursery.start(MODE="record", STORE=str(self.store), **settings)
            try:
                return [ask(proxy, body) for body in bodies]
            finally:
                proxy.kill()

    def replay(self, *bodies: bytes, **settings: str) -> list[RawAnswer]:
        proxy = self.nursery.start(MODE="replay", STORE=str(self.store), **settings)
        try:
            return [ask(proxy, body) for body in bodies]
        finally:
            proxy.kill()


def ask(proxy: Child, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        return client.request("POST", CHAT, headers, body)


@pytest.fixture
def tape(nursery: Nursery, tmp_path: Path) -> Tape:
    return Tape(nursery, tmp_path / "store")


def said(text: bytes) -> Answer:
    return Answer(headers=JSON, steps=[text], framing="length")


def test_same_user_text_other_system_prompt_or_temperature(tape: Tape) -> None:
    tape.record(lambda _: said(b"recorded"), chat("hello"))
    answers = tape.replay(
        chat("hello"), chat("hello", system="Be rude."), chat("hello", temperature=1)
    )
    assert [answer.status for answer in answers] == [200, 404, 404]


def test_recorded_hi_asked_this_is_a_hidden_thing(tape: Tape) -> None:
    tape.record(lambda _: said(b"hi yourself"), chat("hi"))
    assert tape.replay(chat("this is a hidden thing"))[0].status == 404


def test_three_identical_calls_three_answers(tape: Tape) -> None:
    calls = iter((b"one", b"two", b"three"))
    tape.record(lambda _: said(next(calls)), *[chat("again")] * 3)
    answers = tape.replay(*[chat("again")] * 3)
    assert [answer.body for answer in answers] == [b"one", b"two", b"three"]


def test_concurrent_identical_calls_keep_their_order(tape: Tape) -> None:
    gates = (threading.Event(), threading.Event())
    numbers = iter(range(2))

    def script(_: Received) -> Answer:
        number = next(numbers)
        return Answer(headers=JSON, steps=[Gate(gates[number]), b"%d" % number])

    with Upstream(script) as upstream:
        proxy = tape.nursery.start(
            MODE="record", STORE=str(tape.store), UPSTREAM_BASE_URL=upstream.base_url
        )
        threads = [threading.Thread(target=ask, args=(proxy, chat("x"))) for _ in range(2)]
        for count, thread in enumerate(threads, 1):
            thread.start()
            upstream.wait_for(count)
        for gate, thread in zip(reversed(gates), reversed(threads), strict=True):
            gate.set()
            thread.join()
        proxy.kill()
    assert [answer.body for answer in tape.replay(chat("x"), chat("x"))] == [b"0", b"1"]


def test_n_logprobs_id_fingerprint_and_unknown_fields_survive(tape: Tape) -> None:
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "logprobs": {"content": []}}, {"index": 1, "logprobs": None}],
            "x_unknown": {"deep": [1, None]},
        },
        indent=4,
    ).encode()
    tape.record(lambda _: said(body), chat("n", n=2))
    assert tape.replay(chat("n", n=2))[0].body == body


def test_sse_of_2781_bytes_and_9_events(tape: Tape) -> None:
    events = [b"data: " + b"%d" % number + b"x" * 330 + b"\n\n" for number in range(8)]
    events.append(b"data: " + b"y" * (2781 - len(b"".join(events)) - 8) + b"\n\n")
    assert (len(events), len(b"".join(events))) == (9, 2781)
    tape.record(lambda _: Answer(steps=events), chat("s", stream=True))
    (answer,) = tape.replay(chat("s", stream=True))
    assert answer.chunks == events


def test_first_chunk_after_682_ms(tape: Tape) -> None:
    tape.record(lambda _: Answer(steps=[Wait(0.682), b"data: 1\n\n", DONE]), chat("t"))
    (answer,) = tape.replay(chat("t"), REPLAY_SPEED="1")
    assert 0.67 < answer.offsets[0] < 0.682 + 1.0
    assert answer.chunks == [b"data: 1\n\n", DONE]


def test_stream_cut_by_upstream(tape: Tape) -> None:
    (cut,) = tape.record(lambda _: Answer(steps=[b"data: 1\n\n", Hangup()]), chat("c"))
    assert not cut.clean
    assert tape.replay(chat("c"))[0].status == 404


def test_429_with_retry_after_7_while_recording(tape: Tape) -> None:
    limited = Answer(429, (*JSON, (b"retry-after", b"7")), [b"{}"], "length")
    (answer,) = tape.record(lambda _: limited, chat("l"))
    assert (answer.status, answer.header(b"retry-after")) == (429, b"7")


def test_embeddings_of_three_inputs(tape: Tape) -> None:
    bodies = [json.dumps({"model": "e", "input": text}).encode() for text in "abc"]
    tape.record(lambda request: said(b"vector of " + request.body), *bodies)
    assert [answer.body for answer in tape.replay(*reversed(bodies))] == [
        b"vector of " + body for body in reversed(bodies)
    ]
    together = json.dumps({"model": "e", "input": list("abc")}).encode()
    vectors = json.dumps(
        {"data": [{"index": number, "embedding": [0.5 + number, 1e-9]} for number in range(3)]}
    ).encode()
    tape.record(lambda _: said(vectors), together)
    assert tape.replay(together)[0].body == vectors


def test_upstream_unreachable(tape: Tape) -> None:
    (answer,) = tape.record(
        lambda _: said(b""), chat("u"), UPSTREAM_BASE_URL="http://127.0.0.1:9/v1"
    )
    assert answer.status == 502
    assert tape.replay(chat("u"))[0].status == 404, "its own error is no recording"


def test_torn_end_after_a_crash(tape: Tape) -> None:
    """Nothing of what was committed is lost; a file cut short is refused by its name."""
    tape.record(lambda _: said(b"kept"), chat("k"))  # Ends with kill -9.
    assert tape.replay(chat("k"))[0].body == b"kept"
    path = tape.store / "default.sqlite"
    path.write_bytes(path.read_bytes()[:-5000])
    store = Store(tape.store, writable=False)
    with pytest.raises(CassetteDamaged, match=r"default\.sqlite is damaged"):
        store.cassette("default")


def test_a_tool_property_called_user_or_metadata(tape: Tape) -> None:
    def tools(name: str) -> bytes:
        return chat("t", tools=[{"function": {"parameters": {"properties": {name: {}}}}}])

    tape.record(lambda request: said(request.body), tools("user"), tools("metadata"))
    answers = tape.replay(tools("metadata"), tools("user"), tools("city"))
    assert [answer.status for answer in answers] == [200, 200, 404]
    assert b"metadata" in answers[0].body


def test_key_cookie_or_organisation_in_the_file(tape: Tape) -> None:
    answered = (*JSON, (b"set-cookie", b"SECRET"), (b"openai-organization", b"SECRET"))
    asked = (
        (b"authorization", b"Bearer SECRET"),
        (b"cookie", b"SECRET"),
        (b"openai-organization", b"SECRET"),
    )
    with Upstream(lambda _: Answer(200, answered, [b"{}"], "length")) as upstream:
        proxy = tape.nursery.start(
            MODE="record", STORE=str(tape.store), UPSTREAM_BASE_URL=upstream.base_url
        )
        assert ask(proxy, chat("s"), asked).status == 200
        proxy.kill()
    assert not any(b"SECRET" in path.read_bytes() for path in tape.store.iterdir())


def test_other_key_order_in_the_json(tape: Tape) -> None:
    tape.record(lambda _: said(b"found"), b'{"model": "m", "messages": [], "n": 1}')
    assert tape.replay(b'{"n":1,"messages":[],"model":"m"}')[0].body == b"found"


def test_a_strict_replay_used_up_does_not_go_to_the_network(tape: Tape) -> None:
    tape.record(lambda _: said(b"once"), chat("o"))
    answers = tape.replay(chat("o"), chat("o"), REPEATS="fail")
    assert [answer.status for answer in answers] == [200, 404]
