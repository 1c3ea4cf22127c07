"""The caller, from question to answer: over real sockets, in front of a scripted upstream."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from caller import main
from tests.support.caller import (
    END,
    KEY,
    PATIENCE_S,
    ROLE,
    Caller,
    Event,
    as_json,
    asked,
    broken_stream,
    completion,
    delta,
    echo,
    environment,
    parsed,
    refusal,
    running_caller,
    sse,
    stream,
)
from tests.support.script import JSON, Answer, Cut, Gate, Hangup, Received
from tests.support.servers import Proxy
from tests.support.upstream import Upstream

QUESTION = "한국의 수도는?"
ANSWER = "한국의 수도는?의 응답 내용"
BOTH = pytest.mark.parametrize("path", ["/chat", "/streaming/chat"])


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Upstream]:
    with Upstream(echo) as endpoint:
        yield endpoint


@pytest.fixture
def upstream(endpoint: Upstream) -> Upstream:
    endpoint.script = echo
    endpoint.requests.clear()
    return endpoint


@pytest.fixture(scope="module")
def caller(endpoint: Upstream) -> Iterator[Caller]:
    with running_caller(OPENAI_BASE_URL=endpoint.base_url, OPENAI_API_KEY=KEY) as caller:
        yield caller


# --- what it answers


def test_chat_answers_the_blogs_question_with_one_readable_json_string(
    upstream: Upstream, caller: Caller
) -> None:
    answer = caller.ask("/chat", QUESTION)
    assert answer.status == 200
    assert answer.header(b"content-type") == b"application/json"
    assert answer.body == f'"{ANSWER}"'.encode()
    assert not asked(upstream.requests[0]).get("stream")


def test_streaming_chat_answers_the_blogs_question_character_by_character(
    upstream: Upstream, caller: Caller
) -> None:
    answer = caller.ask("/streaming/chat", QUESTION)
    assert answer.status == 200
    assert answer.header(b"content-type") == b"text/event-stream; charset=utf-8"
    assert answer.chunks == [f"data: {character}\n\n".encode() for character in ANSWER]
    assert answer.clean
    assert asked(upstream.requests[0])["stream"] is True


def test_a_chunk_is_passed_on_before_the_next_one_exists(
    upstream: Upstream, caller: Caller
) -> None:
    gate = threading.Event()
    upstream.script = lambda _: Answer(steps=[ROLE, delta("하나"), Gate(gate), delta("둘"), *END])
    with caller.opened("/streaming/chat", QUESTION) as coming:
        assert next(coming) == "data: 하나\n\n".encode()
        gate.set()
        assert list(coming) == ["data: 둘\n\n".encode()]


@BOTH
@pytest.mark.parametrize("query", ["{braces}", "{", "}}{0!r}", "%s 100%", "줄\n바꿈", "a&b=c+d #e"])
def test_the_first_message_is_the_query_as_it_was_typed(
    upstream: Upstream, caller: Caller, path: str, query: str
) -> None:
    assert caller.ask(path, query).status == 200
    assert asked(upstream.requests[0])["messages"] == [{"role": "user", "content": query}]


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        "a\nb",
        "a\n\nb\n",
        "\n\ndata: x",
        "a\nevent: error\nb",
        "a\rb\r",
        "a\r\nb\r\n\r\n",
        ": c",
    ],
)
def test_a_chunk_with_line_breaks_is_one_event_with_the_same_lines(
    upstream: Upstream, caller: Caller, text: str
) -> None:
    upstream.script = lambda _: stream("(", text, " )")
    body = caller.ask("/streaming/chat", QUESTION).body
    assert b"\r" not in body
    lines = text.replace("\r\n", "\n").replace("\r", "\n")  # what a data field can say
    assert parsed(body) == [Event("message", each) for each in ("(", lines, " )")]


def test_what_only_looks_like_a_line_break_is_text(upstream: Upstream, caller: Caller) -> None:
    text = "a\u2028b\u0085c\x0bd\x0ce"
    upstream.script = lambda _: stream(text)
    assert parsed(caller.ask("/streaming/chat", QUESTION).body) == [Event("message", text)]


def test_chunks_without_text_are_no_events(upstream: Upstream, caller: Caller) -> None:
    upstream.script = lambda _: stream("", "a", "", "b", "")  # and role, finish, usage around it
    assert caller.ask("/streaming/chat", QUESTION).chunks == [b"data: a\n\n", b"data: b\n\n"]


@BOTH
@pytest.mark.parametrize(
    ("question", "complaint"),
    [("", "Field required"), ("?query=", "at least 1 character"), ("?q=a", "Field required")],
)
def test_a_question_that_is_missing_is_refused_and_not_asked(
    upstream: Upstream, caller: Caller, path: str, question: str, complaint: str
) -> None:
    answer = caller.get(path + question)
    assert answer.status == 422
    (detail,) = json.loads(answer.body)["detail"]
    assert detail["loc"] == ["query", "query"]
    assert complaint in detail["msg"]
    assert not upstream.requests


# --- whom it asks


@BOTH
@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-5-pro", "gpt-5.1-codex"])
def test_the_environment_alone_chooses_endpoint_model_and_key(
    upstream: Upstream, caller: Caller, path: str, model: str
) -> None:
    with (
        Upstream(echo) as other,
        running_caller(
            OPENAI_BASE_URL=other.base_url.replace("/v1", "/cassettes/a/v1"),
            OPENAI_MODEL=model,
            OPENAI_API_KEY="sk-other",
        ) as changed,
    ):
        changed.ask(path, QUESTION)
    (request,) = other.requests
    assert (request.method, request.target) == ("POST", "/cassettes/a/v1/chat/completions")
    assert request.header(b"authorization") == b"Bearer sk-other"
    assert asked(request)["model"] == model

    caller.ask(path, QUESTION)
    (request,) = upstream.requests
    assert (request.method, request.target) == ("POST", "/v1/chat/completions")
    assert request.header(b"authorization") == f"Bearer {KEY}".encode()
    assert asked(request)["model"] == "gpt-4o-mini"


@pytest.mark.parametrize("unset", [{}, {"OPENAI_BASE_URL": "", "OPENAI_MODEL": ""}])
def test_without_settings_it_asks_the_proxy_on_this_machine(unset: dict[str, str]) -> None:
    async def defaults() -> tuple[str, str]:
        async with main.app.router.lifespan_context(main.app) as state:
            assert state is not None
            _, model, _ = state["chain"].steps
            return model.openai_api_base, model.model_name

    with environment(**unset):
        assert asyncio.run(defaults()) == ("http://localhost:7777/v1", "gpt-4o-mini")


def test_the_documented_command_starts_it_without_a_key(upstream: Upstream, tmp_path: Path) -> None:
    class Command(Proxy):
        app: ClassVar[str] = "caller.main:app"
        start_timeout_s: ClassVar[float] = 60.0  # LangChain takes seconds to import

    with Command(tmp_path, OPENAI_BASE_URL=upstream.base_url) as command:
        answer = Caller(command.port).ask("/chat", QUESTION)
    assert answer.body == f'"{ANSWER}"'.encode()
    assert upstream.requests[0].header(b"authorization") == b"Bearer no-key-needed"


# --- what it says when that fails

FAILURES: list[tuple[Answer, int, str]] = [
    (refusal(400, "no such model"), 400, "no such model"),
    (refusal(401, "wrong key sk-other-1234"), 401, "refuses the key: see OPENAI_API_KEY"),
    (refusal(403, "not for org-1234"), 403, "refuses the key: see OPENAI_API_KEY"),
    (refusal(404, "no recording: 한국"), 404, "no recording: 한국"),
    (refusal(429, "too many requests"), 429, "too many requests"),
    (refusal(500, "out of order"), 502, "out of order"),
    (as_json({"detail": "no"}, 422), 422, "The upstream answered 422."),
    (Answer(503, JSON, [b"<h1>down</h1>"], "length"), 502, "The upstream answered 503."),
    (Answer(head=False, steps=[Hangup()]), 502, "out of reach or broke off: see OPENAI_BASE_URL"),
    (Answer(head=False, steps=[Cut()]), 502, "out of reach or broke off: see OPENAI_BASE_URL"),
    (Answer(200, JSON, [b"<h1>hello</h1>"], "length"), 502, "makes no sense"),
]


def failed(answer: bytes | str) -> tuple[int, str]:
    """The status and the message of an error body, which holds nothing else."""
    (error,) = json.loads(answer).values()
    assert error.keys() == {"status", "message"}
    return error["status"], error["message"]


@pytest.mark.parametrize(("answer", "status", "message"), FAILURES)
def test_chat_answers_a_failure_with_its_status_and_its_reason(
    upstream: Upstream, caller: Caller, answer: Answer, status: int, message: str
) -> None:
    upstream.script = lambda _: answer
    got = caller.ask("/chat", QUESTION)
    assert got.status == status
    assert failed(got.body)[0] == status
    assert message in failed(got.body)[1]


@pytest.mark.parametrize(("answer", "status", "message"), FAILURES)
def test_streaming_chat_sends_the_same_failure_as_its_only_event(
    upstream: Upstream, caller: Caller, answer: Answer, status: int, message: str
) -> None:
    upstream.script = lambda _: answer
    got = caller.ask("/streaming/chat", QUESTION)
    assert got.status == 200
    (event,) = parsed(got.body)
    assert event.type == "error"
    assert failed(event.data)[0] == status
    assert message in failed(event.data)[1]
    assert got.clean


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (broken_stream("안녕", Cut()), "broke off"),
        (broken_stream("안녕", Hangup()), "broke off"),
        (broken_stream("안녕", sse({"error": {"message": "과부하"}})), "과부하"),
        (broken_stream("안녕", b"data: {\n\n"), "makes no sense"),
    ],
)
def test_a_stream_that_breaks_off_ends_with_an_error_event(
    upstream: Upstream, caller: Caller, answer: Answer, message: str
) -> None:
    upstream.script = lambda _: answer
    got = caller.ask("/streaming/chat", QUESTION)
    text, error = parsed(got.body)
    assert text == Event("message", "안녕")
    assert error.type == "error"
    assert failed(error.data)[0] == 502
    assert message in failed(error.data)[1]
    assert "\\u" not in error.data


def test_a_whole_answer_that_is_cut_is_not_half_an_answer(
    upstream: Upstream, caller: Caller
) -> None:
    half = Answer(200, JSON, [b'{"choices": [', Cut(), b"]}"], "length")
    upstream.script = lambda _: half
    assert caller.ask("/chat", QUESTION).status == 502


@BOTH
def test_a_refused_connection_is_told_as_such(path: str) -> None:
    with Upstream(echo) as gone:
        pass
    with running_caller(OPENAI_BASE_URL=gone.base_url) as caller:
        body = caller.ask(path, QUESTION).body
    data = body if path == "/chat" else parsed(body)[0].data
    assert failed(data) == (502, "The upstream is out of reach or broke off: see OPENAI_BASE_URL.")


@BOTH
@pytest.mark.parametrize("head", [True, False])
def test_an_upstream_that_falls_silent_is_given_up(
    upstream: Upstream, path: str, head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "TIMEOUT_S", 0.1)
    upstream.script = lambda _: Answer(head=head, steps=[Gate(threading.Event())])
    with running_caller(OPENAI_BASE_URL=upstream.base_url) as caller:
        body = caller.ask(path, QUESTION).body
    data = body if path == "/chat" else parsed(body)[0].data
    assert failed(data) == (504, "The upstream was silent for too long.")
    assert upstream.requests[0].client_left.wait(PATIENCE_S)


@BOTH
@pytest.mark.parametrize("status", [429, 500])
def test_one_question_is_one_request_even_when_it_fails(
    upstream: Upstream, caller: Caller, path: str, status: int
) -> None:
    upstream.script = lambda _: refusal(status, "later")
    caller.ask(path, QUESTION)
    assert len(upstream.requests) == 1


@BOTH
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_no_error_tells_a_key_or_an_organisation(
    upstream: Upstream,
    caller: Caller,
    path: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    theirs = f"key {KEY}, sk-proj-ab***yz, in organization org-Ab1, project proj_Cd2: no"
    upstream.script = lambda _: refusal(status, theirs)
    told = caller.ask(path, QUESTION).body.decode() + caplog.text
    assert not [secret for secret in (KEY, "ab**", "Ab1", "Cd2") if secret in told]


def test_a_key_of_any_form_is_hidden(upstream: Upstream) -> None:
    key = "a.key(of+another*form"
    upstream.script = lambda _: refusal(400, f"key {key}: no")
    with running_caller(OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY=key) as caller:
        assert failed(caller.ask("/chat", QUESTION).body) == (400, "key [hidden]: no")


# --- a client that leaves


@BOTH
def test_a_client_that_leaves_before_the_answer_ends_the_upstream_call(
    upstream: Upstream, caller: Caller, path: str
) -> None:
    upstream.script = lambda _: Answer(head=False, steps=[Gate(threading.Event())])
    with caller.put(path, QUESTION):
        (request,) = upstream.wait_for(1)
        assert not request.client_left.is_set()
    assert request.client_left.wait(PATIENCE_S)


def test_a_client_that_leaves_a_stream_ends_the_upstream_call(
    upstream: Upstream, caller: Caller
) -> None:
    upstream.script = lambda _: broken_stream("안녕", Gate(threading.Event()))
    with caller.opened("/streaming/chat", QUESTION) as coming:
        next(coming)
        assert not upstream.requests[0].client_left.is_set()
    assert upstream.requests[0].client_left.wait(PATIENCE_S)


@BOTH
def test_a_client_that_leaves_is_no_error(
    upstream: Upstream, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = lambda _: Answer(head=False, steps=[Gate(threading.Event())])
    with running_caller(OPENAI_BASE_URL=upstream.base_url) as caller, caller.put(path, QUESTION):
        upstream.wait_for(1)
    assert not caplog.records  # the caller has shut down, and so finished with this client


def test_a_client_that_leaves_while_it_does_not_read_ends_the_upstream_call(
    upstream: Upstream,
) -> None:
    upstream.script = lambda _: broken_stream("안녕", Gate(threading.Event()))

    async def leave_during_a_send() -> None:
        """A server whose client's buffer is full, so that the send of a chunk never returns."""
        sending, never = asyncio.Event(), asyncio.Event()
        request = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if message := next(request, None):
                return message
            await sending.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                sending.set()
                await never.wait()

        async with main.app.router.lifespan_context(main.app) as state:
            scope: dict[str, Any] = {
                "type": "http",
                "method": "GET",
                "path": "/streaming/chat",
                "headers": [],
            }
            scope |= {"query_string": b"query=a", "state": state, "asgi": {"spec_version": "2.3"}}
            await main.app(scope, receive, send)
            left = upstream.requests[0].client_left
            assert await asyncio.to_thread(left.wait, PATIENCE_S)

    with environment(OPENAI_BASE_URL=upstream.base_url):
        asyncio.run(leave_during_a_send())


def test_the_next_client_is_answered_after_one_has_left(upstream: Upstream, caller: Caller) -> None:
    silent = iter([True])
    stall = Answer(head=False, steps=[Gate(threading.Event())])

    def script(request: Received) -> Answer:
        return stall if next(silent, False) else completion("여기")

    upstream.script = script
    with caller.put("/chat", QUESTION):
        (request,) = upstream.wait_for(1)
    assert request.client_left.wait(PATIENCE_S)
    assert caller.ask("/chat", QUESTION).body == '"여기"'.encode()
