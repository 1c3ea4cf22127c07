"""Errors inside an answer with status 200: which of them keep it from being stored."""

import gzip
import json
from typing import Any

import pytest

from replay_proxy.answers.errors_inside import loss_inside
from replay_proxy.wire import Headers, Response

EVENTS: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)
JSON: Headers = ((b"content-type", b"application/json"),)
CHUNK = b'data: {"object":"chat.completion.chunk","choices":[{"delta":{"content":"error"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def inside(body: bytes, headers: Headers = EVENTS, method: str = "POST") -> str | None:
    loss = loss_inside(method, Response(200, headers, body), body)
    return loss.code if loss is not None else None


def event(value: Any, name: str = "") -> bytes:
    """A stream that begins well and has this event at its end."""
    named = f"event: {name}\n".encode() if name else b""
    data = value if isinstance(value, bytes) else dumped(value)
    return CHUNK + named + b"data: " + data + b"\n\n" + DONE


def failed(code: str | None) -> dict[str, Any]:
    error = code and {"code": code, "message": "It failed."}
    return {"type": "response.failed", "response": {"status": "failed", "error": error}}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "The server had an error", "type": "server_error"}, "transient"),
        ({"message": "Overloaded", "type": "overloaded_error"}, "transient"),
        ({"message": "Provider disconnected", "code": 502}, "transient"),
        ({"code": 503, "status": "UNAVAILABLE", "message": "busy"}, "transient"),
        ({"code": "429", "message": "Too many"}, "transient"),
        ({"type": "requests", "code": "rate_limit_exceeded"}, "transient"),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, "transient"),
        ({"message": "boom"}, "transient"),
        ("boom", "transient"),
        ({"type": "invalid_request_error", "code": "invalid_api_key"}, "credential"),
        ({"type": "authentication_error", "message": "who?"}, "credential"),
        ({"code": 403, "message": "no"}, "credential"),
        ({"type": "invalid_request_error", "code": "context_length_exceeded"}, None),
        ({"code": "content_filter", "message": "no"}, None),
        ({"code": 400, "status": "INVALID_ARGUMENT"}, None),
        ({"code": 404, "type": "NotFoundError"}, None),
    ],
)
def test_an_error_says_itself_whether_it_lasts(error: Any, code: str | None) -> None:
    assert inside(event({"error": error})) == code
    assert inside(event({"type": "error", "error": error}, "error")) == code
    assert inside(dumped({"error": error}), JSON) == code
    assert inside(dumped({"error": error, "user_id": "u"}), JSON, "GET") == code
    assert inside(dumped([{"error": error}]), JSON) == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (event({"code": "server_error", "message": "x", "param": None}, "error"), "transient"),
        (event({"type": "error", "code": "invalid_prompt", "message": "x"}, "error"), None),
        (event(b"upstream connect error", "error"), "transient"),
        (event({"object": "error", "message": "x", "type": "InternalServerError"}), "transient"),
        (event({"id": "1", "choices": [], "error": {"code": 502}}), "transient"),
        (event({"choices": [{"finish_reason": "error", "error": {"code": 502}}]}), "transient"),
        (event(failed("server_error"), "response.failed"), "transient"),
        (event(failed("rate_limit_exceeded")), "transient"),
        (event(failed("invalid_prompt"), "response.failed"), None),
        (event(failed("image_content_policy_violation")), None),
        (event(failed(None)), None),
        (event({"last_error": {"code": "rate_limit_exceeded"}}, "thread.run.failed"), "transient"),
        (event({"last_error": {"code": "invalid_image"}}, "thread.run.failed"), None),
        (b'data: {"error":\ndata: {"code": 500}}\n\n', "transient"),
        (CHUNK + b'data: {"error": {"code": 500}}', "transient"),
        (event({"error": {"code": 500}}).replace(b"\n", b"\r\n"), "transient"),
    ],
)
def test_an_error_in_a_stream_is_found_in_each_form(body: bytes, code: str | None) -> None:
    assert inside(body) == code
    packed = gzip.compress(body)
    assert inside(packed, (*EVENTS, (b"content-encoding", b"gzip"))) == code


@pytest.mark.parametrize(
    "body",
    [
        CHUNK * 3 + DONE,
        event({"type": "response.created", "response": {"error": None, "text": "error"}}),
        event({"choices": [], "error": None}),
        event({"choices": [], "error": {}}),
        event({"type": "response.output_item.done", "item": {"type": "mcp_call", "error": "x"}}),
        event({"choices": [{"delta": {"content": '{"error": {"code": 500}}'}}]}),
        CHUNK + b"event: errors\ndata: {}\n\n",
    ],
)
def test_what_only_speaks_of_an_error_is_kept(body: bytes) -> None:
    assert inside(body) is None


@pytest.mark.parametrize(
    ("value", "method", "code"),
    [
        ({"object": "response", "error": None, "status": "completed"}, "POST", None),
        ({"object": "response", "error": {"code": "server_error"}}, "POST", "transient"),
        ({"object": "response", "error": {"code": "invalid_prompt"}}, "POST", None),
        ({"object": "response", "error": {"code": "server_error"}}, "GET", None),
        ({"object": "fine_tuning.job", "error": {"code": "server_error"}}, "GET", None),
        ({"object": "batch", "error": {"code": 500}}, "POST", None),
        ({"choices": [{"error": {"code": 502}}]}, "POST", "transient"),
        ({"type": "error", "message": "x"}, "POST", "transient"),
        ([], "POST", None),
        ("error", "POST", None),
    ],
)
def test_the_failure_of_a_job_that_is_asked_for_is_its_answer(
    value: Any, method: str, code: str | None
) -> None:
    for indent in (None, 2):
        assert inside(json.dumps(value, indent=indent).encode(), JSON, method) == code


def test_other_statuses_are_judged_by_themselves() -> None:
    body = dumped({"error": {"type": "server_error"}})
    assert loss_inside("POST", Response(400, JSON, body), body) is None


def test_a_stream_is_read_in_time_that_grows_with_its_length() -> None:
    item = {"type": "response.output_item.done", "item": {"error": "x" * 200}}
    assert inside((b"data: " + dumped(item) + b"\n\n") * 20_000) is None
