"""The tests' instruments: the raw client shows what the scripted upstream sends."""

import json
import os
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.corpus import load
from tests.support.paths import ROOT
from tests.support.rawclient import NoAnswerError, RawClient, Throttle
from tests.support.script import JSON, Answer, Cut, Gate, Hangup, Head, Raw, Received, Step, Wait
from tests.support.servers import Proxy, ProxyDidNotStartError
from tests.support.upstream import Upstream

DATA = ROOT / "tests" / "data"
PATH = "/v1/chat/completions"


def always(*steps: Step, **rest: Any) -> Upstream:
    return Upstream(lambda _: Answer(steps=steps, **rest))


def test_chunks_arrive_as_they_were_cut() -> None:
    cuts = ["안".encode()[:1], "안".encode()[1:], b"\r\n", b"0\r\n\r\n", b"x" * 300_000, b"\n\n"]
    with always(*cuts) as upstream, RawClient(upstream.base_url) as client:
        answer = client.request("POST", PATH)
        assert answer.chunks == cuts
        assert answer.clean


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30))
def test_any_chunks_survive_the_way(chunks: list[bytes]) -> None:
    with always(*chunks) as upstream, RawClient(upstream.base_url) as client:
        assert client.request("GET", "/v1/models").chunks == chunks


def test_waits_are_deadlines_counted_from_the_request() -> None:
    count, gap_s = 500, 0.001
    steps = [step for n in range(count) for step in (Wait(gap_s), b"%d" % n)]
    with always(*steps) as upstream, RawClient(upstream.base_url) as client:
        offsets = client.request("POST", PATH).offsets
        late = [at - gap_s * (n + 1) for n, at in enumerate(offsets)]
        assert min(late) > -0.001, "a chunk came before its time"
        # A loaded machine delays many chunks, but the next ones are on time again.
        assert min(late[count // 2 :]) < 0.005, "lateness adds up"


def test_head_and_first_chunk_can_come_apart_or_together() -> None:
    with (
        always(Wait(0.3), b"x") as early,
        always(Wait(0.3), Head(), b"x", head=False) as late,
    ):
        with RawClient(early.base_url) as client:
            answer = client.request("GET", PATH)
            assert answer.head_offset < 0.29 < answer.offsets[0]
        with RawClient(late.base_url) as client:
            assert client.request("GET", PATH).head_offset > 0.29


def test_a_gate_holds_the_answer_until_the_test_opens_it() -> None:
    gate = threading.Event()
    with always(b"one", Gate(gate), b"two") as upstream, RawClient(upstream.base_url) as client:
        incoming = client.send("POST", PATH)
        assert next(incoming) == b"one"
        assert upstream.requests[0].written == 1
        gate.set()
        assert list(incoming) == [b"two"]
        assert incoming.answer.clean


def test_the_last_wait_delays_the_end_and_not_the_last_chunk() -> None:
    with always(b"[DONE]", Wait(0.05)) as upstream, RawClient(upstream.base_url) as client:
        incoming = client.send("POST", PATH)
        next(incoming)
        assert not upstream.requests[0].finished.is_set()
        assert not list(incoming)
        assert upstream.requests[0].finished.wait(5)


@pytest.mark.parametrize("end", [Cut(), Hangup()])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_cut_is_seen_as_a_cut(end: Step, framing: str) -> None:
    with (
        always(b"half", end, b"other half", framing=framing) as upstream,
        RawClient(upstream.base_url) as client,
    ):
        answer = client.request("POST", PATH)
        assert (answer.body, answer.clean) == (b"half", False)
        assert answer.fault
        assert not upstream.requests[0].finished.is_set()


@pytest.mark.parametrize(("framing", "ends"), [("length", "length"), ("eof", "eof")])
def test_a_body_without_chunks_ends_cleanly(framing: str, ends: str) -> None:
    with (
        always(b"{", b"}", headers=JSON, framing=framing) as upstream,
        RawClient(upstream.base_url) as client,
    ):
        answer = client.request("GET", "/v1/models")
        assert (answer.body, answer.clean, answer.framing) == (b"{}", True, ends)


def test_a_204_has_no_body_and_keeps_the_connection() -> None:
    with always(status=204, headers=()) as upstream, RawClient(upstream.base_url) as client:
        answers = [client.request("POST", "/v1/traces/ingest") for _ in range(2)]
        assert [(a.status, a.framing, a.clean) for a in answers] == [(204, "none", True)] * 2
        assert upstream.connections == 1


@pytest.mark.parametrize("step", [Hangup(), Cut(), Raw(b"\x16\x03 no HTTP\r\n\r\n")])
def test_no_answer_is_an_error(step: Step) -> None:
    with (
        always(step, head=False) as upstream,
        RawClient(upstream.base_url) as client,
        pytest.raises(NoAnswerError),
    ):
        client.request("POST", PATH)


def test_a_client_that_leaves_is_noticed_with_the_chunks_it_was_sent() -> None:
    never = threading.Event()
    with (
        always(b"a", b"[DO", b"NE]", Gate(never), b"b") as upstream,
        RawClient(upstream.base_url) as client,
    ):
        answer = client.request("POST", PATH, leave_after=b"[DONE]")
        assert (answer.body, answer.clean) == (b"a[DONE]", False)
        assert upstream.requests[0].client_left.wait(5)
        assert upstream.requests[0].written == 3
        assert not upstream.requests[0].finished.is_set()


def test_a_client_that_does_not_read_holds_the_upstream_back() -> None:
    chunk, count = b"x" * 100_000, 400
    with always(*[chunk] * count) as upstream:
        with RawClient(upstream.base_url, receive_buffer=4096) as client:
            next(client.send("POST", PATH))
        assert upstream.requests[0].client_left.wait(5)
        assert 0 < upstream.requests[0].written < count
        with RawClient(upstream.base_url, throttle=Throttle(1 << 20, 0.0001)) as client:
            assert client.request("POST", PATH).chunks == [chunk] * count


def test_requests_are_received_as_sent_on_one_connection() -> None:
    headers = [(b"X-A", b"1"), (b"x-b", b"\xe9"), (b"X-A", b"2")]
    target = "/v1/responses/%72esp?include[]=a&include[]=b%20c"
    with always(b"ok") as upstream, RawClient(upstream.base_url) as client:
        client.request("POST", target, headers, "{안}".encode())
        client.send_raw(
            b"POST /v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
        ).read()
        first, second = upstream.wait_for(2)
        assert (first.method, first.target, first.body) == ("POST", target, "{안}".encode())
        assert first.headers[1:4] == headers
        assert second.body == b"abcde"
        assert upstream.connections == 1


def test_response_headers_keep_order_and_repeats() -> None:
    headers = [(b"set-cookie", b"a=1"), (b"x-request-id", b"r"), (b"set-cookie", b"b=2")]
    with always(b"x", headers=headers) as upstream, RawClient(upstream.base_url) as client:
        assert client.request("GET", PATH).headers[:3] == headers


def test_an_error_in_the_script_reaches_the_test() -> None:
    def script(request: Received) -> Answer:
        raise KeyError(request.target)

    with (
        pytest.raises(KeyError, match="/v1/models"),
        Upstream(script) as upstream,
        RawClient(upstream.base_url) as client,
        pytest.raises(NoAnswerError),
    ):
        client.request("GET", "/v1/models")


@pytest.mark.parametrize("record", load(DATA / "corpus.jsonl"), ids=lambda record: record.id)
def test_pieces_join_to_the_recorded_body(record: Any) -> None:
    assert b"".join(record.pieces()) == record.response_body
    assert b"".join(record.pieces(random.Random(1))) == record.response_body
    assert record.target.startswith(("/v1/", "/openai/"))


Send = Callable[[dict[str, Any]], Awaitable[None]]


async def stand_in(scope: dict[str, Any], receive: Any, send: Send) -> None:
    """An ASGI application that answers with its environment, or does not start."""
    if scope["type"] == "lifespan":
        await receive()
        kind = "failed" if os.environ.get("REFUSE") else "complete"
        await send({"type": f"lifespan.startup.{kind}", "message": "no such mode"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = json.dumps([os.getcwd(), *sorted(os.environ)]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class StandIn(Proxy):
    app = "tests.test_support:stand_in"


@pytest.mark.parametrize("args", [(), ("--workers", "2")])
def test_a_proxy_runs_with_the_named_environment_only(
    args: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-developer")
    monkeypatch.setenv("CASSETTE", "of-the-developer")
    with StandIn(tmp_path, *args, MODE="record") as proxy, RawClient(proxy.base_url) as client:
        cwd, *names = json.loads(client.request("GET", PATH).body)
        assert Path(cwd) == tmp_path.resolve()
        assert "MODE" in names
        assert not {"OPENAI_API_KEY", "CASSETTE"} & set(names)
        client.close()
        assert "Uvicorn running" in proxy.stop()


def test_a_killed_proxy_answers_no_more(tmp_path: Path) -> None:
    with StandIn(tmp_path) as proxy:
        proxy.kill()
        with pytest.raises(NoAnswerError), RawClient(proxy.base_url) as client:
            client.request("GET", PATH)


def test_a_proxy_that_refuses_to_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ProxyDidNotStartError, match="no such mode") as caught:
        StandIn(tmp_path, REFUSE="1").start()
    assert caught.value.returncode
